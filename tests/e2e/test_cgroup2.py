"""Hosts with cgroup v2 alone: the agents see no other hierarchy. (The controllers may all be bound to
v1 hierarchies of this machine, so limits are not part of this.)"""
import json
import pathlib
import unittest

from hosts import Hosts, wait_until

ONLY_V2 = ("unshare", "--mount", "--propagation", "private", "sh", "-c",
           'umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"', "sh")
SERVER = pathlib.Path(__file__).resolve().parent / "servers/counter.py"
ASK = """
import socket
with socket.create_connection(("10.77.0.60", 7000), timeout=5) as peer:
    print(peer.recv(64).decode())
"""


class Cgroup2Test(unittest.TestCase):
    def setUp(self):
        self.hosts = self.enterContext(Hosts(["host-a", "host-b"], launcher=ONLY_V2))
        self.count = 0

    def answers(self):
        done = self.hosts.client_run(["python3", "-c", ASK], capture_output=True, text=True,
                                     timeout=20)
        if done.returncode != 0:
            return False
        self.count += 1
        self.assertEqual(int(done.stdout), self.count)
        return True

    def test_life_of_a_container(self):
        source, destination = self.hosts
        source.martlet("run", "--name", "counter", "--overlay", "/", "--ip", "10.77.0.60/24", "--",
                       "python3", "-u", SERVER, "7000")
        wait_until(self.answers, "start of the server")
        container = json.loads(source.martlet("inspect", "counter", "--json").stdout)
        self.assertEqual(container["cgroup"], f"/sys/fs/cgroup/{source.cgroup}/counter")
        source.martlet("pause", "counter")
        source.martlet("unpause", "counter")
        self.assertTrue(self.answers())
        source.martlet("migrate", "counter", "host-b")
        self.assertTrue(self.answers())
        destination.stop_agent()
        destination.start_agent()
        self.assertTrue(self.answers())
        destination.martlet("stop", "counter", "--timeout", "0.1")
        destination.martlet("rm", "counter")
        self.assertEqual(json.loads(destination.martlet("ps", "--json").stdout), [])


if __name__ == "__main__":
    unittest.main()
