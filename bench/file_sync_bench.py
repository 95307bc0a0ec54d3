"""The second copy of a container's files, which happens while it is frozen: with a record of what
changed, and by comparing everything."""
import collections
import statistics
import subprocess

from tables import mb, ms, table

FILES, CHANGED = 100_000, 100


def run(build, rounds):
    seconds, sent = collections.defaultdict(list), collections.defaultdict(list)
    for _ in range(rounds):
        done = subprocess.run([build / "bench/file_sync_bench", str(FILES), str(CHANGED)], check=True,
                              capture_output=True, text=True, timeout=600)
        for line in done.stdout.splitlines():
            files, _, kind, time, size = line.split()
            seconds[int(files), kind].append(float(time))
            sent[int(files), kind].append(int(size))
    rows = []
    for files, what in ((FILES, f"{FILES:,} files of 1 kB, {CHANGED} changed"),
                        (1, f"256 MiB in one file, {CHANGED} places changed")):
        tracked = statistics.median(seconds[files, "tracked"])
        compared = statistics.median(seconds[files, "compared"])
        rows.append([what, ms(tracked), mb(statistics.median(sent[files, "tracked"])), ms(compared),
                     mb(statistics.median(sent[files, "compared"])), f"{compared / tracked:.0f}"])
    head = ["second copy", "tracked", "sent", "everything compared", "sent", "times faster"]
    return "Second copy of files, frozen, over TLS on one machine\n\n" + table(head, rows), []
