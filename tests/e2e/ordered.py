"""A container with a shell that does what it is told, in a bundle of its own that gives it rights."""

import json
import pathlib

from hosts import wait_until

# Does what /tmp/order says, and removes it.
SCRIPT = "while sleep 0.1; do if [ -e /tmp/order ]; then . /tmp/order; rm /tmp/order; fi; done"
NAME = "m"


def make_bundle(directory, rights, *mounts):
    """`mounts` are pairs of destination and type, beside /proc and /tmp."""
    root = directory / "rootfs"
    for sub in ("bin", "lib64", "lib", "usr", "proc", "sys", "dev", "tmp", "mnt"):
        (root / sub).mkdir(parents=True)
    shown = (("/proc", "proc"), ("/tmp", "tmpfs"), *mounts)
    (directory / "config.json").write_text(json.dumps({
        "ociVersion": "1.0.2", "root": {"path": "rootfs"},
        "process": {"args": ["bash", "-c", SCRIPT], "cwd": "/", "user": {"uid": 0, "gid": 0},
                    "env": ["PATH=/bin:/usr/bin"],
                    "capabilities": {"bounding": rights, "effective": rights,
                                     "permitted": rights}},
        "mounts": [{"destination": point, "type": kind, "source": kind} for point, kind in shown]}))


def run(host, bundle):
    binds = [f"--volume={path}:{path}:ro" for path in ("/bin", "/lib", "/lib64", "/usr")]
    host.martlet("run", "--name", NAME, "--bundle", bundle, *binds)
    host.martlet("check", NAME)


def pid_of(host):
    return json.loads(host.martlet("inspect", NAME, "--json").stdout)["pid"]


def tell(host, order):
    """Lets the shell execute a line; returns when it has."""
    path = pathlib.Path(f"/proc/{pid_of(host)}/root/tmp/order")
    unfinished = path.with_name("unfinished")
    unfinished.write_text(order + "\n")
    unfinished.rename(path)
    wait_until(lambda: not path.exists(), f"the container to {order}")
