"""Redis under redis-benchmark, and under a client that verifies every reply."""
import json
import unittest

from moved_service import ADDRESS, MovedServiceTest, demo_client, finish

SERVER = ["redis-server", "--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no",
          "--save", "", "--appendonly", "no"]


class Redis(MovedServiceTest):
    def test_clients_notice_nothing(self):
        self.run_container(SERVER, port=6379)
        verifier = self.start_client(demo_client(), "--host", ADDRESS, "--connections", "20",
                                     "--rate", "1000", "--dataset", "32", "--json", ready="ready")
        benchmark = self.start_client("redis-benchmark", "-h", ADDRESS, "-c", "30", "-r", "10000",
                                      "-t", "set,get,incr,lpush,lpop,zadd", "-l", "-q")
        self.move_there_and_back(verifier, benchmark)

        self.assertNotRegex(finish(benchmark), "(?i)error|refused|reset|closed")
        report = json.loads(finish(verifier))
        self.assertEqual(verifier.returncode, 0, report)
        self.assertGreater(report["replies"], 1000)


if __name__ == "__main__":
    unittest.main()
