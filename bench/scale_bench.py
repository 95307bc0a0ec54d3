"""So many objects of one kind, checkpointed and restored: whether the time is linear in their number.

Each measurement runs in PID, network and mount namespaces of its own, so that the PIDs are free for the restore."""
import json
import math
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from tables import ms, table

# The kinds of scale_workload.c, the largest count, and what one of them is called in the table.
KINDS = (("tasks", 1000, "task of a tree"),
         ("threads", 10000, "thread of one task"),
         ("descriptors", 100000, "descriptor, ten to a file"),
         ("mappings", 50000, "mapping of one page"),
         ("connections", 10000, "TCP connection"),
         ("memory", 1024, "MiB of memory"))
SHARES = (8, 4, 2, 1)  # of the largest count
TIMES = ("checkpoint", "frozen", "restore")
PID = 1000
DEADLINE = 120


# --- Inside, as PID 1

def await_line(output, line):
    end = time.monotonic() + DEADLINE
    while line not in output.read_text().splitlines():
        if time.monotonic() > end or len(output.read_text().splitlines()) > 2:
            raise SystemExit(f"{output.read_text()!r}, not {line!r}")
        time.sleep(0.01)


def reap_all(but=()):
    """Children of a root that ended come to this process; their session keeps the root's PID."""
    while children := set(map(int, pathlib.Path("/proc/1/task/1/children").read_text().split())) - set(but):
        os.waitpid(children.pop(), 0)


def martlet(build, *args):
    """Its report, and the time that the whole command took."""
    start = time.monotonic()
    done = subprocess.run([build / "bin/martlet", *args, "--json"], capture_output=True, text=True, timeout=DEADLINE,
                          check=False)
    if done.returncode != 0:
        raise SystemExit(f"martlet {args[0]}: {done.stderr.strip()}")
    return json.loads(done.stdout), time.monotonic() - start


def measure_inside(build, kind, count, folder):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    program = build / "bench/scale_workload"
    port, peers = [], []
    if kind == "connections":
        peer = subprocess.Popen([program, "peer", count], stdout=subprocess.PIPE, text=True)
        peers = [peer.pid]
        port = [peer.stdout.readline().strip()]
    pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(PID - 1))
    output = folder / "output"
    with open(output, "ab") as file:
        subprocess.Popen([program, kind, count, *port], stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd="/",
                         start_new_session=True)
    await_line(output, "ready")
    taken, checkpoint = martlet(build, "checkpoint", "--pid", str(PID), "--dir", folder / "image")
    reap_all(but=peers)
    back, _ = martlet(build, "restore", "--dir", folder / "image")
    os.kill(PID, signal.SIGUSR1)
    await_line(output, "ok")
    reap_all()
    return {"checkpoint": checkpoint, "frozen": taken["frozen_seconds"], "restore": back["restore_seconds"]}


# --- Outside

def measure(build, kind, count):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="martlet-bench-", dir="/dev/shm"))
    try:
        done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--mount-proc",
                               sys.executable, __file__, build, kind, str(count), folder],
                              capture_output=True, text=True, timeout=4 * DEADLINE, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{count} {kind}: {done.stderr.strip()}")
        return json.loads(done.stdout)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def each(seconds, count):
    return f"{seconds / count * 1e6:.1f} us"


def exponent(counts, seconds):
    """Of the power of the count that fits the times best: the slope of their logarithms."""
    slope, _ = statistics.linear_regression([math.log(c) for c in counts], [math.log(s) for s in seconds])
    return f"{slope:.2f}"


def run(build, rounds):
    rows, growth = [], []
    for kind, largest, one in KINDS:
        counts = [largest // share for share in SHARES]
        medians = []
        for count in counts:
            runs = [measure(build, kind, count) for _ in range(rounds)]
            medians.append({what: statistics.median(r[what] for r in runs) for what in TIMES})
            rows.append([one, f"{count:,}"] + [cell for what in TIMES
                                               for cell in (ms(medians[-1][what]), each(medians[-1][what], count))])
        growth.append([one] + [exponent(counts, [m[what] for m in medians]) for what in TIMES])
    return ("Checkpoint (the whole command, and of it the time that the tasks stand still) and restore of many objects\n\n"
            + table(["object", "count", "checkpoint", "of each", "frozen", "of each", "restore", "of each"], rows)
            + "\nThe time grows with this power of the count; 1.00 is linear, less: a part does not depend on it\n\n"
            + table(["object", *TIMES], growth)), []


if __name__ == "__main__":
    print(json.dumps(measure_inside(pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4]))))
