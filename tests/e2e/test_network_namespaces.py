"""A container whose processes live in network namespaces of their own, behind its bridge: clients outside
reach them through its address translation while it moves; what a failed move and a failed restore leave."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

import hosts
from hosts import Hosts, wait_until

NAME = "nested"
ADDRESS = "10.77.0.72"
OWN_PORT, PORTS = 7310, (7311, 7312)
MOVES = int(os.environ.get("MARTLET_NETWORK_MOVES", "4"))
SERVER = pathlib.Path(__file__).resolve().parent / "servers/ports.py"

SET_UP = f"""
set -e
echo 1 > /proc/sys/net/ipv4/ip_forward
ip link add br0 address 02:77:00:00:00:01 type bridge stp_state 0
ip link set br0 up
ip addr add 10.99.0.1/24 dev br0
nft add table ip nat
nft add chain ip nat in '{{ type nat hook prerouting priority -100; }}'
nft add chain ip nat out '{{ type nat hook postrouting priority 100; }}'
nft add rule ip nat out ip saddr 10.99.0.0/24 oif eth0 masquerade
nested() {{
  mkfifo /tmp/made$1 /tmp/go$1
  unshare -n sh -c "echo \\$\\$ > /tmp/made$1; read go < /tmp/go$1
    ip link set lo up; ip link set eth0 up; ip addr add 10.99.0.$1/24 dev eth0
    ip route add default via 10.99.0.1; exec python3 -u {SERVER} $2" &
  read pid < /tmp/made$1
  ip link add v$1 type veth peer name eth0 netns $pid
  ip link set v$1 master br0 up
  nft add rule ip nat in ip daddr {ADDRESS} tcp dport $2 counter dnat to 10.99.0.$1
  echo go > /tmp/go$1
}}
nested 2 {PORTS[0]}
nested 3 {PORTS[1]}
exec python3 -u {SERVER} {OWN_PORT}
"""

# Keeps a connection to each port; for every line that it reads it asks through all, and through new ones.
CLIENT = f"""
import socket, sys, time
PLACES = {{{OWN_PORT}: b"{ADDRESS}", {PORTS[0]}: b"10.99.0.2", {PORTS[1]}: b"10.99.0.3"}}
def connect(port):
    return socket.create_connection(("{ADDRESS}", port), timeout=20)
kept = [(port, connect(port)) for port in PLACES]
for number, line in enumerate(sys.stdin):
    for port, made in kept + [(port, connect(port)) for port in PLACES]:
        made.sendall(b"%d\\n" % number)
        answer = made.makefile("rb").readline()
        if answer != b"%d at %s\\n" % (number, PLACES[port]): sys.exit(f"{{port}}: {{answer}}")
    print("good", flush=True)
"""

# Everything that it sends comes back; it says so when the first line has.
STREAM = f"""
import socket, sys, threading
made = socket.create_connection(("{ADDRESS}", {PORTS[0]}), timeout=60)
lines = [b"%d %s" % (number, b"x" * 1000) for number in range(20000)]
threading.Thread(target=lambda: made.sendall(b"".join(line + b"\\n" for line in lines))).start()
answers = made.makefile("rb")
for number, line in enumerate(lines):
    assert answers.readline() == line + b" at 10.99.0.2\\n", number
    if number == 0: print("begun", flush=True)
print("whole", flush=True)
"""

STATE = ("ip -o addr; ip -o link | sed 's/@if[0-9]*//;s/link-netns.*//'; ip route show table all; ip rule; "
         "nft -s list ruleset; cat /proc/sys/net/ipv4/ip_forward")


class NetworkNamespacesTest(unittest.TestCase):
    def setUp(self):
        self.hosts = self.enterContext(Hosts(["host-a", "host-b"]))
        self.a, self.b = self.hosts["host-a"], self.hosts["host-b"]
        self.bundle = self.make_bundle()
        self.start()

    def make_bundle(self):
        directory = pathlib.Path(self.enterContext(hosts.temporary_directory()))
        for sub in ("proc", "sys", "dev", "tmp"):
            (directory / "rootfs" / sub).mkdir(parents=True)
        rights = {name: ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN"]
                  for name in ("bounding", "effective", "permitted")}
        (directory / "config.json").write_text(json.dumps({
            "ociVersion": "1.0.2", "root": {"path": "rootfs"},
            "process": {"args": [], "cwd": "/", "user": {"uid": 0, "gid": 0}, "capabilities": rights,
                        "env": ["PATH=/bin:/usr/bin:/usr/sbin"]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                       {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]}))
        return directory

    def start(self):
        shown = [f"--volume={path}:{path}:ro" for path in ("/bin", "/lib", "/lib64", "/usr", SERVER.parent)]
        self.a.martlet("run", "--name", NAME, "--bundle", self.bundle, *shown, "--ip", f"{ADDRESS}/24",
                       "--", "sh", "-c", SET_UP)
        wait_until(lambda: OWN_PORT in self.listening(self.processes(self.a)[:1]), "the first process to be ready")
        wait_until(lambda: self.listening(self.processes(self.a)) == {OWN_PORT, *PORTS}, "the servers to listen")

    def processes(self, host):
        """The first process, and those that it has made."""
        pid = json.loads(host.martlet("inspect", NAME, "--json").stdout)["pid"]
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
        return [pid, *map(int, children.split())]

    def inside(self, processes, line):
        return [subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "sh", "-c", line], check=True, timeout=20,
                               capture_output=True, text=True).stdout for pid in processes]

    def listening(self, processes):
        lines = "".join(self.inside(processes, "ss -Htln")).splitlines()
        return {int(line.split()[3].rpartition(":")[2]) for line in lines}

    def state(self, host):
        return [[" ".join(line.split()) for line in text.splitlines() if "fe80" not in line and "multicast" not in line]
                for text in self.inside(self.processes(host), STATE)]

    def connect(self):
        return self.hosts.clients.popen([sys.executable, "-c", CLIENT], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def expect_good(self, client, when):
        client.stdin.write("\n")
        client.stdin.flush()
        self.assertEqual(client.stdout.readline(), "good\n", when)

    def test_is_reached_from_outside_while_it_moves(self):
        before = self.state(self.a)
        self.assertEqual(len(before), 3)
        client = self.connect()
        self.expect_good(client, "before")
        here, there = self.a, self.b
        for number in range(MOVES):
            stream = self.hosts.clients.popen([sys.executable, "-c", STREAM], stdout=subprocess.PIPE, text=True)
            self.assertEqual(stream.stdout.readline(), "begun\n")
            here.martlet("migrate", NAME, there.name, "--mode", ("stop", "precopy", "postcopy", "hybrid")[number % 4])
            here, there = there, here
            self.expect_good(client, f"after move {number + 1}")
            self.assertEqual(stream.communicate(timeout=60)[0], "whole\n", f"move {number + 1}")
            self.assertEqual(self.state(here), before)

    def test_is_unharmed_by_a_checkpoint_and_restored(self):
        before = self.state(self.a)
        client = self.connect()
        image = self.bundle / "image"
        self.a.martlet("checkpoint", NAME, "--dir", image, "--leave-running")
        self.assertEqual(self.state(self.a), before)
        self.expect_good(client, "after a checkpoint")
        self.a.martlet("rm", "--force", NAME)
        self.a.martlet("restore", "--dir", image)
        self.assertEqual(self.state(self.a), before)

    def test_a_failed_move_leaves_it_as_it_was(self):
        before = self.state(self.a)
        client = self.connect()
        self.expect_good(client, "before")
        for fault in ("destination.restored", "source.restored"):
            host = self.b if fault.startswith("destination") else self.a
            host.stop_agent()
            host.start_agent("--fault", f"{fault}:fail")
            self.assertNotEqual(self.a.martlet("migrate", NAME, "host-b", check=False).returncode, 0)
            self.assertEqual(self.state(self.a), before)
            self.assertEqual(json.loads(self.b.martlet("ps", "--json").stdout), [])
            self.expect_good(client, f"after a failure at {fault}")
        self.a.martlet("migrate", NAME, "host-b")
        self.assertEqual(self.state(self.b), before)
        self.expect_good(client, "after a move")


if __name__ == "__main__":
    unittest.main()
