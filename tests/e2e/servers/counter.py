"""Tells each client the number of its connection, counted from 1: a copy that started afresh, or a second
one, would be noticed. Argument: the port."""
import socket
import sys

listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
count = 0
while True:
    peer, _ = listener.accept()
    count += 1
    peer.sendall(str(count).encode())
    peer.close()
