"""Images that earlier versions of Martlet wrote are restored, and what they hold goes on.

tests/data/images has one image for each earlier version of the format that is read, and the program that it holds. Who
raises the version makes one with the last program that wrote the old one:

    python3 test_images.py make BUILD_DIR/bin/martlet ../data/images/vN
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import hosts

IMAGES = hosts.REPOSITORY / "tests/data/images"
PLACE = pathlib.Path("/mnt")  # the program's directory, in a mount namespace of its own
PID = 100
CHANGED = 1_700_000_000  # the program's time stamp, by which a restore knows it
DEADLINE = 30


# --- Inside: PID 1 of namespaces of its own

def lay_out():
    """What the program finds, the same at every place and time."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", PLACE], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    shutil.copy(IMAGES / "program", PLACE / "program")
    os.chmod(PLACE / "program", 0o755)
    os.utime(PLACE / "program", (CHANGED, CHANGED))
    (PLACE / "file").write_text("some text")
    (PLACE / "output").touch()


def await_output(line):
    end = time.monotonic() + DEADLINE
    while line not in (PLACE / "output").read_text().splitlines():
        if time.monotonic() > end or "FAIL" in (PLACE / "output").read_text():
            raise SystemExit(f"the program says {(PLACE / 'output').read_text()!r} and not {line!r}")
        time.sleep(0.005)


def make(martlet, directory):
    pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(PID - 1))
    with open(PLACE / "output", "ab") as output:
        program = subprocess.Popen(["./program"], cwd=PLACE, env={}, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=output, start_new_session=True)
    assert program.pid == PID
    await_output("ready")
    subprocess.run([martlet, "checkpoint", "--pid", str(PID), "--dir", directory], check=True)
    program.wait()


def restore(martlet, directory):
    """The program's children come to this process, and so does the program."""
    done = subprocess.run([martlet, "restore", "--dir", directory], capture_output=True, text=True, timeout=DEADLINE,
                          check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr.strip())
    os.kill(PID, signal.SIGUSR1)
    await_output("ok")
    pid, status = os.waitpid(PID, 0)
    assert (pid, status) == (PID, 0), (pid, status)


def run_apart(what, martlet, directory):
    return subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--ipc", "--mount-proc",
                           sys.executable, __file__, "inside", what, martlet, directory],
                          capture_output=True, text=True, timeout=2 * DEADLINE, check=False)


# --- Outside

class OldImages(unittest.TestCase):
    def versions(self):
        return sorted(int(path.name.removeprefix("v")) for path in IMAGES.glob("v*"))

    def test_each_is_restored(self):
        for version in self.versions():
            with self.subTest(version=version):
                done = run_apart("restore", hosts.find_build_dir() / "bin/martlet", IMAGES / f"v{version}")
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_there_is_one_of_every_version_before(self):
        source = "".join((hosts.REPOSITORY / "src/image" / name).read_text()
                         for name in ("stream.h", "format_version.h"))
        oldest, newest = (int(re.search(rf"{name} = (\d+);", source)[1])
                          for name in ("kOldestFormatVersion", "kFormatVersion"))
        self.assertEqual(self.versions(), list(range(oldest, newest)))

    def test_what_is_written_now_is_restored(self):
        with tempfile.TemporaryDirectory() as scratch:
            for what in ("make", "restore"):
                done = run_apart(what, hosts.find_build_dir() / "bin/martlet", pathlib.Path(scratch) / "image")
                self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        lay_out()
        {"make": make, "restore": restore}[sys.argv[2]](*sys.argv[3:])
    elif sys.argv[1:2] == ["make"]:
        made = run_apart("make", *(pathlib.Path(arg).resolve() for arg in sys.argv[2:]))
        sys.exit(made.stderr or made.returncode)
    else:
        unittest.main()
