"""A Java HTTP server with many threads and a child process."""
import unittest

from moved_service import HERE
from verified_service import VerifiedServiceTest


class Java(VerifiedServiceTest):
    def test_clients_notice_nothing(self):
        self.check_moved(["java", "-Xmx128m", HERE / "servers/App.java"], port=8080, protocol="http")


if __name__ == "__main__":
    unittest.main()
