"""Workload programs in containers: checkpointed and restored by an agent, or moved to another host."""

import itertools
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

from workload_run import DEADLINE_SECONDS, MIGRATE_MODES, Failure, Output, describe_tasks, finish
from workload_run import must_refuse, must_succeed

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "e2e"))
from hosts import Hosts  # pylint: disable=C0413


# The program checks its memory while it is missing, so that each page comes because it is wanted.
MIGRATE_OPTIONS = {"migrate-stop": ["--mode", "stop"],
                   "migrate-postcopy": ["--mode", "postcopy", "--push-after", "2s"],
                   "migrate-hybrid": ["--mode", "hybrid", "--max-rounds", "2", "--push-after", "2s"]}


def bundle_for(bundle, program, rights):
    """Options for an environment that gives the program the rights it asks for."""
    for sub in ("proc", "dev", "sys", "tmp", "cgroup2"):
        (bundle / "rootfs" / sub).mkdir(parents=True)
    mounts = [{"destination": f"/{sub}", "type": kind, "source": kind}
              for sub, kind in (("proc", "proc"), ("dev", "tmpfs"), ("dev/pts", "devpts"),
                                ("dev/shm", "tmpfs"), ("dev/mqueue", "mqueue"),
                                ("sys/fs/cgroup", "cgroup"), ("cgroup2", "cgroup2"))]
    capabilities = {name: rights for name in ("bounding", "effective", "permitted")}
    (bundle / "config.json").write_text(json.dumps({
        "ociVersion": "1.0.2", "root": {"path": "rootfs"}, "mounts": mounts,
        "process": {"args": [], "cwd": "/", "user": {"uid": 0, "gid": 0},
                    "capabilities": capabilities}}))
    shown = ["/bin", "/lib", "/lib64", "/usr", program.parent]
    return [f"--bundle={bundle}", *(f"--volume={path}:{path}:ro" for path in shown)]


class ContainerRun:
    """One program as a container on the first of the hosts."""

    _numbers = itertools.count(1)

    def __init__(self, hosts, program, mode):
        self.host, *self.other_hosts = hosts
        self.program = program
        self.mode = mode
        self.name = f"workload-{next(ContainerRun._numbers)}"
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix=f"workload-{program.name}-"))
        self.deadline = time.monotonic() + DEADLINE_SECONDS
        self.pid = None
        self.pidfd = None
        self.output = None
        self.migration = None  # that goes on while the program runs on the other host

    def _martlet(self, *arguments):
        try:
            return self.host.martlet(*map(str, arguments), check=False,
                                     timeout=max(1, self.deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise Failure(f"`martlet {arguments[0]}` did not end in time") from error

    def _inspect(self):
        done = self._martlet("inspect", self.name, "--json")
        must_succeed(done, "inspect")
        return json.loads(done.stdout)

    def _attach(self):
        """Finds the container's first process and its log on the host where it is now."""
        container = self._inspect()
        self.pid = container["pid"]
        self.output = Output(pathlib.Path(container["log_path"]))
        self.pidfd = None if self.pid is None else os.pidfd_open(self.pid)

    def _start(self):
        work = "/tmp/workload"
        script = f"mkdir {work} && cd {work} && exec {self.program.path}"
        environment = ["--overlay", "/"]
        if self.program.rights:
            environment = bundle_for(self.scratch / "bundle", self.program.path, self.program.rights)
        must_succeed(self._martlet("run", "--name", self.name, *environment, "--",
                                   "/bin/sh", "-c", script), "run")
        self._attach()
        line = self.output.wait(("ready", "FAIL", "skip"), self.deadline, self.pidfd)
        if line.startswith("FAIL"):
            raise Failure(line)
        return line

    def _checkpoint(self, directory, *flags):
        return self._martlet("checkpoint", self.name, "--dir", directory, *flags)

    def _round(self, number):
        directory = self.scratch / f"image-{number}"
        must_succeed(self._checkpoint(directory), "checkpoint")
        if not select.select([self.pidfd], [], [], 10)[0]:
            raise Failure("the checkpoint succeeded and the original still runs")
        must_succeed(self._martlet("rm", "--force", self.name), "rm")
        must_succeed(self._martlet("restore", "--dir", directory), "restore")
        self._attach()

    def _move(self):
        if self.program.refused:
            must_refuse(self._refusable(), self.program)
        elif self.mode == "migrate":
            destination = self.other_hosts[0]
            must_succeed(self._martlet("migrate", self.name, destination.name, "--mode", "precopy"),
                         "migrate")
            self.host = destination
            self._attach()
        elif self.mode in MIGRATE_OPTIONS:
            self._move_at_once(self.other_hosts[0])
        elif self.mode == "container":
            self._round(1)
        else:
            must_succeed(self._checkpoint(self.scratch / "image-0", "--leave-running"),
                         "checkpoint --leave-running")
            self._round(1)
            self._round(2)

    def _move_at_once(self, destination):
        """Until it runs there; its memory follows."""
        self.migration = self.host.martlet_popen(
            "migrate", self.name, destination.name, *MIGRATE_OPTIONS[self.mode],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        stages = []
        for line in self.migration.stdout:
            stages.append(line.strip())
            if "resume" in line:
                break
        else:
            raise Failure(f"migrate: {' | '.join(stages)}")
        self.host = destination
        self._attach()

    def _end_move(self):
        said = self.migration.communicate(timeout=max(1, self.deadline - time.monotonic()))[0]
        if self.migration.returncode != 0:
            raise Failure(f"migrate: {said}")

    def _refusable(self):
        if self.mode in MIGRATE_MODES:
            return self._martlet("migrate", self.name, self.other_hosts[0].name,
                                 *MIGRATE_OPTIONS.get(self.mode, []))
        return self._checkpoint(self.scratch / "image-refused")

    def run(self):
        line = self._start()
        if line != "ready":
            return line
        self._move()
        if not self.pid:
            raise Failure("the program has ended on its way")
        os.kill(self.pid, 10)  # SIGUSR1
        finish(self.output, self.pidfd, self.deadline)
        if self.migration:
            self._end_move()
        while (container := self._inspect())["state"] != "exited":
            if time.monotonic() > self.deadline:
                raise Failure(f"the program ended and its container is {container['state']}")
            time.sleep(0.01)
        if container["exit_code"] != 0:
            raise Failure(f"the program said ok and ended with status {container['exit_code']}")
        return "ok"

    def describe(self):
        """Where the program is and what it said, for the report of a failure."""
        said = " | ".join(self.output.lines()) if self.output else "nothing"
        return f"    output: {said}\n{describe_tasks([self.pid]) if self.pid else ''}"

    def clean(self):
        for host in (self.host, *self.other_hosts):
            host.martlet("rm", "--force", self.name, check=False)
        shutil.rmtree(self.scratch, ignore_errors=True)


def run_in_container(hosts, program, mode):
    """Runs one program; returns its verdict and prints it."""
    started = time.monotonic()
    run = ContainerRun(hosts, program, mode)
    try:
        verdict = run.run()
    except (Failure, OSError, ValueError) as failure:
        verdict = f"FAIL {failure}\n{run.describe()}".rstrip()
    finally:
        run.clean()
    print(f"{time.monotonic() - started:6.2f} s  {program.name}: {verdict}", flush=True)
    return verdict


def run_in_containers(programs, mode, build_dir, pool):
    """Runs all programs on one set of hosts; returns their verdicts."""
    names = ["host-a", "host-b"] if mode in MIGRATE_MODES else ["host-a"]
    with Hosts(names, build_dir) as hosts:
        return list(pool.map(lambda program: run_in_container(hosts, program, mode), programs))
