"""The Markov library on a large chain, and a choice among thousands of designs."""
import subprocess


def run(build, rounds):
    """Prints what the last of `rounds` runs took: the first ones warm the caches."""
    for _ in range(rounds):
        done = subprocess.run([build / "bench/markov_bench"], check=True, capture_output=True, text=True,
                              timeout=600)
    return f"Markov chains and designs, on one core\n\n```\n{done.stdout}```\n", []
