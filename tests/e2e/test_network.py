"""What the peers of a container see of its move: nothing is lost, refused or doubled, and
nothing is sent again that the pause alone does not explain."""
import json
import pathlib
import signal
import subprocess
import sys
import unittest

from hosts import Hosts, wait_until

DIRECTORY = pathlib.Path(__file__).resolve().parent
SERVER = DIRECTORY / "servers/talker.py"
CLIENT = DIRECTORY / "traffic_client.py"
ADDRESS = "10.77.0.61"
ADDRESS6 = "fd77::61"
NAME = "talker"
PORT = 7100

# A sender with one segment in flight sends it again after 200 ms and two round trips at the earliest
# (docs/network.md). What is well below that leaves time for a busy machine.
SHORT_PAUSE = 0.1
# Datagrams that come behind others because a detour ends just then (docs/network.md), in a few moves.
MOST_LATE = 10

# Tells how many records have come, all of them right, whenever it gets SIGUSR1.
DIAL_TARGET = """
import signal, socket
with socket.create_server(("0.0.0.0", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    peer, _ = listener.accept()
number = 0
signal.signal(signal.SIGUSR1, lambda *_: print(number, flush=True))
stream = peer.makefile("rb")
print("ready", flush=True)
while record := stream.read(1024):
    assert record == number.to_bytes(8, "big") * 128, number
    number += 1
"""

IDLE_SERVER = f"""
import os, socket, time
listener = socket.create_server(("0.0.0.0", {PORT}))
while not os.path.exists("/go"):
    time.sleep(0.01)
while True:
    peer, _ = listener.accept()
    peer.sendall(peer.recv(64))
    peer.close()
"""


class NetworkTest(unittest.TestCase):
    def setUp(self):
        self.hosts = self.enterContext(Hosts(["host-a", "host-b"]))
        self.a = self.hosts["host-a"]
        self.b = self.hosts["host-b"]

    def run_server(self, *arguments, program=None, before=""):
        command = ["python3", "-u", *(program or [SERVER, PORT]), *arguments]
        if before:
            command = ["sh", "-c", before + " exec \"$@\"", "sh", *command]
        self.a.martlet("run", "--name", NAME, "--overlay", "/", "--ip", f"{ADDRESS}/24",
                       "--ip", f"{ADDRESS6}/64", "--", *command)

        def connects():
            probe = f"import socket; socket.create_connection(('{ADDRESS}', {PORT}), 5).close()"
            return self.hosts.client_run([sys.executable, "-c", probe], capture_output=True,
                                         timeout=20).returncode == 0
        wait_until(connects, "the first connection")

    def start_traffic(self, kinds, where=None):
        client = (where or self.hosts.clients).popen(
            [sys.executable, CLIENT, PORT, ",".join(kinds), ADDRESS, ADDRESS6],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(client.stdout.readline(), "ready\n")
        return client

    def account_of(self, client):
        """What the client counted, after nothing of it failed."""
        output, _ = client.communicate(timeout=60)
        account = json.loads(output)
        for flow in account["flows"]:
            self.assertEqual(flow["errors"], [], flow)
            self.assertGreater(flow["count"], 0, flow)
        print(json.dumps(account), flush=True)
        return account

    def move(self, source, destination, *options):
        done = source.martlet("migrate", NAME, destination.name, "--json", *options)
        report = json.loads(done.stdout)
        print(f"pause {report['pause_seconds'] * 1000:.1f} ms", flush=True)
        return report

    def expect_no_datagram_lost(self, account):
        for flow in account["flows"]:
            if flow["kind"] == "udp":
                late = flow["udp"].pop("reordered")
                self.assertEqual(flow["udp"], {"received": flow["count"], "duplicates": 0})
                self.assertLessEqual(late, MOST_LATE)

    def expect_nothing_sent_again(self, account, pause):
        """By clients with one segment in flight at a time."""
        if pause > SHORT_PAUSE:
            self.skipTest(f"the pause was {pause} s on this busy machine")
        for flow in account["flows"]:
            self.assertEqual(flow.get("retransmitted", 0), 0, flow)

    def neighbours(self):
        listed = json.loads(self.hosts.clients.ip("-j", "neigh", "show").stdout)
        return {entry["dst"]: entry.get("lladdr") for entry in listed
                if entry["dst"] in (ADDRESS, ADDRESS6)}

    def test_requests_and_datagrams(self):
        self.run_server()
        client = self.start_traffic(["echo", "udp", "connect"])
        neighbours = self.neighbours()
        pauses = []
        for source, destination in ((self.a, self.b), (self.b, self.a), (self.a, self.b)):
            pauses.append(self.move(source, destination)["pause_seconds"])
        account = self.account_of(client)
        self.assertEqual(self.neighbours(), neighbours)
        for name in ("EstabResets", "AttemptFails"):
            self.assertEqual(account["counters"][name], 0)
        self.expect_no_datagram_lost(account)
        self.expect_nothing_sent_again(account, max(pauses))

    def test_streams(self):
        """Senders with several segments in flight probe for a loss, and never time out."""
        target = self.hosts.client_popen([sys.executable, "-c", DIAL_TARGET],
                                         stdout=subprocess.PIPE, text=True)
        port = int(target.stdout.readline())
        self.run_server(f"{self.hosts.clients.address}:{port}")
        self.assertEqual(target.stdout.readline(), "ready\n")

        def records():
            target.send_signal(signal.SIGUSR1)
            return int(target.stdout.readline())

        client = self.start_traffic(["push", "pull"])
        pause = self.move(self.a, self.b)["pause_seconds"]
        before = records()
        wait_until(lambda: records() > before, "records after the move")
        account = self.account_of(client)
        if pause > SHORT_PAUSE:
            self.skipTest(f"the pause was {pause} s on this busy machine")
        self.assertEqual(account["counters"]["TCPTimeouts"], 0)
        self.assertLessEqual(account["counters"]["RetransSegs"],
                             account["counters"]["TCPLossProbes"])

    def test_peers_on_the_source(self):
        """Their frames do not come over the uplink, before the move or after it."""
        self.run_server()
        for source, destination in ((self.a, self.b), (self.b, self.a)):
            client = self.start_traffic(["echo", "udp", "connect"], where=self.a)
            pause = self.move(source, destination)["pause_seconds"]
            account = self.account_of(client)
            self.expect_no_datagram_lost(account)
            self.expect_nothing_sent_again(account, pause)

    def test_new_connections_in_a_long_pause(self):
        self.run_server(before="head -c 20000000 /dev/urandom > /dev/shm/ballast;")
        client = self.start_traffic(["connect", "echo"])
        pause = self.move(self.a, self.b, "--mode", "stop", "--bandwidth", "40MB/s")["pause_seconds"]
        account = self.account_of(client)
        slowest = max(flow["gap"] for flow in account["flows"] if flow["kind"] == "connect")
        self.assertGreater(slowest, pause / 2)

    def test_roll_back(self):
        """What was held comes back, in order."""
        self.a.stop_agent()
        self.a.start_agent("--fault", "source.restored:fail")
        self.run_server()
        client = self.start_traffic(["echo", "udp", "connect"])
        failed = self.a.martlet("migrate", NAME, "host-b", check=False)
        self.assertIn("source.restored", failed.stderr)
        self.expect_no_datagram_lost(self.account_of(client))

    def test_connections_that_nobody_accepts(self):
        """The move is refused by name, and the connections live on."""
        self.run_server(program=["-c", IDLE_SERVER])
        ask = f"""
import socket
peers = [socket.create_connection(("{ADDRESS}", {PORT}), 5) for _ in range(3)]
print("ready", flush=True); input()
for peer in peers: peer.sendall(b"hello")
print(all(peer.recv(64) == b"hello" for peer in peers))
"""
        client = self.hosts.client_popen([sys.executable, "-c", ask], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)
        self.assertEqual(client.stdout.readline(), "ready\n")
        refused = self.a.martlet("migrate", NAME, "host-b", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn(f"0.0.0.0:{PORT}", refused.stderr)
        self.a.martlet("exec", NAME, "--", "touch", "/go")
        self.assertEqual(client.communicate("\n", timeout=30)[0], "True\n")
        self.move(self.a, self.b)


if __name__ == "__main__":
    unittest.main()
