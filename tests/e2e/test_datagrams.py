"""Sockets without connections, seen from outside of the container that moves: groups that it has
joined, UDP-Lite, raw ICMP, frames."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

from hosts import Hosts, wait_until

SERVER = pathlib.Path(__file__).resolve().parent / "servers/groups.py"
ADDRESS = "10.77.0.62"
ADDRESS6 = "fd77::62"
NAME = "groups"
PORT = 7200
MOVES = int(os.environ.get("MARTLET_DATAGRAM_MOVES", "4"))

# Sends to each of the ways the server listens on, tells who answered what.
CLIENT = f"""
import json, socket, struct
link = next(name for _, name in socket.if_nameindex() if name != "lo")
def sender(family=socket.AF_INET, protocol=0):
    made = socket.socket(family, socket.SOCK_DGRAM, protocol)
    made.settimeout(5)
    return made
def ask(made, to, text=b"hello"):
    made.sendto(text, to)
    try:
        return made.recv(2048).decode()
    except TimeoutError:
        return "nothing"
def to_group(group, port, own=None, text=b"hello", timeout=5):
    made = sender()
    made.settimeout(timeout)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                    bytes(8) + struct.pack("=i", socket.if_nametoindex(link)))
    if own: made.bind((own, 0))
    return ask(made, (group, port), text)
def to_group6():
    made = sender(socket.AF_INET6)
    return ask(made, ("ff15::77", {PORT + 2}, 0, socket.if_nametoindex(link)))
def frame():
    made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    made.bind((link, 0x88b5))
    made.settimeout(5)
    return ask(made, (link, 0x88b5, 0, 0, b"\\xff" * 6))
lite = sender(protocol=136)
print(json.dumps({{
    "all sources": to_group("239.7.7.7", {PORT}),
    "one source": to_group("239.7.7.8", {PORT + 1}, "10.77.0.200"),
    "other source": to_group("239.7.7.8", {PORT + 1}, "10.77.0.201", timeout=0.3),
    "IPv6": to_group6(),
    "UDP-Lite": ask(lite, ("{ADDRESS}", {PORT + 3})),
    "raw ICMP": to_group("239.7.7.7", {PORT}, text=b"ping"),
    "frames": frame(),
}}))
"""
EXPECTED = {"all sources": "hello", "one source": "hello", "other source": "nothing",
            "IPv6": "hello", "UDP-Lite": "hello", "raw ICMP": "99", "frames": "hello"}


class DatagramsTest(unittest.TestCase):
    def setUp(self):
        self.hosts = self.enterContext(Hosts(["host-a", "host-b"]))
        self.a, self.b = self.hosts["host-a"], self.hosts["host-b"]

    def client(self, program):
        done = self.hosts.client_run([sys.executable, "-c", program], stdout=subprocess.PIPE,
                                     text=True, timeout=60)
        return done.stdout

    def expect_answers(self, when):
        self.assertEqual(json.loads(self.client(CLIENT)), EXPECTED, when)

    def run_server(self):
        self.a.martlet("run", "--name", NAME, "--overlay", "/", "--ip", f"{ADDRESS}/24",
                       "--ip", f"{ADDRESS6}/64", "--", "python3", "-u", SERVER, PORT,
                       self.hosts.clients.address, ADDRESS)
        links = json.loads(self.hosts.clients.ip("-j", "addr").stdout)
        device = next(link["ifname"] for link in links if link["ifname"] != "lo")
        self.hosts.clients.ip("addr", "add", "10.77.0.201/24", "dev", device)
        connect = f"import socket; socket.create_connection(('{ADDRESS}', {PORT}), 5); print('yes')"
        wait_until(lambda: self.client(connect) == "yes\n", "the server")
        self.expect_answers("before")

    def test_seen_from_outside(self):
        self.run_server()
        here, there = self.a, self.b
        for move in range(MOVES):
            here.martlet("migrate", NAME, there.name)
            here, there = there, here
            self.expect_answers(f"after move {move + 1}")

    def test_roll_back(self):
        self.a.stop_agent()
        self.a.start_agent("--fault", "source.restored:fail")
        self.run_server()
        failed = self.a.martlet("migrate", NAME, "host-b", check=False)
        self.assertIn("source.restored", failed.stderr)
        self.expect_answers("after the roll-back")


if __name__ == "__main__":
    unittest.main()
