"""A container whose bundle lets it mount, and that has done so."""

import json
import pathlib
import unittest

import hosts
from hosts import Hosts, wait_until

SCRIPT = ("while sleep 0.1; do"
          " if [ -e /tmp/mount ]; then mount -t tmpfs mine /mnt && rm /tmp/mount; fi;"
          " if [ -e /tmp/unmount ]; then umount /mnt && rm /tmp/unmount; fi; done")


class OwnMountsTest(unittest.TestCase):
    def make_bundle(self):
        directory = pathlib.Path(self.enterContext(hosts.temporary_directory()))
        root = directory / "rootfs"
        for sub in ("bin", "lib64", "lib", "usr", "proc", "sys", "dev", "tmp", "mnt"):
            (root / sub).mkdir(parents=True)
        rights = ["CAP_SYS_ADMIN"]
        (directory / "config.json").write_text(json.dumps({
            "ociVersion": "1.0.2", "root": {"path": "rootfs"},
            "process": {"args": ["bash", "-c", SCRIPT], "cwd": "/", "user": {"uid": 0, "gid": 0},
                        "env": ["PATH=/bin:/usr/bin"],
                        "capabilities": {"bounding": rights, "effective": rights,
                                         "permitted": rights}},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]}))
        return directory

    @staticmethod
    def tell(host, word):
        """Lets the program do something, and waits until it has."""
        pid = json.loads(host.martlet("inspect", "m", "--json").stdout)["pid"]
        order = pathlib.Path(f"/proc/{pid}/root/tmp/{word}")
        order.touch()
        wait_until(lambda: not order.exists(), f"the container to {word}")
        return pathlib.Path(f"/proc/{pid}/mountinfo").read_text()

    def test_refused_while_it_is_there(self):
        with Hosts(["host-a"]) as one:
            host = one["host-a"]
            bundle = self.make_bundle()
            binds = [f"--volume={path}:{path}:ro" for path in ("/bin", "/lib", "/lib64", "/usr")]
            host.martlet("run", "--name", "m", "--bundle", bundle, *binds)
            host.martlet("check", "m")
            mounts = self.tell(host, "mount")
            self.assertIn(" /mnt ", mounts)
            image = bundle / "image"
            for command in (("checkpoint", "m", "--dir", image), ("check", "m")):
                done = host.martlet(*command, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("/mnt (tmpfs)", done.stderr + done.stdout)
            self.assertFalse(image.exists())
            self.assertNotIn(" /mnt ", self.tell(host, "unmount"))
            host.martlet("checkpoint", "m", "--dir", image)
            host.martlet("rm", "--force", "m")
            done = host.martlet("restore", "--dir", image, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(" /mnt ", self.tell(host, "mount"))


if __name__ == "__main__":
    unittest.main()
