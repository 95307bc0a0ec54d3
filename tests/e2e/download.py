#!/usr/bin/env python3
"""Downloads a file over one TCP connection at a steady rate and verifies its SHA-256. With --hold
the last tenth waits until standard input ends, so that the download spans what happens meanwhile.

The file is a fixed pseudo-random stream, so that client and server agree on it without talking:
`--make MIB` writes it to standard output. Prints "ready" with the first byte, then a JSON report.
"""
import argparse
import hashlib
import json
import select
import socket
import sys
import time

MIB = 1 << 20
LONGEST_SILENCE = 20.0  # seconds
LONGEST_HOLD = 60.0


def blocks(mib):
    """The file, one MiB at a time: each block is SHAKE-128 of its number."""
    for number in range(mib):
        yield hashlib.shake_128(number.to_bytes(8, "little")).digest(MIB)


def expected_digest(mib):
    digest = hashlib.sha256()
    for block in blocks(mib):
        digest.update(block)
    return digest.hexdigest()


def request(host, port, path):
    """Sends a GET; returns the connection, the length of the body and the bytes of it that came
    with the header."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
    connection.settimeout(LONGEST_SILENCE)
    connection.connect((host, port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("closed before the header ended")
        head += piece
    header, body = head.split(b"\r\n\r\n", 1)
    lines = header.decode().split("\r\n")
    if " 200 " not in lines[0]:
        raise ValueError(lines[0])
    fields = dict(line.lower().split(": ", 1) for line in lines[1:])
    return connection, int(fields["content-length"]), body


def wait_for_end_of_input():
    while select.select([sys.stdin], [], [], LONGEST_HOLD)[0]:
        if not sys.stdin.buffer.read1(4096):
            return
    raise TimeoutError("standard input did not end")


def download(connection, length, body, seconds, hold):
    """Reads the body so that it takes about `seconds`; returns its digest and the longest gap."""
    digest = hashlib.sha256(body)
    received, start = len(body), time.monotonic()
    last, longest_gap = start, 0.0
    while received < length:
        if hold and received > length * 0.9:
            wait_for_end_of_input()
            hold, last = False, time.monotonic()
        ahead = received / length * seconds - (time.monotonic() - start)
        if ahead > 0:
            time.sleep(min(ahead, 0.01))
            last += min(ahead, 0.01)
            continue
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError(f"closed after {received} of {length} bytes")
        now = time.monotonic()
        longest_gap, last = max(longest_gap, now - last), now
        digest.update(piece)
        received += len(piece)
    return digest.hexdigest(), longest_gap


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--make", type=int, metavar="MIB", help="write the file and exit")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--path", default="/")
    parser.add_argument("--mib", type=int, help="size of the file")
    parser.add_argument("--seconds", type=float, default=10, help="length of the download")
    parser.add_argument("--hold", action="store_true",
                        help="keep the last tenth until standard input ends")
    args = parser.parse_args()
    if args.make is not None:
        for block in blocks(args.make):
            sys.stdout.buffer.write(block)
        return 0

    want = expected_digest(args.mib)
    start = time.monotonic()
    connection, length, body = request(args.host, args.port, args.path)
    print("ready", flush=True)
    got, longest_gap = download(connection, length, body, args.seconds, args.hold)
    print(json.dumps({"bytes": length, "sha256": got, "intact": got == want,
                      "seconds": time.monotonic() - start,
                      "longest_gap_ms": longest_gap * 1000}))
    return 0 if got == want else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError) as error:
        print(f"download: {error}", file=sys.stderr)
        sys.exit(1)
