#!/usr/bin/env python3
"""Runs workload programs through checkpoint, restore and migration. See docs/testing.md.

Every program runs below a process of its own (run_one), which is a child subreaper with a network
and an IPC namespace and terminals of its own: it adopts whatever the program or a restore leaves behind, knows
that it is there, and ends it.
"""

import argparse
import concurrent.futures
import ctypes
import fcntl
import os
import pathlib
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from workload_containers import run_in_containers
from workload_run import CONTAINER_MODES, DEADLINE_SECONDS, SOURCES, Failure, HugePages
from workload_run import Output, Program
from workload_run import children, descendants, describe_tasks, finish, libc, must_refuse
from workload_run import must_succeed

LOCAL_MODES = ("none", "pid1", "pid", "pid-twice", "pid-rounds")


def kill_all_below(pid):
    """Ends everything that lives below this process, including what appears meanwhile."""
    deadline = time.monotonic() + 10
    while (below := descendants(pid)) and time.monotonic() < deadline:
        for child in below:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


def reap_all():
    """Reaps all that end soon; returns their statuses by PID, and the processes that are left."""
    ended = {}
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, []
        if pid == 0:
            time.sleep(0.002)
        else:
            ended[pid] = status
    return ended, descendants(os.getpid())


def run_martlet(martlet, *arguments, deadline):
    command = [str(martlet), *map(str, arguments)]
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=max(1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise Failure(f"`martlet {arguments[0]}` did not end in time; "
                      f"stderr: {(error.stderr or b'').decode()}") from error


class LocalRun:
    """A program as a plain process tree below this process."""

    def __init__(self, program, mode, martlet, scratch):
        self.program = program
        self.mode = mode
        self.martlet = martlet
        self.scratch = scratch
        self.deadline = time.monotonic() + DEADLINE_SECONDS

    def _start(self):
        work = self.scratch / "work"
        work.mkdir()
        (self.scratch / "output").touch()
        self.output = Output(self.scratch / "output")
        command = [str(self.program.path)]
        if self.mode == "pid1":
            command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *command]
        with open(self.scratch / "output", "ab") as stdout:
            # Popen is kept only so that it does not warn about a child it cannot see any more.
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout,
                                             stderr=stdout, cwd=work, start_new_session=True)
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)

    def _find_init(self):
        """In mode pid1 the program is the child of unshare."""
        (self.pid,) = children(self.pid)
        self.pidfd = os.pidfd_open(self.pid)

    def _checkpoint(self, directory, *flags):
        return run_martlet(self.martlet, "checkpoint", "--pid", self.pid, "--dir", directory, *flags,
                           deadline=self.deadline)

    def _reap_original(self):
        if not select.select([self.pidfd], [], [], 10)[0]:
            raise Failure("the checkpoint succeeded and the original still runs")
        left = reap_all()[1]
        if left:
            raise Failure(f"the checkpoint left processes behind:\n{describe_tasks(left)}")

    def _restore(self, directory):
        pidfile = directory.with_suffix(".pid")
        must_succeed(run_martlet(self.martlet, "restore", "--dir", directory, "--pidfile", pidfile,
                                 deadline=self.deadline), "restore")
        pid = int(pidfile.read_text())
        if pid != self.pid:
            raise Failure(f"the root has PID {pid} after the restore, {self.pid} before")
        self.pidfd = os.pidfd_open(pid)

    def _round(self, number, *flags):
        directory = self.scratch / f"image-{number}"
        must_succeed(self._checkpoint(directory, *flags), "checkpoint")
        self._reap_original()
        self._restore(directory)

    def _move(self):
        if self.mode in ("none", "pid1"):
            return
        if self.program.refused:
            must_refuse(self._checkpoint(self.scratch / "image-refused"), self.program)
        elif self.mode == "pid":
            self._round(1)
        elif self.mode == "pid-rounds":
            self._round(1, "--rounds", "3")
        elif self.mode == "pid-twice":
            must_succeed(self._checkpoint(self.scratch / "image-0", "--leave-running"),
                         "checkpoint --leave-running")
            self._round(1)
            self._round(2)

    def run(self):
        self._start()
        line = self.output.wait(("ready", "FAIL", "skip"), self.deadline, self.pidfd)
        if line.startswith("skip"):
            return line
        if line != "ready":
            raise Failure(line)
        if self.mode == "pid1":
            self._find_init()
        self._move()
        os.kill(self.pid, signal.SIGUSR1)
        finish(self.output, self.pidfd, self.deadline)
        self._check_nothing_left()
        return "ok"

    def _check_nothing_left(self):
        """All processes of the tree end with its root, or at once after it."""
        ended, left = reap_all()
        if ended.get(self.pid, 0) != 0:
            raise Failure(f"the program said ok and ended with status {ended[self.pid]}")
        if left:
            raise Failure(f"processes left behind:\n{describe_tasks(left)}")


def isolate():
    """A network namespace with loopback, an IPC namespace, and pseudo-terminals with numbers that
    nobody else takes, for this process, which also adopts all orphans below it."""
    pr_set_child_subreaper, clone_newns = 36, 0x00020000
    clone_newipc, clone_newnet = 0x08000000, 0x40000000
    ms_private_and_below = 0x00044000
    if (libc.unshare(clone_newnet | clone_newipc | clone_newns) != 0 or
            libc.prctl(pr_set_child_subreaper, 1) != 0 or
            libc.mount(None, b"/", None, ms_private_and_below, None) != 0 or
            libc.mount(b"devpts", b"/dev/pts", b"devpts", 0, b"newinstance,ptmxmode=0666") != 0):
        raise OSError(ctypes.get_errno(), "cannot isolate the program (are you root?)")
    siocgifflags, siocsifflags, iff_up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, siocgifflags, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", request)[1]
        fcntl.ioctl(control, siocsifflags, struct.pack("16sh14x", b"lo", flags | iff_up))


def run_one(arguments):
    """Runs one program and prints its verdict as one line (more after a failure)."""
    isolate()
    program = Program(arguments.program[0])
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=f"workload-{program.name}-"))
    os.chmod(scratch, 0o755)  # programs that change their user still need their directory
    started = time.monotonic()
    run = LocalRun(program, arguments.mode, arguments.martlet, scratch)
    try:
        verdict = run.run()
    except (Failure, OSError) as failure:
        left = descendants(os.getpid())
        verdict = f"FAIL {failure}"
        if left and "\n" not in verdict:
            verdict += f"\n{describe_tasks(left)}"
    finally:
        kill_all_below(os.getpid())
        if arguments.keep:
            print(f"kept {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    print(f"{time.monotonic() - started:6.2f} s  {program.name}: {verdict}", flush=True)
    return 1 if verdict.startswith("FAIL") else 0


def run_in_child(arguments, program):
    """Runs one program in a process of its own; returns its verdict."""
    command = [sys.executable, __file__, "--one", "--mode", arguments.mode, str(program.path)]
    if arguments.martlet:
        command += ["--martlet", arguments.martlet]
    if arguments.keep:
        command += ["--keep"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    print(done.stdout, end="", flush=True)
    return done.stdout.partition(f"{program.name}: ")[2]


def select_programs(arguments):
    paths = [pathlib.Path(path) for path in arguments.program]
    if arguments.programs:
        built = sorted(pathlib.Path(arguments.programs).iterdir())
        paths += [path for path in built if (SOURCES / f"{path.name}.c").exists()]
    programs = [Program(path) for path in paths]
    if arguments.group:
        programs = [program for program in programs if program.group == arguments.group]
    return [program for program in programs if program.runs_in(arguments.mode)]


def run_all(arguments):
    programs = select_programs(arguments)
    huge_pages = sum(program.huge_pages for program in programs)
    with HugePages(huge_pages), concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        if arguments.mode in CONTAINER_MODES:
            build_dir = pathlib.Path(arguments.martlet).resolve().parents[1]
            verdicts = run_in_containers(programs, arguments.mode, build_dir, pool)
        else:
            verdicts = list(pool.map(lambda program: run_in_child(arguments, program), programs))
    failed = [program.name for program, verdict in zip(programs, verdicts)
              if not verdict.startswith(("ok", "skip"))]
    skipped = sum(verdict.startswith("skip") for verdict in verdicts)
    print(f"{arguments.mode}: {len(programs)} programs, {skipped} skipped, {len(failed)} failed"
          f"{': ' if failed else ''}{' '.join(failed)}")
    return 1 if failed else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description="Runs workload programs through Martlet.")
    parser.add_argument("program", nargs="*", help="executables to run")
    parser.add_argument("--programs", help="directory of executables, all of which are run")
    parser.add_argument("--group", help="only programs whose name begins with this word")
    parser.add_argument("--mode", choices=LOCAL_MODES + CONTAINER_MODES, required=True)
    parser.add_argument("--martlet", help="the martlet executable")
    parser.add_argument("--jobs", type=int, default=4, help="programs at a time")
    parser.add_argument("--keep", action="store_true", help="keep the scratch directories")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.mode not in ("none", "pid1") and not arguments.martlet:
        parser.error(f"mode {arguments.mode} needs --martlet")
    return arguments


def main():
    arguments = parse_arguments()
    return run_one(arguments) if arguments.one else run_all(arguments)


if __name__ == "__main__":
    sys.exit(main())
