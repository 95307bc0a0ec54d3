"""A container whose bundle declares a seccomp filter, restored and moved."""

import json
import pathlib
import unittest

import hosts
from hosts import Hosts, wait_until

# The filter forbids one thing that the program tries, and kills for what only Martlet does to it.
FILTER = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["userfaultfd", "membarrier", "getitimer", "timer_gettime"],
         "action": "SCMP_ACT_KILL_PROCESS"}]}
SCRIPT = ("while sleep 0.1; do mkdir /tmp/directory && echo made >> /tmp/log || "
          "echo refused >> /tmp/log; done")


def seccomp_lines(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return [line for line in status if line.startswith(("Seccomp", "NoNewPrivs"))]


class SeccompTest(unittest.TestCase):
    def make_bundle(self):
        directory = pathlib.Path(self.enterContext(hosts.temporary_directory()))
        root = directory / "rootfs"
        for sub in ("bin", "lib64", "lib", "usr", "proc", "sys", "dev", "tmp"):
            (root / sub).mkdir(parents=True)
        (directory / "config.json").write_text(json.dumps({
            "ociVersion": "1.0.2", "root": {"path": "rootfs"},
            "process": {"args": ["bash", "-c", SCRIPT], "cwd": "/", "user": {"uid": 0, "gid": 0},
                        "env": ["PATH=/bin:/usr/bin"]},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}],
            "linux": {"seccomp": FILTER}}))
        return directory

    def check(self, host, before):
        """The filter is what it was, and works; returns what the kernel says about it."""
        pid = json.loads(host.martlet("inspect", "b", "--json").stdout)["pid"]
        log = pathlib.Path(f"/proc/{pid}/root/tmp/log")
        old = log.read_text() if log.exists() else ""
        wait_until(lambda: log.exists() and len(log.read_text()) > len(old), "a new line")
        self.assertNotIn("made", log.read_text())
        lines = seccomp_lines(pid)
        if before:
            self.assertEqual(lines, before)
        self.assertTrue(any(line.split() == ["Seccomp:", "2"] for line in lines), lines)
        return lines

    def test_filter_goes_along(self):
        with Hosts(["host-a", "host-b"]) as two:
            first, second = two["host-a"], two["host-b"]
            bundle = self.make_bundle()
            binds = [f"--volume={path}:{path}:ro" for path in ("/bin", "/lib", "/lib64", "/usr")]
            first.martlet("run", "--name", "b", "--bundle", bundle, *binds)
            before = self.check(first, None)
            image = bundle / "image"
            first.martlet("checkpoint", "b", "--dir", image)
            first.martlet("rm", "--force", "b")
            first.martlet("restore", "--dir", image)
            self.check(first, before)
            first.martlet("migrate", "b", "host-b", "--mode", "precopy")
            self.check(second, before)


if __name__ == "__main__":
    unittest.main()
