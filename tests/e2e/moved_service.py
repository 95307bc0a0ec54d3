"""The base of the end-to-end tests: an unmodified server in a container that is moved to another
host and back while its clients go on."""
import json
import os
import pathlib
import signal
import subprocess
import unittest

from hosts import Hosts

ADDRESS = "10.77.0.50"
HERE = pathlib.Path(__file__).resolve().parent
NAME = "service"


class MovedServiceTest(unittest.TestCase):
    def setUp(self):
        self.hosts = self.enterContext(Hosts(["host-a", "host-b"]))

    def run_container(self, command, port, options=()):
        """Runs a server in a container on host-a and waits until it listens."""
        self.hosts["host-a"].martlet("run", "--name", NAME, "--overlay", "/",
                                     "--ip", f"{ADDRESS}/24", *options, "--", *command)
        self.wait_for_port(port)

    def wait_for_port(self, port):
        try:
            self.hosts.await_port(ADDRESS, port)
        except subprocess.CalledProcessError:
            logs = self.hosts["host-a"].martlet("logs", NAME, check=False)
            self.fail(f"nothing listens on port {port}:\n{logs.stdout}{logs.stderr}")

    def in_client(self, *args, timeout=60, **options):
        """Runs a program to its end in the clients' network namespace."""
        return self.hosts.client_run([str(a) for a in args], capture_output=True, text=True,
                                     timeout=timeout, **options)

    def start_client(self, *args, ready=None):
        """Starts a load; with `ready`, waits for this line of its output."""
        process = self.hosts.client_popen([str(a) for a in args], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE,
                                          stderr=subprocess.STDOUT, text=True)
        self.addCleanup(end, process)
        if ready is not None:
            line = process.stdout.readline()
            if line.strip() != ready:
                self.fail(f"{args[0]}: {line}{finish(process)}")
        return process

    def move_there_and_back(self, *clients):
        """Moves the service a -> b -> a; the clients must be at work all the time."""
        self.move("host-a", "host-b", clients)
        self.move("host-b", "host-a", clients)

    def move(self, source, destination, clients, options=()):
        """Moves the service while the clients are at work; returns the report."""
        result = self.hosts[source].martlet("migrate", NAME, destination, *options, "--json",
                                            check=False)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        move = json.loads(result.stdout)
        print(f"{source} -> {destination}: pause {move['pause_seconds'] * 1000:.0f} ms of "
              f"{move['total_seconds']:.2f} s, {move['bytes'] / 1e6:.1f} MB", flush=True)
        for client in clients:
            if client.poll() is not None:
                self.fail(f"a client ended with {client.returncode} before the move to "
                          f"{destination} did:\n{client.stdout.read()}")
        return move


def finish(process, signal_number=signal.SIGTERM, timeout=30):
    """Asks a load to end and returns the rest of its output."""
    if process.poll() is None:
        process.send_signal(signal_number)
    return wait(process, timeout)


def wait(process, timeout=30):
    """Closes the input of a load, waits for its end and returns the rest of its output."""
    output, _ = process.communicate(timeout=timeout)
    return output


def end(process):
    """Ends a load that may already have ended, without complaint."""
    process.kill()
    process.communicate()


def build_dir():
    return pathlib.Path(os.environ.get("MARTLET_BUILD_DIR", HERE.parent.parent / "build/release"))


def demo_client():
    return build_dir() / "demo/martlet-demo-client"
