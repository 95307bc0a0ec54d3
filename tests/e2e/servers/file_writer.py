"""Changes files below a directory at random, without end, by every way there is; and again and again
checks that nothing changes by itself. Prints "checked N" each time, "CHANGED: ..." if something did.

    file_writer.py DIRECTORY SEED
"""
import ctypes
import hashlib
import mmap
import os
import random
import shutil
import stat
import sys

ROOT = sys.argv[1]
RANDOM = random.Random(int(sys.argv[2]))
BURST = 30          # changes between two checks
FIRST_BURST = 2000  # before the first
CHECKS = 4          # after each burst
LARGE = 300_000
LASTING = 20        # files that no change reaches: how many there are of the others is random
LIBC = ctypes.CDLL(None, use_errno=True)


def path():
    return "/".join([ROOT] + [RANDOM.choice("abcdef") for _ in range(RANDOM.randint(1, 4))])


def content(limit):
    return RANDOM.randbytes(RANDOM.randint(0, limit))


def write(flags, offset, data):
    file = os.open(path(), flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    try:
        size = os.fstat(file).st_size
        os.pwrite(file, data, offset(size))
    finally:
        os.close(file)


class Mapped:
    """A file that is changed through a shared mapping only, for good."""

    def __init__(self, name):
        file = os.open(f"{ROOT}/{name}", os.O_RDWR | os.O_CREAT)
        os.ftruncate(file, 1 << 20)
        self.memory = mmap.mmap(file, 1 << 20)
        os.close(file)

    def change(self):
        offset = RANDOM.randrange(1 << 20)
        self.memory[offset:offset + 1] = RANDOM.randbytes(1)


class ControlBlock(ctypes.Structure):
    """struct iocb of <linux/aio_abi.h>."""
    _fields_ = [("data", ctypes.c_uint64), ("key", ctypes.c_uint32), ("rw_flags", ctypes.c_int32),
                ("opcode", ctypes.c_uint16), ("priority", ctypes.c_int16), ("file", ctypes.c_uint32),
                ("buffer", ctypes.c_uint64), ("bytes", ctypes.c_uint64), ("offset", ctypes.c_int64),
                ("reserved", ctypes.c_uint64), ("flags", ctypes.c_uint32), ("event", ctypes.c_uint32)]


class Held:
    """A file that stays open and is written to and renamed."""

    def __init__(self, name):
        self.names = [f"{ROOT}/{name}", f"{ROOT}/{name}.1"]
        self.file = os.open(self.names[0], os.O_RDWR | os.O_CREAT)
        os.pwrite(self.file, RANDOM.randbytes(LARGE), 0)

    def change(self):
        os.pwrite(self.file, RANDOM.randbytes(100), RANDOM.randrange(LARGE))
        os.rename(*self.names)
        self.names.reverse()


class Asynchronous:
    """A file that stays open and is written with native AIO, of which fanotify tells nothing."""
    IO_SETUP, IO_GETEVENTS, IO_SUBMIT, IO_DESTROY = 206, 208, 209, 207
    PWRITE = 1

    def __init__(self, name):
        self.file = os.open(f"{ROOT}/{name}", os.O_RDWR | os.O_CREAT)
        os.pwrite(self.file, RANDOM.randbytes(LARGE), 0)

    def change(self):
        context = ctypes.c_ulong(0)
        LIBC.syscall(self.IO_SETUP, 1, ctypes.byref(context))
        data = ctypes.create_string_buffer(RANDOM.randbytes(512), 512)
        block = ControlBlock(opcode=self.PWRITE, file=self.file, buffer=ctypes.addressof(data),
                             bytes=512, offset=RANDOM.randrange(LARGE))
        LIBC.syscall(self.IO_SUBMIT, context, 1, ctypes.byref(ctypes.pointer(block)))
        LIBC.syscall(self.IO_GETEVENTS, context, 1, 1, (ctypes.c_uint64 * 4)(), None)
        LIBC.syscall(self.IO_DESTROY, context)


def exchange():
    LIBC.renameat2(-100, path().encode(), -100, path().encode(), 2)


def replace():
    draft = f"{ROOT}/draft"
    with open(draft, "wb") as file:
        file.write(content(50_000))
    os.replace(draft, path())


def make_tree():
    top = path()
    os.mkdir(top)
    for name in "abcde":
        os.mkdir(f"{top}/{name}")
        with open(f"{top}/{name}/a", "wb") as file:
            file.write(content(3000))


def set_times():
    os.utime(path(), ns=(0, RANDOM.randrange(2 * 10**18)), follow_symlinks=False)


CHANGES = [
    lambda: write(os.O_WRONLY | os.O_CREAT | os.O_EXCL, lambda _: 0, content(100_000)),
    lambda: write(os.O_WRONLY | os.O_CREAT, lambda _: 0, content(LARGE)),
    lambda: write(os.O_WRONLY, lambda size: RANDOM.randint(0, size), content(9000)),
    lambda: write(os.O_WRONLY, lambda size: RANDOM.randint(0, size), content(9000)),
    lambda: write(os.O_WRONLY | os.O_APPEND, lambda size: size, content(9000)),
    lambda: write(os.O_WRONLY | os.O_CREAT, lambda _: RANDOM.randrange(8) << 17, content(5000)),
    lambda: os.truncate(path(), RANDOM.randrange(400_000)),
    lambda: os.rename(path(), path()), lambda: os.rename(path(), path()), exchange, replace,
    lambda: os.unlink(path()), lambda: shutil.rmtree(path()), make_tree,
    lambda: os.mkdir(path()), lambda: os.mkdir(path()), lambda: os.symlink(path(), path()),
    lambda: os.link(path(), path()), lambda: os.link(path(), path()),
    lambda: os.mkfifo(path() + "/fifo"),
    lambda: os.chmod(path(), RANDOM.randrange(0o10000) | 0o700),
    lambda: os.lchown(path(), RANDOM.randrange(3), RANDOM.randrange(3)), set_times,
    lambda: os.setxattr(path(), f"user.{RANDOM.randrange(4)}", content(300)),
    lambda: os.removexattr(path(), f"user.{RANDOM.randrange(4)}"),
]


def describe(name):
    status = os.lstat(name)
    facts = [status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_nlink]
    if stat.S_ISREG(status.st_mode):
        with open(name, "rb") as file:
            facts.append(hashlib.blake2b(file.read()).hexdigest())
    elif stat.S_ISLNK(status.st_mode):
        return [os.readlink(name)]
    facts += [(key, os.getxattr(name, key)) for key in sorted(os.listxattr(name))]
    return facts


def snapshot():
    found = {}
    for directory, names, files in os.walk(ROOT):
        for name in names + files:
            found[f"{directory}/{name}"] = describe(f"{directory}/{name}")
    return found


def main():
    os.makedirs(ROOT, exist_ok=True)
    for number in range(LASTING):
        with open(f"{ROOT}/lasting-{number}", "wb") as file:
            file.write(content(3000))
    files = [Mapped("mapped"), Held("held"), Asynchronous("asynchronous")]
    changes = CHANGES + [file.change for file in files]
    checked = 0
    while True:
        for _ in range(BURST if checked else FIRST_BURST):
            try:
                RANDOM.choice(changes)()
            except OSError:
                pass  # most names do not exist
        before = snapshot()
        for _ in range(CHECKS):
            now = snapshot()
            if now != before:
                names = [n for n in before.keys() | now.keys() if before.get(n) != now.get(n)]
                print("CHANGED:", [(n, before.get(n), now.get(n)) for n in sorted(names)[:5]])
                return 1
            checked += 1
            print("checked", checked, flush=True)


if __name__ == "__main__":
    sys.exit(main())
