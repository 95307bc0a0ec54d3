"""Bad input of every kind: one clear line, an exit code that is not 0, and nothing has changed."""
import contextlib
import ctypes
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import unittest

import hosts
from counter import CounterTest
from hosts import Hosts, command, wait_until

HERE = pathlib.Path(__file__).resolve().parent
COUNTER = HERE / "servers/counter.py"
NOBODY = 65534
RECORD_HEADER = 32
LARGE = 40 << 20  # memory of a process whose checkpoint has page lanes
libc = ctypes.CDLL(None, use_errno=True)


def martlet(*args, user=None):
    """Runs the command line with no agent anywhere near."""
    args = [hosts.find_build_dir() / "bin/martlet", "--socket", "/nonexistent/agent.sock", *args]
    if user is not None:
        args = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *args]
    return subprocess.run([str(arg) for arg in args], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False)


def isolate():
    """A network namespace with loopback, and this process adopts every orphan below it."""
    clone_newnet, pr_set_child_subreaper = 0x40000000, 36
    if libc.unshare(clone_newnet) != 0 or libc.prctl(pr_set_child_subreaper, 1) != 0:
        raise OSError(ctypes.get_errno(), "cannot isolate the test (are you root?)")
    command("ip", "link", "set", "lo", "up")


def children(pid=None):
    pid = pid or os.getpid()
    return [int(child) for child in
            pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def reap_ended():
    """What init does: a child of a killed root comes to this process, the subreaper."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass


class Mounted:
    """A file system of `size` at `directory` for as long as the context lasts."""

    def __init__(self, directory, size):
        self.directory = directory
        self.size = size

    def __enter__(self):
        self.directory.mkdir(exist_ok=True)
        command("mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", self.directory)
        return self.directory

    def __exit__(self, *error):
        command("umount", "-l", self.directory)


@contextlib.contextmanager
def occupied(pid):
    """A process with this PID, which was free."""
    for _ in range(1000):
        pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        holder = subprocess.Popen(["sleep", "1000"])
        try:
            if holder.pid == pid:
                yield
                return
        finally:
            holder.kill()
            holder.wait()
    raise hosts.HostsError(f"PID {pid} is not to be had")


def checksum(data):
    """XXH3-64, from the library that the product itself uses."""
    library = ctypes.CDLL("libxxhash.so.0")
    library.XXH3_64bits.restype = ctypes.c_uint64
    library.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return library.XXH3_64bits(bytes(data), len(data)).to_bytes(8, "little")


def with_version(image, version):
    """The image with another version in its first record, which is whole in every other way."""
    end = RECORD_HEADER + int.from_bytes(image[8:12], "little")
    head = bytearray(image[RECORD_HEADER:end])
    assert head[:1] == b"\x08", "the header begins with its version"
    head[1] = version
    return image[:24] + checksum(image[:24] + head) + bytes(head) + image[end:]


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def is_waiting(pid, size):
    """Whether the process holds that much memory and sleeps until a signal comes."""
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    call = pathlib.Path(f"/proc/{pid}/syscall").read_text().split()[0]
    return pages * os.sysconf("SC_PAGE_SIZE") > size and call == "34"


class Checks(unittest.TestCase):
    def assert_refused(self, done, because, code=1):
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"\Amartlet: [^\n]+\n\Z")
        self.assertRegex(done.stderr, because)


class ProcessTreeErrors(Checks):
    """Without an agent, by PID. The tree is a server that numbers its answers, and a child of it."""

    @classmethod
    def setUpClass(cls):
        cls.own_network = os.open("/proc/self/ns/net", os.O_RDONLY)
        isolate()

    @classmethod
    def tearDownClass(cls):
        libc.setns(cls.own_network, 0)
        os.close(cls.own_network)
        libc.prctl(36, 0)

    def setUp(self):
        self.scratch = pathlib.Path(self.enterContext(hosts.temporary_directory()))
        self.addCleanup(self.end_all)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        script = f"sleep 1000 & exec {sys.executable} {COUNTER} {self.port}"
        self.server = subprocess.Popen(["sh", "-c", script], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       start_new_session=True)
        self.pid = self.server.pid
        self.count = 0
        wait_until(self.answers, "start of the server")
        (self.child,) = children(self.pid)

    def end_all(self):
        while children():
            for pid in children():
                os.kill(pid, 9)
                os.waitpid(pid, 0)
        self.server.returncode = -9

    def answers(self):
        """Whether the server answers; its number must be the one after the last."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as peer:
                number = int(peer.recv(64))
        except ConnectionError:
            return False
        self.count += 1
        self.assertEqual(number, self.count)
        return True

    def state(self):
        """What a command that failed must not have changed."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        masks = re.findall(r"^(?:TracerPid|Sig[A-Z][a-z]+|Shd\w+|Threads|FDSize):.*$", status, re.MULTILINE)
        return masks, pathlib.Path(f"/proc/{self.pid}/maps").read_text()

    def refused(self, *args, because, code=1, user=None):
        before = self.state(), sorted(self.scratch.rglob("*")), children()
        self.assert_refused(martlet(*args, user=user), because, code)
        self.assertEqual((self.state(), sorted(self.scratch.rglob("*")), children()), before)
        self.assertTrue(self.answers())

    def refused_to_restore(self, *args, because):
        """The same when the tree is in an image only."""
        before = sorted(self.scratch.rglob("*"))
        self.assert_refused(martlet("restore", *args), because)
        reap_ended()
        self.assertEqual((children(), sorted(self.scratch.rglob("*"))), ([], before))

    def checkpoint(self, *options):
        directory = self.scratch / "good"
        done = martlet("checkpoint", "--pid", self.pid, "--dir", directory, *options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return directory

    def checkpoint_and_end(self):
        directory = self.checkpoint()
        os.waitpid(self.pid, 0)
        os.waitpid(self.child, 0)
        return directory

    def assert_restores(self, directory):
        done = martlet("restore", "--dir", directory)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(int(done.stdout), self.pid)
        self.assertTrue(self.answers())

    def image(self, name, content):
        directory = self.scratch / name
        directory.mkdir()
        (directory / "image").write_bytes(content)
        return directory

    def test_pid(self):
        nobody = int(pathlib.Path("/proc/sys/kernel/pid_max").read_text())  # higher than any
        for pid, because, code in ((nobody, "does not exist", 1), (0, "not in range", 2),
                                   (-3, "not in range", 2), ("redis", "redis", 2),
                                   (os.getpid(), "martlet itself runs below", 1),
                                   (1, "martlet itself runs below", 1)):
            self.refused("checkpoint", "--pid", pid, "--dir", self.scratch / "new", because=because,
                         code=code)

    def test_kernel_thread(self):
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if re.search(r"^Kthread:\s*1$|^PPid:\s*2$", (entry / "status").read_text(),
                             re.MULTILINE):
                    break
            except OSError:
                continue
        else:
            self.skipTest("no kernel thread is visible here")
        self.refused("checkpoint", "--pid", entry.name, "--dir", self.scratch / "new",
                     because="is a kernel thread")

    def test_usage(self):
        for args, because, code in ((("checkpoint", "--dir", "x"), "--pid", 1),
                                    (("checkpoint", "--pid", self.pid), "--dir is required", 2),
                                    (("restore",), "--dir is required", 2),
                                    (("ps",), "start martletd", 1)):
            self.refused(*args, because=because, code=code)

    def test_place_of_a_checkpoint(self):
        (self.scratch / "file").touch()
        (self.scratch / "used").mkdir()
        (self.scratch / "used/something").touch()
        for name, because in (("no/such", "No such file"), ("file", "Not a directory"),
                              ("used", "is not empty")):
            self.refused("checkpoint", "--pid", self.pid, "--dir", self.scratch / name,
                         because=because)
        self.checkpoint("--leave-running")
        self.refused("checkpoint", "--pid", self.pid, "--dir", self.scratch / "good",
                     because="holds a checkpoint already")

    def test_no_checkpoint_there(self):
        (self.scratch / "file").touch()
        (self.scratch / "empty").mkdir()
        for name, because in (("none", "holds no checkpoint"), ("empty", "holds no checkpoint"),
                              ("file", "Not a directory")):
            self.refused("restore", "--dir", self.scratch / name, because=because)

    def test_damaged_images(self):
        directory = self.checkpoint_and_end()
        image = (directory / "image").read_bytes()
        size = len(image)
        version = image[RECORD_HEADER + 1]
        cases = [("empty", b"", "the image is empty"),
                 ("text", b"#!/bin/sh\nexit 0\n" * 8, "not a Martlet image"),
                 ("newer", with_version(image, version + 1),
                  f"format version {version + 1}.*reads versions .* to {version}")]
        cases += [(f"cut-{at}", image[:at], "truncated")
                  for at in (1, 31, 32, 40, size // 3, size // 2, size - 33, size - 1)]
        for at in (0, 5, 20, 33, 300, size // 2, size - 40):
            flipped = bytearray(image)
            flipped[at] ^= 0x10
            cases.append((f"flipped-{at}", bytes(flipped), "damaged|not a Martlet image"))
        for name, content, because in cases:
            with self.subTest(name):
                self.refused_to_restore("--dir", self.image(name, content), because=because)
        self.assert_restores(self.image("same-version", with_version(image, version)))

    @unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "one processor has no page lanes")
    def test_damaged_lanes(self):
        self.end_all()
        script = f"import os, signal; memory = os.urandom({LARGE}); signal.pause()"
        large = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                 start_new_session=True)
        wait_until(lambda: is_waiting(large.pid, LARGE), "start of the large process")
        directories = {name: self.scratch / name for name in ("other", "good")}
        for name, options in (("other", ["--leave-running"]), ("good", [])):
            done = martlet("checkpoint", "--pid", large.pid, "--dir", directories[name], *options)
            self.assertEqual(done.returncode, 0, done.stderr)
        large.wait()

        size = (directories["good"] / "pages-1").stat().st_size
        for name, damage, because in (
                ("missing", lambda lane: lane.unlink(), "pages-1 is missing"),
                ("cut", lambda lane: os.truncate(lane, size // 2), "pages-1: .*truncated"),
                ("unfinished", lambda lane: os.truncate(lane, size - 40), "pages-1: .*truncated"),
                ("flipped", lambda lane: flip(lane, size // 2), "pages-1: .*damaged"),
                ("foreign", lambda lane: shutil.copy(directories["other"] / "pages-1", lane),
                 "pages-1: belongs to another image")):
            with self.subTest(name):
                bad = self.scratch / name
                shutil.copytree(directories["good"], bad)
                damage(bad / "pages-1")
                self.refused_to_restore("--dir", bad, because=because)
        done = martlet("restore", "--dir", directories["good"])
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_pid_in_use(self):
        directory = self.checkpoint("--leave-running")
        self.refused("restore", "--dir", directory, because=f"PID {self.pid} is in use")

    def test_pid_of_a_child_in_use(self):
        directory = self.checkpoint_and_end()
        with occupied(self.child):
            self.assert_refused(martlet("restore", "--dir", directory),
                                f"PID {self.child} is in use")
            reap_ended()
            self.assertEqual(children(), [self.child])
        self.assert_restores(directory)

    def test_address_in_use(self):
        directory = self.checkpoint_and_end()
        with socket.create_server(("127.0.0.1", self.port)):
            self.refused_to_restore("--dir", directory, because=f"{self.port}.*in use")
        self.assert_restores(directory)

    def test_no_space(self):
        with Mounted(self.scratch / "small", "256k") as small:
            for flags in ((), ("--leave-running",)):
                self.refused("checkpoint", "--pid", self.pid, "--dir", small / "new", *flags,
                             because="No space left")

    def test_no_permission(self):
        directory = self.checkpoint("--leave-running")
        os.chmod(self.scratch, 0o755)
        theirs = self.scratch / "theirs"
        theirs.mkdir()
        os.chown(theirs, NOBODY, NOBODY)
        for args, because in (
                (("checkpoint", "--pid", self.pid, "--dir", theirs), "not permitted; run it as root"),
                (("checkpoint", "--pid", self.pid, "--dir", self.scratch / "x"), "Permission denied"),
                (("restore", "--dir", directory), "Permission denied")):
            self.refused(*args, because=because, user=NOBODY)

    def test_check(self):
        before = self.state()
        done = martlet("check", "--pid", self.pid)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertIn("2 processes", done.stdout)
        self.assertEqual(self.state(), before)
        self.assertTrue(self.answers())

    def test_check_tells_every_blocker(self):
        ready = self.scratch / "ready"
        blocked = subprocess.Popen([sys.executable, HERE / "servers/blocked.py", ready],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(blocked.wait)
        self.addCleanup(blocked.kill)
        wait_until(ready.exists, "the descriptors that are refused")
        done = martlet("check", "--pid", blocked.pid)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual([re.search("userfaultfd|io_uring", line)[0] for line in done.stdout.splitlines()],
                         ["userfaultfd", "io_uring"], done.stdout)
        status = pathlib.Path(f"/proc/{blocked.pid}/status").read_text()
        self.assertRegex(status, r"State:\s+S")
        self.assertRegex(status, r"TracerPid:\s+0\n")

    def test_pid_file(self):
        directory = self.checkpoint_and_end()
        self.refused_to_restore("--dir", directory, "--pidfile", self.scratch / "no/such",
                                because="No such file")
        self.assert_restores(directory)

    def test_name_of_a_tree(self):
        directory = self.checkpoint_and_end()
        self.refused_to_restore("--dir", directory, "--name", "x", because="holds a process tree")


class ContainerErrors(CounterTest, Checks):
    """The same through an agent."""

    def setUp(self):
        self.hosts = self.enterContext(Hosts(["host-a", "host-b"]))
        self.host = self.hosts["host-a"]
        self.scratch = pathlib.Path(self.enterContext(hosts.temporary_directory()))
        self.run_counter(self.host)

    def state(self):
        return ([json.loads(host.martlet("ps", "--json").stdout) for host in self.hosts],
                sorted(self.scratch.rglob("*")))

    def refused(self, *args, because, code=1):
        before = self.state()
        self.assert_refused(self.host.martlet(*map(str, args), check=False), because, code)
        self.assertEqual(self.state(), before)
        self.assertTrue(self.answers())

    def write_big_file(self):
        done = self.host.martlet("exec", "counter", "--", "sh", "-c",
                                 "head -c 64M /dev/urandom > /var/big")
        self.assertEqual(done.returncode, 0)

    def test_unknown_names(self):
        directory = self.scratch / "new"
        for args in (("inspect",), ("logs",), ("logs", "-f"), ("stop",), ("rm",), ("rm", "--force"),
                     ("pause",), ("unpause",), ("checkpoint", "--dir", directory)):
            self.refused(*args, "nobody", because="nobody: does not exist")
        self.refused("exec", "nobody", "--", "true", because="nobody: does not exist")
        self.refused("migrate", "nobody", "host-b", because="nobody: does not exist")
        self.refused("migrate", "counter", "host-x", because="host-x")
        for name in ("nobody", "counter"):
            self.refused("migration", "cancel", name, because=f"{name} is not being moved")

    def test_checkpoints(self):
        """One good checkpoint, and everything that is refused before and after it."""
        good = self.scratch / "good"
        (self.scratch / "used").mkdir()
        (self.scratch / "used/upper").mkdir()
        self.refused("checkpoint", "counter", "--dir", self.scratch / "used", because="is not empty")
        self.refused("checkpoint", "counter", "--dir", self.scratch / "no/such",
                     because="No such file")
        self.refused("restore", "--dir", self.scratch / "used", because="holds no checkpoint")
        with Mounted(self.scratch / "small", "256k") as small:
            self.refused("checkpoint", "counter", "--dir", small / "new", because="No space left")

        self.host.martlet("checkpoint", "counter", "--dir", good, "--leave-running")
        count = self.count
        self.refused("checkpoint", "counter", "--dir", good, because="holds a checkpoint already")
        self.refused("restore", "--dir", good, because="counter: exists already")
        self.refused("restore", "--dir", good, "--name", "other", because="10.77.0.60.*belongs to")
        self.host.martlet("rm", "--force", "counter")

        for name, damage, because in (
                ("cut", lambda path: os.truncate(path / "image", 100_000), "truncated"),
                ("no-files", lambda path: shutil.rmtree(path / "upper"), "upper.*No such file"),
                ("text", lambda path: (path / "container.json").write_text("{"), "is damaged"),
                ("none", lambda path: (path / "container.json").unlink(), "No such file")):
            bad = self.scratch / name
            shutil.copytree(good, bad)
            damage(bad)
            self.assert_refused(self.host.martlet("restore", "--dir", bad, check=False), because)
            self.assertEqual(self.host.martlet("ps", "--json").stdout.strip(), "[]")
            self.assertFalse((self.host.state_dir / "containers/counter").exists())
        self.host.martlet("restore", "--dir", good)
        self.count = count
        self.assertTrue(self.answers())

    def test_check(self):
        done = json.loads(self.host.martlet("check", "counter", "--json").stdout)
        self.assertEqual((done["blockers"], done["processes"]), ([], 1))
        self.assertTrue(self.answers())
        self.refused("check", "gone", because="container gone: does not exist")

    def test_no_space_for_the_files(self):
        """The container's files are saved while it stands still."""
        self.write_big_file()
        with Mounted(self.scratch / "small", "48M") as small:
            self.refused("checkpoint", "counter", "--dir", small / "new", because="No space left")

    def test_no_permission(self):
        done = self.host.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                              hosts.find_build_dir() / "bin/martlet", "--socket", self.host.socket,
                              "ps"], capture_output=True, text=True, check=False)
        self.assert_refused(done, "Permission denied|root")

    def test_volume_that_is_missing_there(self):
        """Volumes are not copied. (The hosts share one file system, so the path goes for both.)"""
        volume = self.scratch / "volume"
        volume.mkdir()
        self.host.martlet("run", "--name", "keeper", "--overlay", "/", "--volume", f"{volume}:/data",
                          "--", "sleep", "1000")
        volume.rmdir()
        self.refused("migrate", "keeper", "host-b",
                     because=f"{volume} does not exist there, and volumes are not copied")

    def test_destination_without_space(self):
        """What does not fit is found before the container is touched."""
        other = self.hosts["host-b"]
        other.stop_agent()
        saved = self.scratch / "state"
        shutil.copytree(other.state_dir, saved)
        self.write_big_file()
        with Mounted(other.state_dir, "32M"):
            shutil.copytree(saved, other.state_dir, dirs_exist_ok=True)
            other.start_agent()
            self.refused("migrate", "counter", "host-b", because="disk|space")
            other.stop_agent()
        other.start_agent()


if __name__ == "__main__":
    unittest.main()
