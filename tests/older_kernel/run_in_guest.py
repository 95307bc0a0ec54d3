#!/usr/bin/env python3
"""Runs commands on Debian 12's own kernel (6.1), which has neither PAGEMAP_SCAN nor write tracking by
userfaultfd: in an emulated machine that has this host's files, and writes none of them.

    run_in_guest.py --kernel DIRECTORY COMMAND...

DIRECTORY holds an unpacked linux-image package (./do test fetches it). Ends as the commands do.
"""
import argparse
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
DEADLINE_SECONDS = 600
MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay"]


def modules_with_needs(kernel, names):
    """The files of these modules and of those that they need, in an order in which they load."""
    (list_of_needs,) = kernel.glob("lib/modules/*/modules.dep")
    needs = {}
    for line in list_of_needs.read_text().splitlines():
        module, _, needed = line.partition(":")
        needs[pathlib.Path(module).stem] = (module, [pathlib.Path(path).stem for path in needed.split()])
    ordered = []

    def add(name):
        path, needed = needs[name]
        for other in needed:
            add(other)
        if list_of_needs.parent / path not in ordered:
            ordered.append(list_of_needs.parent / path)

    for name in names:
        add(name)
    return ordered


def make_initrd(kernel, commands, directory):
    """The guest's first root: busybox, the modules to get at the host's files, and the commands."""
    root = directory / "root"
    for name in ("bin", "sbin", "modules", "host", "layer", "root", "proc", "sys", "dev"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    (root / "sbin/modprobe").symlink_to("/bin/busybox")
    shutil.copy(HERE / "guest_init", root / "init")
    (root / "init").chmod(0o755)
    modules = modules_with_needs(kernel, MODULES)
    for module in modules:
        shutil.copy(module, root / "modules")
    (root / "modules/order").write_text("".join(f"{module.name}\n" for module in modules))
    (root / "kernel").write_text(str(kernel))
    (root / "command").write_text("\n".join(commands) + "\n")
    initrd = directory / "initrd"
    names = "\n".join(str(path.relative_to(root)) for path in [root, *sorted(root.rglob("*"))])
    with open(initrd, "wb") as out:
        subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=root, input=names.encode(),
                       stdout=out, stderr=subprocess.DEVNULL, check=True)
    return initrd


def run_guest(kernel, initrd):
    (image,) = kernel.glob("boot/vmlinuz-*")
    return subprocess.Popen(
        ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "3G",
         "-nographic", "-no-reboot", "-nic", "none", "-kernel", image, "-initrd", initrd,
         "-append", "console=ttyS0 panic=-1 quiet mitigations=off", "-virtfs",
         "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--kernel", type=pathlib.Path, required=True)
    parser.add_argument("command", nargs="+", help="each is a line of shell")
    arguments = parser.parse_args()
    kernel = arguments.kernel.resolve()
    with tempfile.TemporaryDirectory(prefix="martlet-guest-", dir="/var/tmp") as directory:
        initrd = make_initrd(kernel, ["set -e", f"cd {shlex.quote(str(HERE.parents[1]))}",
                                      *arguments.command], pathlib.Path(directory))
        guest = run_guest(kernel, initrd)
        try:
            output, _ = guest.communicate(timeout=DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            guest.kill()
            output, _ = guest.communicate()
            output += f"\nthe guest did not end within {DEADLINE_SECONDS} s\n"
    print(output)
    ended = re.search(r"guest: ended with (\d+)", output)
    return int(ended[1]) if ended else 1


if __name__ == "__main__":
    sys.exit(main())
