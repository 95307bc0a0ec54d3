"""A move is foretold before it begins, and remembered with what it took."""
import json
import pathlib
import tempfile
import unittest

from counter import NAME, CounterTest
from hosts import Hosts

MODES = ["stop", "precopy", "postcopy", "hybrid"]


class PredictionTest(CounterTest, unittest.TestCase):
    def setUp(self):
        self.hosts = self.enterContext(Hosts(["host-a", "host-b"]))
        self.a = self.hosts["host-a"]
        self.run_counter(self.a)

    def history(self, host):
        return json.loads(self.hosts[host].martlet("migration", "history", NAME, "--json").stdout)

    def check_bounds(self, bounds):
        self.assertLessEqual(0, bounds["lower"])
        self.assertLessEqual(bounds["lower"], bounds["upper"])

    def test_every_mode_is_foretold(self):
        answer = json.loads(self.a.martlet("predict", NAME, "--json").stdout)
        host, = answer["hosts"]
        self.assertEqual(host["host"], "host-b")
        self.assertEqual([mode["mode"] for mode in host["modes"]], MODES)
        for mode in host["modes"]:
            for bounds in (mode["pause_seconds"], mode["total_seconds"], mode["bytes"],
                           mode["source"]["cpu_seconds"], mode["destination"]["cpu_seconds"]):
                self.check_bounds(bounds)
            self.assertLess(0, mode["pause_seconds"]["lower"])
            for stage in mode["stages"]:
                self.check_bounds(stage["seconds"])
        inputs = host["inputs"]
        self.assertGreater(inputs["pages"], 100)
        self.assertGreater(inputs["link_bytes_per_second"]["lower"], 0)
        self.assertTrue(inputs["dirty_rates"])
        self.assertEqual(inputs["past_moves"], 0)
        self.assertIn("pause", self.a.martlet("predict", NAME, "host-b").stdout)

    def test_a_move_is_remembered_with_its_prediction(self):
        self.assertEqual(self.history("host-a"), [])
        self.a.martlet("migrate", NAME, "host-b", "--mode", "stop")
        move, = self.history("host-a")
        self.assertEqual(move["mode"], "stop")
        self.assertGreater(move["measured"]["pause_seconds"], 0)
        self.check_bounds(move["predicted"]["pause_seconds"])
        self.assertIsNotNone(move["error"]["pause"])
        self.assertEqual(self.history("host-b"), [])  # it did not begin there
        self.a.stop_agent()
        self.a.start_agent()
        self.assertEqual(self.history("host-a"), [move])
        with tempfile.TemporaryDirectory() as directory:
            page = pathlib.Path(directory) / "move.html"
            self.a.martlet("migration", "report", NAME, "--html", page)
            self.assertIn("<svg", page.read_text(encoding="utf-8"))

    def test_limits_that_no_mode_keeps_are_refused(self):
        done = self.a.martlet("migrate", NAME, "host-b", "--max-pause", "1us", check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("no mode fits the limits", done.stderr)
        self.assertIn("--max-pause", done.stderr.split("fits with")[1])
        self.assertEqual(json.loads(self.a.martlet("inspect", NAME, "--json").stdout)["state"], "running")
        foretold = self.a.martlet("predict", NAME, "host-b", "--max-pause", "1us", "--json").stdout
        auto = json.loads(foretold)["hosts"][0]["auto"]
        self.assertEqual(auto["mode"], "")
        self.assertIn("no mode fits", auto["reason"])

    def test_what_cannot_be_foretold_is_an_error(self):
        for arguments, word in ((["predict", "nobody"], "nobody"),
                                (["predict", NAME, "host-x"], "host-x"),
                                (["migration", "report", "nobody", "--html", "/dev/null"], "nobody")):
            done = self.a.martlet(*arguments, check=False)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(word, done.stderr)


if __name__ == "__main__":
    unittest.main()
