"""What an operator asks of a migration, sees of it and changes while it runs."""
import json
import os
import pty
import re
import subprocess
import unittest

import moved_service
import test_redis
from counter import NAME, CounterTest
from hosts import Hosts, HostsError, temporary_directory, wait_until

DEADLINE = 60
# With this limit no migration of the container would end within any deadline of these tests.
CRAWL = "10kB/s"

# Arguments behind `migrate counter host-b`, and what the one line must say.
BAD_OPTIONS = [
    (["--mode", "fast"], "'fast' is not one of auto"),
    (["--max-pause", "10"], "'10' is not a duration such as 10ms"),
    (["--max-pause", "0"], "max-pause must be longer than 0"),
    (["--max-pause", "-1ms"], "not a duration"),
    (["--max-time", "1ms"], "max-time cannot be shorter than max-pause"),
    (["--bandwidth", "50"], "'50' is not a rate such as 200Mbit/s"),
    (["--bandwidth", "10B/s"], "bandwidth must be 0 (no limit) or at least 1kB/s"),
    (["--streams", "0"], "streams must be 1 to 16"),
    (["--streams", "17"], "streams must be 1 to 16"),
    (["--streams", "many"], "--streams"),
    (["--max-rounds", "0"], "max-rounds must be 1 to 1000"),
    (["--compress", "gzip"], "'gzip' is not one of"),
    (["--on-no-convergence", "hope"], "'hope' is not one of"),
    (["--mode", "stop", "--max-rounds", "3"], "mode stop has no rounds"),
    (["--mode", "postcopy", "--stop", "criterion-1"], "mode postcopy has no rounds"),
    (["--mode", "precopy", "--push-after", "1s"], "mode precopy leaves no memory behind"),
]


class OptionsTest(CounterTest, unittest.TestCase):
    def setUp(self):
        self.hosts = self.enterContext(Hosts(["host-a", "host-b"]))
        self.a = self.hosts["host-a"]
        self.b = self.hosts["host-b"]
        self.run_counter(self.a)

    def start(self, *options, **streams):
        """Begins a migration to host-b that goes on beside the test."""
        return self.a.martlet_popen("migrate", NAME, "host-b", *options,
                                    **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams})

    def names_on(self, host):
        return [line.split()[0] for line in host.martlet("ps").stdout.splitlines()[1:]]

    def show(self, host):
        shown = host.martlet("migration", "show", NAME, "--json", check=False)
        return json.loads(shown.stdout) if shown.returncode == 0 else {"state": "unknown"}

    def wait_for_stage(self, moving, stage):
        def reached():
            if moving.poll() is not None:
                raise HostsError(f"the migration ended early: {moving.communicate()}")
            progress = self.show(self.a).get("progress")
            return progress is not None and progress["stage"] == stage
        wait_until(reached, f"stage {stage}")

    def wait_for_state(self, host, state):
        wait_until(lambda: self.show(host)["state"] == state, f"{state} on {host.name}")

    def expect_refusal(self, done, word):
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertIn(word, done.stderr)

    def test_limits_change_under_way(self):
        self.assertEqual(json.loads(self.a.martlet("migration", "ls", "--json").stdout), [])
        moving = self.start("--mode", "precopy", "--bandwidth", CRAWL, "--json")
        self.wait_for_stage(moving, "memory rounds")
        shown = self.show(self.a)
        self.assertEqual((shown["state"], shown["source"], shown["destination"]),
                         ("running", "host-a", "host-b"))
        self.assertEqual(shown["options"]["bandwidth"], 10_000)
        self.assertEqual(self.show(self.b)["id"], shown["id"])
        self.assertIn(shown["id"][:8], self.a.martlet("migration", "ls").stdout)
        self.assertIn("running", self.b.martlet("migration", "ls").stdout)
        self.expect_refusal(self.b.martlet("migration", "cancel", NAME, check=False),
                            "only the source can control it")
        self.expect_refusal(self.a.martlet("migration", "set", NAME, check=False), "nothing to set")
        self.expect_refusal(self.a.martlet("migration", "set", NAME, "--bandwidth", "1B/s",
                                           check=False), "at least 1kB/s")
        changed = json.loads(self.a.martlet("migration", "set", NAME, "--bandwidth", "0",
                                            "--max-pause", "100ms", "--json").stdout)
        self.assertEqual(changed["options"]["bandwidth"], 0)
        self.assertEqual(changed["options"]["max_pause_seconds"], 0.1)
        output, errors = moving.communicate(timeout=DEADLINE)
        self.assertEqual(moving.returncode, 0, errors)
        self.assertEqual(json.loads(output)["destination"], "host-b")
        self.wait_for_state(self.a, "done")
        self.wait_for_state(self.b, "done")
        self.assertGreater(self.show(self.a)["pause_seconds"], 0)
        self.assertIn("compression", self.a.martlet("migration", "show", NAME).stdout)
        self.assertEqual(self.names_on(self.b), [NAME])
        self.ask()

    def test_cancel_under_way(self):
        moving = self.start("--mode", "precopy", "--bandwidth", CRAWL)
        self.wait_for_stage(moving, "memory rounds")
        self.a.martlet("migration", "cancel", NAME)
        errors = moving.communicate(timeout=DEADLINE)[1]
        self.assertNotEqual(moving.returncode, 0)
        self.assertIn("cancelled", errors.splitlines()[-1])
        self.wait_for_state(self.a, "cancelled")
        wait_until(lambda: self.show(self.b)["state"] in ("failed", "cancelled"), "the end on host-b")
        self.assertEqual(self.names_on(self.a), [NAME])
        wait_until(lambda: self.names_on(self.b) == [], "removal on host-b")
        self.ask()
        for what in ("cancel", "set"):
            options = ["--bandwidth", "0"] if what == "set" else []
            self.expect_refusal(self.a.martlet("migration", what, NAME, *options, check=False),
                                "is not being moved")
        self.expect_refusal(self.a.martlet("migration", "show", "nobody", check=False), "nobody")

    def test_live_display_on_a_terminal(self):
        reader, terminal = pty.openpty()
        with self.start(stdin=terminal, stdout=terminal, stderr=terminal,
                        env={**os.environ, "TERM": "xterm"}) as moving:
            os.close(terminal)
            shown = read_terminal(reader)
            self.assertEqual(moving.wait(DEADLINE), 0, shown)
        self.assertIn("\033[J", shown)
        self.assertIn("stage 9 remove source: ", shown)
        # Each drawing is taken back before anything else is written, so no line is left half.
        for line in shown.split("\r\n"):
            self.assertLessEqual(line.count("stage "), line.count("\033[J") + 1, line)
        self.assertIn("moved from host-a to host-b", shown)

    def test_plain_lines_elsewhere(self):
        moving = self.start("--mode", "stop")
        output, errors = moving.communicate(timeout=DEADLINE)
        self.assertEqual(moving.returncode, 0, errors)
        self.assertNotIn("\033", output + errors)
        self.assertEqual([line.split(":")[0].split(" ", 2)[:2] for line in errors.splitlines()][0],
                         ["stage", "0"])
        self.assertEqual(len(errors.splitlines()), 11, errors)
        self.assertIn("moved from host-a to host-b", output)

    def test_dry_run_changes_nothing(self):
        before = files_of(self.a), files_of(self.b)
        told = self.a.martlet("migrate", NAME, "host-b", "--dry-run").stdout
        self.assertIn("nothing was changed", told)
        plan = json.loads(self.a.martlet("migrate", NAME, "host-b", "--dry-run", "--json",
                                         "--max-pause", "10ms").stdout)
        self.assertGreater(plan["memory_bytes"], 0)
        self.assertEqual(plan["options"]["max_pause_seconds"], 0.01)
        self.b.martlet("run", "--name", NAME, "--overlay", "/", "--", "sleep", "1000")
        self.expect_refusal(self.a.martlet("migrate", NAME, "host-b", "--dry-run", check=False),
                            f"has a container {NAME} already")
        self.expect_refusal(self.a.martlet("migrate", "nobody", "host-b", "--dry-run", check=False),
                            "nobody")
        self.b.martlet("rm", "--force", NAME)
        self.assertEqual((files_of(self.a), files_of(self.b)), before)
        self.assertEqual(json.loads(self.b.martlet("migration", "ls", "--json").stdout), [])
        self.ask()

    def test_bad_options_are_one_clear_line(self):
        for options, word in BAD_OPTIONS:
            with self.subTest(options=options):
                self.expect_refusal(self.a.martlet("migrate", NAME, "host-b", *options, check=False),
                                    word)
        self.assertEqual(self.names_on(self.a), [NAME])
        self.ask()

    def test_compressed_state_is_smaller_and_whole(self):
        here, there = self.a, self.b
        sent = {}
        for compression in ("none", "lz4", "zstd"):
            moved = here.martlet("migrate", NAME, there.name, "--compress", compression, "--json")
            sent[compression] = json.loads(moved.stdout)["bytes"]
            self.ask()
            here, there = there, here
        self.assertLess(sent["lz4"], sent["none"] / 2)
        self.assertLess(sent["zstd"], sent["none"] / 2)

    def test_compressed_checkpoint_is_smaller_and_whole(self):
        with temporary_directory() as directory:
            taken = json.loads(self.a.martlet("checkpoint", NAME, "--dir", f"{directory}/image",
                                              "--compress", "zstd", "--json").stdout)
            self.assertLess(taken["image_bytes"], taken["memory_bytes"] / 2)
            self.a.martlet("rm", NAME)
            self.a.martlet("restore", "--dir", f"{directory}/image")
        self.ask()


class StreamsTest(moved_service.MovedServiceTest):
    """Memory over several connections."""

    def start_redis(self):
        """A server with data, under a client that verifies every reply and, at the end, the data."""
        self.run_container(test_redis.SERVER, port=6379)
        return self.start_client(moved_service.demo_client(), "--host", moved_service.ADDRESS,
                                 "--connections", "20", "--rate", "1000", "--dataset", "64",
                                 "--json", ready="ready")

    def expect_whole(self, client):
        report = json.loads(moved_service.finish(client))
        self.assertEqual(client.returncode, 0, report)
        self.assertGreater(report["replies"], 1000)

    def test_redis_moves_over_four_connections(self):
        client = self.start_redis()
        for mode in ("precopy", "stop"):
            options = ("--mode", mode, "--streams", "4")
            self.move("host-a", "host-b", [client], options)
            self.move("host-b", "host-a", [client], options)
        self.expect_whole(client)

    def test_the_limit_holds_for_all_connections(self):
        client = self.start_redis()
        move = self.move("host-a", "host-b", [client],
                         ("--mode", "precopy", "--streams", "4", "--bandwidth", "50MB/s"))
        self.assertGreater(move["bytes"], 64e6)
        self.assertGreater(move["total_seconds"], 0.9 * move["bytes"] / 50e6)
        self.expect_whole(client)

    def test_a_lost_connection_rolls_back(self):
        client = self.start_redis()
        host = self.hosts["host-a"]
        moving = host.martlet_popen("migrate", moved_service.NAME, "host-b", "--mode", "precopy",
                                    "--streams", "4", "--bandwidth", "1MB/s",
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until(lambda: moving.poll() is not None or len(self.busy_connections()) == 4,
                   "four connections that carry memory")
        lost = self.busy_connections()[2]
        host.run(["ss", "-K", "-t", "sport", "=", f":{lost}"], check=True, capture_output=True)
        errors = moving.communicate(timeout=DEADLINE)[1]
        self.assertNotEqual(moving.returncode, 0)
        self.assertRegex(errors.splitlines()[-1], "connection [1-4] of 4 for the state: ")
        wait_until(lambda: self.hosts["host-b"].martlet("ps", "--json").stdout.strip() == "[]",
                   "removal on host-b")
        self.move("host-a", "host-b", [client], ("--streams", "4"))
        self.expect_whole(client)

    def busy_connections(self):
        """The ports on host-a of connections to host-b that have carried more than messages."""
        listed = self.hosts["host-a"].run(
            ["ss", "-tinHO", "dst", self.hosts["host-b"].address], check=True,
            capture_output=True, text=True).stdout
        sent = re.findall(r"^(?:\S+ +){3}\S+:(\d+) .* bytes_sent:(\d+)", listed, re.MULTILINE)
        return [port for port, count in sent if int(count) > 300_000]


def read_terminal(reader):
    """All that is written to a terminal until its last writer is gone."""
    shown = b""
    try:
        while piece := os.read(reader, 65536):
            shown += piece
    except OSError:
        pass  # how a terminal without writers ends
    os.close(reader)
    return shown.decode()


def files_of(host):
    """Names of what the agent keeps; its database has files that come and go."""
    found = [path for pattern in ("*", "containers/*", "migrations/*", "pki/*")
             for path in host.state_dir.glob(pattern)]
    return sorted(str(path) for path in found if not path.name.startswith("agent.db"))


if __name__ == "__main__":
    unittest.main()
