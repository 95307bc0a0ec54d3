"""Raw TCP and TLS side by side between two hosts, with one connection and with several."""
import statistics
import subprocess

from hosts import NETNS, Hosts
from plots import bars
from tables import table


def measure(build, hosts):
    """Of one run: for each transfer, bytes per second of time and of processor time."""
    source, destination = hosts["host-a"], hosts["host-b"]
    done = subprocess.run([build / "bench/transfer_bench", NETNS / source.netns,
                           NETNS / destination.netns, destination.address],
                          check=True, capture_output=True, text=True, timeout=170)
    rates = {}
    for line in done.stdout.splitlines():
        name, rate, per_processor = line.split("\t")
        rates[name] = (float(rate), float(per_processor))
    return rates


def run(build, rounds):
    with Hosts(["host-a", "host-b"], build_dir=build) as hosts:
        runs = [measure(build, hosts) for _ in range(rounds)]
    rows = []
    rates = []
    for name in runs[0]:
        streams = name.split(", ")[1]
        rate = statistics.median(run[name][0] for run in runs)
        ratio = statistics.median(run[name][0] / run[f"raw TCP, {streams}"][0] for run in runs)
        cost = statistics.median(1e9 / run[name][1] for run in runs)
        rates.append((name, rate / 1e6))
        rows.append([name, f"{rate / 1e6:.0f} MB/s", f"{ratio:.2f}", f"{cost:.2f} s"])
    head = ["transfer, connections", "rate", "of raw TCP", "processor time per GB, both hosts"]
    return ("2 GiB of memory between two hosts (network namespaces on a bridge) that share the "
            "processors\n\n" + table(head, rows)), [
                bars("transfer", "2 GiB of memory between two hosts", "MB/s", rates)]
