"""Predictions beside measurements: the share of moves whose pause and total time lie within the bounds
that were given before the move, over a grid of memory size, link rate and mode."""
import json
import statistics
import subprocess

from hosts import Hosts
from plots import Foretold, foretold
from redis_server import run_container, size_name
from tables import ms, table

SIZES_MIB = [0, 64, 256]
MODES = ["stop", "precopy", "postcopy", "hybrid"]
LINKS = {"unlimited": None, "1 Gbit/s": "1gbit", "200 Mbit/s": "200mbit"}


def set_link(hosts, rate):
    """Limits what every host receives, by a token bucket at its port of the switch."""
    for name in ("host-a", "host-b"):
        qdisc = ["ip", "netns", "exec", hosts.switch, "tc", "qdisc"]
        port = f"p{hosts[name].number}"
        subprocess.run([*qdisc, "del", "dev", port, "root"], check=False, capture_output=True)
        if rate:
            subprocess.run([*qdisc, "add", "dev", port, "root", "tbf", "rate", rate, "burst", "256kb",
                            "latency", "50ms"], check=True)


def move(hosts, here, there, mode):
    """One move; returns what was predicted and measured."""
    hosts[here].martlet("migrate", "redis", there, "--mode", mode, "--json")
    history = hosts[here].martlet("migration", "history", "redis", "--limit", "1", "--json").stdout
    return json.loads(history)[0]


def ratio(bounds):
    return bounds["upper"] / bounds["lower"] if bounds["lower"] > 0 else float("inf")


def summary_of(moves):
    within = [m["error"]["pause_within"] and m["error"]["total_within"] for m in moves]
    return {"moves": len(moves),
            "pause": sum(m["error"]["pause_within"] for m in moves) / len(moves),
            "total": sum(m["error"]["total_within"] for m in moves) / len(moves),
            "both": sum(within) / len(moves),
            "pause_ratio": statistics.median(ratio(m["predicted"]["pause_seconds"]) for m in moves),
            "total_ratio": statistics.median(ratio(m["predicted"]["total_seconds"]) for m in moves)}


def cell_rows(cells):
    rows = []
    for (mib, link, mode), moves in cells.items():
        last = moves[-1]
        pause = last["predicted"]["pause_seconds"]
        total = last["predicted"]["total_seconds"]
        share = summary_of(moves)
        rows.append([f"{size_name(mib)}, {link}, {mode}",
                     f"{ms(pause['lower'])} - {ms(pause['upper'])}",
                     ms(last["measured"]["pause_seconds"]),
                     f"{ms(total['lower'])} - {ms(total['upper'])}",
                     ms(last["measured"]["total_seconds"]),
                     f"{share['both'] * share['moves']:.0f} of {share['moves']}"])
    return rows


def plots_of(cells):
    def times(quantity):
        return [Foretold(f"{size_name(mib)}, {link}, {mode}", moves[-1]["measured"][quantity],
                         moves[-1]["predicted"][quantity]) for (mib, link, mode), moves in cells.items()]

    return [foretold("prediction-pause", "Pause, the last move of each kind", times("pause_seconds")),
            foretold("prediction-total", "Whole move, the last of each kind", times("total_seconds"))]


def measure_cell(hosts, cells, key, rounds):
    mib, link, mode = key
    here, there = "host-a", "host-b"
    moves = []
    for _ in range(2 * ((rounds + 1) // 2)):  # so that it ends where it began
        record = move(hosts, here, there, mode)
        if record["predicted"]:
            moves.append(record)
        here, there = there, here
    if moves:
        cells[(mib, link, mode)] = moves


def run(build, rounds):
    cells = {}
    with Hosts(["host-a", "host-b"], build_dir=build) as hosts:
        for mib in SIZES_MIB:
            run_container(hosts, mib)
            for link, rate in LINKS.items():
                set_link(hosts, rate)
                for mode in MODES:
                    measure_cell(hosts, cells, (mib, link, mode), rounds)
            hosts["host-a"].martlet("rm", "--force", "redis")
    everything = summary_of([m for moves in cells.values() for m in moves])
    head = ["redis, link, mode", "pause predicted", "measured", "in all predicted", "measured",
            "within"]
    return (f"Predicted before each move and measured; of {everything['moves']} moves, agents that "
            f"had never moved anything at the beginning\n\n"
            f"pause within its bounds: {everything['pause']:.0%}, total time: "
            f"{everything['total']:.0%}, both: {everything['both']:.0%}; median upper/lower: pause "
            f"{everything['pause_ratio']:.2f}, total {everything['total_ratio']:.2f}\n\n"
            + table(head, cell_rows(cells))), plots_of(cells)
