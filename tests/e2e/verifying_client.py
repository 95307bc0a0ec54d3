#!/usr/bin/env python3
"""Clients that verify every reply of a server: `memcached`, `http` for the servers of servers/, or
`exporter` for one of Prometheus.

Each connection is a thread that sends requests at a steady pace until SIGTERM, and one more then. Prints "ready" when
all are connected, and at the end a JSON report; the status is 0 only without any failure.
"""
import argparse
import hashlib
import http.client
import json
import re
import signal
import socket
import sys
import threading
import time

LONGEST_SILENCE = 20.0  # seconds


class Memcached:
    """Writes, reads and counts under its own keys."""

    def __init__(self, host, port, index):
        self.connection = socket.create_connection((host, port), LONGEST_SILENCE)
        self.stream = self.connection.makefile("rwb")
        self.index = index
        self.command(f"set count{index} 0 0 1\r\n0", "STORED")

    def command(self, text, expected):
        self.stream.write(f"{text}\r\n".encode())
        self.stream.flush()
        for line in expected.split("\n"):
            got = self.stream.readline().decode().rstrip("\r\n")
            if got != line:
                raise ValueError(f"{text[:30]!r}: got {got[:60]!r} instead of {line[:60]!r}")

    def request(self, number):
        key = f"key{self.index}-{number % 50}"
        value = hashlib.sha256(f"{self.index} {number}".encode()).hexdigest() * 20
        self.command(f"set {key} 0 0 {len(value)}\r\n{value}", "STORED")
        self.command(f"get {key}", f"VALUE {key} 0 {len(value)}\n{value}\nEND")
        self.command(f"incr count{self.index} 1", str(number + 1))


class Http:
    """Lets the server compute a digest in a worker thread, wait on a timer, count, and pass a text through a
    child process."""

    def __init__(self, host, port, index):
        self.connection = http.client.HTTPConnection(host, port, timeout=LONGEST_SILENCE)
        self.connection.connect()
        self.index = index

    def get(self, path):
        self.connection.request("GET", path)
        response = self.connection.getresponse()
        body = response.read().decode()
        if response.status != 200:
            raise ValueError(f"{path}: status {response.status}: {body[:60]}")
        return body

    def expect(self, path, expected):
        body = self.get(path)
        if body != expected:
            raise ValueError(f"{path}: got {body[:80]!r} instead of {expected!r}")

    def request(self, number):
        text = f"{self.index}-{number}"
        self.expect(f"/digest/{text}", hashlib.sha256(text.encode()).hexdigest())
        self.expect(f"/after/20/{text}", f"after {text}")
        self.expect(f"/count/{self.index}", str(number + 1))
        self.expect(f"/echo/{text}", text)
        ticks = int(self.get("/ticks"))
        if ticks < getattr(self, "ticks", 0):
            raise ValueError("the interval timer went backwards")
        self.ticks = ticks


class Exporter(Http):
    """Has the server tell how often it has answered, which no answer may be missing from."""

    COUNTER = re.compile(r'^promhttp_metric_handler_requests_total{code="200"} (\d+)$', re.MULTILINE)

    def request(self, number):
        answered = int(self.COUNTER.search(self.get("/metrics"))[1])
        if answered <= getattr(self, "answered", number - 1):
            raise ValueError(f"{answered} answers after {number} on this connection alone")
        self.answered = answered


PROTOCOLS = {"memcached": Memcached, "http": Http, "exporter": Exporter}


class Load:
    def __init__(self, protocol, host, port, connections, pace):
        self.pace = pace
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.requests = 0
        self.fewest = sys.maxsize  # of one connection
        self.failures = []
        self.longest = 0.0
        clients = [protocol(host, port, index) for index in range(connections)]
        self.threads = [threading.Thread(target=self.drive, args=(c,)) for c in clients]

    def drive(self, client):
        number = 0
        stopped = False
        while not stopped:
            stopped = self.stop.wait(self.pace)
            start = time.monotonic()
            try:
                client.request(number)
            except (OSError, ValueError, http.client.HTTPException) as error:
                with self.lock:
                    self.failures.append(f"connection {client.index}: {error!r}")
                return
            number += 1
            with self.lock:
                self.requests += 1
                self.longest = max(self.longest, time.monotonic() - start)
        with self.lock:
            self.fewest = min(self.fewest, number)

    def run(self):
        for thread in self.threads:
            thread.start()
        print("ready", flush=True)
        self.stop.wait()
        for thread in self.threads:
            thread.join()
        return {"requests": self.requests, "fewest": self.fewest, "failures": self.failures,
                "longest_request_ms": self.longest * 1000}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("protocol", choices=PROTOCOLS)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--pace", type=float, default=0.02, help="seconds between requests")
    args = parser.parse_args()
    load = Load(PROTOCOLS[args.protocol], args.host, args.port, args.connections, args.pace)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: load.stop.set())
    report = load.run()
    print(json.dumps(report))
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
