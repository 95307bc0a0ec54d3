"""memcached (worker threads, libevent) under clients that verify every reply."""
import unittest

from verified_service import VerifiedServiceTest


class Memcached(VerifiedServiceTest):
    def test_clients_notice_nothing(self):
        self.check_moved(["memcached", "-u", "nobody", "-m", "64", "-t", "4", "-l", "0.0.0.0"],
                         port=11211, protocol="memcached")


if __name__ == "__main__":
    unittest.main()
