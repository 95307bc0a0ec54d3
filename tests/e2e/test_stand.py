"""The stand: a tiny grid is moved for real, and nothing of its hosts stays, also when it is interrupted."""
import contextlib
import json
import pathlib
import signal
import subprocess
import tempfile
import unittest

from hosts import CGROUPS, find_build_dir, temporary_directory

GRID = """
title = "tiny"
modes = ["precopy", "postcopy"]
memory = ["8MB"]
files = ["2MB"]
link = ["200Mbit/s"]
writes = ["0B/s", "60MB/s"]
reads = [100]
"""
DEADLINE = 100  # seconds
STARTED = "1/4"


def leftovers():
    """Directories and cgroups of stands, apart from those of others that run meanwhile."""
    found = list(pathlib.Path(tempfile.gettempdir()).glob("martlet-stand-*"))
    return set(found + list(CGROUPS.glob("martlet-stand-*")) + list(CGROUPS.glob("*/martlet-stand-*")))


class StandTest(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(self.enterContext(temporary_directory()))
        self.grid = self.directory / "grid.toml"
        self.grid.write_text(GRID)
        self.before = leftovers()

    def command(self, *args):
        return [find_build_dir() / "bin/martlet", "stand", *args]

    def run_stand(self, *args):
        return subprocess.run(self.command(*args), capture_output=True, text=True, timeout=DEADLINE,
                              check=False)

    def assert_nothing_left(self):
        self.assertLessEqual(leftovers(), self.before)

    def test_a_tiny_grid(self):
        page = self.directory / "stand.html"
        done = self.run_stand(self.grid, "--json", "--html", page)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertEqual(result["failed"], [])
        self.assertEqual(len(result["moves"]), 4)
        pauses = {}
        for move in result["moves"]:
            for value in ("pause_seconds", "total_seconds", "bytes"):
                self.assertGreater(move["measured"][value], 0)
            self.assertGreater(move["client"]["replies"], 0)
            for forecast in ("declared", "calibrated"):
                bounds = move[forecast]["pause_seconds"]
                self.assertLessEqual(bounds["lower"], bounds["upper"])
            pauses[move["mode"], move["write_bytes_per_second"]] = move["measured"]["pause_seconds"]
        # Rounds that cannot get ahead end in a stop that takes as long as all of the memory.
        whole = 8e6 / 25e6
        self.assertGreater(pauses["precopy", 60e6], 0.8 * whole)
        self.assertLess(pauses["postcopy", 60e6], pauses["precopy", 60e6])
        self.assertIn("<svg", page.read_text(encoding="utf-8"))
        self.assert_nothing_left()

    def test_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number), contextlib.ExitStack() as stack:
                stand = subprocess.Popen(self.command(self.grid), stderr=subprocess.PIPE,
                                         stdout=subprocess.DEVNULL, text=True)
                stack.callback(stand.kill)
                stack.enter_context(stand.stderr)
                self.assertIn(STARTED, stand.stderr.readline())  # the second move has begun
                stand.send_signal(number)
                self.assertEqual(stand.wait(DEADLINE), 128 + number)
                self.assert_nothing_left()

    def test_a_bad_file_is_one_line(self):
        self.grid.write_text(GRID + "speed = 3\n")
        done = self.run_stand(self.grid)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^martlet: .*grid\.toml: speed: unknown key; there are .*\n$")
        self.assert_nothing_left()
