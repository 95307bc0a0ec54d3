"""Moves of a redis container in each mode, as a client sees them that asks at fixed times and writes: the
pause, and how long answers are slow after it."""
import json
import pathlib
import statistics
import subprocess
import sys
import time

from hosts import Hosts
from plots import Foretold, foretold
from redis_server import ADDRESS, VALUE_BYTES, run_container, size_name
from tables import mb, ms, predicted_pause, table

SIZES_MIB = [64, 1024, 4096]
MODES = ["stop", "precopy", "postcopy", "hybrid"]
RATE = 1000  # requests per second
WRITES = 10  # with each of them
QUIET_SECONDS = 1.0  # before the move, and after it
WINDOW = 0.1
CLIENT = pathlib.Path(__file__).with_name("open_loop_client.py")


def p99(latencies):
    return sorted(latencies)[int(len(latencies) * 0.99)]


def slow_seconds(answers, began, normal):
    """From the end of the pause until answers are as fast as before again, in windows of WINDOW."""
    moving = [answer for answer in answers if answer[0] >= began]
    longest = max(moving, key=lambda answer: answer[1])
    thaw = longest[0] + longest[1]
    windows = {}
    for due, latency in moving:
        if due >= thaw:
            windows.setdefault(int((due - thaw) / WINDOW), []).append(latency)
    slow = [number for number, latencies in windows.items()
            if p99(latencies) > max(2 * normal, 0.002)]
    return (max(slow) + 1) * WINDOW if slow else 0.0


def start_client(hosts, mib):
    """RATE reads and RATE * WRITES writes per second, until its input ends."""
    client = hosts.client_popen([sys.executable, CLIENT, ADDRESS, str(mib << 10), str(VALUE_BYTES), str(RATE),
                                 str(WRITES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    client.stdout.readline()
    return client


def move(hosts, source, destination, mode, mib):
    client = start_client(hosts, mib)
    time.sleep(QUIET_SECONDS)
    began = time.monotonic()
    report = json.loads(hosts[source].martlet("migrate", "redis", destination, "--mode", mode,
                                              "--json").stdout)
    time.sleep(QUIET_SECONDS)
    answers = json.loads(client.communicate("\n", timeout=60)[0])  # none if one of them was wrong
    normal = p99([latency for due, latency in answers if due < began - 0.1])
    report["client_pause"] = max(latency for due, latency in answers if due >= began)
    report["slow"] = slow_seconds(answers, began, normal)
    return report


def measure(hosts, mib, rounds):
    """By mode, the moves a -> b -> a -> ... of one size."""
    run_container(hosts, mib)
    here, there = "host-a", "host-b"
    moves = {}
    for mode in MODES:
        for _ in range(rounds):
            moves.setdefault(mode, []).append(move(hosts, here, there, mode, mib))
            here, there = there, here
    hosts[here].martlet("rm", "--force", "redis")
    return moves


def run(build, rounds):
    rows = []
    times = []
    with Hosts(["host-a", "host-b"], build_dir=build) as hosts:
        for mib in SIZES_MIB:
            for mode, moves in measure(hosts, mib, rounds).items():
                middle = {key: statistics.median(one[key] for one in moves)
                          for key in ("pause_seconds", "client_pause", "slow", "total_seconds", "bytes",
                                      "late_bytes", "wanted_pages")}
                times += [Foretold(f"{size_name(mib)}, {mode}", move["pause_seconds"],
                                   move["predicted"] and move["predicted"]["pause_seconds"])
                          for move in moves]
                rows.append([f"{size_name(mib)}, {mode}", ms(middle["pause_seconds"]),
                             predicted_pause(moves[-1]),
                             ms(middle["client_pause"]), ms(middle["slow"]),
                             ms(middle["total_seconds"]), mb(middle["bytes"]), mb(middle["late_bytes"]),
                             f"{middle['wanted_pages']:.0f}"])
    head = ["redis", "pause", "the last one predicted", "client's pause", "slow for", "in all", "sent",
            "of it after the thaw", "pages waited for"]
    return (f"Moves under {RATE} verified reads and {RATE * WRITES} writes of 1 KB per second, random keys\n\n"
            + table(head, rows)), [foretold("modes", "Pauses of redis under reads and writes", times)]
