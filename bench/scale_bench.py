"""So many objects of one kind, checkpointed and restored: whether the time is linear in their number.

Each measurement runs in PID, network and mount namespaces of its own, so that the PIDs are free for the restore."""
import json
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

# The kinds of scale_workload.c, the counts, and what one of them is called in the table.
KINDS = (("tasks", (250, 500, 1000), "task of a tree"),
         ("threads", (2500, 5000, 10000), "thread of one task"),
         ("descriptors", (25000, 50000, 100000), "descriptor, ten to a file"),
         ("mappings", (12500, 25000, 50000), "mapping of one page"),
         ("connections", (2500, 5000, 10000), "TCP connection"),
         ("memory", (256, 512, 1024), "MiB of memory"))
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
    done = subprocess.run([build / "bin/martlet", *args, "--json"], capture_output=True, text=True, timeout=DEADLINE,
                          check=False)
    if done.returncode != 0:
        raise SystemExit(f"martlet {args[0]}: {done.stderr.strip()}")
    return json.loads(done.stdout)


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
    taken = martlet(build, "checkpoint", "--pid", str(PID), "--dir", folder / "image")
    reap_all(but=peers)
    back = martlet(build, "restore", "--dir", folder / "image")
    os.kill(PID, signal.SIGUSR1)
    await_line(output, "ok")
    reap_all()
    return {"frozen": taken["frozen_seconds"], "restore": back["restore_seconds"]}


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


def run(build, rounds):
    rows = []
    for kind, counts, one in KINDS:
        first = None
        for count in counts:
            runs = [measure(build, kind, count) for _ in range(rounds)]
            frozen, restore = (statistics.median(r[what] for r in runs) for what in ("frozen", "restore"))
            costs = frozen / count, restore / count
            first = first or costs
            growth = " / ".join(f"{now / then:.2f}" for now, then in zip(costs, first))
            rows.append([one, f"{count:,}", ms(frozen), each(frozen, count), ms(restore), each(restore, count), growth])
    head = ["object", "count", "frozen", "of each", "restore", "of each", "growth"]
    return ("Checkpoint and restore of many objects; growth is the cost of each, frozen and in the restore, beside that of "
            "the smallest count: 1.00 is linear\n\n" + table(head, rows)), []


if __name__ == "__main__":
    print(json.dumps(measure_inside(pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4]))))
