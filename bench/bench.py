#!/usr/bin/env python3
"""Measures Martlet and prints the results as tables; see bench/README.md. Needs root."""
import argparse
import pathlib
import platform
import os
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
import checkpoint_bench  # noqa: E402
import conditions_bench  # noqa: E402
import file_sync_bench  # noqa: E402
import markov_bench  # noqa: E402
import migration_bench  # noqa: E402
import modes_bench  # noqa: E402
import prediction_bench  # noqa: E402
import scale_bench  # noqa: E402
import servers_bench  # noqa: E402
import transfer_bench  # noqa: E402

BENCHES = {"checkpoint": checkpoint_bench.run, "migration": migration_bench.run,
           "modes": modes_bench.run, "servers": servers_bench.run,
           "conditions": conditions_bench.run, "prediction": prediction_bench.run,
           "transfer": transfer_bench.run, "file_sync": file_sync_bench.run,
           "markov": markov_bench.run, "scale": scale_bench.run}


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="ascii")
                  if line.startswith("model name")), "unknown CPU")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    other_work = f"load average {os.getloadavg()[0]:.1f} before"
    if os.sched_getscheduler(0) == os.SCHED_FIFO:
        other_work += ", measured with real-time priority (chrt -f)"
    return (f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Linux {platform.release()}, "
            f"{time.strftime('%Y-%m-%d')}; {other_work}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help=f"which to run: {', '.join(BENCHES)} (default: all)")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--rounds", type=int, default=5, help="the tables show the median")
    parser.add_argument("--write", action="store_true", help="keep tables and plots in bench/results/")
    args = parser.parse_args()
    unknown = set(args.names) - set(BENCHES)
    if unknown:
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    print(machine())
    for name in args.names or BENCHES:
        text, plots = BENCHES[name](args.build.resolve(), args.rounds)
        print(f"\n{text}", flush=True)
        if args.write:
            results = ROOT / "bench/results"
            results.mkdir(exist_ok=True)
            command = f"sudo ./do bench {name} --rounds {args.rounds} --write"
            shown = "".join(f"\n![{plot.name}]({plot.name}.svg)\n" for plot in plots)
            (results / f"{name}.md").write_text(f"`{command}`: {machine()}; median of {args.rounds}\n\n{text}{shown}")
            for plot in plots:
                plot.write(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
