"""N hosts on one machine: network namespaces joined by a bridge, an agent in each, and a namespace for
clients. Everything has names of its own for each run, and everything is gone afterwards, whatever
happened in between:

    with Hosts(["host-a", "host-b"]) as hosts:
        hosts["host-a"].martlet("run", "--name", "web", "--overlay", "/", "--ip", "10.77.0.50/24",
                                "--", "nginx")
        hosts.client_run(["curl", "http://10.77.0.50/"], check=True)

The hosts are 10.77.0.1, .2, ... (fd77::1, ...), the clients 10.77.0.200 (fd77::200); containers may
have 10.77.0.10 to .199.
"""
import atexit
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CGROUPS = pathlib.Path("/sys/fs/cgroup")
NETNS = pathlib.Path("/run/netns")
RUN_DIR_PREFIX = "martlet-hosts-"
AGENT_PORT = 7420  # in each host's own namespace; hosts whose ports both change lose each other
DEADLINE = 30.0  # seconds for whatever has to happen by itself


class HostsError(Exception):
    """The hosts could not be set up or cleared away."""


def find_build_dir():
    """The build directory of the tests, or else the first that holds an agent."""
    given = os.environ.get("MARTLET_BUILD_DIR")
    candidates = [pathlib.Path(given)] if given else [
        REPOSITORY / "build" / preset for preset in ("release", "dev", "asan-ubsan")]
    for candidate in candidates:
        if (candidate / "bin/martletd").exists():
            return candidate.resolve()
    raise HostsError(f"no bin/martletd in {', '.join(map(str, candidates))}; build first")


def command(*args, check=True):
    """Runs a program of the host quietly; its error output is in the exception."""
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=DEADLINE,
                          check=False)
    if check and done.returncode != 0:
        raise HostsError(f"{' '.join(map(str, args))}: {done.stderr.strip()}")
    return done


def wait_until(condition, what, seconds=DEADLINE):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise HostsError(f"{what}: not within {seconds} s")
        time.sleep(0.01)


class Namespace:
    """A network namespace with one address on the common bridge."""

    def __init__(self, hosts, name, number):
        self.hosts = hosts
        self.netns = f"{hosts.run_id}-{name}"
        self.number = number
        self.address = f"10.77.0.{number}"
        self.address6 = f"fd77::{number}"
        self._programs = []

    def connect(self, device):
        """Makes the namespace with its link `device` to the switch."""
        command("ip", "netns", "add", self.netns)
        self.ip("link", "set", "lo", "up")
        port = f"p{self.number}"
        command("ip", "-n", self.hosts.switch, "link", "add", port, "type", "veth",
                "peer", "name", device, "netns", self.netns)
        command("ip", "-n", self.hosts.switch, "link", "set", port, "master", "sw0", "up")
        # Higher than that of any other port: a bridge that took the lowest would change its own.
        self.ip("link", "set", device, "address", f"fe:ff:ff:ff:ff:{self.number:02x}", "up")

    def set_address(self, device):
        self.ip("addr", "add", f"{self.address}/24", "dev", device)
        self.ip("addr", "add", f"{self.address6}/64", "dev", device, "nodad")

    def ip(self, *args):
        return command("ip", "-n", self.netns, *args)

    def _inside(self, args):
        # nsenter and not "ip netns exec", which would give it a mount namespace of its own.
        return ["nsenter", f"--net={NETNS / self.netns}", *map(str, args)]

    def run(self, args, **options):
        """subprocess.run inside the namespace."""
        return subprocess.run(self._inside(args), **options)  # pylint: disable=W1510

    def popen(self, args, **options):
        """subprocess.Popen inside the namespace; killed at the end if it still runs."""
        program = subprocess.Popen(self._inside(args), **options)  # pylint: disable=R1732
        self._programs.append(program)
        return program

    def kill_programs(self):
        for program in self._programs:
            if program.poll() is None:
                program.kill()
            program.wait()


class Host(Namespace):
    """A namespace with an agent."""

    def __init__(self, hosts, name, number):
        super().__init__(hosts, name, number)
        self.name = name
        self.directory = hosts.directory / name
        self.state_dir = self.directory / "state"
        self.socket = self.directory / "agent.sock"
        self.log_path = self.directory / "agent.log"
        self.cgroup = f"martlet-{hosts.run_id}-{name}"
        self.agent = None

    def set_up(self):
        self.directory.mkdir()
        self.connect("up0")
        # The agent would make the bridge, too; made here it has the host's address from the start.
        self.ip("link", "add", "br0", "type", "bridge")
        self.ip("link", "set", "br0", "up")
        self.set_address("br0")

    @property
    def agent_pid(self):
        return self.agent.pid

    def start_agent(self, *options):
        """Starts the agent and waits until it serves."""
        args = [*self.hosts.launcher, self.hosts.build_dir / "bin/martletd", "--name", self.name,
                "--state-dir", self.state_dir, "--socket", self.socket, "--cgroup", "/" + self.cgroup,
                "--listen", f"{self.address}:{AGENT_PORT}", "--bridge", "br0", "--uplink", "up0",
                "--log-level", "debug", *options]
        with open(self.log_path, "ab") as log:
            self.agent = self.popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def serves():
            if self.agent.poll() is not None:
                raise HostsError(f"the agent of {self.name} ended:\n{self.agent_log()}")
            return self.martlet("info", check=False).returncode == 0
        wait_until(serves, f"start of the agent of {self.name}")

    def stop_agent(self, signal_number=signal.SIGTERM):
        """Ends the agent (SIGKILL: as if it had crashed); its containers go on."""
        if self.agent is None or self.agent.poll() is not None:
            return
        self.agent.send_signal(signal_number)
        try:
            self.agent.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.agent.kill()
            self.agent.wait()
            raise

    def command_line(self, *args):
        return [self.hosts.build_dir / "bin/martlet", "--socket", self.socket, *args]

    def martlet_popen(self, *args, **options):
        """Starts the command line against this host's agent."""
        return self.popen(self.command_line(*args), **{"stdin": subprocess.DEVNULL, "text": True, **options})

    def martlet(self, *args, check=True, timeout=120, **options):
        """Runs the command line against this host's agent; CalledProcessError if it fails."""
        done = self.run(self.command_line(*args), timeout=timeout, **{"capture_output": True, "text": True, **options})
        if check and done.returncode != 0:
            print(f"martlet {args[0]} on {self.name}: {done.stderr}", file=sys.stderr)
            done.check_returncode()
        return done

    def agent_log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def remove_containers(self):
        """Asks the agent, starting it again if it is gone."""
        if not self.directory.exists() or self.agent is None:
            return
        if self.agent.poll() is not None:
            self.start_agent()
        listed = json.loads(self.martlet("ps", "--json", timeout=DEADLINE).stdout)
        for container in listed:
            self.martlet("rm", "--force", container["name"], timeout=DEADLINE)


class Hosts:
    """The hosts of one run; a context manager."""

    def __init__(self, names, build_dir=None, join=True, launcher=()):
        self.build_dir = pathlib.Path(build_dir) if build_dir else find_build_dir()
        self.directory = None
        self.run_id = None
        self.switch = None
        self._names = list(names)
        self._join = join  # all hosts are members of one cluster
        self.launcher = launcher  # a command line that executes an agent
        self._hosts = {}
        self.clients = None

    def __enter__(self):
        if os.geteuid() != 0:
            raise HostsError("hosts need root")
        for leftover in abandoned_runs():
            clear_run(leftover)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=RUN_DIR_PREFIX))
        (self.directory / "owner").write_text(f"{os.getpid()} {start_time(os.getpid())}")
        self.run_id = run_id_of(self.directory)
        self.switch = f"{self.run_id}-switch"
        atexit.register(self.close)
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise
        return self

    def _set_up(self):
        command("ip", "netns", "add", self.switch)
        command("ip", "-n", self.switch, "link", "add", "sw0", "type", "bridge")
        command("ip", "-n", self.switch, "link", "set", "sw0", "up")
        self.clients = Namespace(self, "clients", 200)
        self.clients.connect("eth0")
        self.clients.set_address("eth0")
        for number, name in enumerate(self._names, 1):
            self._hosts[name] = Host(self, name, number)
            self._hosts[name].set_up()
        for host in self._hosts.values():
            host.start_agent()
        if self._join:
            self._form_cluster()

    def _form_cluster(self):
        """Gives every host a certificate and makes it known to the others."""
        first, *others = self._hosts.values()
        first.martlet("init")
        for host in others:
            invitation = json.loads(first.martlet("token", "--json").stdout)
            host.martlet("join", invitation["address"], "--token", invitation["token"])

    def __getitem__(self, name):
        return self._hosts[name]

    def __iter__(self):
        return iter(self._hosts.values())

    @property
    def client_netns(self):
        return self.clients.netns

    def client_run(self, args, **options):
        return self.clients.run(args, **options)

    def client_popen(self, args, **options):
        return self.clients.popen(args, **options)

    def await_port(self, address, port):
        """Until a client's connection is taken; CalledProcessError if none is."""
        probe = f"until (</dev/tcp/{address}/{port}) 2>/dev/null; do sleep 0.05; done"
        self.client_run(["timeout", "25", "bash", "-c", probe], check=True)

    def __exit__(self, kind, error, trace):
        if kind is not None and issubclass(kind, Exception):
            self.print_agent_logs()
        self.close()

    def print_agent_logs(self, lines=30):
        for host in self:
            print(f"--- the agent of {host.name}:")
            print("\n".join(host.agent_log().splitlines()[-lines:]), flush=True)

    def close(self):
        """Ends and removes everything; does nothing the second time."""
        if self.directory is None:
            return
        directory, self.directory = self.directory, None
        atexit.unregister(self.close)
        # A second interrupt must not leave half of it behind.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            for host in self:
                try:
                    host.remove_containers()
                    host.stop_agent()
                except (HostsError, OSError, subprocess.SubprocessError) as error:
                    detail = getattr(error, "stderr", None) or ""
                    print(f"clearing away {host.name}: {error} {detail}", flush=True)
                host.kill_programs()
            if self.clients:
                self.clients.kill_programs()
            clear_run(directory)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


# --- What a run leaves behind can be found by its directory alone, so that a later run can clear away
# --- after one that was killed.

def run_id_of(directory):
    return "mh" + directory.name.removeprefix(RUN_DIR_PREFIX).replace("_", "x")


def start_time(pid):
    """Clock ticks after boot; None if there is no such process."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


def abandoned_runs():
    for directory in pathlib.Path(tempfile.gettempdir()).glob(RUN_DIR_PREFIX + "*"):
        try:
            pid, started = map(int, (directory / "owner").read_text().split())
        except (OSError, ValueError):
            continue  # being made or removed right now
        if start_time(pid) != started:
            yield directory


def clear_run(directory):
    run_id = run_id_of(directory)
    kill_processes_of(run_id)
    unmount_below(directory)
    remove_cgroups(run_id)
    for netns in NETNS.glob(f"{run_id}-*"):
        command("ip", "netns", "del", netns.name, check=False)
    if mounts_below(directory):
        raise HostsError(f"still mounted: {mounts_below(directory)}")
    shutil.rmtree(directory)


def cgroups_of(run_id):
    """Every cgroup of the run in every hierarchy, children first."""
    tops = [*CGROUPS.glob(f"martlet-{run_id}-*"), *CGROUPS.glob(f"*/martlet-{run_id}-*")]
    for top in tops:
        for path, _, _ in os.walk(top, topdown=False):
            yield pathlib.Path(path)


def processes_of(run_id):
    """Processes in the run's cgroups, and programs started in its network namespaces."""
    found = set()
    for cgroup in cgroups_of(run_id):
        try:
            found.update(map(int, (cgroup / "cgroup.procs").read_text().split()))
        except OSError:
            pass
    for netns in NETNS.glob(f"{run_id}-*"):
        found.update(map(int, command("ip", "netns", "pids", netns.name, check=False).stdout.split()))
    return found


def kill_processes_of(run_id):
    for cgroup in cgroups_of(run_id):
        for control, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            if (cgroup / control).exists():
                (cgroup / control).write_text(value)

    def none_left():
        processes = processes_of(run_id)
        for pid in processes:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not processes
    wait_until(none_left, "end of the processes in the hosts")


def remove_cgroups(run_id):
    for cgroup in cgroups_of(run_id):
        try:
            cgroup.rmdir()
        except OSError:
            pass  # the hierarchy of a controller that shows the same directory twice


def mounts_below(directory):
    """Mount points below a directory, the last mounted first."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            point = line.split()[4]
            if point.startswith(f"{directory}/"):
                found.append(point)
    return found[::-1]


def unmount_below(directory):
    for point in mounts_below(directory):
        command("umount", "-l", point, check=False)


@contextlib.contextmanager
def temporary_directory():
    """A directory on the file system of the hosts' state, removed afterwards."""
    path = tempfile.mkdtemp(prefix="martlet-test-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
