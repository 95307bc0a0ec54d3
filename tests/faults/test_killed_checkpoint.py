"""A checkpoint that is killed with SIGKILL, at twenty points each, leaves no trace in its target; and a restore leaves
nothing.

The points are calls by which a capture acts on its target, or a restore on its host (kill_at_call.c): a first, whole
one counts them. One program lives through all of them, and checks itself in the end. MARTLET_KILL_POINTS=N takes other points than
the usual number of them."""
import contextlib
import ctypes
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "e2e"), str(HERE.parent)]

# pylint: disable=wrong-import-position
import hosts
from hosts import Hosts, command, wait_until
from workload_containers import bundle_for
from workload_run import Failure, Output, children, descendants, finish

POINTS = int(os.environ.get("MARTLET_KILL_POINTS", "20"))
DEADLINE = 60.0
CALLS_AFTER_RESUME = 60  # at most: from the step of a restore on that nothing can take back
WIDELY = "COUNT_WIDELY=1"  # see kill_at_call.c: what a restore does before there is a task, too
FORKS_ALONE = "COUNT_FORKS=1"  # each child that outlives a checkpoint has just begun
GUARD = "martlet-guard"
CLONE_NEWNET, CLONE_NEWIPC, PR_SET_CHILD_SUBREAPER = 0x40000000, 0x08000000, 36
libc = ctypes.CDLL(None, use_errno=True)

# What the kernel counts for all processes of a user, and what grows while time passes.
CHANGING = re.compile(r"^(?:SigQ|Vm\w+|Rss\w+|(?:non)?voluntary_ctxt_switches|Cpus_allowed\w*|it_value|State):.*\n",
                      re.MULTILINE)


def text_of(path):
    """A file of /proc, or why it cannot be read."""
    try:
        return CHANGING.sub("", pathlib.Path(path).read_text())
    except OSError as error:
        return error.strerror


def call_of(tid):
    """The state of a task, and the system call that it is in."""
    status = pathlib.Path(f"/proc/{tid}/status").read_text()
    state = re.search(r"^State:.*", status, re.MULTILINE)[0]
    return f"{state}, call {text_of(f'/proc/{tid}/syscall').split()[0]}"


def state_of_process(pid):
    base = pathlib.Path(f"/proc/{pid}")
    tasks = sorted(int(task) for task in os.listdir(base / "task"))
    numbers = sorted(int(number) for number in os.listdir(base / "fd"))
    return {
        "calls": {tid: call_of(tid) for tid in tasks},
        "tasks": {tid: text_of(f"/proc/{tid}/status") for tid in tasks},
        "descriptors": {number: os.readlink(base / f"fd/{number}") + "\n" + text_of(base / f"fdinfo/{number}")
                        for number in numbers},
        **{name: text_of(base / name) for name in
           ("maps", "timers", "cgroup", "limits", "personality", "oom_score_adj")}}


def end_of_guards():
    """Whether nobody mends any more; those that have ended are reaped, for this process adopts them."""
    for pid in children(os.getpid()):
        if text_of(f"/proc/{pid}/comm").strip() == GUARD:
            os.waitpid(pid, os.WNOHANG)
    return not any(text_of(f"/proc/{pid}/comm").strip() == GUARD for pid in descendants(os.getpid()))


def differences(before, after, place=""):
    """What is not the same, line by line."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() | after.keys():
            yield from differences(before.get(key, "nothing"), after.get(key, "nothing"), f"{place}/{key}")
    elif before != after:
        lines, other = (str(text).splitlines() for text in (before, after))
        yield place, [f"-{line}" for line in lines if line not in other], [f"+{line}" for line in other
                                                                          if line not in lines]


COSTS_MEASURED = "the costs of this host are measured"


class Calls:
    """How many calls a capture makes, and how its process dies at one of them."""

    def __init__(self, scratch):
        self.file = scratch / "calls"
        self.start = scratch / "start"
        self.preload = f"LD_PRELOAD={hosts.find_build_dir() / 'tests/libkill_at_call.so'}"

    def counting(self, *options):
        return ["env", self.preload, f"COUNT_FROM={self.start}", f"COUNT_CALLS_IN={self.file}", *options]

    def killing(self, number, *options):
        return ["env", self.preload, f"COUNT_FROM={self.start}", f"KILL_AT_CALL={number}", *options]

    def counted(self):
        return struct.unpack("2q", self.file.read_bytes())[0]

    def first_of_ptrace(self):
        return struct.unpack("2q", self.file.read_bytes())[1]


def points(last):
    """Numbers of calls from 1 on, evenly spread, both ends included."""
    count = min(POINTS, last)
    return [1 + (last - 1) * i // (count - 1) for i in range(count)]


class KilledCheckpoint(unittest.TestCase):
    name_of_program = "task_mixture"

    @classmethod
    def setUpClass(cls):
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)

    @classmethod
    def tearDownClass(cls):
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0)

    def setUp(self):
        self.scratch = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="martlet-killed-")))
        self.calls = Calls(self.scratch)
        self.calls.start.touch()
        self.program = hosts.find_build_dir() / "workloads" / self.name_of_program

    def attach(self, pid, output):
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.addCleanup(os.close, self.pidfd)
        self.output = Output(output)
        self.addCleanup(self.output.close)
        line = self.output.wait(("ready", "FAIL", "skip"), time.monotonic() + DEADLINE, self.pidfd)
        if line.startswith("skip"):
            self.skipTest(line)
        self.assertEqual(line, "ready")
        self.before = self.settled_state()

    def settled_state(self):
        """When all tasks sleep in their calls again."""
        def sleeps():
            return all(call_of(tid).startswith("State:\tS")
                       for pid in self.processes() for tid in os.listdir(f"/proc/{pid}/task"))
        wait_until(sleeps, "all tasks sleep")
        return self.state()

    def processes(self):
        return [self.pid, *descendants(self.pid)]

    def state(self):
        return {pid: state_of_process(pid) for pid in self.processes()}

    def check_unchanged(self, where):
        wait_until(end_of_guards, "end of the guard")
        with contextlib.suppress(hosts.HostsError):
            wait_until(lambda: self.state() == self.before, "the state of before", 5)
        self.assertEqual(list(differences(self.before, self.state())), [], where)

    def check_itself(self):
        os.kill(self.pid, signal.SIGUSR1)
        try:
            finish(self.output, self.pidfd, time.monotonic() + DEADLINE)
        except Failure as failure:
            self.fail(str(failure))


class OfAProcessTree(KilledCheckpoint):
    def setUp(self):
        super().setUp()
        own = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("net", "ipc")]
        if libc.unshare(CLONE_NEWNET | CLONE_NEWIPC) != 0:
            raise OSError(ctypes.get_errno(), "cannot isolate the test (are you root?)")
        for fd in own:
            self.addCleanup(os.close, fd)
            self.addCleanup(libc.setns, fd, 0)
        command("ip", "link", "set", "lo", "up")
        (self.scratch / "work").mkdir()
        (self.scratch / "output").touch()
        with open(self.scratch / "output", "ab") as output:
            program = subprocess.Popen([self.program], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                       cwd=self.scratch / "work", start_new_session=True)
        self.addCleanup(program.wait)
        self.addCleanup(self.kill_all)
        self.attach(program.pid, self.scratch / "output")

    def kill_all(self):
        for pid in reversed(self.processes()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def martlet(self, launcher, *args):
        return subprocess.run([*launcher, hosts.find_build_dir() / "bin/martlet", *args],
                              capture_output=True, text=True, timeout=DEADLINE, check=False)

    def checkpoint(self, name, launcher, options):
        return self.martlet(launcher, "checkpoint", "--pid", str(self.pid), "--dir", self.scratch / name,
                            "--leave-running", *options)

    def go_through(self, *options):
        whole = self.checkpoint("whole", self.calls.counting(), options)
        self.assertEqual(whole.returncode, 0, whole.stderr)
        self.check_unchanged("after a whole checkpoint")
        for number in points(self.calls.counted()):
            done = self.checkpoint(f"at-{number}", self.calls.killing(number), options)
            where = f"killed at call {number} of {self.calls.counted()}"
            self.assertEqual(done.returncode, -signal.SIGKILL, f"{where}: {done.stderr}")
            self.check_unchanged(where)
        self.check_itself()

    def test_at_once(self):
        self.go_through()

    def test_in_rounds(self):
        self.go_through("--rounds", "2")

    def is_gone(self):
        """Whether no process is left below this one; those that have ended are reaped."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        return not children(os.getpid())

    def restore(self, launcher=()):
        return self.martlet(launcher, "restore", "--dir", self.scratch / "image")

    def test_restore(self):
        self.go_through_restores(lambda: self.calls.counted() - CALLS_AFTER_RESUME)

    def test_beginning_of_restore(self):
        self.go_through_restores(self.calls.first_of_ptrace, WIDELY)

    def go_through_restores(self, last_point, *options):
        taken = self.martlet((), "checkpoint", "--pid", str(self.pid), "--dir", self.scratch / "image")
        self.assertEqual(taken.returncode, 0, taken.stderr)
        wait_until(self.is_gone, "end of the original")
        whole = self.restore(self.calls.counting(*options))
        self.assertEqual(whole.returncode, 0, whole.stderr)
        self.kill_all()
        wait_until(self.is_gone, "end of the first copy")
        files = sorted(self.scratch.rglob("*"))
        for number in points(last_point()):
            where = f"restore killed at call {number} of {self.calls.counted()}"
            self.assertEqual(self.restore(self.calls.killing(number, *options)).returncode, -signal.SIGKILL, where)
            wait_until(self.is_gone, f"{where}: end of what it built")
            self.assertEqual(sorted(self.scratch.rglob("*")), files)
        last = self.restore()
        self.assertEqual(last.returncode, 0, last.stderr)
        self.pidfd = os.pidfd_open(self.pid)
        self.addCleanup(os.close, self.pidfd)
        self.check_itself()


class OfSharedMemory(OfAProcessTree):
    """Nor is a process harmed that works in the memory of another, or in one whose creator has ended."""
    name_of_program = "task_shared_memory"


class InAContainer(KilledCheckpoint):
    def setUp(self):
        super().setUp()
        self.hosts = self.enterContext(Hosts(["host-a"], join=False))
        self.host = self.hosts["host-a"]
        script = f"mkdir /tmp/work && cd /tmp/work && exec {self.program}"
        self.host.martlet("run", "--name", "mixture", *self.environment(), "--ip", "10.77.0.80/24", "--",
                          "/bin/sh", "-c", script)
        container = self.inspect()
        self.cgroup = pathlib.Path(container["cgroup"])
        addresses = ["nsenter", "-t", str(container["pid"]), "-n", "ip", "addr"]
        wait_until(lambda: "tentative" not in command(*addresses).stdout, "address of the container")
        self.attach(container["pid"], pathlib.Path(container["log_path"]))

    def environment(self):
        return ["--overlay", "/"]

    def inspect(self):
        return json.loads(self.host.martlet("inspect", "mixture", "--json").stdout)

    def state(self):
        """And what is around it: its cgroup, its network, and what the host has for it."""
        around = {name: text_of(self.cgroup / name) for name in ("freezer.state", "cgroup.freeze", "cgroup.procs")}
        around["mounts"] = text_of(f"/proc/{self.pid}/mountinfo")
        for what in (("nft", "list", "ruleset"), ("ip", "-o", "addr"), ("ip", "route"), ("ip", "rule")):
            around["inside: " + " ".join(what)] = command("nsenter", "-t", self.pid, "-n", *what).stdout
        for what in (("nft", "list", "ruleset"), ("bridge", "link"), ("tc", "filter", "show"), ("ip", "rule")):
            around["host: " + " ".join(what)] = self.host.run(what, capture_output=True, text=True, check=True).stdout
        return {**super().state(), "around": around}

    def restart_agent(self, launcher=()):
        """Its calls count when it has measured its host, which makes the same ones."""
        self.host.stop_agent()
        self.calls.start.unlink(missing_ok=True)
        measured = self.host.agent_log().count(COSTS_MEASURED)
        self.hosts.launcher = launcher
        self.host.start_agent()
        wait_until(lambda: self.host.agent_log().count(COSTS_MEASURED) > measured, "the costs of the host")
        self.calls.start.touch()

    def checkpoint(self, name, options):
        return self.host.martlet("checkpoint", "mixture", "--dir", self.scratch / name, "--leave-running", *options,
                                 check=False)

    def go_through(self, *options, calls=(), guard=()):
        self.restart_agent(self.calls.counting(*calls))
        whole = self.checkpoint("whole", options)
        self.assertEqual(whole.returncode, 0, whole.stderr)
        last = self.calls.counted()
        self.check_unchanged("after a whole checkpoint")
        for number in points(last):
            self.restart_agent(self.calls.killing(number, *calls, *guard))
            done = self.checkpoint(f"at-{number}", options)
            where = f"killed at call {number} of {last}"
            if done.returncode == 0:  # how often it asks for what it waits for differs by some calls
                self.assertGreater(number, last * 0.97, where)
            else:
                self.assertEqual(self.host.agent.wait(30), -signal.SIGKILL, where)
            self.restart_agent()
            self.check_unchanged(where)
            self.assertEqual(self.inspect()["state"], "running")
        self.check_itself()


class OfMessageQueues(InAContainer):
    """No message is lost if the checkpoint dies while they are out of their queue."""
    name_of_program = "ipc_posix_queues"

    def test_at_once(self):
        self.go_through(calls=[FORKS_ALONE])


class OfIpcNamespaces(InAContainer):
    """And of the objects in the namespaces of single processes."""
    name_of_program = "ipc_namespaces"

    def environment(self):
        return bundle_for(self.scratch / "bundle", self.program, ["CAP_SYS_ADMIN"])

    def test_at_once(self):
        self.go_through(calls=[FORKS_ALONE])

    def test_in_rounds(self):
        self.go_through("--rounds", "2")


class OfMountNamespaces(InAContainer):
    name_of_program = "mount_namespace"

    def environment(self):
        return bundle_for(self.scratch / "bundle", self.program, ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"])

    def test_at_once(self):
        self.go_through()


class KilledInEveryWay:
    def test_at_once(self):
        self.go_through()

    def test_in_rounds(self):
        self.go_through("--rounds", "2")

    def test_with_its_guard(self):
        """What mends the group is killed, too, so the next agent does it."""
        self.go_through(guard=["KILL_GUARDS=1"])


class OfCgroups(KilledInEveryWay, InAContainer):
    """What the container has frozen itself is frozen again."""
    name_of_program = "cgroup_tree"

    def environment(self):
        return bundle_for(self.scratch / "bundle", self.program, ["CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_DAC_OVERRIDE"])

    def state(self):
        frozen = {name: text_of(self.cgroup / "frozen" / name) for name in ("cgroup.freeze", "cgroup.events")}
        return {**super().state(), "frozen": frozen}

    def check_itself(self):
        """Its task has run for the moment until it was frozen again, which the program does not expect."""


class OfAContainer(KilledInEveryWay, InAContainer):
    def test_with_its_guard(self):
        super().test_with_its_guard()
        self.assertIn("had memory of a capture", self.host.agent_log())

    def what_is_there(self):
        """Of containers, on the host."""
        links = self.host.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
        files = [path for part in ("containers", "runc") for path in (self.host.state_dir / part).rglob("*")]
        return {"files": files, "mounts": hosts.mounts_below(self.hosts.directory),
                "cgroups": [path for path in hosts.cgroups_of(self.hosts.run_id) if path.name != self.host.cgroup],
                "processes": sorted(hosts.processes_of(self.hosts.run_id) - {self.host.agent_pid}),
                "links": [line.split()[1] for line in links.splitlines()],
                "rules": self.host.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout,
                "listed": json.loads(self.host.martlet("ps", "--json").stdout)}

    def restore(self):
        return self.host.martlet("restore", "--dir", self.scratch / "image", check=False)

    def test_restore(self):
        self.go_through_restores(lambda: self.calls.counted() - CALLS_AFTER_RESUME)

    def test_beginning_of_restore(self):
        self.go_through_restores(self.calls.first_of_ptrace, WIDELY)

    def go_through_restores(self, last_point, *options):
        self.host.martlet("checkpoint", "mixture", "--dir", self.scratch / "image")
        self.host.martlet("rm", "--force", "mixture")
        nothing = self.what_is_there()
        self.restart_agent(self.calls.counting(*options))
        whole = self.restore()
        self.assertEqual(whole.returncode, 0, whole.stderr)
        last = last_point()
        self.host.martlet("rm", "--force", "mixture")
        for number in points(last):
            self.restart_agent(self.calls.killing(number, *options))
            self.restore()
            where = f"restore killed at call {number} of {self.calls.counted()}"
            self.assertEqual(self.host.agent.wait(30), -signal.SIGKILL, where)
            self.restart_agent()
            with contextlib.suppress(hosts.HostsError):
                wait_until(lambda: self.what_is_there() == nothing, "nothing", 5)
            self.assertEqual(list(differences(nothing, self.what_is_there())), [], where)
        last = self.restore()
        self.assertEqual(last.returncode, 0, last.stderr)
        container = self.inspect()
        self.pid = container["pid"]
        self.pidfd = os.pidfd_open(self.pid)
        self.addCleanup(os.close, self.pidfd)
        self.check_itself()


if __name__ == "__main__":
    unittest.main()
