"""A service that is moved under the load of verifying_client.py."""
import json

from moved_service import ADDRESS, HERE, MovedServiceTest, finish


class VerifiedServiceTest(MovedServiceTest):
    def check_moved(self, command, port, protocol):
        self.run_container([str(word) for word in command], port)
        client = self.start_client("python3", HERE / "verifying_client.py", protocol,
                                   "--host", ADDRESS, "--port", port, ready="ready")
        self.move_there_and_back(client)

        report = json.loads(finish(client).splitlines()[-1])
        self.assertEqual(report["failures"], [])
        self.assertGreater(report["fewest"], 1)  # the last one came after the moves
