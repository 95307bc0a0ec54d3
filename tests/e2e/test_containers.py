"""Containers on one host, from their start to their removal, and across a restart of the agent."""
import json
import os
import pathlib
import re
import signal
import subprocess
import unittest

import hosts
from hosts import Hosts, wait_until

ADDRESS = "10.77.0.50"
REDIS = ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]


class ContainersTest(unittest.TestCase):
    def setUp(self):
        self.hosts = self.enterContext(Hosts(["host-a"]))
        self.host = self.hosts["host-a"]

    def martlet(self, *args, **options):
        return self.host.martlet(*args, **options)

    def json(self, command, *args, **options):
        return json.loads(self.martlet(command, "--json", *args, **options).stdout)

    def run_container(self, name, *args, options=()):
        self.martlet("run", "--name", name, "--overlay", "/", *options, "--", *args)

    def refused(self, *args, because):
        """The command fails with one line on standard error that contains `because`."""
        done = self.martlet(*args, check=False)
        self.assertNotEqual(done.returncode, 0, args)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn(because, done.stderr)

    def in_client(self, script):
        """Whether a shell script succeeds at the clients."""
        return self.hosts.client_run(["bash", "-c", script], capture_output=True, timeout=10,
                                     check=False).returncode == 0

    def redis(self, *args):
        done = self.hosts.client_run(["redis-cli", "-h", ADDRESS, *args], capture_output=True,
                                     text=True, timeout=10, check=False)
        return done.stdout.strip()

    def start_redis(self):
        self.run_container("redis", *REDIS, options=["--ip", f"{ADDRESS}/24", "--ip", "fd77::50/64",
                                                     "--gateway", "10.77.0.1"])
        wait_until(lambda: self.redis("ping") == "PONG", "start of redis")

    def test_life_of_a_server(self):
        self.start_redis()
        listed = self.json("ps")
        self.assertEqual([c["name"] for c in listed], ["redis"])
        self.assertEqual(listed[0]["state"], "running")
        self.assertIn("Ready to accept connections", self.martlet("logs", "redis").stdout)

        self.martlet("pause", "redis")
        self.assertEqual(self.json("inspect", "redis")["state"], "paused")
        self.refused("exec", "redis", "--", "true", because="paused")
        self.martlet("unpause", "redis")
        self.assertEqual(self.redis("ping"), "PONG")

        self.refused("rm", "redis", because="still running")
        stopped = self.json("stop", "redis")
        self.assertEqual((stopped["state"], stopped["exit_code"]), ("exited", 0))
        self.assertIn("bye bye", self.martlet("logs", "redis").stdout)
        self.martlet("rm", "redis")
        self.assertEqual(self.json("ps"), [])

    def test_environment(self):
        self.run_container("env", "python3", "-m", "http.server", "7000", "--bind", "::",
                           options=["--ip", "10.77.0.60/24", "--ip", "fd77::60/64", "--gateway",
                                    "10.77.0.1", "--memory", "64M", "--env", "COLOUR=blue"])
        inside = self.json("exec", "env", "--", "sh", "-c", """
            echo $COLOUR; hostname; cat /proc/1/comm; id -u
            cat /sys/class/net/eth0/address; touch /tmp/mark /etc/mark && echo written
            mountpoint -q /dev/shm && echo shm; mountpoint -q /dev/mqueue && echo mqueue
            touch /sys/mark 2>/dev/null || echo read-only; exit 5""", check=False)
        container = self.json("inspect", "env")
        self.assertEqual(inside["exit_code"], 5)
        self.assertEqual(inside["output"].split(),
                         ["blue", "env", "python3", "0", container["mac"], "written", "shm", "mqueue",
                          "read-only"])
        self.assertFalse(pathlib.Path("/etc/mark").exists())
        self.assertTrue(pathlib.Path(container["upper_path"], "etc/mark").exists())
        for address in ("10.77.0.60", "fd77::60"):
            wait_until(lambda a=address: self.in_client(f"</dev/tcp/{a}/7000"), f"answer of {address}")

    def cgroup_value(self, container, name, key):
        """A line of a control file of the container's cgroup, in the hierarchy that has it."""
        below = f"{self.host.cgroup}/{container}/{name}"
        for path in (hosts.CGROUPS / below, *hosts.CGROUPS.glob(f"*/{below}")):
            found = re.search(rf"^{key} (\d+)$", path.read_text() if path.exists() else "",
                              re.MULTILINE)
            if found:
                return int(found[1])
        return self.fail(f"no {key} in any {name}")

    def test_gateway(self):
        self.run_container("routed", "sleep", "1000",
                           options=["--ip", "10.77.0.60/24", "--ip", "fd77::60/64", "--gateway",
                                    "10.77.0.1", "--gateway", "fd77::1"])
        routes = self.martlet("exec", "routed", "--", "sh", "-c",
                              "ip route show default; ip -6 route show default").stdout
        self.assertIn("default via 10.77.0.1 dev eth0", routes)
        self.assertIn("default via fd77::1 dev eth0", routes)
        # Through it the container reaches what is not on its own network.
        self.host.ip("addr", "add", "192.0.2.1/32", "dev", "lo")
        self.martlet("exec", "routed", "--", "ping", "-c", "1", "-W", "5", "192.0.2.1")

    def test_memory_limit(self):
        hungry = "import time; kept = bytearray(300 << 20); time.sleep(1000)"
        self.run_container("hungry", "python3", "-c", hungry, options=["--memory", "64M"])
        wait_until(lambda: self.json("inspect", "hungry")["state"] == "exited", "the end of it")
        self.assertEqual(self.json("inspect", "hungry")["exit_code"], 128 + signal.SIGKILL)

    def test_cpu_limit(self):
        for name, options in (("slow", ["--cpus", "0.2"]), ("free", [])):
            self.run_container(name, "sh", "-c", "while :; do :; done", options=options)

        def throttled(name):
            return self.cgroup_value(name, "cpu.stat", "nr_throttled")
        wait_until(lambda: throttled("slow") > 5, "a pause of the busy loop")
        self.assertEqual(throttled("free"), 0)

    def test_own_namespaces(self):
        self.run_container("apart", "sleep", "1000")
        pid = self.json("inspect", "apart")["pid"]
        for kind in ("pid", "mnt", "net", "ipc", "uts", "cgroup", "time"):
            own, theirs = (os.readlink(f"/proc/{p}/ns/{kind}") for p in (os.getpid(), pid))
            self.assertNotEqual(own, theirs, kind)

    def test_exec_passes_on_output_and_exit_code(self):
        self.run_container("box", "sleep", "1000")
        done = self.martlet("exec", "box", "--env", "A=1", "--", "sh", "-c",
                            "echo out $A; echo err >&2; exit 3", check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (3, "out 1\n", "err\n"))

    def test_exec_reads_standard_input(self):
        self.run_container("box", "sleep", "1000")
        count = ("exec", "box", "--", "wc", "-c")
        data = b"0123456789" * 100_000
        done = self.martlet(count[0], "-i", *count[1:], input=data, text=False)
        self.assertEqual(int(done.stdout), len(data))
        self.assertEqual(int(self.martlet(*count, input="none of it").stdout), 0)
        # It ends although its input does not.
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        os.write(writer, b"a line\n")
        done = self.martlet("exec", "-i", "box", "--", "sh", "-c", "read x; echo got $x",
                            stdin=reader)
        self.assertEqual(done.stdout, "got a line\n")

    def test_logs_are_followed_to_the_end(self):
        self.run_container("talker", "sh", "-c", "mkfifo /tmp/go; echo one; read x < /tmp/go; echo two")
        follower = self.host.martlet_popen("logs", "-f", "talker", stdout=subprocess.PIPE)
        self.assertEqual(follower.stdout.readline(), "one\n")
        self.martlet("exec", "talker", "--", "sh", "-c", "echo > /tmp/go")
        self.assertEqual(follower.communicate(timeout=20)[0], "two\n")

    def test_list_and_removal_by_force(self):
        self.run_container("one", "sleep", "1000", options=["--ip", f"{ADDRESS}/24"])
        self.run_container("two", "sh", "-c", "exit 3")
        wait_until(lambda: self.json("inspect", "two")["state"] == "exited", "exit")
        header, *rows = self.martlet("ps").stdout.splitlines()
        self.assertEqual(header.split(), ["NAME", "STATE", "PID", "ADDRESS", "AGE", "COMMAND"])
        self.assertEqual([row.split()[:2] for row in rows], [["one", "running"], ["two", "exited"]])
        one = self.json("inspect", "one")
        self.assertIn(f"{ADDRESS}/24", self.martlet("inspect", "one").stdout)
        for name in ("one", "two"):
            self.martlet("rm", "--force", name)
        self.assertEqual(self.martlet("ps").stdout.split(), header.split())
        self.assertFalse(pathlib.Path(one["upper_path"]).exists())
        self.assertEqual({cgroup.name for cgroup in hosts.cgroups_of(self.hosts.run_id)},
                         {self.host.cgroup})  # the agent's own

    def test_exit_is_noticed(self):
        self.run_container("short", "sh", "-c", "exit 42")
        wait_until(lambda: self.json("inspect", "short")["state"] == "exited", "exit")
        self.assertEqual(self.json("inspect", "short")["exit_code"], 42)

    def test_stop_kills_what_ignores_it(self):
        self.run_container("deaf", "sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done")
        wait_until(lambda: "deaf" in self.martlet("logs", "deaf").stdout, "start")
        self.assertEqual(self.json("stop", "deaf", "--timeout", "0.2")["exit_code"],
                         128 + signal.SIGKILL)

    def test_agent_restart_is_not_noticed(self):
        self.start_redis()
        pid = self.json("inspect", "redis")["pid"]
        self.run_container("short", "sh", "-c", "mkfifo /tmp/go; read x < /tmp/go; exit 9")
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            self.host.stop_agent(signal_number)
            self.assertEqual(self.redis("ping"), "PONG")
            self.host.start_agent()
            self.assertEqual(self.json("inspect", "redis")["pid"], pid)
        self.martlet("exec", "short", "--", "sh", "-c", "echo > /tmp/go")
        wait_until(lambda: self.json("inspect", "short")["state"] == "exited", "exit")
        self.assertEqual(self.json("inspect", "short")["exit_code"], 9)
        self.assertEqual(self.json("stop", "redis")["exit_code"], 0)

    def test_exit_during_the_agents_absence(self):
        self.start_redis()
        self.host.stop_agent(signal.SIGKILL)
        self.redis("shutdown", "nosave")
        self.host.start_agent()
        self.assertEqual(self.json("inspect", "redis")["state"], "exited")

    def test_bundle_rootfs_and_volume(self):
        directory = pathlib.Path(self.enterContext(hosts.temporary_directory()))
        root = directory / "rootfs"
        for sub in ("bin", "data", "lib64", "lib", "usr", "proc", "sys", "dev", "tmp"):
            (root / sub).mkdir(parents=True)
        (directory / "shared").mkdir()
        binds = [f"--volume={path}:{path}:ro" for path in ("/bin", "/lib", "/lib64", "/usr")]
        (directory / "config.json").write_text(json.dumps({
            "ociVersion": "1.0.2", "root": {"path": "rootfs"},
            "process": {"args": ["sh", "-c", "echo from the bundle > /data/a; echo $WHO"],
                        "cwd": "/", "user": {"uid": 0, "gid": 0},
                        "env": ["PATH=/bin:/usr/bin", "WHO=bundle"]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]}))
        self.martlet("run", "--name", "b", "--bundle", directory, *binds, "--env", "WHO=me",
                     "--volume", f"{directory / 'shared'}:/data")
        self.martlet("run", "--name", "r", "--rootfs", root, *binds, "--", "sh", "-c",
                     "echo $0 > /tmp/b; touch /usr/x || echo kept", "root")
        for name, log in (("b", "me\n"), ("r", "kept\n")):
            wait_until(lambda n=name: self.json("inspect", n)["state"] == "exited", "exit")
            self.assertIn(log, self.martlet("logs", name).stdout)
            self.martlet("rm", name)
        self.assertEqual((directory / "shared/a").read_text(), "from the bundle\n")
        self.assertEqual((root / "tmp/b").read_text(), "root\n")

    def test_bad_requests(self):
        self.run_container("one", "sleep", "1000", options=["--ip", f"{ADDRESS}/24"])
        run = ("run", "--overlay", "/")
        for args, because in (
                ((*run, "--name", "one", "--", "true"), "exists already"),
                ((*run, "--name", "a/b", "--", "true"), "is not a name"),
                ((*run, "--name", "two"), "no command"),
                ((*run, "--name", "two", "--", "/no/such"), "/no/such"),
                ((*run, "--name", "two", "--ip", f"{ADDRESS}/24", "--", "true"), "belongs to"),
                ((*run, "--name", "two", "--ip", "10.77.0.60", "--", "true"), "prefix"),
                ((*run, "--name", "two", "--memory", "lots", "--", "true"), "not a size"),
                ((*run, "--name", "two", "--gateway", "10.1.1.1", "--", "true"), "no network"),
                ((*run, "--name", "two", "--volume", "/no/such:/x", "--", "true"), "/no/such"),
                (("run", "--name", "two", "--", "true"), "required"),
                (("run", "--name", "two", "--rootfs", "/no/such", "--", "true"), "/no/such"),
                (("run", "--name", "two", "--bundle", "/tmp"), "config.json"),
                (("inspect", "two"), "does not exist"), (("stop", "two"), "does not exist"),
                (("exec", "two", "--", "true"), "does not exist"),
                (("frobnicate",), "frobnicate")):
            self.refused(*args, because=because)
        self.assertEqual([c["name"] for c in self.json("ps")], ["one"])

    def test_error_as_json(self):
        done = self.martlet("inspect", "nobody", "--json", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(json.loads(done.stdout)["error"]["code"], "not found")


class HostsTest(unittest.TestCase):
    def test_nothing_is_left(self):
        with Hosts(["host-a", "host-b"]) as two:
            run_id, directory = two.run_id, two.directory
            for host in two:
                host.martlet("run", "--name", "web", "--overlay", "/", "--", "sleep", "1000")
            two["host-b"].stop_agent(signal.SIGKILL)
        self.assertEqual(list(hosts.NETNS.glob(f"{run_id}-*")), [])
        self.assertEqual(list(hosts.cgroups_of(run_id)), [])
        self.assertEqual(hosts.mounts_below(directory), [])
        self.assertFalse(directory.exists())

    def test_join_needs_a_good_token(self):
        def refused(host, address, token, because):
            done = host.martlet("join", address, "--token", token, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(because, done.stderr)

        with Hosts(["host-a", "host-b", "host-c"], join=False) as three:
            first, second, third = three
            refused(second, "10.77.0.1:1", "x", "not a complete token")
            refused(second, "10.77.0.1:1", 32 * "0" + "." + 64 * "0", "10.77.0.1:1")
            first.martlet("init")
            invitation = json.loads(first.martlet("token", "--json").stdout)
            address, token = invitation["address"], invitation["token"]
            refused(second, address, 32 * "0" + token[32:], "not known")
            refused(second, address, token[:33] + 64 * "0", "not of the cluster")
            second.martlet("join", address, "--token", token)
            refused(third, address, token, "used before")
            refused(second, address, token, "is a member")
            known = json.loads(second.martlet("hosts", "--json").stdout)
            self.assertEqual([(h["name"], h["reachable"]) for h in known], [("host-a", True)])


if __name__ == "__main__":
    unittest.main()
