"""Answers each line with itself and its number on the connection. Every connection is in the
descriptor table of its own thread alone (unshare), and in nobody else's; so is its working
directory."""
import ctypes
import os
import socket
import sys
import threading

CLONE_FS = 0x200
CLONE_FILES = 0x400
libc = ctypes.CDLL(None, use_errno=True)


def serve(connection, accepted):
    number = connection.fileno()
    if libc.unshare(CLONE_FS | CLONE_FILES) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    os.chdir("/tmp")
    accepted.set()
    with open(number, "r+b", buffering=0, closefd=False) as stream:
        for count, line in enumerate(stream):
            answer = f"{count} {os.getcwd()} {line.decode()}"
            stream.write(answer.encode())
    os.close(number)


listener = socket.create_server(("", int(sys.argv[1])))
while True:
    connection = listener.accept()[0]
    accepted = threading.Event()
    threading.Thread(target=serve, args=(connection, accepted), daemon=True).start()
    accepted.wait()
    connection.close()  # here; the thread has its own
