"""Connections that are in no descriptor table but that of one thread, with peers outside of the
container that moves."""
import os
import pathlib
import subprocess
import sys
import unittest

from hosts import Hosts

SERVER = pathlib.Path(__file__).resolve().parent / "servers/thread_tables.py"
ADDRESS = "10.77.0.63"
NAME = "tables"
PORT = 7300
CONNECTIONS = 3
MOVES = int(os.environ.get("MARTLET_THREAD_TABLE_MOVES", "4"))

# Asks on all connections until its input ends; then tells how many answers came, all in order.
CLIENT = f"""
import select, socket, sys
streams = [socket.create_connection(("{ADDRESS}", {PORT}), 5).makefile("rwb", buffering=0)
           for _ in range({CONNECTIONS})]
print("connected", flush=True)
rounds = 0
while True:
    for number, stream in enumerate(streams):
        stream.write(b"line %d of %d\\n" % (rounds, number))
    for number, stream in enumerate(streams):
        expected = b"%d /tmp line %d of %d\\n" % (rounds, rounds, number)
        answer = stream.readline()
        if answer != expected: sys.exit(f"got {{answer}} instead of {{expected}}")
    rounds += 1
    if select.select([sys.stdin], [], [], 0)[0]:
        command = sys.stdin.readline()
        if not command: break
        print(rounds, flush=True)
"""


class ThreadTablesTest(unittest.TestCase):
    def setUp(self):
        self.hosts = self.enterContext(Hosts(["host-a", "host-b"]))
        self.a, self.b = self.hosts["host-a"], self.hosts["host-b"]

    def start(self):
        self.a.martlet("run", "--name", NAME, "--overlay", "/", "--ip", f"{ADDRESS}/24", "--",
                       "python3", "-u", SERVER, PORT)
        self.hosts.await_port(ADDRESS, PORT)
        self.client = self.enterContext(self.hosts.client_popen(
            [sys.executable, "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True))
        self.addCleanup(self.client.kill)
        self.assertEqual(self.client.stdout.readline(), "connected\n")

    def expect_answers(self):
        """That more have come than when it was asked before."""
        counts = []
        for _ in range(2):
            self.client.stdin.write("how many\n")
            self.client.stdin.flush()
            counts.append(self.client.stdout.readline())
            if not counts[-1]:
                self.fail(self.client.stderr.read())
        self.assertGreater(int(counts[1]), int(counts[0]))

    def end(self):
        self.client.stdin.close()
        self.assertEqual(self.client.wait(30), 0, self.client.stderr.read())

    def test_moves(self):
        self.start()
        here, there = self.a, self.b
        for _ in range(MOVES):
            self.expect_answers()
            here.martlet("migrate", NAME, there.name)
            here, there = there, here
        self.expect_answers()
        self.end()

    def test_roll_back(self):
        self.a.stop_agent()
        self.a.start_agent("--fault", "source.restored:fail")
        self.start()
        failed = self.a.martlet("migrate", NAME, "host-b", check=False)
        self.assertIn("source.restored", failed.stderr)
        self.expect_answers()
        self.end()


if __name__ == "__main__":
    unittest.main()
