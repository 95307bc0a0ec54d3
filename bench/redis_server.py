"""A redis server with a data set of a given size, and what the benches ask of it."""
import subprocess

VALUE_BYTES = 1024
SETTINGS = ["--save", "", "--appendonly", "no", "--enable-debug-command", "yes"]
SIZES_MIB = [0, 64, 1024]
ADDRESS = "10.77.0.50"  # of the container


def run_container(hosts, mib, name="redis", address=ADDRESS):
    """Runs a server that holds `mib` MiB in a container on host-a; returns the redis-cli command for it."""
    hosts["host-a"].martlet("run", "--name", name, "--overlay", "/", "--ip", f"{address}/24", "--",
                            "redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", *SETTINGS)
    hosts.await_port(address, 6379)
    cli = ["ip", "netns", "exec", hosts.client_netns, "redis-cli", "-h", address]
    fill(cli, mib)
    return cli


def fill(cli, mib):
    """Makes the server hold `mib` MiB of values; `cli` is the redis-cli command that reaches it."""
    if mib:
        count = mib * (1 << 20) // VALUE_BYTES
        ask(cli, "debug", "populate", str(count), "key", str(VALUE_BYTES))


def ask(cli, *words):
    done = subprocess.run([*cli, *words], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def size_name(mib):
    if mib >= 1024:
        return f"{mib // 1024} GB"
    return f"{mib} MB" if mib else "empty"
