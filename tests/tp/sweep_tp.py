#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""Every bundled checkpoint on 1 to 8 ranks: what plan says, run does, with the same result.

sweep_tp.py DLQUANT DATA [MPIRUN [ARGUMENT...]]

For each folder of DATA and each number of ranks: where plan refuses, run refuses in the same words; where it does not,
run meets the recordings, and on a copy with weights and inputs of -1, 0 and 1 gives the bits of one rank; with MPIRUN
so do as many processes. Some ranks are known to cut groups, which must not keep them from running. The MLP of
Qwen2-72B, whose groups of 128 no even number of ranks leaves whole, is planned at its size and run with fewer outputs.
Ends with "N passed, N failed, N skipped"."""

import json
import os
import subprocess
import sys
import tempfile

import mlp

HERE = os.path.dirname(os.path.abspath(__file__))
MOST = 8

# Plain C adds up integers as they are; faster kernels round activations to limbs first.
EXACT = {**os.environ, 'DLQ_CPU_FLAGS': 'none'}


# Row layers whose groups ranks cut: the inputs and the group of each rank.
REFINED = {
    ('jargon-llama/awq', 4): {'down_proj': (192, 64), 'o_proj': (64, 64)},
    ('golden/stories-w4a16-odd-groups', 2): {'down_proj': (86, 43), 'o_proj': (32, 32)},
}


class Sweep:
    def __init__(self, dlquant, mpirun):
        self.dlquant, self.mpirun = dlquant, mpirun
        self.passed, self.failed, self.skipped = 0, 0, 0

    def note(self, ok, what, why=''):
        self.passed, self.failed = self.passed + ok, self.failed + (not ok)
        if not ok:
            print(f'FAILED  {what}: {why}')
        return ok

    def skip(self, name, why):
        self.skipped += 1
        print(f'skipped {name}: {why}', flush=True)

    def run(self, *args, env=None, processes=0):
        launch = [*self.mpirun, '-n', str(processes)] if processes else []
        return subprocess.run([*launch, self.dlquant, *args], capture_output=True, text=True, timeout=300, check=False,
                              env=env or os.environ)

    def plan(self, folder, dtype):
        said = self.run('plan', folder, '--tp', f'1-{MOST}', '--json', *dtype)
        rows = list(map(json.loads, said.stdout.splitlines()))
        return [row for row in rows if 'works' in row], [row for row in rows if 'layer' in row]

    def refined(self, name, layers):
        for (other, ranks), want in REFINED.items():
            if other == name:
                found = {row['layer'].rsplit('.', 1)[1]: (row['k'], row['group'])
                         for row in layers if row['tp'] == ranks and row['kind'] == 'row' and row['ok']}
                self.note(found == want, f'{name} on {ranks} ranks, groups', f'expected {want}, found {found}')

    def digests(self, folder, dtype, ranks, processes):
        tp = 'mpi' if processes else str(ranks)
        said = self.run('run', folder, '--check', '--integers', '--json', '--m', '3', '--threads', '1', '--tp', tp,
                        *dtype, env=EXACT, processes=ranks if processes else 0)
        rows = [json.loads(line) for line in said.stdout.splitlines() if line.startswith('{')]
        found = {row['layer']: row['digest'] for row in rows if 'digest' in row}
        return found, f'exit status {said.returncode}, {len(found)} layers: {said.stderr.strip()[:300]}'

    def compare(self, what, first, found, why):
        wrong = [layer for layer, digest in first.items() if found.get(layer) != digest]
        self.note(bool(first) and not wrong, what, f'other bits than one rank in {wrong[:3]} ({why})')

    def refused(self, folder, name, ranks, why, processes):
        said = self.run('run', folder, '--tp', 'mpi' if processes else str(ranks),
                        processes=ranks if processes else 0)
        self.note(said.returncode == 4 and why in said.stderr, f'{name} on {ranks} ranks',
                  f'expected "{why}", found {said.returncode}: {said.stderr[:300]}')

    def judged(self, folder, what, judge, ranks, processes):
        said = self.run('run', folder, *judge, '--tp', 'mpi' if processes else str(ranks),
                        processes=ranks if processes else 0)
        self.note(said.returncode == 0, f'{what}, recordings', said.stdout[-300:] + said.stderr[:300])

    def checkpoint(self, folder, name, scratch):
        # Activations of fp4 have 16-bit outputs that no rank's share rounds to alone.
        dtype = ['--dtype', 'fp32'] if 'nvfp4' in name else []
        copy = os.path.join(scratch, name.replace(os.sep, '-'))
        verdicts, layers = self.plan(folder, [])
        self.refined(name, layers)
        if len(verdicts) != MOST or not verdicts[0]['works']:
            self.skip(name, verdicts[0]['why'] if verdicts else 'no plugin for it')
            return
        subprocess.run([sys.executable, os.path.join(HERE, 'integers.py'), folder, copy], check=True)
        golden = os.path.join(folder, 'golden')
        judge = ['--golden', golden] if os.path.isdir(golden) else ['--check']
        first, _ = self.digests(copy, dtype, 1, False)
        before = self.failed
        line = []
        for verdict in verdicts:
            ranks = verdict['tp']
            line.append(f"{ranks}{'' if not verdict['works'] else '=' if not verdict['uneven'] else '~'}")
            if not verdict['works']:
                line[-1] = f'({ranks})'
                self.refused(folder, name, ranks, verdict['why'], False)
                if self.mpirun and ranks <= MOST // 2 + 1:
                    self.refused(folder, name, ranks, verdict['why'], True)
                continue
            self.judged(folder, f'{name} on {ranks} threads', judge, ranks, False)
            self.compare(f'{name} on {ranks} threads', first, *self.digests(copy, dtype, ranks, False))
            if self.mpirun:
                self.judged(folder, f'{name} on {ranks} processes', judge, ranks, True)
                self.compare(f'{name} on {ranks} processes', first, *self.digests(copy, dtype, ranks, True))
        print(f"{'ok     ' if self.failed == before else 'FAILED '} {name}: equal shares =, unequal ~, refused ( ): {' '.join(line)}", flush=True)

    def wide_mlp(self, scratch):
        whole, narrow = os.path.join(scratch, 'whole'), os.path.join(scratch, 'narrow')
        mlp.make(whole, 8192, 29568, 128, True)
        said = self.run('plan', whole, '--tp', '1,2,4,8', '--json')
        rows = [json.loads(line) for line in said.stdout.splitlines()]
        groups = {row['tp']: row['group'] for row in rows if row.get('layer', '').endswith('down_proj') and row['ok']}
        self.note(groups == {1: 128, 2: 64, 4: 32, 8: 16}, 'Qwen2-72B, groups of down_proj', f'found {groups}')
        mlp.make(narrow, 256, 29568, 128, False)
        first, _ = self.digests(narrow, [], 1, False)
        for ranks in (2, 3, 4, 8):
            self.compare(f'Qwen2-72B on {ranks} threads', first, *self.digests(narrow, [], ranks, False))
        if self.mpirun:
            self.compare('Qwen2-72B on 4 processes', first, *self.digests(narrow, [], 4, True))
        print(f'Qwen2-72B, groups of down_proj by ranks: {groups}', flush=True)


def main():
    dlquant, data, *mpirun = sys.argv[1:]
    sweep = Sweep(dlquant, mpirun)
    with tempfile.TemporaryDirectory() as scratch:
        for group in ('jargon-llama', 'golden'):
            for name in sorted(os.listdir(os.path.join(data, group))):
                folder = os.path.join(data, group, name)
                if os.path.isfile(os.path.join(folder, 'config.json')):
                    if os.path.isfile(os.path.join(folder, 'model.safetensors')):
                        sweep.checkpoint(folder, os.path.join(group, name), scratch)
                    else:
                        sweep.skip(os.path.join(group, name), 'not one file')
        sweep.wide_mlp(scratch)
    print(f'{sweep.passed} passed, {sweep.failed} failed, {sweep.skipped} skipped')
    sys.exit(1 if sweep.failed else 0)


if __name__ == '__main__':
    main()
