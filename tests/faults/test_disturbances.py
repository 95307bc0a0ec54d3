"""What else can happen during a migration: impatient clients, several at once, full disks and memory, containers
that end or fork all the time. Afterwards exactly one copy runs, or the one that ended is one that ended."""
import os
import pathlib
import signal
import subprocess
import unittest

from moving_pair import NAME, MovingPair, resume, wait_until

FORKING = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        while True:
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
time.sleep(1000)
"""
HOLDING = "import time; kept = bytearray(b'x') * (96 << 20); time.sleep(1000)"
MEMORY_CGROUPS = pathlib.Path("/sys/fs/cgroup/memory")


class Disturbances(unittest.TestCase):
    def setUp(self):
        self.pair = self.enterContext(MovingPair())

    def stop_source_at(self, step):
        """A migration whose source stands still at the step."""
        self.pair.restart(self.pair.source, "--fault", f"source.{step}:stop")
        move = self.enterContext(self.pair.start_move())
        self.pair.wait_for_stop(self.pair.source, step)
        return move

    def end_of(self, move):
        _, errors = move.communicate(timeout=60)
        return move.returncode, errors

    def expect_moved_from(self, source):
        self.assertIsNot(self.pair.settle(), source)

    def expect_still_on(self, source):
        self.assertIs(self.pair.settle(), source)

    def test_interrupted_client_cancels(self):
        source = self.pair.source
        move = self.stop_source_at("frozen")
        move.send_signal(signal.SIGINT)
        os.set_blocking(move.stderr.fileno(), True)
        self.assertIn("cancelling", move.stderr.readline())
        resume(source)
        status, errors = self.end_of(move)
        self.assertNotEqual(status, 0)
        self.assertIn("cancelled", errors)
        self.expect_still_on(source)

    def test_killed_client_does_not_matter(self):
        source = self.pair.source
        move = self.stop_source_at("frozen")
        move.kill()
        resume(source)
        self.expect_moved_from(source)

    def test_two_moves_of_one_container(self):
        source = self.pair.source
        self.pair.restart(source, "--fault", "source.frozen:wait")
        first = self.enterContext(self.pair.start_move())
        wait_until(lambda: "fault injected" in source.agent_log(), "the first move")
        second = self.enterContext(self.pair.start_move())
        status, errors = self.end_of(second)
        self.assertNotEqual(status, 0)
        self.assertIn("already", errors)
        source.martlet("migration", "cancel", NAME)
        self.assertNotEqual(self.end_of(first)[0], 0)
        self.expect_still_on(source)

    def test_the_way_back_while_it_is_still_under_way(self):
        source, destination = self.pair.source, self.pair.destination
        move = self.stop_source_at("asked")
        wait_until(lambda: self.pair.running_on() == [destination], "the container at its new place")
        back = destination.martlet("migrate", NAME, source.name, check=False)
        self.assertNotEqual(back.returncode, 0)
        self.assertIn("busy", back.stderr)
        resume(source)
        self.assertEqual(self.end_of(move)[0], 0)
        self.expect_moved_from(source)

    def test_two_containers_change_places(self):
        source, destination = self.pair.source, self.pair.destination
        destination.martlet("run", "--name", "other", "--overlay", "/", "--", "sleep", "1000")
        move = self.enterContext(self.pair.start_move())
        destination.martlet("migrate", "other", source.name)
        self.assertEqual(self.end_of(move)[0], 0)
        self.assertEqual(self.pair.containers_of(source), [("other", "running")])
        source.martlet("rm", "--force", "other")
        self.expect_moved_from(source)

    def mount_small(self, directory, size):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", directory], check=False)

    def test_no_room_for_files_at_the_destination(self):
        source = self.pair.source
        source.martlet("exec", NAME, "--", "dd", "if=/dev/urandom", "of=/big", "bs=1M", "count=16")
        small = self.pair.destination.state_dir / "containers"
        self.mount_small(small, "2M")
        status, errors = self.end_of(self.enterContext(self.pair.start_move()))
        self.assertNotEqual(status, 0)
        self.assertIn("files of upper", errors)
        self.expect_still_on(source)

    def test_no_room_for_the_journal_at_the_destination(self):
        """Of all the journal's states only the first needs any."""
        source = self.pair.source
        self.mount_small(self.pair.destination.state_dir / "migrations", "4k")
        status, errors = self.end_of(self.enterContext(self.pair.start_move()))
        self.assertNotEqual(status, 0)
        self.assertIn("No space", errors)
        self.expect_still_on(source)

    @unittest.skipUnless((MEMORY_CGROUPS / "memory.limit_in_bytes").exists(), "no memory cgroups of version 1")
    def test_no_memory_at_the_destination(self):
        source, destination = self.pair.source, self.pair.destination
        source.martlet("run", "--name", "large", "--overlay", "/", "--", "python3", "-c", HOLDING)
        cgroup = MEMORY_CGROUPS / destination.cgroup
        cgroup.mkdir()
        (cgroup / "memory.limit_in_bytes").write_text(str(32 << 20))
        moved = source.martlet("migrate", "large", destination.name, check=False)
        self.assertNotEqual(moved.returncode, 0)
        self.assertEqual(dict(self.pair.containers_of(source))["large"], "running")
        self.assertEqual(self.pair.containers_of(destination), [])
        source.martlet("rm", "--force", "large")
        self.expect_still_on(source)

    def end_it(self, step):
        """Kills the container's first process while the source stands still at the step."""
        source = self.pair.source
        source.martlet("run", "--name", "ends", "--overlay", "/", "--", "sleep", "1000")
        init = int((source.state_dir / "containers/ends/pid").read_text())
        self.pair.restart(source, "--fault", f"source.{step}:stop")
        with source.martlet_popen("migrate", "ends", self.pair.destination.name, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as move:
            self.pair.wait_for_stop(source, step)
            os.kill(init, signal.SIGKILL)
            resume(source)
            move.wait(60)
        return dict(self.pair.containers_of(source)), dict(self.pair.containers_of(self.pair.destination))

    def test_it_ends_before_the_freeze(self):
        source, destination = self.end_it("first-copy")
        self.assertEqual((source["ends"], destination), ("exited", {}))

    def test_it_ends_after_the_capture(self):
        """Either it ended, or the state that was captured before runs; never both, never neither."""
        source, destination = self.end_it("captured")
        self.assertEqual(("ends" in source) + ("ends" in destination), 1)

    def test_it_forks_all_the_time(self):
        source, destination = self.pair.source, self.pair.destination
        source.martlet("run", "--name", "forks", "--overlay", "/", "--", "python3", "-c", FORKING)
        moved = source.martlet("migrate", "forks", destination.name, check=False)
        on = {host.name: dict(self.pair.containers_of(host)).get("forks") for host in (source, destination)}
        where = destination if moved.returncode == 0 else source
        self.assertEqual(on, {source.name: None, destination.name: None, where.name: "running"})
        where.martlet("rm", "--force", "forks")


if __name__ == "__main__":
    unittest.main()
