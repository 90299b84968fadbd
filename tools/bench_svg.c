// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "bench_report.h"

#include <math.h>
#include <string.h>

/// Rooflines: operations a second over operations a byte, both logarithmic, a panel an operation.
/// A dot is a figure; the roof is drawn where the ceilings are known.

enum { WIDTH = 380, HEIGHT = 300, LEFT = 58, RIGHT = 12, TOP = 34, BOTTOM = 40, MAX_PANELS = 32 };

/// What a panel shows, in powers of ten.
struct axes {
    int panel;
    double x0, x1, y0, y1;
};

static double
intensity(const struct tool_figure *g)
{
    return 2.0 * (double)g->m * (double)g->k * (double)g->n / g->result.moved;
}

static double
rate(const struct tool_figure *g)
{
    return 2.0 * (double)g->m * (double)g->k * (double)g->n / g->result.us * 1e6;
}

static double
at_x(const struct axes *a, double v)
{
    const double part = (log10(v) - a->x0) / (a->x1 - a->x0);
    return a->panel * WIDTH + LEFT + part * (WIDTH - LEFT - RIGHT);
}

static double
at_y(const struct axes *a, double v)
{
    const double part = (log10(v) - a->y0) / (a->y1 - a->y0);
    return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM);
}

static void
widen(double *low, double *high, double v)
{
    *low = floor(log10(v)) < *low ? floor(log10(v)) : *low;
    *high = ceil(log10(v)) > *high ? ceil(log10(v)) : *high;
}

static struct axes
choose_axes(const struct tool_figures *f, const char *op, int panel)
{
    struct axes a = {panel, 99.0, -99.0, 99.0, -99.0};
    for (size_t i = 0; i < f->n; ++i) {
        const struct tool_figure *g = &f->list[i];
        if (strcmp(g->op.name, op) == 0) {
            widen(&a.x0, &a.x1, intensity(g));
            widen(&a.y0, &a.y1, rate(g));
            if (g->peak > 0.0) {
                widen(&a.y0, &a.y1, g->peak);
            }
        }
    }
    a.x1 = a.x1 > a.x0 ? a.x1 : a.x0 + 1.0;
    a.y1 = a.y1 > a.y0 ? a.y1 : a.y0 + 1.0;
    return a;
}

static void
draw_frame(FILE *file, const struct axes *a, const char *op)
{
    fprintf(file, "<text x=\"%d\" y=\"20\" font-weight=\"bold\">%s</text>\n",
            a->panel * WIDTH + LEFT, op);
    for (double d = a->x0; d <= a->x1; d += 1.0) {
        const double x = at_x(a, pow(10.0, d));
        fprintf(file,
                "<path class=\"grid\" d=\"M%.1f %d V%d\"/><text x=\"%.1f\" y=\"%d\" "
                "text-anchor=\"middle\">%g</text>\n",
                x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 14, pow(10.0, d));
    }
    for (double d = a->y0; d <= a->y1; d += 1.0) {
        const double y = at_y(a, pow(10.0, d));
        fprintf(file,
                "<path class=\"grid\" d=\"M%d %.1f H%d\"/><text x=\"%d\" y=\"%.1f\" "
                "text-anchor=\"end\">%g</text>\n",
                a->panel * WIDTH + LEFT, y, (a->panel + 1) * WIDTH - RIGHT,
                a->panel * WIDTH + LEFT - 4, y + 4.0, pow(10.0, d - 9.0));
    }
    fprintf(file, "<text x=\"%d\" y=\"%d\">GOP/s over operations a byte</text>\n",
            a->panel * WIDTH + LEFT, HEIGHT - 8);
}

static void
draw_roof(FILE *file, const struct axes *a, double read, double peak)
{
    const double left = pow(10.0, a->x0);
    const double right = pow(10.0, a->x1);
    const double ridge = peak / read;
    const double start = fmax(left, pow(10.0, a->y0) / read);
    if (ridge > start && ridge < right) {
        fprintf(file, "<path class=\"roof\" d=\"M%.1f %.1f L%.1f %.1f H%.1f\"/>\n", at_x(a, start),
                at_y(a, start * read), at_x(a, ridge), at_y(a, peak), at_x(a, right));
    }
}

void
tool_figures_svg(const struct tool_figures *f, FILE *file)
{
    const char *ops[MAX_PANELS];
    int n = 0;
    for (size_t i = 0; i < f->n; ++i) {
        int known = 0;
        while (known < n && strcmp(ops[known], f->list[i].op.name) != 0) {
            ++known;
        }
        if (known == n && n < MAX_PANELS) {
            ops[n++] = f->list[i].op.name;
        }
    }
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "font-family=\"sans-serif\" font-size=\"11\">\n<style>.grid{stroke:#ddd}"
            ".roof{stroke:#c33;fill:none;stroke-width:1.5}circle{fill:#247}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            n * WIDTH, HEIGHT);
    for (int p = 0; p < n; ++p) {
        const struct axes a = choose_axes(f, ops[p], p);
        bool roof = false;
        draw_frame(file, &a, ops[p]);
        for (size_t i = 0; i < f->n; ++i) {
            const struct tool_figure *g = &f->list[i];
            if (strcmp(g->op.name, ops[p]) != 0) {
                continue;
            }
            if (!roof && g->read > 0.0 && g->peak > 0.0) {
                draw_roof(file, &a, g->read, g->peak);
                roof = true;
            }
            fprintf(file,
                    "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>%lld x %lld, M %lld: %.2f "
                    "us</title></circle>\n",
                    at_x(&a, intensity(g)), at_y(&a, rate(g)), (long long)g->k, (long long)g->n,
                    (long long)g->m, g->result.us);
        }
    }
    fprintf(file, "</svg>\n");
}
