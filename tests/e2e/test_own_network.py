"""A container that configures its own network, seen by a peer outside of it while it moves: a further
address and a port that nftables or iptables redirects; what is refused, and what a failed restore leaves."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

import hosts
from hosts import Hosts, wait_until

NAME = "own"
ADDRESS = "10.77.0.70"
FURTHER = "10.77.0.71"
PORT, REDIRECTED = 7301, 7300
MOVES = int(os.environ.get("MARTLET_NETWORK_MOVES", "4"))
SERVER = pathlib.Path(__file__).resolve().parent / "servers/ports.py"

SET_UP = f"""
ip addr add {FURTHER}/32 dev eth0
ip link add d0 mtu 1400 type bridge && ip link set d0 up && ip addr add 10.99.0.1/24 dev d0
tc qdisc add dev eth0 root handle 5: tbf rate 1gbit burst 100k latency 50ms
ip route add 10.98.0.0/16 via {ADDRESS[:-2]}200 table 7 && ip rule add from 10.99.0.1 table 7
nft add table ip nat
nft add chain ip nat in '{{ type nat hook prerouting priority -100; }}'
nft add rule ip nat in tcp dport {REDIRECTED} counter redirect to :{PORT}
echo set up
"""

# The same redirection by iptables, with a filter that lets pass nothing else but what it knows.
IPTABLES = """
export XTABLES_LOCKFILE=/tmp/xtables.lock
ip addr add {further}/32 dev eth0
{program} -t nat -A PREROUTING -p tcp -m addrtype --dst-type LOCAL -m tcp --dport {redirected} -j REDIRECT --to-ports {port}
{program} -t nat -A POSTROUTING ! -o eth0 -j MASQUERADE
{program} -P INPUT DROP
{program} -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
{program} -A INPUT -p tcp -m multiport --dports {port} -m conntrack --ctstate NEW -j ACCEPT
"""

# Keeps a connection to each place; for every line that it reads it asks through all, and through new ones.
CLIENT = f"""
import socket, sys
PLACES = [("{ADDRESS}", {PORT}), ("{FURTHER}", {PORT}), ("{ADDRESS}", {REDIRECTED}), ("{FURTHER}", {REDIRECTED})]
def answers_at(place):
    return place[0] if place[1] == {PORT} else "{ADDRESS}"  # a redirection leads to the link's first address
def ask(made, text):
    made.sendall(text + b"\\n")
    return made.makefile("rb").readline()
def connect(place):
    made = socket.create_connection(place, timeout=20)
    return made
kept = [(place, connect(place)) for place in PLACES]
for number, line in enumerate(sys.stdin):
    text = b"%d" % number
    for place, made in kept + [(place, connect(place)) for place in PLACES]:
        answer, wanted = ask(made, text), text + b" at " + answers_at(place).encode() + b"\\n"
        if answer != wanted: sys.exit(f"{{place}}: {{answer}} instead of {{wanted}}")
    print("good", flush=True)
"""

# Everything that it sends comes back; it says so when the first line has.
STREAM = f"""
import socket, threading
made = socket.create_connection(("{ADDRESS}", {PORT}), timeout=60)
lines = [b"%d %s" % (number, b"x" * 1000) for number in range(4000)]
threading.Thread(target=lambda: made.sendall(b"".join(line + b"\\n" for line in lines))).start()
answers = made.makefile("rb")
for number, line in enumerate(lines):
    assert answers.readline() == line + b" at {ADDRESS}\\n", number
    if number == 0: print("begun", flush=True)
print("whole", flush=True)
"""


class OwnNetworkTest(unittest.TestCase):
    def setUp(self):
        self.hosts = self.enterContext(Hosts(["host-a", "host-b"]))
        self.a, self.b = self.hosts["host-a"], self.hosts["host-b"]
        self.bundle = self.make_bundle()

    def make_bundle(self):
        directory = pathlib.Path(self.enterContext(hosts.temporary_directory()))
        for sub in ("proc", "sys", "dev", "tmp"):
            (directory / "rootfs" / sub).mkdir(parents=True)
        rights = {name: ["CAP_NET_ADMIN", "CAP_NET_RAW"]
                  for name in ("bounding", "effective", "permitted")}
        (directory / "config.json").write_text(json.dumps({
            "ociVersion": "1.0.2", "root": {"path": "rootfs"},
            "process": {"args": [], "cwd": "/", "user": {"uid": 0, "gid": 0}, "capabilities": rights,
                        "env": ["PATH=/bin:/usr/bin:/usr/sbin"]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                       {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]}))
        return directory

    def start(self, set_up):
        shown = [f"--volume={path}:{path}:ro" for path in ("/bin", "/lib", "/lib64", "/usr", SERVER.parent)]
        self.a.martlet("run", "--name", NAME, "--bundle", self.bundle, *shown, "--ip", f"{ADDRESS}/24",
                       "--", "sh", "-c", f"{set_up}\nexec python3 -u {SERVER} {PORT}")
        wait_until(lambda: self.listens(self.a), "the server to listen")

    def inside(self, host, *args):
        pid = json.loads(host.martlet("inspect", NAME, "--json").stdout)["pid"]
        return subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", *args], check=True, timeout=20,
                              capture_output=True, text=True).stdout

    def listens(self, host):
        return f":{PORT} " in self.inside(host, "ss", "-Htln")

    def state(self, host):
        """What the container's network is made of, without what is counted."""
        numbers = self.inside(host, "sh", "-c", "ip -o addr; ip -o link | sed 's/@if[0-9]*//;s/link-netns.*//;s/NO-CARRIER,//;"
                              "s/,LOWER_UP//;s/state [A-Z]*//'; "
                              "ip route show table all | sed s/linkdown//; ip rule; tc qdisc show dev eth0; nft -s list ruleset; "
                              "XTABLES_LOCKFILE=/dev/null iptables-legacy-save | sed '/^[#:]/d' | sort")
        return [" ".join(line.split()) for line in numbers.splitlines() if "fe80" not in line]

    def connect(self):
        return self.hosts.clients.popen([sys.executable, "-c", CLIENT], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def expect_good(self, client, when):
        client.stdin.write("\n")
        client.stdin.flush()
        self.assertEqual(client.stdout.readline(), "good\n", when)

    def test_moves_with_its_further_address_and_redirected_port(self):
        self.check_moves(SET_UP)

    def test_moves_with_rules_of_iptables(self):
        self.check_moves(IPTABLES.format(program="iptables-nft", further=FURTHER, redirected=REDIRECTED, port=PORT))

    def test_moves_with_tables_of_old_iptables(self):
        self.check_moves(IPTABLES.format(program="iptables-legacy", further=FURTHER, redirected=REDIRECTED, port=PORT))

    def check_moves(self, set_up):
        self.start(set_up)
        before = self.state(self.a)
        client = self.connect()
        self.expect_good(client, "before")
        here, there = self.a, self.b
        for number in range(MOVES):
            here.martlet("migrate", NAME, there.name, "--mode", ("stop", "precopy", "postcopy")[number % 3])
            here, there = there, here
            self.expect_good(client, f"after move {number + 1}")
            self.assertEqual(self.state(here), before)

    def test_a_stream_through_a_slow_queue_arrives_whole(self):
        self.start("tc qdisc add dev eth0 root tbf rate 20mbit burst 20k latency 100ms")
        here, there = self.a, self.b
        for number in range(MOVES):
            client = self.hosts.clients.popen([sys.executable, "-c", STREAM], stdout=subprocess.PIPE, text=True)
            self.assertEqual(client.stdout.readline(), "begun\n")
            here.martlet("migrate", NAME, there.name, "--mode", ("stop", "precopy", "postcopy")[number % 3])
            here, there = there, here
            self.assertEqual(client.communicate(timeout=60)[0], "whole\n", f"move {number + 1}")

    def test_is_unharmed_by_a_checkpoint_and_restored_twice(self):
        self.start(SET_UP)
        before = self.state(self.a)
        for number in range(2):
            image = self.bundle / f"image-{number}"
            self.a.martlet("checkpoint", NAME, "--dir", image, "--leave-running")
            self.assertEqual(self.state(self.a), before)
            self.a.martlet("rm", "--force", NAME)
            self.a.martlet("restore", "--dir", image)
            self.assertEqual(self.state(self.a), before)

    def test_refuses_by_name(self):
        self.start("true")
        image = self.bundle / "image"
        for make, remove, reason in (
                ("ip link add w0 type vxlan id 5 dstport 4789 local 127.0.0.1", "ip link del w0", "w0"),
                ("ip link add link eth0 name m0 type macvlan", "ip link del m0", "m0"),
                ("ip link add b0 type bridge && ip link set eth0 master b0", "ip link del b0", "eth0"),
                ("tc qdisc add dev eth0 ingress", "tc qdisc del dev eth0 ingress", "ingress"),
                ("iptables-nft -A INPUT -m recent --set", "iptables-nft -F INPUT", "recent"),
                ("ip nexthop add id 7 blackhole", "ip nexthop del id 7", "next hops"),
                ("ip xfrm policy add dst 10.5.0.0/24 dir out", "ip xfrm policy del dst 10.5.0.0/24 dir out",
                 "IPsec")):
            self.inside(self.a, "sh", "-c", make)
            for attempt in (("checkpoint", NAME, "--dir", image), ("check", NAME), ("migrate", NAME, "host-b")):
                done = self.a.martlet(*attempt, check=False)
                self.assertNotEqual(done.returncode, 0, (make, attempt))
                self.assertIn(reason, done.stderr + done.stdout)
            self.assertFalse(image.exists())
            self.inside(self.a, "sh", "-c", remove)
        self.a.martlet("check", NAME)

    def test_a_failed_move_leaves_it_as_it_was(self):
        self.start(SET_UP)
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
