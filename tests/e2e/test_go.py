"""A program written in Go: Prometheus' exporter of the machine's figures, which counts its answers."""
import unittest

from verified_service import VerifiedServiceTest


class Go(VerifiedServiceTest):
    def test_clients_notice_nothing(self):
        self.check_moved(["prometheus-node-exporter", "--web.listen-address=0.0.0.0:9100"], port=9100,
                         protocol="exporter")


if __name__ == "__main__":
    unittest.main()
