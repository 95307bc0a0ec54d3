"""Memory that follows a container: what happens while it is on two hosts."""
import json
import os
import pathlib
import signal
import subprocess
import unittest

from hosts import command, wait_until
from moved_service import ADDRESS, NAME, MovedServiceTest, demo_client, finish

SERVER = ["redis-server", "--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no",
          "--save", "", "--appendonly", "no", "--dir", "/tmp", "--enable-debug-command", "yes"]
KEYS = 40_000  # of about 1 kB
# Long enough for everything that a test does while the memory is on two hosts.
LATER = ["--mode", "postcopy", "--push-after", "6s"]


class Postcopy(MovedServiceTest):
    def setUp(self):
        super().setUp()
        self.source, self.destination = self.hosts["host-a"], self.hosts["host-b"]
        self.run_container(SERVER, port=6379)

    def redis(self, *args):
        return self.in_client("redis-cli", "-h", ADDRESS, *args).stdout.strip()

    def fill(self):
        self.assertEqual(self.redis("DEBUG", "POPULATE", KEYS, "key", 900), "OK")
        return self.redis("DEBUG", "DIGEST")

    def inspect(self, host):
        return json.loads(host.martlet("inspect", NAME, "--json").stdout)

    def start_move(self, *options):
        """Returns when the container runs on the destination and its memory is still to come."""
        move = self.source.martlet_popen("migrate", NAME, "host-b", *options,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = []
        for line in move.stdout:
            said.append(line)
            if "stage 7" in line:
                wait_until(lambda: self.inspect(self.destination)["arriving"], "arrival")
                return move
        self.fail("".join(said))

    def await_completion(self):
        wait_until(lambda: self.inspect(self.destination)["arriving"] is None, "all of the memory")
        wait_until(lambda: self.source.martlet("inspect", NAME, check=False).returncode != 0,
                   "removal on the source")
        journals = [list((host.state_dir / "migrations").glob("*.json")) for host in self.hosts]
        wait_until(lambda: not any(path.exists() for paths in journals for path in paths),
                   "the migration to be forgotten")
        self.assertEqual(list((self.destination.state_dir / "keepers").iterdir()), [])

    def keeper(self):
        for directory in pathlib.Path("/proc").iterdir():
            try:
                words = (directory / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"--page-keeper" in words and str(self.destination.state_dir).encode() in words[2]:
                return int(directory.name)
        return self.fail("there is no keeper")

    def test_clients_notice_nothing(self):
        self.fill()
        verifier = self.start_client(demo_client(), "--host", ADDRESS, "--connections", "20",
                                     "--rate", "1000", "--dataset", "32", "--json", ready="ready")
        for mode, source, destination in (("postcopy", "host-a", "host-b"),
                                          ("hybrid", "host-b", "host-a")):
            moved = json.loads(self.hosts[source].martlet(
                "migrate", NAME, destination, "--mode", mode, "--json").stdout)
            print(f"{mode}: pause {moved['pause_seconds'] * 1000:.1f} ms, "
                  f"{moved['late_bytes'] / 1e6:.1f} MB later, {moved['wanted_pages']} waited for")
            if mode == "postcopy":
                self.assertGreater(moved["late_bytes"], KEYS * 900)
        report = json.loads(finish(verifier))
        self.assertEqual(verifier.returncode, 0, report)
        self.assertGreater(report["replies"], 1000)

    def test_fork_with_missing_pages(self):
        digest = self.fill()
        move = self.start_move(*LATER)
        self.assertEqual(self.redis("BGSAVE"), "Background saving started")
        wait_until(lambda: "rdb_bgsave_in_progress:0" in self.redis("INFO", "persistence"), "save")
        self.assertIn("rdb_last_bgsave_status:ok", self.redis("INFO", "persistence"))
        self.assertEqual(self.redis("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE"), "OK")
        self.assertEqual(self.redis("DEBUG", "DIGEST"), digest)
        self.assertEqual(move.wait(60), 0)
        self.await_completion()
        self.assertEqual(self.redis("DEBUG", "DIGEST"), digest)

    def test_link_is_cut_and_comes_back(self):
        digest = self.fill()
        move = self.start_move(*LATER)
        port = f"p{self.source.number}"
        command("ip", "-n", self.hosts.switch, "link", "set", port, "down")
        waiting = self.start_client("redis-cli", "-h", ADDRESS, "DEBUG", "DIGEST")
        with self.assertRaises(subprocess.TimeoutExpired):
            waiting.wait(1)  # for pages that cannot come
        command("ip", "-n", self.hosts.switch, "link", "set", port, "up")
        self.assertEqual(waiting.communicate(timeout=60)[0].strip(), digest)
        self.assertEqual(move.wait(60), 0)
        self.await_completion()

    def test_source_agent_is_killed(self):
        digest = self.fill()
        self.start_move(*LATER)
        self.source.stop_agent(signal.SIGKILL)
        self.source.start_agent()
        self.assertEqual(self.redis("DEBUG", "DIGEST"), digest)
        self.await_completion()

    def test_destination_agent_is_killed(self):
        digest = self.fill()
        self.start_move(*LATER)
        self.destination.stop_agent(signal.SIGKILL)
        waiting = self.start_client("redis-cli", "-h", ADDRESS, "DEBUG", "DIGEST")
        with self.assertRaises(subprocess.TimeoutExpired):
            waiting.wait(1)
        self.destination.start_agent()
        self.assertEqual(waiting.communicate(timeout=60)[0].strip(), digest)
        self.await_completion()

    def test_what_can_be_done_meanwhile(self):
        self.fill()
        move = self.start_move(*LATER)
        for refused in (["migrate", NAME, "host-a"], ["checkpoint", NAME, "--dir", "/tmp/no"]):
            done = self.destination.martlet(*refused, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("not complete here yet (memory arrives from host-a", done.stderr)
        self.destination.martlet("pause", NAME)
        self.destination.martlet("unpause", NAME)
        self.destination.martlet("rm", "--force", NAME)
        self.assertEqual(move.wait(60), 0)  # nobody needs the memory any more
        wait_until(lambda: self.source.martlet("inspect", NAME, check=False).returncode != 0,
                   "removal on the source")

    def expect_lost(self, reason):
        wait_until(lambda: self.inspect(self.destination)["lost"], "end of the container")
        container = self.inspect(self.destination)
        self.assertIn(reason, container["lost"])
        wait_until(lambda: self.inspect(self.destination)["state"] == "exited", "its exit")

    def test_keeper_is_killed(self):
        self.fill()
        self.start_move(*LATER)
        os.kill(self.keeper(), signal.SIGKILL)
        self.expect_lost("the process that kept its missing pages was ended")

    def test_memory_on_the_source_is_lost(self):
        self.fill()
        self.start_move(*LATER)
        pid = self.inspect(self.source)["pid"]
        self.source.stop_agent(signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not pathlib.Path(f"/proc/{pid}/exe").exists(), "end of its tasks")
        self.source.start_agent()
        self.expect_lost("its processes on the source have ended")


if __name__ == "__main__":
    unittest.main()
