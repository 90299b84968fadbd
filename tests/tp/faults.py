#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The dlquant authors
# SPDX-License-Identifier: Apache-2.0
"""What ranks over MPI report when one of them is killed, stops, cannot load, or has another checkpoint or dtype.

faults.py DLQUANT CHECKPOINT [KILLS [RANKS [SECONDS [OPTION...]]]]

Runs dlquant under mpirun with RANKS (3) ranks, a time limit of SECONDS (2) and the options, such as --device cuda:
once as it is, to learn how long a run lasts; then KILLS (20) times one of the ranks is killed at a random moment
after all have joined, for before, inside MPI_Init, only the launcher can know. Ends with "N passed, N failed, N
skipped"."""

import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

RANKS = int(sys.argv[4]) if len(sys.argv) > 4 else 3
TIMEOUT = int(sys.argv[5]) if len(sys.argv) > 5 else 2
OPTIONS = sys.argv[6:]
# Beyond the time limit: half a second to name the rank, and what a loaded machine needs to end a process. Where a GPU
# is waited for first, that takes the limit once more; and who still loads waits for the driver, which has the dead
# process's memory to give back.
SLACK = 20 + TIMEOUT if OPTIONS else 6
# Rows of each call, so many that a run takes a second or more; GPUs that other jobs share take far longer.
ROWS = range(100, 104 if OPTIONS else 130)

# A launcher that ends all ranks when one dies would hide whether they find out by themselves. One that binds ranks to
# cores leaves one to all threads of CUDA and NCCL.
OPEN_MPI = ['mpirun', '--oversubscribe', '--allow-run-as-root', '--enable-recovery', '--bind-to', 'none',
            '--mca', 'btl', 'self,vader,tcp']
OTHER_MPI = ['mpirun', '-disable-auto-cleanup']

RANK = '''rank=${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-$PMIX_RANK}}
echo $$ >"$0/pid.$rank.part"
mv "$0/pid.$rank.part" "$0/pid.$rank"
exec "$@" >"$0/out.$rank" 2>"$0/err.$rank"'''


def launcher():
    said = subprocess.run(['mpirun', '--version'], capture_output=True, text=True, check=False).stdout
    return list(OPEN_MPI if 'Open MPI' in said or 'OpenRTE' in said else OTHER_MPI)


class Job:
    """One run; `paths` has a checkpoint a rank, `last` options of the last rank alone."""

    def __init__(self, dlquant, paths, folder, last=()):
        self.folder = folder
        self.pids = {}
        command = launcher()
        rows = ','.join(map(str, ROWS))
        for i, path in enumerate(paths):
            command += ([':'] if i else []) + [
                '-n', '1', 'sh', '-c', RANK, folder, dlquant, 'run', path, '--tp', 'mpi', '--timeout', str(TIMEOUT),
                '--threads', '1', '--m', rows, '-v', *OPTIONS, *(last if i == RANKS - 1 else ())]
        with open(os.path.join(folder, 'err.launcher'), 'w', encoding='utf-8') as file:
            # pylint: disable-next=consider-using-with
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)

    def wait_for_start(self):
        for rank in range(RANKS):
            name = os.path.join(self.folder, f'pid.{rank}')
            begin = time.monotonic()
            while not os.path.exists(name):
                if self.process.poll() is not None or time.monotonic() - begin > 60:
                    self.end()
                    raise TimeoutError(f"mpirun did not start rank {rank}: {self.said('launcher')[-600:]}")
                time.sleep(0.01)
            with open(name, encoding='utf-8') as file:
                self.pids[rank] = int(file.read())

    def wait_for_group(self):
        """Seconds until all ranks have joined, when their log names the first plugin; None: one ended before."""
        begin = time.monotonic()
        waiting = list(range(RANKS))
        while waiting:
            ended = [rank for rank in waiting if not self.is_alive(rank)]
            waiting = [rank for rank in waiting if ': info: plugin ' not in self.said(rank)]
            if any(rank in waiting for rank in ended) or time.monotonic() - begin > 120:
                return None
            time.sleep(0.001)
        return time.monotonic() - begin

    def is_alive(self, rank):
        try:
            with open(f'/proc/{self.pids[rank]}/stat', encoding='utf-8') as file:
                return file.read().rsplit(')', 1)[1].split()[0] not in ('Z', 'X')
        except OSError:
            return False

    def is_over(self):
        """Whether the first rank has printed its results: what comes then needs no other rank."""
        with open(os.path.join(self.folder, 'out.0'), encoding='utf-8') as file:
            return ' layers: ' in file.read()

    def wait(self, ranks, limit):
        """Seconds until all of them have ended, or None."""
        begin = time.monotonic()
        while any(self.is_alive(rank) for rank in ranks):
            if time.monotonic() - begin > limit:
                return None
            time.sleep(0.01)
        return time.monotonic() - begin

    def said(self, rank):
        try:
            with open(os.path.join(self.folder, f'err.{rank}'), encoding='utf-8') as file:
                return file.read().strip()
        except OSError:
            return ''

    def last_words(self):
        words = [f'rank {rank} said: {self.said(rank)[-600:]}' for rank in range(RANKS)]
        return words + [f"the launcher said: {self.said('launcher')[-600:]}"]

    def end(self):
        for rank, pid in self.pids.items():
            if self.is_alive(rank):
                os.kill(pid, signal.SIGKILL)
        # A launcher that was told to go on without a rank does not always end with the last.
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def survivors_name(job, victim, text, limit):
    """What went wrong, '' for nothing, and how long it took all others to end."""
    others = [rank for rank in range(RANKS) if rank != victim]
    took = job.wait(others, limit)
    wrong = []
    for rank in others:
        if job.is_alive(rank):
            wrong.append(f'rank {rank} still runs after {limit} s')
        elif text not in job.said(rank):
            wrong.append(f'rank {rank} does not name it')
    if wrong:
        wrong += job.last_words()
    return '\n        '.join(wrong), took


def hurt(dlquant, path, sign, delay, victim):
    """Send a signal to a rank after a while: what went wrong, '' for nothing, or None when the run was over before, and
    how long all took."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job(dlquant, [path] * RANKS, folder)
        job.wait_for_start()
        try:
            joined = job.wait_for_group()
            if joined is None:
                return '\n        '.join(['a rank ended before all had joined'] + job.last_words()), ''
            time.sleep(delay)
            if job.is_over():
                return None, ''
            os.kill(job.pids[victim], sign)
            wrong, took = survivors_name(job, victim, f'missing after the time limit: rank {victim} (limit',
                                         TIMEOUT + SLACK)
            return wrong, f'joined after {joined:.2f} s, named after {took or 0:.2f} s'
        finally:
            job.end()


def unharmed(dlquant, path):
    """How long a run lasts once all have joined, and what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job(dlquant, [path] * RANKS, folder)
        job.wait_for_start()
        try:
            joined = job.wait_for_group()
            begin = time.monotonic()
            while joined and not job.is_over() and job.is_alive(0):
                time.sleep(0.001)
            ran = time.monotonic() - begin
            left = job.wait(range(RANKS), 60)
            if left is None or not joined or not job.is_over():
                return 0, '\n        '.join(['the run did not end well'] + job.last_words()), ''
            return ran, '', f'joined after {joined:.2f} s, ran {ran:.2f} s, ended after {left:.2f} s more'
        finally:
            job.end()


def copy_with_bad_scale(path, folder):
    """The same headers, but a scale is not finite."""
    shutil.copytree(path, folder)
    name = os.path.join(folder, 'model.safetensors')
    with open(name, 'r+b') as file:
        size = struct.unpack('<Q', file.read(8))[0]
        header = json.loads(file.read(size))
        tensor = next(key for key in sorted(header) if key.endswith('scale') or key.endswith('scales'))
        file.seek(8 + size + header[tensor]['data_offsets'][0])
        width = {'F32': 4}.get(header[tensor]['dtype'], 2)
        file.write(b'\xff' * width * (header[tensor]['data_offsets'][1] - header[tensor]['data_offsets'][0] >> 2))
    return tensor


def load_error(dlquant, path):
    with tempfile.TemporaryDirectory() as scratch:
        bad = os.path.join(scratch, 'bad')
        copy_with_bad_scale(path, bad)
        folder = os.path.join(scratch, 'job')
        os.mkdir(folder)
        job = Job(dlquant, [path, bad] + [path] * (RANKS - 2), folder)
        job.wait_for_start()
        try:
            wrong, _ = survivors_name(job, 1, 'rank 1 gave up: ', 120)
            if 'is not finite' not in job.said(1):
                wrong += f'; rank 1 itself said: {job.said(1)[:200]}'
            return wrong
        finally:
            job.end()


def differs(dlquant, paths, scratch, last=()):
    """What goes wrong when the last rank is not like the others."""
    folder = os.path.join(scratch, 'job')
    os.mkdir(folder)
    job = Job(dlquant, paths, folder, last)
    job.wait_for_start()
    try:
        text = f'rank {RANKS - 1} has another checkpoint or other options than rank 0'
        return survivors_name(job, None, text, 120)[0]
    finally:
        job.end()


def other_checkpoint(dlquant, path):
    with tempfile.TemporaryDirectory() as scratch:
        other = os.path.join(scratch, 'other')
        shutil.copytree(path, other)
        with open(os.path.join(other, 'config.json'), 'r+', encoding='utf-8') as file:
            config = json.load(file)
            config['quantization_config']['unheard_of'] = 1
            file.seek(0)
            json.dump(config, file)
            file.truncate()
        return differs(dlquant, [path] * (RANKS - 1) + [other], scratch)


def other_dtype(dlquant, path):
    with tempfile.TemporaryDirectory() as scratch:
        return differs(dlquant, [path] * RANKS, scratch, ('--dtype', 'bf16'))


def main():
    dlquant, path = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    kills = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    if shutil.which('mpirun') is None:
        print('skipped: no mpirun')
        print('0 passed, 0 failed, 1 skipped')
        return 0
    passed, failed = 0, 0

    def note(what, wrong, times=''):
        nonlocal passed, failed
        passed, failed = passed + (not wrong), failed + bool(wrong)
        print(f"{'FAILED ' if wrong else 'ok     '} {what}{', ' if times else ''}{times}{': ' if wrong else ''}{wrong}",
              flush=True)

    ran, wrong, times = unharmed(dlquant, path)
    note('a run without a fault', wrong, times)
    rng = random.Random()
    named, late = 0, 0
    while ran and named + failed < kills and late < 2 * kills:
        victim, delay = rng.randrange(RANKS), rng.uniform(0.0, ran)
        wrong, times = hurt(dlquant, path, signal.SIGKILL, delay, victim)
        if wrong is None:
            # This run was shorter, on a machine that has less to do now.
            late, ran = late + 1, max(delay, 0.2)
            continue
        named += not wrong
        note(f'rank {victim} killed after {delay:.2f} of {ran:.2f} s', wrong, times)
    note('an error in load reaches all ranks', load_error(dlquant, path))
    note('another checkpoint is named', other_checkpoint(dlquant, path))
    note('another dtype is named', other_dtype(dlquant, path))
    wrong, times = hurt(dlquant, path, signal.SIGSTOP, ran / 3, 1)
    note('a stopped rank is named', 'the run was over before' if wrong is None else wrong, times)
    print(f'{named} of {kills} kills named')
    print(f'{passed} passed, {failed} failed, 0 skipped')
    return 1 if failed or named < kills else 0


if __name__ == '__main__':
    sys.exit(main())
