"""Traffic with servers/talker.py until the standard input ends; then the account of it as JSON.

Arguments: the port, the kinds of flows ("echo", "push", "pull", "udp", "connect"; with commas), the
addresses. Writes "ready" when every flow runs. `retransmitted` counts the segments that a flow's connections sent
again; the counters are those of this whole network namespace.
"""
import json
import pathlib
import socket
import struct
import sys
import threading
import time

INTERVAL = 0.001
CONNECT_INTERVAL = 0.02
RECORD = 1024
TCP_TOTAL_RETRANS = 100  # offset of tcpi_total_retrans in struct tcp_info
COUNTERS = ("RetransSegs", "TCPTimeouts", "TCPLossProbes", "TCPSynRetrans", "TCPSpuriousRTOs",
            "TCPFastRetrans", "TCPDSACKRecv", "AttemptFails", "EstabResets")


def counters():
    """Those of /proc/net/netstat and /proc/net/snmp, by name."""
    values = {}
    for path in ("/proc/net/netstat", "/proc/net/snmp"):
        lines = pathlib.Path(path).read_text(encoding="ascii").splitlines()
        for names, numbers in zip(lines[::2], lines[1::2]):
            values.update(zip(names.split()[1:], map(int, numbers.split()[1:])))
    return {name: values.get(name, 0) for name in COUNTERS}


class Flow(threading.Thread):
    """One flow to one address. `gap`: the longest time without progress."""

    def __init__(self, kind, address, port, stop):
        super().__init__()
        self.kind = kind
        self.address = address
        self.port = port
        self.stop = stop
        self.started = threading.Event()
        self.account = {"kind": kind, "address": address, "count": 0, "gap": 0.0, "errors": []}
        self._last = None

    def progress(self):
        now = time.monotonic()
        if self._last is not None:
            self.account["gap"] = max(self.account["gap"], now - self._last)
        self._last = now
        self.account["count"] += 1
        self.started.set()

    def open(self, kind):
        peer = socket.create_connection((self.address, self.port), timeout=60)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(kind)
        return peer

    def close(self, peer):
        info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        again = struct.unpack_from("I", info, TCP_TOTAL_RETRANS)[0]
        self.account["retransmitted"] = self.account.get("retransmitted", 0) + again
        peer.close()

    def run(self):
        try:
            getattr(self, self.kind)()
        except (OSError, AssertionError) as error:
            self.account["errors"].append(repr(error))
        self.started.set()

    def exchange(self, peer, kind=b""):
        """`kind` opens the flow in the same segment: two on their way would be probed for a loss."""
        data = struct.pack("!Q", self.account["count"]) * (RECORD // 8)
        peer.sendall(kind + data)
        got = b""
        while len(got) < len(data):
            part = peer.recv(65536)
            assert part, "the stream ended"
            got += part
        assert got == data, "another answer"

    def echo(self):
        peer = self.open(b"E")
        while not self.stop.is_set():
            self.exchange(peer)
            self.progress()
            time.sleep(INTERVAL)
        self.close(peer)

    def push(self):
        peer = self.open(b"S")
        while not self.stop.is_set():
            peer.sendall(bytes(RECORD))
            self.progress()
            time.sleep(INTERVAL)
        peer.shutdown(socket.SHUT_WR)
        count = int(peer.recv(64))
        assert count == self.account["count"] * RECORD, f"{count} bytes arrived"
        self.close(peer)

    def pull(self):
        peer = self.open(b"P")
        stream = peer.makefile("rb")
        while not self.stop.is_set():
            data = stream.read(RECORD)
            assert data == struct.pack("!Q", self.account["count"]) * (RECORD // 8), "lost bytes"
            self.progress()
        self.close(peer)

    def udp(self):
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        peer = socket.socket(family, socket.SOCK_DGRAM)
        peer.connect((self.address, self.port))
        while not self.stop.is_set():
            peer.send(struct.pack("!Q", self.account["count"]))
            self.progress()
            time.sleep(INTERVAL)
        peer.settimeout(10)
        peer.send(b"?")
        self.account["udp"] = json.loads(peer.recv(2048))
        peer.close()

    def connect(self):
        """A new connection at every interval, whatever becomes of those before."""
        attempts = []

        def attempt():
            try:
                begun = time.monotonic()
                peer = self.open(b"")
                self.account["gap"] = max(self.account["gap"], time.monotonic() - begun)
                self.exchange(peer, b"E")
                self.close(peer)
                self.started.set()
            except (OSError, AssertionError) as error:
                self.account["errors"].append(repr(error))

        while not self.stop.is_set():
            attempts.append(threading.Thread(target=attempt))
            attempts[-1].start()
            time.sleep(CONNECT_INTERVAL)
        for thread in attempts:
            thread.join()
        self.account["count"] = len(attempts)


def main():
    port, kinds, addresses = int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]
    stop = threading.Event()
    flows = [Flow(kind, address, port, stop) for kind in kinds for address in addresses]
    for flow in flows:
        flow.start()
    for flow in flows:
        flow.started.wait(30)
    before = counters()
    print("ready", flush=True)
    sys.stdin.read()
    after = counters()
    stop.set()
    for flow in flows:
        flow.join()
    print(json.dumps({"flows": [flow.account for flow in flows],
                      "counters": {name: after[name] - before[name] for name in COUNTERS}}))


main()
