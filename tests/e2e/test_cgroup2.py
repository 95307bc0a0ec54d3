"""Hosts with cgroup v2 alone: the agents see no other hierarchy. (The controllers may all be bound to
v1 hierarchies of this machine, so limits are not part of this.)"""
import json
import unittest

from counter import CounterTest
from hosts import Hosts

ONLY_V2 = ("unshare", "--mount", "--propagation", "private", "sh", "-c",
           'umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"', "sh")


class Cgroup2Test(CounterTest, unittest.TestCase):
    def setUp(self):
        self.hosts = self.enterContext(Hosts(["host-a", "host-b"], launcher=ONLY_V2))

    def test_life_of_a_container(self):
        source, destination = self.hosts
        self.run_counter(source)
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
