"""fio (native AIO with direct requests, always some in flight) that reads back and verifies what it
writes, while it moves."""
import json
import unittest

from hosts import wait_until
from moved_service import NAME, MovedServiceTest


class Fio(MovedServiceTest):
    def test_every_block_is_what_was_written(self):
        self.hosts["host-a"].martlet(
            "run", "--name", NAME, "--overlay", "/", "--", "fio", "--name=verified",
            "--filename=/blocks", "--ioengine=libaio", "--direct=1", "--size=4m", "--bs=4k",
            "--iodepth=8", "--rw=randwrite", "--verify=crc32c", "--verify_backlog=64",
            "--verify_fatal=1", "--time_based", "--runtime=600", "--output-format=json")
        wait_until(lambda: "[aio]" in self.mappings("host-a"), "fio has an AIO context")
        here, there = "host-a", "host-b"
        for mode in ("precopy", "precopy", "stop", "postcopy", "hybrid"):
            self.move(here, there, (), ("--mode", mode))
            here, there = there, here
            self.assertIn("[aio]", self.mappings(here))
        # It ends as if its time was up, but with this exit code; a wrong block would have ended it.
        stopped = self.hosts[here].martlet("stop", NAME, "--timeout", "30", "--json").stdout
        logs = self.hosts[here].martlet("logs", NAME).stdout
        self.assertEqual(json.loads(stopped)["exit_code"], 128, logs)
        job, = json.loads(logs[logs.index("{"):])["jobs"]
        self.assertEqual(job["error"], 0, logs)
        print(f"{job['write']['total_ios']} written, {job['read']['total_ios']} verified")
        self.assertGreater(job["read"]["total_ios"], 0)

    def mappings(self, host):
        """What all processes of the container have mapped."""
        return self.hosts[host].martlet("exec", NAME, "--", "sh", "-c", "cat /proc/[0-9]*/maps",
                                        check=False).stdout


if __name__ == "__main__":
    unittest.main()
