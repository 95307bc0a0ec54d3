"""A Node.js HTTP server with timers, worker threads, the thread pool of libuv and a child process."""
import unittest

from moved_service import HERE
from verified_service import VerifiedServiceTest


class Node(VerifiedServiceTest):
    def test_clients_notice_nothing(self):
        self.check_moved(["node", HERE / "servers/app.js"], port=8080, protocol="http")


if __name__ == "__main__":
    unittest.main()
