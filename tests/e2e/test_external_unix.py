"""Unix connections to a server outside of the container or process tree: refused, closed or connected again, as
--external-unix says."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from hosts import find_build_dir, wait_until
from moved_service import ADDRESS, MovedServiceTest, NAME

PORT = 7000
# Has two connections to outside, and does with them what the clients of its own server ask for.
PROGRAM = """
import socket, sys
directory, port = sys.argv[1], int(sys.argv[2])
stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
stream.connect(directory + "/stream")
datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
datagram.connect(directory + "/datagram")

def answer(command):
    try:
        if command == "datagram":
            return str(datagram.send(b"note"))
        stream.sendall(b"ping")
        return stream.recv(100).decode() or "closed"
    except OSError as error:
        return type(error).__name__

listener = socket.create_server(("", port))
while True:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(answer(connection.recv(100).decode()).encode())
"""
ASK = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20) as connection:
    connection.sendall(sys.argv[3].encode())
    print(connection.recv(100).decode())
"""
# Answers on each connection with its number and the command of who has connected.
SERVER = """
import os, socket, struct, sys, threading
directory = sys.argv[1]
datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
datagram.bind(directory + "/datagram")
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(directory + "/stream")
listener.listen()

def serve(connection, number):
    pid = struct.unpack("iii", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    while connection.recv(100):
        name = open(f"/proc/{pid}/comm").read().strip()
        connection.sendall(f"{number} {name}".encode())

def accept():
    number = 0
    while True:
        connection, _ = listener.accept()
        number += 1
        threading.Thread(target=serve, args=(connection, number), daemon=True).start()

threading.Thread(target=accept, daemon=True).start()
print("ready", flush=True)
while True:
    print(datagram.recv(100).decode(), flush=True)
"""


def python(*args):
    return [sys.executable, "-c", *map(str, args)]


class Outside:
    """The server, whose output tells the datagrams that it gets."""

    def __init__(self, test, popen):
        self.directory = pathlib.Path(test.enterContext(tempfile.TemporaryDirectory(dir="/var/tmp")))
        self.server = popen(python(SERVER, self.directory), stdout=subprocess.PIPE, text=True)
        test.addCleanup(self.server.communicate)
        test.addCleanup(self.server.kill)
        test.assertEqual(self.server.stdout.readline(), "ready\n")


class ContainerTest(MovedServiceTest):
    def start(self, *options):
        outside = Outside(self, self.hosts["host-a"].popen)
        volume = f"{outside.directory}:{outside.directory}"
        self.run_container(["python3", "-c", PROGRAM, outside.directory, PORT], PORT, ["--volume", volume, *options])
        self.assertEqual(self.ask("stream"), "1 python3")
        return outside

    def ask(self, what):
        done = self.in_client(*python(ASK, ADDRESS, PORT, what))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_refused_by_name(self):
        self.start()
        done = self.hosts["host-a"].martlet("migrate", NAME, "host-b", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--external-unix", done.stderr)
        check = self.hosts["host-a"].martlet("check", NAME, check=False).stdout
        self.assertIn("/stream", check)
        self.assertIn("/datagram", check)
        self.assertEqual(self.ask("stream"), "1 python3")

    def test_closed(self):
        self.start("--external-unix", "close")
        self.move("host-a", "host-b", [])
        self.assertIn(self.ask("stream"), ("BrokenPipeError", "closed"))
        self.assertEqual(self.ask("datagram"), "ConnectionRefusedError")

    def test_connected_again(self):
        outside = self.start("--external-unix", "reconnect")
        self.assertEqual(json.loads(self.hosts["host-a"].martlet("inspect", NAME, "--json").stdout)["external_unix"],
                         "reconnect")
        self.move("host-a", "host-b", [])
        self.assertEqual(self.ask("stream"), "2 python3")
        self.assertEqual(self.ask("datagram"), "4")
        self.assertEqual(outside.server.stdout.readline(), "note\n")

    def test_stays_where_it_cannot_connect_again(self):
        outside = self.start("--external-unix", "reconnect")
        (outside.directory / "stream").rename(outside.directory / "elsewhere")
        done = self.hosts["host-a"].martlet("migrate", NAME, "host-b", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no name leads to it", done.stderr)
        self.assertEqual(self.ask("stream"), "1 python3")


class ProcessTreeTest(unittest.TestCase):
    def setUp(self):
        self.outside = Outside(self, subprocess.Popen)
        self.image = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(dir="/var/tmp"))) / "image"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.program = subprocess.Popen(python(PROGRAM, self.outside.directory, self.port), start_new_session=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.program.wait)
        self.addCleanup(self.program.kill)
        wait_until(lambda: self.try_ask("stream").returncode == 0, "start of the program")

    def try_ask(self, what):
        return subprocess.run(python(ASK, "127.0.0.1", self.port, what), capture_output=True, text=True, timeout=60,
                              check=False)

    def ask(self, what):
        done = self.try_ask(what)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def martlet(self, *args):
        return subprocess.run([find_build_dir() / "bin/martlet", *map(str, args)], capture_output=True, text=True,
                              timeout=60, check=False)

    def move(self, how):
        """Through an image."""
        done = self.martlet("checkpoint", "--pid", self.program.pid, "--dir", self.image, "--external-unix", how)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.program.wait()
        done = self.martlet("restore", "--dir", self.image)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.addCleanup(end, os.pidfd_open(int(done.stdout)))

    def test_refused_by_name(self):
        done = self.martlet("checkpoint", "--pid", self.program.pid, "--dir", self.image)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--external-unix", done.stderr)
        self.assertEqual(self.ask("stream"), "1 python3")

    def test_goes_on_with_its_connections(self):
        done = self.martlet("checkpoint", "--pid", self.program.pid, "--dir", self.image, "--external-unix", "close",
                            "--leave-running")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.ask("stream"), "1 python3")
        self.assertEqual(self.ask("datagram"), "4")

    def test_closed(self):
        self.move("close")
        self.assertIn(self.ask("stream"), ("BrokenPipeError", "closed"))
        self.assertEqual(self.ask("datagram"), "ConnectionRefusedError")

    def test_connected_again(self):
        self.move("reconnect")
        self.assertEqual(self.ask("stream"), "2 python3")
        self.assertEqual(self.ask("datagram"), "4")
        self.assertEqual(self.outside.server.stdout.readline(), "note\n")

    def test_nobody_to_connect_to_fails_the_restore(self):
        done = self.martlet("checkpoint", "--pid", self.program.pid, "--dir", self.image, "--external-unix",
                            "reconnect")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.program.wait()
        self.outside.server.kill()
        self.outside.server.wait()
        done = self.martlet("restore", "--dir", self.image)
        self.assertEqual(done.returncode, 1)
        self.assertIn("connect anew to", done.stderr)


def end(process):
    """Of another's child, by its pidfd."""
    signal.pidfd_send_signal(process, signal.SIGKILL)
    os.close(process)


if __name__ == "__main__":
    unittest.main()
