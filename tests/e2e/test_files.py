"""The files of a container that changes them all the time, moved: nothing is lost."""
import json
import os
import pathlib
import random
import re
import stat
import subprocess
import unittest

from hosts import Hosts, wait_until

NAME = "writer"
PROGRAM = pathlib.Path(__file__).resolve().parent / "servers/file_writer.py"
TREE = "/srv/files"
SLACK_BLOCKS = 64
# What an overlay notes for itself and on one host only, or sets on directories whenever it likes.
UNCOMPARED = {f"trusted.overlay.{name}" for name in ("origin", "impure", "nlink", "uuid", "opaque")}


def is_whiteout(status):
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def facts(path, status):
    """Everything that a copy keeps of one file."""
    kept = {"type": stat.S_IFMT(status.st_mode), "device": status.st_rdev}
    if is_whiteout(status):
        return kept
    kept |= {"mode": status.st_mode, "owner": (status.st_uid, status.st_gid),
             "mtime": status.st_mtime_ns,
             "xattrs": {name: os.getxattr(path, name, follow_symlinks=False)
                        for name in os.listxattr(path, follow_symlinks=False)
                        if name not in UNCOMPARED}}
    if stat.S_ISREG(status.st_mode):
        kept["content"] = pathlib.Path(path).read_bytes()
    elif stat.S_ISLNK(status.st_mode):
        kept["target"] = os.readlink(path)
    return kept


def read_tree(root):
    files, blocks, names = {}, {}, {}
    for directory, inner, outer in os.walk(root):
        for name in [".", *inner, *outer]:
            path = f"{directory}/{name}"
            status = os.lstat(path)
            relative = os.path.relpath(path, root)
            files[relative] = facts(path, status)
            blocks[relative] = status.st_blocks
            if not stat.S_ISDIR(status.st_mode) and not is_whiteout(status):
                names.setdefault(status.st_ino, set()).add(relative)
    return files, blocks, {frozenset(group) for group in names.values() if len(group) > 1}


class FilesTest(unittest.TestCase):
    def setUp(self):
        self.seed = random.randrange(1 << 32)
        print(f"seed {self.seed}", flush=True)
        self.hosts = self.enterContext(Hosts(["host-a", "host-b"]))
        self.a, self.b = self.hosts["host-a"], self.hosts["host-b"]
        self.a.martlet("run", "--name", NAME, "--overlay", "/", "--", "python3", "-u", PROGRAM, TREE,
                       str(self.seed))
        self.await_checks(self.a)

    def checks(self, host):
        log = host.martlet("logs", NAME, check=False).stdout
        self.assertNotIn("CHANGED", log)
        self.assertNotIn("Traceback", log)
        found = re.findall(r"checked (\d+)", log)
        return int(found[-1]) if found else 0

    def await_checks(self, host):
        """Waits until the program has looked at all of its files, twice."""
        before = self.checks(host)
        wait_until(lambda: self.checks(host) >= before + 2, "a check of all files")

    def note_of(self, report):
        return next(stage["note"] for stage in report["stages"] if stage["number"] == 4)

    def move(self, source, destination):
        report = json.loads(source.martlet("migrate", NAME, destination.name, "--json").stdout)
        self.await_checks(destination)
        return self.note_of(report)

    def test_moves_with_what_changed(self):
        for source, destination in ((self.a, self.b), (self.b, self.a)) * 2:
            self.assertIn("names that changed", self.move(source, destination))

    def test_both_trees_are_equal(self):
        self.a.stop_agent()
        self.a.start_agent("--fault", "source.second-copy:wait")
        with self.a.martlet_popen("migrate", NAME, "host-b", stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE) as moving:
            wait_until(lambda: "fault injected at source.second-copy" in self.a.agent_log(),
                       "the second copy")
            upper = f"containers/{NAME}/upper"
            try:
                original, blocks, links = read_tree(self.a.state_dir / upper)
                copy, copy_blocks, copy_links = read_tree(self.b.state_dir / upper)
            finally:
                self.a.martlet("migration", "cancel", NAME)
                moving.communicate(timeout=30)
        self.assertGreater(len(original), 20)
        self.assertEqual(original.keys(), copy.keys())
        for name, expected in original.items():
            self.assertEqual(expected, copy[name], name)
            self.assertLessEqual(copy_blocks[name], blocks[name] + SLACK_BLOCKS, name)
        self.assertEqual(links, copy_links)
        self.await_checks(self.a)


if __name__ == "__main__":
    unittest.main()
