#!/usr/bin/env python3
"""Has spin visit every state of handover.pml, and shows that it would have found a mistake.

Without a planted mistake no assertion fails, no run is endless and two copies never run. With each of
them, spin must find a run that goes wrong: otherwise the check could not fail.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

MODEL = pathlib.Path(__file__).resolve().parent / "handover.pml"
FAULTS = 5
MISTAKES = {
    1: "the source takes a missing answer for a refusal",
    2: "the destination runs it before its journal says so",
    3: "the destination answers for a session that is not over",
    4: "the source hears of a commit that a restart of the host would take back",
    5: "the source does not wait until the destination has forgotten",
    6: "an older entry of the journal thaws a container that is in doubt",
    7: "what the rounds of memory have built stays when the source gives up",
    8: "a failure in the rounds leaves the container throttled",
}


class Failed(Exception):
    pass


def run(directory, *command):
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}")
    return done.stdout


def explore(mistake, build_options, search_options):
    """The number of states, and the error if there is one."""
    with tempfile.TemporaryDirectory(prefix="martlet-model-") as directory:
        run(directory, "spin", "-a", f"-DBROKEN={mistake}", f"-DFAULTS={FAULTS}", MODEL)
        run(directory, "gcc", "-O1", "-w", *build_options, "-o", "pan", "pan.c")
        output = run(directory, "./pan", "-m200000", *search_options)
        if "max search depth too small" in output or "out of memory" in output:
            raise Failed(output)
        states = int(re.search(r"(\d+) states, stored", output).group(1))
        found = re.search(r"pan:\d+: (.*) \(at depth", output)
        errors = int(re.search(r"errors: (\d+)", output).group(1))
        if (errors > 0) != bool(found):
            raise Failed(output)
        return states, found.group(1) if found else None


def check_protocol():
    # -E: the end of every run is judged by the model's own assertions.
    searches = {
        "one copy in the end, nothing else left": (["-DSAFETY", "-DNOCLAIM"], ["-E"]),
        "no run is endless": (["-DNP", "-DNOCLAIM"], ["-l", "-E"]),
        "never two": (["-DSAFETY"], ["-N", "never_two", "-E"]),
    }
    for what, (build_options, search_options) in searches.items():
        states, error = explore(0, build_options, search_options)
        print(f"{what}: {states} states, {error or 'holds'}", flush=True)
        if error:
            raise Failed(f"{what}: {error}")


def check_the_check():
    for number, mistake in MISTAKES.items():
        states, error = explore(number, ["-DSAFETY", "-DNOCLAIM"], ["-E"])
        print(f"planted: {mistake}: {states} states, {'found' if error else 'NOT FOUND'}", flush=True)
        if not error:
            raise Failed(f"not found: {mistake}")


def main():
    argparse.ArgumentParser(description=__doc__).parse_args()
    try:
        check_protocol()
        check_the_check()
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
