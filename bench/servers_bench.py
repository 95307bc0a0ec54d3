"""Moves of a database, a web server and a cache under the load of their own clients."""
import dataclasses
import json
import re
import signal
import statistics
import subprocess
import sys
import time

from hosts import Hosts
from moved_service import ADDRESS, HERE, NAME, finish
from plots import Foretold, foretold
from tables import mb, ms, predicted_pause, table
from test_nginx import CONFIG, SETUP
from test_postgres import CONNECTION, SERVER

LOAD_SECONDS = 1.0  # before the first move, and between two


@dataclasses.dataclass
class Service:
    name: str
    command: list
    port: int
    load: list
    failure: str  # in the output of the load
    prepare: tuple = ("true",)


SERVICES = [
    Service("PostgreSQL, pgbench -c 20", ["sh", "-ec", SERVER], 5432,
            ["pgbench", *CONNECTION, "-n", "-c", "20", "-j", "2", "-T", "600", "-P", "600", "postgres"],
            r"aborted|error:", ("pgbench", *CONNECTION, "-i", "-q", "-s", "20", "postgres")),
    Service("nginx, wrk -c 100", ["sh", "-c", SETUP, "sh", CONFIG], 80,
            ["wrk", "-t", "1", "-c", "100", "-d", "600s", "--timeout", "10s", f"http://{ADDRESS}/index.html"],
            r"Socket errors|Non-2xx"),
    Service("memcached, 20 verifying clients", ["memcached", "-u", "nobody", "-m", "64", "-l", "0.0.0.0"], 11211,
            [sys.executable, HERE / "verifying_client.py", "memcached", "--host", ADDRESS, "--port", "11211"],
            r'"failures": \[[^]]'),
]


def measure(hosts, service, rounds):
    """The moves a -> b -> a -> ... under load; no client may fail."""
    here, there = hosts["host-a"], hosts["host-b"]
    here.martlet("run", "--name", NAME, "--overlay", "/", "--ip", f"{ADDRESS}/24", "--", *service.command)
    hosts.await_port(ADDRESS, service.port)
    hosts.client_run(service.prepare, check=True, capture_output=True)
    load = hosts.client_popen(service.load, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    moves = []
    for _ in range(rounds):
        time.sleep(LOAD_SECONDS)
        moves.append(json.loads(here.martlet("migrate", NAME, there.name, "--mode", "precopy", "--json").stdout))
        here, there = there, here
    if load.poll() is not None:
        raise RuntimeError(f"{service.name}: the load ended: {load.stdout.read()}")
    output = finish(load, signal.SIGINT)
    if re.search(service.failure, output):
        raise RuntimeError(f"{service.name}: a client failed: {output}")
    here.martlet("rm", "--force", NAME)
    return moves


def run(build, rounds):
    rows = []
    times = []
    with Hosts(["host-a", "host-b"], build_dir=build) as hosts:
        for service in SERVICES:
            moves = measure(hosts, service, rounds)
            pauses = [move["pause_seconds"] for move in moves]
            times += [Foretold(f"{service.name}, {number}", move["pause_seconds"],
                               move["predicted"] and move["predicted"]["pause_seconds"])
                      for number, move in enumerate(moves, 1)]
            rows.append([service.name, ms(min(pauses)), ms(statistics.median(pauses)), ms(max(pauses)),
                         predicted_pause(moves[-1]),
                         ms(statistics.median(move["total_seconds"] for move in moves)),
                         mb(statistics.median(move["bytes"] for move in moves))])
    head = ["service", "shortest pause", "median", "longest", "the last one predicted", "in all", "sent"]
    return ("Moves by precopy under load; no client saw an error\n\n" + table(head, rows),
            [foretold("servers", "Pauses of servers under load, in their order", times)])
