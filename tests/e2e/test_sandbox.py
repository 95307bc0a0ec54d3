"""A server in a sandbox of an ordinary user: it is root in a user namespace of its own, with a host name of its own."""
import json
import pathlib
import unittest

from moved_service import HERE, NAME
from verified_service import VerifiedServiceTest

SANDBOX = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups",
           "unshare", "--map-root-user", "--uts"]


class Sandbox(VerifiedServiceTest):
    def seen_inside(self):
        """What the sandbox is, on the host where it is now."""
        pid = json.loads(self.hosts["host-a"].martlet("inspect", NAME, "--json").stdout)["pid"]
        of_process = pathlib.Path(f"/proc/{pid}")
        status = [line for line in (of_process / "status").read_text().splitlines()
                  if line.startswith(("Uid", "Gid", "Groups", "Cap"))]
        maps = [(of_process / name).read_text() for name in ("uid_map", "gid_map", "setgroups")]
        threads = {(task / "status").read_text().split("NSpid:")[1].split()[1]
                   for task in (of_process / "task").iterdir()}
        return status, maps, threads

    def test_clients_notice_nothing(self):
        self.check_moved([*SANDBOX, "/usr/bin/python3", HERE / "servers/app.py"],
                         port=8080, protocol="http")

    def move_there_and_back(self, *clients):
        *before, threads = self.seen_inside()
        self.assertIn("1000", before[1][0])
        super().move_there_and_back(*clients)
        *after, threads_now = self.seen_inside()
        self.assertEqual(after, before)
        self.assertLessEqual(threads, threads_now)  # the pool grows


if __name__ == "__main__":
    unittest.main()
