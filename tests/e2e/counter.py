"""A container whose server numbers its answers, and a client that notices if one is missing or comes twice."""
import pathlib

from hosts import wait_until

ADDRESS = "10.77.0.60"
NAME = "counter"
PORT = 7000
SERVER = pathlib.Path(__file__).resolve().parent / "servers/counter.py"

ASK = f"""
import socket
with socket.create_connection(("{ADDRESS}", {PORT}), timeout=5) as peer:
    print(peer.recv(64).decode())
"""


class CounterTest:
    """For test cases with `hosts`."""
    count = 0

    def run_counter(self, host):
        host.martlet("run", "--name", NAME, "--overlay", "/", "--ip", f"{ADDRESS}/24", "--",
                     "python3", "-u", SERVER, str(PORT))
        wait_until(self.answers, "the first answer")

    def ask(self, check=True):
        """The container's next number; it must be the one after the last. None if it does not answer and
        need not."""
        done = self.hosts.client_run(["python3", "-c", ASK], capture_output=True, text=True,
                                     timeout=20)
        if done.returncode != 0 and not check:
            return None
        self.assertEqual(done.returncode, 0, done.stderr)
        self.count += 1
        self.assertEqual(int(done.stdout), self.count)
        return self.count

    def answers(self):
        return self.ask(check=False) is not None
