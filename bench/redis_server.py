"""A redis server with a data set of a given size, and what both benches ask of it."""
import subprocess

VALUE_BYTES = 1024
SETTINGS = ["--save", "", "--appendonly", "no", "--enable-debug-command", "yes"]
SIZES_MIB = [0, 64, 1024]


def fill(cli, mib):
    """Makes the server hold `mib` MiB of values; `cli` is the redis-cli command that reaches it."""
    if mib:
        count = mib * (1 << 20) // VALUE_BYTES
        ask(cli, "debug", "populate", str(count), "key", str(VALUE_BYTES))


def ask(cli, *words):
    done = subprocess.run([*cli, *words], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def size_name(mib):
    return {0: "empty", 1024: "1 GB"}.get(mib, f"{mib} MB")
