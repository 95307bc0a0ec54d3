"""Cgroups that a container makes for itself: what is refused, and what a failed or killed operation leaves."""

import json
import os
import pathlib
import signal
import subprocess
import unittest

import hosts
import ordered
from hosts import Hosts, wait_until

FROZEN = ("mkdir /mnt/cg/f; sleep 1000 & echo $! > /mnt/cg/f/cgroup.procs;"
          " echo 1 > /mnt/cg/f/cgroup.freeze")


class OwnCgroupsTest(unittest.TestCase):
    def start(self, host, kind="cgroup2"):
        bundle = pathlib.Path(self.enterContext(hosts.temporary_directory()))
        ordered.make_bundle(bundle, ["CAP_SYS_ADMIN"], ("/mnt/cg", kind))
        ordered.run(host, bundle)
        return bundle

    @staticmethod
    def cgroup_of(host):
        return pathlib.Path(json.loads(host.martlet("inspect", "m", "--json").stdout)["cgroup"])

    @staticmethod
    def left_of(host):
        """Directories of the container's cgroups in all hierarchies."""
        tops = [hosts.CGROUPS, *(path for path in hosts.CGROUPS.iterdir() if path.is_dir())]
        return [str(top / host.cgroup / "m") for top in tops if (top / host.cgroup / "m").exists()]

    def assert_frozen(self, cgroup):
        self.assertEqual((cgroup / "cgroup.freeze").read_text(), "1\n")
        wait_until(lambda: "frozen 1" in (cgroup / "cgroup.events").read_text(), "the task to be frozen")

    def test_refused_while_it_is_there(self):
        with Hosts(["host-a"]) as one:
            host = one["host-a"]
            bundle = self.start(host, "cgroup")
            if not (hosts.CGROUPS / "freezer/tasks").exists():
                self.skipTest("the host has no freezer of cgroup v1")
            ordered.tell(host, "mkdir /mnt/cg/freezer/x; sleep 1000 & p=$!; echo $p > /mnt/cg/freezer/x/tasks;"
                               " echo FROZEN > /mnt/cg/freezer/x/freezer.state")
            done = host.martlet("checkpoint", "m", "--dir", bundle / "image", check=False)
            self.assertIn("by the freezer of cgroup v1", done.stderr)
            self.assertFalse((bundle / "image").exists())
            ordered.tell(host, "echo THAWED > /mnt/cg/freezer/x/freezer.state; kill $p; wait $p")
            ordered.tell(host, "mkdir /mnt/cg/devices/x; echo 'c 1:3 r' > /mnt/cg/devices/x/devices.deny")
            if (hosts.CGROUPS / "devices/devices.list").exists():
                done = host.martlet("check", "m", check=False)
                self.assertIn("cgroup /x of devices: allows other devices", done.stderr + done.stdout)
            ordered.tell(host, "rmdir /mnt/cg/devices/x /mnt/cg/freezer/x")
            host.martlet("check", "m")

    def test_a_failed_restore_leaves_nothing(self):
        with Hosts(["host-a"]) as one:
            host = one["host-a"]
            bundle = self.start(host)
            image = bundle / "image"
            ordered.tell(host, FROZEN)
            ordered.tell(host, "cat > /mnt/reader < /dev/null; exec 9< /mnt/reader")
            host.martlet("checkpoint", "m", "--dir", image)
            host.martlet("rm", "--force", "m")
            self.assertEqual(self.left_of(host), [])
            files = [path for path in (image / "upper/mnt/reader", bundle / "rootfs/mnt/reader") if path.exists()]
            for path in files:
                path.rename(path.with_name("away"))
            done = host.martlet("restore", "--dir", image, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("/mnt/reader", done.stderr)
            self.assertEqual(self.left_of(host), [])
            for path in files:
                path.with_name("away").rename(path)
            host.martlet("restore", "--dir", image)
            self.assert_frozen(self.cgroup_of(host) / "f")

    def test_frozen_ones_stay_frozen_when_a_move_is_killed(self):
        for step in ("source.frozen", "source.captured"):
            with self.subTest(step), Hosts(["host-a", "host-b"]) as pair:
                source = pair["host-a"]
                self.start(source)
                ordered.tell(source, FROZEN)
                cgroup = self.cgroup_of(source) / "f"
                source.stop_agent()
                source.start_agent("--fault", f"{step}:stop")
                stat = pathlib.Path(f"/proc/{source.agent_pid}/stat")
                with source.martlet_popen("migrate", "m", "host-b", "--mode", "stop",
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
                    wait_until(lambda at=stat: at.read_text().rpartition(")")[2].split()[0] == "T", f"stop at {step}")
                    source.stop_agent(signal.SIGKILL)
                source.start_agent()
                self.assert_frozen(cgroup)
                source.martlet("migrate", "m", "host-b")
                self.assertEqual(self.left_of(source), [])
                self.assert_frozen(self.cgroup_of(pair["host-b"]) / "f")

    def test_frozen_ones_stay_frozen(self):
        """Also after a check, a checkpoint that leaves it running, and a stop."""
        with Hosts(["host-a"]) as one:
            host = one["host-a"]
            bundle = self.start(host)
            ordered.tell(host, FROZEN)
            cgroup = self.cgroup_of(host) / "f"
            host.martlet("check", "m")
            self.assert_frozen(cgroup)
            host.martlet("checkpoint", "m", "--dir", bundle / "image", "--leave-running")
            self.assert_frozen(cgroup)
            sleeper = int((cgroup / "cgroup.procs").read_text())
            host.martlet("pause", "m")
            host.martlet("unpause", "m")
            self.assert_frozen(cgroup)
            host.martlet("stop", "m", "--timeout", "0.1")
            self.assertFalse(os.path.exists(f"/proc/{sleeper}/exe"))
            host.martlet("rm", "m")
            self.assertEqual(self.left_of(host), [])


if __name__ == "__main__":
    unittest.main()
