"""A container whose bundle lets it mount and rename: what is refused, kept, and what a failed restore leaves."""

import json
import pathlib
import unittest

import hosts
import ordered
from hosts import Hosts

class OwnMountsTest(unittest.TestCase):
    @staticmethod
    def tell(host, order):
        """Returns its mounts after the order."""
        ordered.tell(host, order)
        return pathlib.Path(f"/proc/{ordered.pid_of(host)}/mountinfo").read_text()

    @staticmethod
    def mounts_below(directory):
        lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
        return [line for line in lines if str(directory) in line]

    def start(self, host, rights=("CAP_SYS_ADMIN",)):
        bundle = pathlib.Path(self.enterContext(hosts.temporary_directory()))
        ordered.make_bundle(bundle, list(rights))
        ordered.run(host, bundle)
        return bundle

    def assert_refused(self, host, image, reason):
        for command in (("checkpoint", "m", "--dir", image), ("check", "m")):
            done = host.martlet(*command, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(reason, done.stderr + done.stdout)
        self.assertFalse(image.exists())

    def test_refuses_files_with_several_names(self):
        with Hosts(["host-a"]) as one:
            host = one["host-a"]
            bundle = self.start(host)
            self.tell(host, "echo > /tmp/one; ln /tmp/one /tmp/two; echo > /mnt/file")
            for mount, unmount, reason in (
                    ("mount --bind /tmp/one /mnt/file", "umount /mnt/file",
                     "/mnt/file (tmpfs) itself, and it shows a file that has several names"),
                    ("mount --bind /mnt/file /tmp/two", "umount /tmp/two",
                     "itself, on a file that has several names")):
                self.tell(host, mount)
                self.assert_refused(host, bundle / "image", reason)
                self.tell(host, unmount)
            host.martlet("check", "m")

    def test_refused_while_it_is_there(self):
        with Hosts(["host-a"]) as one:
            host = one["host-a"]
            bundle = self.start(host)
            image = bundle / "image"
            for mount, unmount, reason in (
                    ("mount -t ramfs mine /mnt", "umount /mnt", "/mnt (ramfs)"),
                    ("mount -t tmpfs a /mnt; mount -t tmpfs b /mnt", "umount /mnt; umount /mnt",
                     "tmpfs /mnt: another mount lies on top")):
                self.assertIn(" /mnt ", self.tell(host, mount))
                self.assert_refused(host, image, reason)
                self.assertNotIn(" /mnt ", self.tell(host, unmount))
            host.martlet("checkpoint", "m", "--dir", image)
            host.martlet("rm", "--force", "m")
            done = host.martlet("restore", "--dir", image, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(" /mnt ", self.tell(host, "mount -t tmpfs mine /mnt"))

    @staticmethod
    def tree_of(mountinfo):
        """What is mounted where, on what, and how; without numbers that the kernel gives."""
        lines = [line.split() for line in mountinfo.splitlines()]
        points = {words[0]: words[4] for words in lines}
        return sorted((words[4], points.get(words[1]), words[5], words[words.index("-") + 1])
                      for words in lines)

    def test_keeps_hidden_and_moved_mounts(self):
        with Hosts(["host-a"]) as one:
            host = one["host-a"]
            bundle = self.start(host)
            before = self.tell(host, "cd /mnt; mkdir -p a b/c d; mount -t tmpfs moved a; echo kept > a/file;"
                               " mount --move a d; mount -t proc hidden b/c; mount --bind /usr/share b;"
                               " mount -o remount,bind,ro,noatime b; touch a/x y; mount --bind /tmp a;"
                               " touch d/one d/two; mount --bind y d/one; cd /")
            self.assertEqual(before.count(" /mnt/"), 5)
            for number in (1, 2):
                image = bundle / f"image-{number}"
                host.martlet("checkpoint", "m", "--dir", image)
                host.martlet("rm", "--force", "m")
                host.martlet("restore", "--dir", image)
                self.assertEqual(self.tree_of(self.tell(host, "read -r line < /mnt/d/file")),
                                 self.tree_of(before))
            shown = self.tell(host, "echo $line > /mnt/seen")
            self.assertIn(" /mnt/b/c rw,relatime", shown)
            self.assertEqual((bundle / "rootfs/mnt/seen").read_text(), "kept\n")

    def test_keeps_the_host_name_that_it_gave_itself(self):
        with Hosts(["host-a"]) as one:
            host = one["host-a"]
            bundle = self.start(host)
            self.tell(host, "echo other > /proc/sys/kernel/hostname")
            host.martlet("checkpoint", "m", "--dir", bundle / "image")
            host.martlet("rm", "--force", "m")
            host.martlet("restore", "--dir", bundle / "image")
            self.tell(host, "cat /proc/sys/kernel/hostname > /mnt/seen")
            self.assertEqual((bundle / "rootfs/mnt/seen").read_text(), "other\n")

    def test_a_failed_restore_leaves_nothing(self):
        with Hosts(["host-a"]) as one:
            host = one["host-a"]
            bundle = self.start(host)
            image = bundle / "image"
            self.tell(host, "mkdir /mnt/own; mount -t tmpfs mine /mnt/own; echo kept > /mnt/own/file")
            host.martlet("checkpoint", "m", "--dir", image)
            host.martlet("rm", "--force", "m")
            points = [image / "upper/mnt/own", bundle / "rootfs/mnt/own"]
            before = self.mounts_below(host.directory)
            for point in points:
                point.rmdir()
            done = host.martlet("restore", "--dir", image, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("mount /mnt/own", done.stderr)
            self.assertEqual(json.loads(host.martlet("ps", "--json").stdout), [])
            self.assertEqual(self.mounts_below(host.directory), before)
            points[0].mkdir()
            host.martlet("restore", "--dir", image)
            self.assertIn(" /mnt/own ", self.tell(host, "cp /mnt/own/file /mnt/seen"))
            self.assertEqual((bundle / "rootfs/mnt/seen").read_text(), "kept\n")

    def start_apart(self, host, script, propagation="private"):
        """Lets a process with mounts of its own do this; returns when it waits for its end."""
        self.tell(host, f"unshare -m --propagation {propagation} bash -c '{script}; touch /tmp/ready; exec sleep 1000' &")
        ready = pathlib.Path(f"/proc/{ordered.pid_of(host)}/root/tmp/ready")
        hosts.wait_until(ready.exists, "the process with mounts of its own")

    @staticmethod
    def root_apart(host):
        """The root directory of that process."""
        children = pathlib.Path(f"/proc/{ordered.pid_of(host)}/task/{ordered.pid_of(host)}/children").read_text().split()
        sleepers = [pid for pid in children
                    if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\x001000")]
        return pathlib.Path(f"/proc/{sleepers[0]}/root")

    @staticmethod
    def held_namespaces(host):
        """What the agent keeps open of mount namespaces."""
        links = pathlib.Path(f"/proc/{host.agent_pid}/fd").iterdir()
        return [link.readlink() for link in links if str(link.readlink()).startswith("mnt:")]

    def test_a_failed_restore_leaves_no_namespace(self):
        with Hosts(["host-a"]) as one:
            host = one["host-a"]
            bundle = self.start(host, ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"])
            image = bundle / "image"
            self.tell(host, "mkdir /mnt/own")
            self.start_apart(host, "mount -t tmpfs mine /mnt/own; echo kept > /mnt/own/file")
            host.martlet("checkpoint", "m", "--dir", image)
            host.martlet("rm", "--force", "m")
            points = [image / "upper/mnt/own", bundle / "rootfs/mnt/own"]
            before = self.mounts_below(host.directory)
            for point in points:
                point.rmdir()
            done = host.martlet("restore", "--dir", image, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("mount namespace 1: mount /mnt/own", done.stderr)
            self.assertEqual(json.loads(host.martlet("ps", "--json").stdout), [])
            self.assertEqual(self.mounts_below(host.directory), before)
            self.assertEqual(self.held_namespaces(host), [])
            points[0].mkdir()
            host.martlet("restore", "--dir", image)
            self.assertEqual((self.root_apart(host) / "mnt/own/file").read_text(), "kept\n")
            self.assertFalse(pathlib.Path(f"/proc/{ordered.pid_of(host)}/root/mnt/own/file").exists())
            self.assertEqual(self.held_namespaces(host), [])

    def test_refuses_a_mount_namespace_without_the_right_to_join_it(self):
        with Hosts(["host-a"]) as one:
            host = one["host-a"]
            bundle = self.start(host)
            self.start_apart(host, "mount -t tmpfs mine /mnt")
            self.assert_refused(host, bundle / "image", "no right to CAP_SYS_CHROOT")

    def start_with_peer(self, host):
        """A container that is given a mount which shares with this directory; returns both."""
        bundle = pathlib.Path(self.enterContext(hosts.temporary_directory()))
        hub = bundle / "hub"
        hub.mkdir()
        hosts.command("mount", "-t", "tmpfs", "hub", hub)
        self.addCleanup(hosts.command, "umount", "--recursive", "--lazy", hub)
        hosts.command("mount", "--make-shared", hub)
        (hub / "point").mkdir()
        ordered.make_bundle(bundle, ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"])
        (bundle / "rootfs/hub").mkdir()
        config = json.loads((bundle / "config.json").read_text())
        config["mounts"].append({"destination": "/hub", "type": "bind", "source": str(hub),
                                 "options": ["rbind", "rshared"]})
        config["linux"] = {"rootfsPropagation": "rshared"}
        (bundle / "config.json").write_text(json.dumps(config))
        ordered.run(host, bundle)
        return bundle, hub

    def test_keeps_the_peers_of_a_mount_whose_flags_it_has_changed(self):
        with Hosts(["host-a"]) as one:
            host = one["host-a"]
            bundle, hub = self.start_with_peer(host)
            self.tell(host, "mount -o remount,bind,noexec /hub")
            self.start_apart(host, ":", "slave")
            host.martlet("checkpoint", "m", "--dir", bundle / "image")
            host.martlet("rm", "--force", "m")
            host.martlet("restore", "--dir", bundle / "image")
            self.assertIn(" /hub rw,noexec", self.tell(host, ":"))
            hosts.command("mount", "-t", "tmpfs", "later", hub / "point")
            (hub / "point/file").touch()
            self.assertTrue(pathlib.Path(f"/proc/{ordered.pid_of(host)}/root/hub/point/file").exists())
            self.assertTrue((self.root_apart(host) / "hub/point/file").exists())
            self.tell(host, "umount /hub/point")
            self.assertFalse((hub / "point/file").exists())
            host.martlet("rm", "--force", "m")

    def test_refuses_a_mount_namespace_with_peers_outside(self):
        with Hosts(["host-a"]) as one:
            host = one["host-a"]
            bundle, _ = self.start_with_peer(host)
            self.start_apart(host, ":", "unchanged")
            self.assert_refused(host, bundle / "image", "/hub shares its mounts with others outside")
            host.martlet("rm", "--force", "m")


if __name__ == "__main__":
    unittest.main()
