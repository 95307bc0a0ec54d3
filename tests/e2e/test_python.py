"""A Python asyncio HTTP server with timers, a pool of threads and a child process."""
import unittest

from moved_service import HERE
from verified_service import VerifiedServiceTest


class Python(VerifiedServiceTest):
    def test_clients_notice_nothing(self):
        self.check_moved(["/usr/bin/python3", HERE / "servers/app.py"], port=8080, protocol="http")


if __name__ == "__main__":
    unittest.main()
