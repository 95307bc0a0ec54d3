#!/usr/bin/env python3
"""Compares `martlet plan solve` with Octave's queueing package and R's markovchain.

Needs octave with octave-queueing, or R with r-cran-markovchain (Debian packages); what is not
installed is left out. Prints the largest differences; no chain is solved by Martlet's own rules on
the other side: it gets the generator, and returns the stationary distribution.
"""
import argparse
import json
import pathlib
import random
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def random_chain(states, generator):
    """A strongly connected chain as {(from, to): rate}."""
    rates = {}
    for i in range(states):
        rates[i, (i + 1) % states] = 10 ** generator.uniform(-2, 1)
        for _ in range(2):
            j = generator.randrange(states)
            if j != i:
                rates[i, j] = 10 ** generator.uniform(-2, 1)
    return rates


def birth_death(states, birth, death):
    rates = {}
    for k in range(states - 1):
        rates[k, k + 1] = birth
        rates[k + 1, k] = death
    return rates


def generator_rows(states, rates):
    rows = [[0.0] * states for _ in range(states)]
    for (i, j), rate in rates.items():
        rows[i][j] += rate
        rows[i][i] -= rate
    return rows


def by_martlet(martlet, states, rates, folder):
    path = folder / "chain.toml"
    lines = ["states = ["]
    lines += [f'  {{ name = "s{i}", up = {str(i == 0).lower()} }},' for i in range(states)]
    lines += ["]", "transitions = ["]
    lines += [f'  {{ from = "s{i}", to = "s{j}", rate = {rate!r} }},' for (i, j), rate in rates.items()]
    path.write_text("\n".join(lines + ["]", ""]), encoding="ascii")
    out = subprocess.check_output([martlet, "plan", "solve", str(path), "--json", "--at", "2h"],
                                  text=True)
    result = json.loads(out)
    return [result["stationary"][f"s{i}"] for i in range(states)]


def by_octave(rows):
    matrix = ";".join(" ".join(f"{x:.17g}" for x in row) for row in rows)
    script = f"pkg load queueing; printf('%.17g\\n', ctmc([{matrix}]));"
    # Octave 7 complains at its exit when no terminal is there.
    out = subprocess.check_output(["octave-cli", "--quiet", "--eval", script], text=True,
                                  stderr=subprocess.DEVNULL)
    return [float(line) for line in out.split()]


def by_r(rows):
    values = ",".join(f"{x:.17g}" for row in rows for x in row)
    size = len(rows)
    names = ",".join(f"'s{i}'" for i in range(size))
    script = (f"suppressMessages(library(markovchain)); n <- c({names});"
              f"g <- matrix(c({values}), nrow={size}, byrow=TRUE, dimnames=list(n, n));"
              "c <- new('ctmc', states=n, byrow=TRUE, generator=g, name='c');"
              "cat(format(Re(as.vector(steadyStates(c))), digits=17), sep='\\n')")
    out = subprocess.check_output(["Rscript", "-e", script], text=True, stderr=subprocess.DEVNULL)
    if "WARNING" in out:  # it found no stationary distribution and says so on its output
        return None
    return [float(line) for line in out.split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--martlet", default=ROOT / "build/release/bin/martlet")
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args()
    others = {}
    if shutil.which("octave-cli"):
        others["octave queueing"] = by_octave
    if shutil.which("Rscript"):
        others["R markovchain"] = by_r
    if not others:
        parser.error("neither octave-cli nor Rscript is installed")
    generator = random.Random(args.seed)
    chains = {"birth and death": (12, birth_death(12, 0.3, 1.0))}
    for states in (5, 20, 60):
        chains[f"random, {states} states"] = (states, random_chain(states, generator))
    with tempfile.TemporaryDirectory() as folder:
        for name, (states, rates) in chains.items():
            own = by_martlet(args.martlet, states, rates, pathlib.Path(folder))
            for other, solve in others.items():
                theirs = solve(generator_rows(states, rates))
                if theirs is None:
                    print(f"{name:22} {other:16} gives no answer")
                    continue
                worst = max(abs(a - b) for a, b in zip(own, theirs))
                print(f"{name:22} {other:16} largest difference {worst:.1e}", flush=True)


if __name__ == "__main__":
    main()
