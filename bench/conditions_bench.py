"""Moves of redis under conditions that are hard on them: a link that is slower than the memory changes, a server
that is busy during the rounds, several containers at once."""
import contextlib
import json
import statistics
import subprocess
import time

from hosts import Hosts
from modes_bench import RATE, WRITES, start_client
from prediction_bench import set_link
from redis_server import ADDRESS, ask, run_container, size_name
from tables import mb, ms, table

SLOW_LINK = "200mbit"
SLOW_LINK_MIB = 64
BUSY_MIB = 512
BUSY_BANDWIDTH = "100MB/s"  # so that the rounds take some seconds
LOOK_SECONDS = 3
CROWDS = [1, 4, 16]
CROWD_MIB = 64


@contextlib.contextmanager
def writer(hosts, mib):
    load = start_client(hosts, mib)
    try:
        yield
    finally:
        output = load.communicate("\n", timeout=60)[0]
    if load.returncode:
        raise RuntimeError(f"the client failed: {output}")


def timed_move(host, *options):
    """The JSON report of a move, or the message of one that was given up; and its seconds."""
    began = time.monotonic()
    done = host.martlet("migrate", "redis", *options, "--json", check=False)
    return (json.loads(done.stdout) if done.stdout else {}), done.stderr, time.monotonic() - began


def slow_link(hosts):
    """What changes per second does not fit through the link."""
    run_container(hosts, SLOW_LINK_MIB)
    set_link(hosts, SLOW_LINK)
    rows = []
    with writer(hosts, SLOW_LINK_MIB):
        report, error, seconds = timed_move(hosts["host-a"], "host-b", "--mode", "precopy", "--max-rounds", "8",
                                            "--on-no-convergence", "cancel")
        outcome = "moved" if "pause_seconds" in report else "given up after 8 rounds"
        rows.append(["precopy alone", outcome, "-", f"{seconds:.1f} s"])
        for limit in ("50ms", "80ms"):
            report, error, seconds = timed_move(hosts["host-a"], "host-b", "--max-pause", limit)
            if "pause_seconds" in report:
                outcome, pause = f"moved: {report['reason']}", ms(report["pause_seconds"])
            else:
                outcome, pause = f"refused: {error.strip()}", "-"
            rows.append([f"auto, --max-pause {limit}", outcome, pause, f"{seconds:.1f} s"])
            if "pause_seconds" in report:
                break
    set_link(hosts, None)
    for host in hosts:
        host.martlet("rm", "--force", "redis", check=False)
    return (f"{size_name(SLOW_LINK_MIB)} under {RATE * WRITES} writes per second, link of 200 Mbit/s\n\n"
            + table(["move", "outcome", "pause", "in all"], rows))


def commands_done(cli):
    stats = ask(cli, "info", "stats").splitlines()
    return next(int(line.split(":")[1]) for line in stats if line.startswith("total_commands_processed"))


def throughput(cli, goes_on):
    """Commands per second as long as a condition holds, looked at ten times per second, for LOOK_SECONDS at most."""
    began, before = time.monotonic(), commands_done(cli)
    while goes_on() and time.monotonic() < began + LOOK_SECONDS:
        time.sleep(0.1)
    return (commands_done(cli) - before) / (time.monotonic() - began)


def slow_down(hosts, rounds):
    """Throughput of a server that is always busy, before a move and while the rounds are sent."""
    cli = run_container(hosts, BUSY_MIB)
    load = hosts.client_popen(["redis-benchmark", "-h", ADDRESS, "-c", "8", "-n", "1000000000", "-t", "set", "-d",
                               "64", "-r", "100000", "-q"], stdout=subprocess.DEVNULL)
    ratios = []
    here, there = hosts["host-a"], hosts["host-b"]

    def stage():
        shown = here.martlet("migration", "show", "redis", "--json", check=False).stdout
        move = json.loads(shown) if shown else {}
        return move["progress"]["stage"] if move.get("state") == "running" and move["progress"] else ""

    try:
        for _ in range(rounds):
            alone = throughput(cli, lambda: not stage())
            move = here.martlet_popen("migrate", "redis", there.name, "--mode", "precopy",
                                      "--bandwidth", BUSY_BANDWIDTH, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            while stage() != "memory rounds" and move.poll() is None:
                time.sleep(0.05)
            moving = throughput(cli, lambda: stage() == "memory rounds")
            ratios.append(1 - moving / alone)
            if move.wait(60):
                raise RuntimeError("the move failed")
            here, there = there, here
    finally:
        load.kill()
        load.wait()
    here.martlet("rm", "--force", "redis")
    return (f"A busy redis of {size_name(BUSY_MIB)} while rounds are sent at {BUSY_BANDWIDTH}: throughput is lower by "
            f"{statistics.median(ratios):.1%} (median of {rounds}; both hosts and the client share the processors)\n")


def crowd(hosts):
    """Several containers at once from one host to the other."""
    names = [f"redis-{number}" for number in range(max(CROWDS))]
    for number, name in enumerate(names):
        run_container(hosts, CROWD_MIB, name, f"10.77.0.{100 + number}")
    rows = []
    here, there = hosts["host-a"], hosts["host-b"]
    for count in CROWDS:
        began = time.monotonic()
        moves = [here.martlet_popen("migrate", name, there.name, "--mode", "precopy", "--json",
                                   stdout=subprocess.PIPE)
                 for name in names[:count]]
        reports = [json.loads(move.communicate(timeout=120)[0]) for move in moves]
        seconds = time.monotonic() - began
        pauses = [report["pause_seconds"] for report in reports]
        rows.append([str(count), f"{seconds:.2f} s", ms(statistics.median(pauses)), ms(max(pauses)),
                     mb(sum(report["bytes"] for report in reports))])
        for name in names[:count]:
            there.martlet("migrate", name, here.name, "--mode", "precopy")
    for name in names:
        here.martlet("rm", "--force", name)
    return (f"Idle redis containers of {size_name(CROWD_MIB)} each, moved at once by precopy\n\n"
            + table(["containers", "all moved after", "median pause", "longest pause", "sent"], rows))


def run(build, rounds):
    with Hosts(["host-a", "host-b"], build_dir=build) as hosts:
        return "\n".join([slow_link(hosts), slow_down(hosts, rounds), crowd(hosts)]), []
