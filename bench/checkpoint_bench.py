"""Checkpoint and restore of a redis process by its PID, to and from a tmpfs, beside CRIU."""
import json
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from redis_server import SETTINGS, SIZES_MIB, ask, fill, size_name
from tables import mb, ms, table

# CRIU 4.2 on the same kind of machine: dump to tmpfs (frozen time) and restore, in ms.
CRIU = {0: ("8", "5"), 64: ("37-48", "39-47"), 1024: ("480-740", "530-640")}


class PlainRedis:
    """A redis process outside of any container, reached through a Unix socket."""

    def __init__(self, folder, mib):
        socket = folder / "redis.sock"
        self.cli = ["redis-cli", "-s", str(socket)]
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", socket, *SETTINGS],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        self.restored_pid = None
        deadline = time.monotonic() + 20
        while subprocess.run([*self.cli, "ping"], capture_output=True).returncode != 0:
            if time.monotonic() > deadline:
                raise TimeoutError("redis does not answer")
            time.sleep(0.02)
        fill(self.cli, mib)

    def stop(self):
        subprocess.run([*self.cli, "shutdown", "nosave"], capture_output=True, timeout=20)
        self.process.kill()
        self.process.wait()


def martlet(build, *args):
    """Runs the command line; returns its JSON and the time the whole command took."""
    start = time.monotonic()
    done = subprocess.run([build / "bin/martlet", *args, "--json"], capture_output=True,
                          text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"martlet {args[0]}: {done.stderr}")
    return json.loads(done.stdout), time.monotonic() - start


def restore_seconds(stats):
    return sum(value for key, value in stats.items() if key.endswith("_seconds"))


def frozen_seconds(stats):
    return stats.get("frozen_seconds", stats["freeze_seconds"] + stats["capture_seconds"])


def measure_once(build, mib):
    """One dump that ends the original, and one restore of it, which must hold the same data."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="martlet-bench-", dir="/dev/shm"))
    redis = PlainRedis(folder, mib)
    try:
        keys = ask(redis.cli, "dbsize")
        dump, dump_command = martlet(build, "checkpoint", "--pid", str(redis.process.pid),
                                     "--dir", str(folder / "image"))
        redis.process.wait(timeout=20)
        restore, restore_command = martlet(build, "restore", "--dir", str(folder / "image"))
        if ask(redis.cli, "dbsize") != keys:
            raise RuntimeError("the restored server lost keys")
        return {"frozen": frozen_seconds(dump), "restore": restore_seconds(restore),
                "dump_command": dump_command, "restore_command": restore_command,
                "bytes": dump["memory_bytes"]}
    finally:
        redis.stop()
        shutil.rmtree(folder, ignore_errors=True)


def run(build, rounds):
    rows = []
    for mib in SIZES_MIB:
        runs = [measure_once(build, mib) for _ in range(rounds)]
        median = {key: statistics.median(r[key] for r in runs) for key in runs[0]}
        rows.append([size_name(mib), mb(median["bytes"]), ms(median["frozen"]), CRIU[mib][0] + " ms",
                     ms(median["restore"]), CRIU[mib][1] + " ms", ms(median["dump_command"]),
                     ms(median["restore_command"])])
    head = ["redis", "memory", "frozen", "CRIU 4.2", "restore", "CRIU 4.2", "whole checkpoint",
            "whole restore"]
    return "Checkpoint and restore by PID, on tmpfs\n\n" + table(head, rows), []
