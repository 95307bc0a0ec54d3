"""What can go wrong in a migration: whatever does, exactly one copy of the container serves."""
import json
import signal
import subprocess
import unittest

from counter import ADDRESS, NAME, CounterTest
from hosts import Hosts, wait_until

SOURCE_STEPS = ["preflight", "first-copy", "sandbox", "frozen", "second-copy", "captured", "restored"]
DESTINATION_STEPS = ["accepted", "sandbox", "restoring", "restored"]


class MigrationTest(CounterTest, unittest.TestCase):
    def setUp(self):
        self.hosts = self.enterContext(Hosts(["host-a", "host-b"]))
        self.a = self.hosts["host-a"]
        self.b = self.hosts["host-b"]
        self.run_counter(self.a)

    def migrate(self, check=False, host="host-b", name=NAME):
        return self.a.martlet("migrate", name, host, "--json", check=check)

    def names_on(self, host):
        return [line.split()[0] for line in host.martlet("ps").stdout.splitlines()[1:]]

    def expect_on_source(self):
        self.assertEqual(self.names_on(self.a), [NAME])
        wait_until(lambda: self.names_on(self.b) == [], "removal on host-b")
        self.ask()

    def expect_on_destination(self):
        wait_until(lambda: self.names_on(self.a) == [], "removal on host-a")
        self.assertEqual(self.names_on(self.b), [NAME])
        self.ask()

    def restart(self, host, *options):
        host.stop_agent()
        host.start_agent(*options)

    def test_moves(self):
        report = json.loads(self.migrate(check=True).stdout)
        self.assertEqual([stage["number"] for stage in report["stages"]], list(range(12)))
        self.assertGreater(report["pause_seconds"], 0)
        self.assertLess(report["pause_seconds"], report["total_seconds"])
        self.expect_on_destination()

    def test_what_belongs_to_a_container_moves_with_it(self):
        """Its log, the rest of what it waits for, its MAC, its environment, its limits."""
        self.a.martlet("run", "--name", "talker", "--overlay", "/", "--ip", "10.77.0.61/24",
                       "--memory", "96M", "--env", "COLOUR=blue", "--", "sh", "-c",
                       "mkfifo /tmp/go; echo one; read x < /tmp/go; echo two $COLOUR; exec sleep 1000")
        wait_until(lambda: self.a.martlet("logs", "talker").stdout == "one\n", "the first line")
        before = json.loads(self.a.martlet("inspect", "talker", "--json").stdout)
        of_an_exec = ["exec", "talker", "--", "sh", "-c", "grep -h -E '^(Cap|NoNew)' /proc/self/status; env; pwd"]
        exec_before = self.a.martlet(*of_an_exec).stdout
        self.migrate(check=True, name="talker")
        after = json.loads(self.b.martlet("inspect", "talker", "--json").stdout)
        for key in ("mac", "addresses", "memory_bytes", "env", "args"):
            self.assertEqual(after[key], before[key], key)
        self.assertEqual(self.b.martlet(*of_an_exec).stdout, exec_before)
        self.b.martlet("exec", "talker", "--", "sh", "-c", "echo > /tmp/go")
        wait_until(lambda: self.b.martlet("logs", "talker").stdout == "one\ntwo blue\n", "the rest")
        mac = self.b.martlet("exec", "talker", "--", "cat", "/sys/class/net/eth0/address").stdout
        self.assertEqual(mac.strip(), before["mac"])
        too_much = self.b.martlet("exec", "talker", "--", "python3", "-c", "bytearray(300 << 20)",
                                  check=False)
        self.assertEqual(too_much.returncode, 128 + signal.SIGKILL)

    def test_bad_requests_change_nothing(self):
        for name, host, word in (("nobody", "host-b", "nobody"), (NAME, "host-x", "host-x"),
                                 (NAME, "host-a", "already")):
            with self.subTest(name=name, host=host):
                refused = self.migrate(host=host, name=name)
                self.assertNotEqual(refused.returncode, 0)
                self.assertIn(word, refused.stderr)
                self.assertEqual(len(refused.stderr.strip().splitlines()), 1)
        self.b.martlet("run", "--name", NAME, "--overlay", "/", "--", "sleep", "1000")
        refused = self.migrate()
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(f"has a container {NAME} already", refused.stderr)
        self.ask()

    def test_taken_address(self):
        self.b.martlet("run", "--name", "other", "--overlay", "/", "--ip", f"{ADDRESS}/24", "--",
                       "sleep", "1000")
        refused = self.migrate()
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(ADDRESS, refused.stderr)
        self.assertEqual(self.names_on(self.a), [NAME])

    def test_every_failing_step_rolls_back(self):
        for host, side, steps in ((self.a, "source", SOURCE_STEPS),
                                  (self.b, "destination", DESTINATION_STEPS)):
            for step in steps:
                with self.subTest(step=f"{side}.{step}"):
                    self.restart(host, "--fault", f"{side}.{step}:fail")
                    failed = self.migrate()
                    self.assertNotEqual(failed.returncode, 0)
                    self.assertIn(f"{side}.{step}", failed.stderr)
                    self.expect_on_source()
            self.restart(host)
        self.migrate(check=True)
        self.expect_on_destination()

    def test_killed_destination_leaves_the_source_serving(self):
        for step in DESTINATION_STEPS:
            with self.subTest(step=step):
                self.restart(self.b, "--fault", f"destination.{step}:die")
                self.assertNotEqual(self.migrate().returncode, 0)
                self.ask()
                self.b.start_agent()
                self.expect_on_source()

    def test_destination_killed_around_its_commit(self):
        """The source waits frozen until the destination tells; no copy is lost or doubled."""
        for step, outcome in (("committing", self.expect_on_source),
                              ("committed", self.expect_on_destination)):
            with self.subTest(step=step):
                self.restart(self.b, "--fault", f"destination.{step}:die")
                with self.start_migration() as moving:
                    self.assertEqual(self.b.agent.wait(30), -signal.SIGKILL)
                    self.b.start_agent()
                    moving.communicate(timeout=30)
                outcome()

    def start_migration(self):
        return self.a.martlet_popen("migrate", NAME, "host-b", stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE)

    def stage(self):
        shown = json.loads(self.a.martlet("migration", "show", NAME, "--json").stdout)
        return shown["progress"]["stage"]

    def test_destination_vanishes(self):
        """Its link goes down: no packet tells of its end."""
        self.restart(self.b, "--fault", "destination.restoring:wait")
        with self.start_migration() as moving:
            wait_until(lambda: "fault injected" in self.b.agent_log(), "the step")
            wait_until(lambda: self.stage() not in ("pre-flight check", "first file copy"),
                       "all connections of the source")
            self.b.ip("link", "set", "up0", "down")
            error = moving.communicate(timeout=60)[1]
        self.assertEqual(moving.returncode, 1)
        *stages, error = error.splitlines()
        self.assertTrue(all(line.startswith("stage ") for line in stages), stages)
        self.assertRegex(error, r"\Amartlet: .*host-b.*the connection is lost: [\w ]+\Z")
        self.ask()
        self.b.ip("link", "set", "up0", "up")
        self.restart(self.b)
        self.expect_on_source()

    def test_source_vanishes(self):
        """The destination removes what it built; the source goes on as soon as it is told to."""
        self.restart(self.a, "--fault", "source.restored:wait")
        with self.start_migration() as moving:
            wait_until(lambda: "fault injected" in self.a.agent_log(), "the step")
            self.assertEqual(self.names_on(self.b), [NAME])
            self.b.ip("link", "set", "up0", "down")
            wait_until(lambda: self.names_on(self.b) == [], "removal on host-b", seconds=60)
            self.a.martlet("migration", "cancel", NAME)
            moving.communicate(timeout=60)
        self.assertEqual(moving.returncode, 1)
        self.b.ip("link", "set", "up0", "up")
        self.expect_on_source()

    def test_killed_source_goes_on(self):
        for step in SOURCE_STEPS:
            with self.subTest(step=step):
                self.restart(self.a, "--fault", f"source.{step}:die")
                self.assertNotEqual(self.migrate().returncode, 0)
                self.a.start_agent()
                self.expect_on_source()

    def test_source_killed_in_doubt(self):
        self.restart(self.a, "--fault", "source.committing:die")
        self.assertNotEqual(self.migrate().returncode, 0)
        self.a.start_agent()
        wait_until(self.answers, "the container to go on")
        self.expect_on_source()

    def test_cancel(self):
        for step in ("first-copy", "frozen", "restored"):
            with self.subTest(step=step):
                self.restart(self.a, "--fault", f"source.{step}:wait")
                with self.start_migration() as moving:
                    wait_until(lambda: f"fault injected at source.{step}" in self.a.agent_log(),
                               f"step {step}")
                    self.a.martlet("migration", "cancel", NAME)
                    self.assertIn("cancelled", moving.communicate(timeout=30)[1])
                    self.assertNotEqual(moving.returncode, 0)
                self.expect_on_source()


if __name__ == "__main__":
    unittest.main()
