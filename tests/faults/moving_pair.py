"""Two hosts, one container that is moved between them again and again, and a client that knows what was
acknowledged to it. After whatever a test did, settle() makes sure that exactly one copy runs."""
import json
import os
import pathlib
import select
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

# pylint: disable=wrong-import-position
from hosts import Hosts, find_build_dir, wait_until

ADDRESS = "10.77.0.70"
NAME = "remembers"
PORT = 7000
DEADLINE = 40.0  # seconds for whatever has to happen by itself


def fault_steps():
    """Every step of the product, in order: its name, who owns the container after a failure there, and
    whether it is passed always, with rounds of memory only, or with memory that follows."""
    listed = subprocess.run([find_build_dir() / "bin/martletd", "--list-faults"], check=True, timeout=10,
                            capture_output=True, text=True)
    return [tuple(line.split()) for line in listed.stdout.splitlines()]


class MovingPair:
    def __init__(self):
        self.hosts = Hosts(["host-a", "host-b"])

    def __enter__(self):
        self.hosts.__enter__()
        self.source, self.destination = self.hosts["host-a"], self.hosts["host-b"]
        self.source.martlet("run", "--name", NAME, "--overlay", "/", "--ip", f"{ADDRESS}/24", "--",
                            "python3", "-u", HERE / "remembering_server.py", str(PORT))
        self.client = self.hosts.client_popen(
            [sys.executable, HERE / "counting_client.py", ADDRESS, str(PORT)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.check_client()
        return self

    def __exit__(self, *error):
        self.client.kill()
        self.client.communicate()
        return self.hosts.__exit__(*error)

    # --- What a test does ---

    def side(self, name):
        return self.source if name == "source" else self.destination

    def restart(self, host, *options):
        host.stop_agent()
        host.start_agent(*options)

    def kill(self, host):
        host.stop_agent(signal.SIGKILL)

    def start_move(self, *options):
        return self.source.martlet_popen("migrate", NAME, self.destination.name, "--json", *options,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait_for_stop(self, host, step):
        """Until the agent stands still at the step of its fault."""
        stat = pathlib.Path(f"/proc/{host.agent_pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", f"stop at {step}",
                   DEADLINE)

    def cut_link(self):
        """Nothing passes between the hosts, and what was connected is lost. Clients reach both."""
        for host, peer in ((self.source, self.destination), (self.destination, self.source)):
            rules = f"""table inet cut {{
              chain in {{ type filter hook input priority 0; ip saddr {peer.address} drop; }}
              chain out {{ type filter hook output priority 0; ip daddr {peer.address} drop; }}
            }}"""
            host.run(["nft", "-f", "-"], input=rules, text=True, check=True, timeout=10)
        for host, peer in ((self.source, self.destination), (self.destination, self.source)):
            host.run(["ss", "-K", "dst", peer.address], check=True, timeout=10, capture_output=True)

    def join_link(self):
        for host in (self.source, self.destination):
            host.run(["nft", "delete", "table", "inet", "cut"], check=True, timeout=10)

    # --- What must hold afterwards ---

    @staticmethod
    def cgroup_of(host):
        unified = pathlib.Path("/sys/fs/cgroup/unified")
        return (unified if unified.exists() else unified.parent) / host.cgroup / NAME

    def running_on(self):
        """The hosts on which tasks of the container are, and can run."""
        found = []
        for host in (self.source, self.destination):
            cgroup = self.cgroup_of(host)
            try:
                frozen = "frozen 1" in (cgroup / "cgroup.events").read_text()
                if (cgroup / "cgroup.procs").read_text().split() and not frozen:
                    found.append(host)
            except OSError:
                pass  # not there
        return found

    def journals(self):
        return [path for host in (self.source, self.destination)
                for path in (host.state_dir / "migrations").glob("*.json*")]

    def containers_of(self, host):
        return [(one["name"], one["state"]) for one in json.loads(host.martlet("ps", "--json").stdout)]

    def is_settled(self):
        if self.journals():
            return False  # as long as it moves, tasks are held by their tracer and not by the cgroup
        on = self.running_on()
        if len(on) > 1:
            raise AssertionError("two copies run")
        if not on:
            return False
        other = self.destination if on[0] is self.source else self.source
        return self.containers_of(on[0]) == [(NAME, "running")] and self.containers_of(other) == []

    def settle(self):
        """Waits until exactly one copy runs and nothing is to be remembered, and returns its host. Then
        the next move starts from there."""
        for host in (self.source, self.destination):
            if host.agent.poll() is not None:
                host.start_agent()
        try:
            wait_until(self.is_settled, "one copy and no journal", DEADLINE)
        except Exception as error:
            state = {host.name: self.containers_of(host) for host in self.hosts}
            raise AssertionError(f"{error}: {state}, running on {[h.name for h in self.running_on()]}, "
                                 f"{[path.read_text() for path in self.journals()]}") from error
        owner = self.running_on()[0]
        self.check_client()
        if owner is not self.source:
            self.source, self.destination = self.destination, self.source
        return owner

    def check_client(self):
        self.client.stdin.write("\n")
        self.client.stdin.flush()
        if not select.select([self.client.stdout], [], [], DEADLINE)[0]:
            raise AssertionError("the client does not answer")
        report = json.loads(self.client.stdout.readline())
        if "error" in report:
            raise AssertionError(f"the container does not serve: {report['error']}\n{self.tasks()}")
        if report["missing"]:
            raise AssertionError(f"acknowledged and lost: {report}")
        return report

    def tasks(self):
        """What each task of the container is doing, for whoever reads a failure."""
        lines = []
        for host in (self.source, self.destination):
            for group in self.cgroup_of(host).rglob("cgroup.procs"):
                for pid in group.read_text().split():
                    lines += [describe_task(task) for task in pathlib.Path(f"/proc/{pid}/task").glob("*")]
        return "\n".join(lines)


def describe_task(task):
    """One line; the task may end meanwhile."""
    try:
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines())
        words = [status[key] for key in ("Name", "State", "TracerPid", "SigPnd", "SigBlk")]
        return " ".join([task.name, *words, (task / "syscall").read_text().strip()])
    except OSError as error:
        return f"{task.name}: {error}"


def resume(host):
    os.kill(host.agent_pid, signal.SIGCONT)
