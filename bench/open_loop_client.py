#!/usr/bin/env python3
"""Asks a redis server for random keys at fixed times, whatever the answers do, until its input ends, and writes
so many random keys with each request. Every answer is verified: a key holds what `debug populate` puts there,
and is written with the same. Prints the time that each request was due and how long after that its answer came,
as JSON: [[due, latency], ...]."""
import json
import random
import select
import socket
import sys
import threading
import time

host, keys, value_bytes, rate, writes = sys.argv[1], *map(int, sys.argv[2:6])
HEAD = f"${value_bytes}\r\n".encode()
REPLY_BYTES = len(HEAD) + value_bytes + 2 + writes * len("+OK\r\n")
connection = socket.create_connection((host, 6379))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
due = []  # of each request: its time and its key
answers = []
asked = threading.Event()


def value_of(key):
    return f"value:{key}".encode().ljust(value_bytes, b"\0")


def command(*words):
    text = b"*%d\r\n" % len(words)
    return text + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def request(key):
    text = command(b"GET", b"key:%d" % key)
    for _ in range(writes):
        written = random.randrange(keys)
        text += command(b"SET", b"key:%d" % written, value_of(written))
    return text


def receive():
    stream = connection.makefile("rb", buffering=1 << 20)
    while not asked.is_set() or len(answers) < len(due):
        reply = stream.read(REPLY_BYTES)
        at, key = due[len(answers)]
        if reply != HEAD + value_of(key) + b"\r\n" + b"+OK\r\n" * writes:
            sys.exit(f"key:{key}: a wrong answer: {reply[:60]}")
        answers.append([at, time.monotonic() - at])


receiver = threading.Thread(target=receive)
receiver.start()
print("ready", flush=True)
begin = time.monotonic()
while receiver.is_alive() and not select.select([sys.stdin], [], [], 0)[0]:
    at = begin + len(due) / rate
    time.sleep(max(0, at - time.monotonic()))
    wanted = random.randrange(keys)
    due.append((at, wanted))
    connection.sendall(request(wanted))
due.append((time.monotonic(), 0))  # for a receiver that waits
asked.set()
connection.sendall(request(0))
receiver.join()
if len(answers) < len(due):
    sys.exit(1)
print(json.dumps(answers))
