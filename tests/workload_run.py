"""What every way of running a workload program needs: the program, its output, its verdict."""

import ctypes
import fcntl
import os
import pathlib
import re
import select
import time

MIGRATE_MODES = ("migrate", "migrate-stop", "migrate-postcopy", "migrate-hybrid")
CONTAINER_MODES = ("container", "container-twice", *MIGRATE_MODES)
DEADLINE_SECONDS = 60
SOURCES = pathlib.Path(__file__).resolve().parent / "workloads"
libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """The program or the product did not do what the test expects."""


class Program:
    """One executable and what its source says about it."""

    def __init__(self, path):
        self.path = pathlib.Path(path).resolve()
        self.name = self.path.name
        self.group = self.name.split("_")[0]
        header = (SOURCES / f"{self.name}.c").read_text()
        self.modes = self._field(header, "modes") or "pid container"
        self.refused = self._field(header, "refused")
        self.rights = (self._field(header, "rights") or "").split()
        self.captured_once = self._field(header, "captures") == "once"
        self.huge_pages = int(self._field(header, "huge pages") or 0)

    @staticmethod
    def _field(header, name):
        match = re.search(rf"^// {name}: (.*)$", header, re.MULTILINE)
        return match.group(1).strip() if match else None

    def runs_in(self, mode):
        if mode == "none":
            return True
        if self.captured_once and mode.endswith("-twice"):
            return False
        kind = "container" if mode in CONTAINER_MODES + ("pid1",) else "pid"
        return kind in self.modes.split()


class HugePages:
    """Adds pages to the host's pool of huge pages. An orphan takes them out again in the end, so
    also if this process is killed."""

    POOL = pathlib.Path("/proc/sys/vm/nr_hugepages")

    def __init__(self, count):
        self.count = count
        self._held = None

    def _change(self, by):
        """Returns by how much the pool has changed; others may change it at the same time."""
        with open(__file__, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = int(self.POOL.read_text())
            self.POOL.write_text(str(max(0, before + by)))
            return int(self.POOL.read_text()) - before

    def _guard(self, held, added):
        """In the orphan: adds the pages, closes `added`, and takes them out when `held` ends."""
        pages = self._change(self.count)
        os.close(added)
        os.read(held, 1)
        self._change(-pages)

    def __enter__(self):
        if self.count == 0 or not self.POOL.exists() or os.geteuid() != 0:
            return self
        held, self._held = os.pipe()
        told, added = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setsid()
                if os.fork() == 0:
                    os.close(self._held)
                    self._guard(held, added)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(held)
        os.close(added)
        os.read(told, 1)
        os.close(told)
        return self

    def __exit__(self, *_):
        if self._held is not None:
            os.close(self._held)


class Output:
    """The file that a program writes its lines to, and waiting for them."""

    def __init__(self, path):
        self.path = path
        self._inotify = os.fdopen(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "rb", 0)
        modified = 0x2
        if libc.inotify_add_watch(self._inotify.fileno(), os.fsencode(path), modified) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", str(path))

    def close(self):
        self._inotify.close()

    def lines(self):
        return self.path.read_text(errors="replace").splitlines()

    def wait(self, words, deadline, pidfd):
        """The first line that begins with one of the words; it is an error if the process behind
        pidfd (None: it is gone) ends first."""
        while True:
            ended = pidfd is None or bool(select.select([pidfd], [], [], 0)[0])
            for line in self.lines():
                if line.startswith(words):
                    return line
            if ended:
                raise Failure(f"the program ended without a word; its output: {self.lines()}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"no line {' or '.join(words)} in time; output: {self.lines()}")
            select.select([self._inotify, pidfd], [], [], left)
            try:
                self._inotify.read(65536)
            except BlockingIOError:
                pass


def children(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            text = pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text()
            found += [int(child) for child in text.split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child] + descendants(child)
    return found


def describe_tasks(pids):
    """Where each task is, for the report of a run that got stuck."""
    lines = []
    for pid in pids:
        try:
            tasks = sorted(os.listdir(f"/proc/{pid}/task"), key=int)
            for task in tasks[:20]:
                base = pathlib.Path(f"/proc/{pid}/task/{task}")
                stat = (base / "stat").read_text()
                call = (base / "syscall").read_text().split()
                name, rest = stat[stat.index("("):].rsplit(")", 1)
                lines.append(f"    task {task} {name[1:]}: state {rest.split()[0]}, "
                             f"system call {' '.join(call[:4])}")
        except (OSError, ValueError):
            lines.append(f"    task {pid}: gone")
    return "\n".join(lines)


def must_succeed(done, command):
    if done.returncode != 0:
        raise Failure(f"`martlet {command}` failed with {done.returncode}: {done.stderr.strip()}")


def must_refuse(done, program):
    if done.returncode == 0:
        raise Failure(f"{program.refused} must be refused, but the command succeeded")
    # Processes and files bear the name of the program, which is no evidence.
    message = done.stderr.lower().replace(program.name, "").replace(program.name[:15], "")
    if program.refused.lower() not in message:
        raise Failure(f"the refusal must name {program.refused}: {done.stderr.strip()}")


def finish(output, pidfd, deadline):
    """After the program was told to go on: its verdict and its end."""
    verdict = output.wait(("ok", "FAIL"), deadline, pidfd)
    if verdict != "ok":
        raise Failure(verdict)
    if not select.select([pidfd], [], [], max(0, deadline - time.monotonic()))[0]:
        raise Failure("the program said ok and did not end")
    failures = [line for line in output.lines() if line.startswith("FAIL")]
    if failures:
        raise Failure(failures[0])
