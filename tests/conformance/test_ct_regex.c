// SPDX-FileCopyrightText: 2026 The dlquant authors
// SPDX-License-Identifier: Apache-2.0

#include "../../plugins/compressed_tensors/regex.h"
#include "support.h"

#include <dlquant/dlquant.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Everything that compiling asks of a host: memory.
static void *
host_alloc(void *ctx, struct dlq_device device, size_t size, size_t align)
{
    (void)ctx;
    (void)device;
    void *ptr = NULL;
    return posix_memalign(&ptr, align, size) == 0 ? ptr : NULL;
}

static void
host_free(void *ctx, struct dlq_device device, void *ptr)
{
    (void)ctx;
    (void)device;
    free(ptr);
}

static int32_t
host_fail(struct dlq_error *err, int32_t code, const char *fmt, ...)
{
    (void)err;
    (void)fmt;
    return code;
}

static const struct dlq_host host = {
    .struct_size = sizeof(host),
    .fail = host_fail,
    .alloc = host_alloc,
    .free = host_free,
};

static bool
matches(const char *pattern, const char *text)
{
    char why[160];
    struct ct_regex *const regex = ct_regex_compile(&host, pattern, why, sizeof(why));
    if (!regex) {
        fail_msg("%s: %s", pattern, why);
    }
    const bool found = ct_regex_match(regex, text);
    ct_regex_free(&host, regex);
    return found;
}

static void
matches_what_python_matches(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *text;
        bool match;
    } cases[] = {
        // At the start, not to the end.
        {"layer", "layer1", true},
        {"ayer", "layer1", false},
        {".*ayer", "layer1", true},
        {"^layer1$", "layer1", true},
        {"layer1$", "layer12", false},
        {"", "anything", true},
        {"", "", true},
        {"a", "", false},
        // "." is any character, "\." is a point.
        {"layer.1", "layer.1", true},
        {"layer.1", "layerx1", true},
        {"layer\\.1", "layerx1", false},
        {".*q_proj", "transformer.layers.0.self_attn.q_proj", true},
        {"LAYER", "layer", false},
        // Repeats.
        {"ab*c", "ac", true},
        {"ab*c", "abbbc", true},
        {"ab+c", "ac", false},
        {"ab+c", "abbc", true},
        {"ab?c$", "abc", true},
        {"ab?c$", "abbc", false},
        {"a{3}$", "aaa", true},
        {"a{3}$", "aa", false},
        {"a{2,}$", "aaaa", true},
        {"a{2,}$", "a", false},
        {"a{,2}$", "aa", true},
        {"a{,2}$", "aaa", false},
        {"a{1,3}b", "aaab", true},
        {"a{1,3}b", "aaaab", false},
        {"a{0}b", "b", true},
        {"a{x}", "a{x}", true}, // no repeat: a literal brace
        {"a{,}", "a{,}", true},
        {"(ab){2}$", "abab", true},
        {"(ab){2}$", "ab", false},
        {"(a*)*b", "aaab", true},
        {"(a|ab)(c|bcd)$", "abcd", true},
        {".*?x", "aax", true},
        {"a+?b", "aab", true},
        // Alternatives and groups.
        {"q|k|v", "k", true},
        {"(q|k|v)_proj$", "v_proj", true},
        {"(?:q|k|v)_proj$", "o_proj", false},
        {"(?P<name>q|k)_proj", "k_proj", true},
        {"a|", "b", true},
        {"(a|b|c|d|e)$", "e", true},
        // Sets.
        {"[abc]x", "bx", true},
        {"[^abc]x", "bx", false},
        {"[a-c0-3]+$", "a1b2", true},
        {"[]a]x", "]x", true},
        {"[a-]x", "-x", true},
        {"[\\d_]+$", "1_2", true},
        {"[\\]x]+$", "]x", true},
        {"layers\\.(5[6-9]|6[0-3])\\.mlp", "layers.59.mlp", true},
        {"layers\\.(5[6-9]|6[0-3])\\.mlp", "layers.55.mlp", false},
        {"\\d+\\.\\w+$", "12.ab_3", true},
        {"\\D\\W\\S\\s", "a.b ", true},
        // Assertions.
        {"(?!.*lm_head).*$", "model.lm_head", false},
        {"(?!.*lm_head).*$", "model.q_proj", true},
        {"(?=.*proj)model", "model.q_proj", true},
        {"(?=.*proj)model", "model.norm", false},
        {"model\\.(?!visual).*proj", "model.visual.proj", false},
        {"model\\.(?!visual).*proj", "model.layers.proj", true},
        {"(?!a(?!b))a", "ab", true},
        {"(?!a(?!b))a", "ac", false},
        {"(?=a(?=b(?!c)))ab", "abd", true},
        {"(?=a(?=b(?!c)))ab", "abc", false},
        {"((?=a|(?!.*b)).)*$", "aac", true},
        {"((?=a|(?!.*b)).)*$", "acb", false},
        {"((?!ab).){3}$", "aab", false},
        {"((?!ab).){3}$", "aaa", true},
        {".*\\bproj\\b", "q.proj.x", true},
        {".*\\bproj\\b", "q_proj", false},
        {".*\\Bproj", "q_proj", true},
        {"a^", "a", false},
        {"$", "", true},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        if (matches(cases[i].pattern, cases[i].text) != cases[i].match) {
            fail_msg("'%s' on '%s' must %smatch", cases[i].pattern, cases[i].text,
                     cases[i].match ? "" : "not ");
        }
    }
}

#define ELEVEN_LOOKS "(?!a)(?!a)(?!a)(?!a)(?!a)(?!a)(?!a)(?!a)(?!a)(?!a)(?!a)"

static void
refuses_by_name_what_it_does_not_know(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *says;
    } cases[] = {
        {"*a", "nothing to repeat at position 0"},
        {"a|+", "nothing to repeat"},
        {"a**", "multiple repeat"},
        {"a*+", "possessive repeats are not supported"},
        {"^*", "a repeated assertion is not supported"},
        {"(?!a)+", "a repeated assertion is not supported"},
        {"(a", "a group without )"},
        {"a)", "a ) without ("},
        {"[a", "a set without ]"},
        {"[b-a]", "a bad range in a set"},
        {"[a-\\d]", "a bad range in a set"},
        {"[\xc3\xa9]", "characters beyond ASCII in a set are not supported"},
        {"\\1", "back references (\\1) are not supported at position 1"},
        {"\\Z", "the escape \\Z is not supported"},
        {"\\", "a lone backslash"},
        {"(?i)a", "flags and other extensions (?i) are not supported"},
        {"(?<=a)b", "lookbehind (?<=) is not supported"},
        {"(?<!a)b", "lookbehind (?<!) is not supported"},
        {"(?P=name)", "flags and other extensions (?P) are not supported"},
        {"(?P<name", "a group name without >"},
        {ELEVEN_LOOKS ELEVEN_LOOKS ELEVEN_LOOKS, "the pattern has too many lookaheads"},
        {"a{300}", "a repeat count out of range"},
        {"a{3,2}", "a repeat count out of range"},
        {"((((a{100}){100}){100}){100})", "the pattern is too large"},
        {"((((((((((((((((((((((((((a))))))))))))))))))))))))))", "groups are nested too deeply"},
    };
    for (size_t i = 0; i < TEST_COUNT(cases); i++) {
        char why[160];
        struct ct_regex *const regex = ct_regex_compile(&host, cases[i].pattern, why, sizeof(why));
        if (regex || !strstr(why, cases[i].says)) {
            fail_msg("'%s': '%s'; '%s' is expected", cases[i].pattern, regex ? "accepted" : why,
                     cases[i].says);
        }
    }
}

// A machine that tries one way after the other needs 2^30 steps and more for these.
static void
hostile_patterns_take_bounded_time(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "(a*)*(a*)*(a*)*b",
        "(a|a)*(a|a)*b",
        "(a?){30}a{30}b",
        "(((a+)+)+)+b",
        "(?!(a*)*b)((?!(a*)*c)a)*d",
        ".*.*.*.*.*.*.*.*x",
        "(?=.*(?=.*(?=.*(?=.*(?=.*(?=.*(?=.*(?=.*(?=.*(?=.*x))))))))))",
    };
    char text[1025];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    const clock_t start = clock();
    for (size_t i = 0; i < TEST_COUNT(patterns); i++) {
        assert_false(matches(patterns[i], text));
    }
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 2.0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_what_python_matches),
        cmocka_unit_test(refuses_by_name_what_it_does_not_know),
        cmocka_unit_test(hostile_patterns_take_bounded_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
