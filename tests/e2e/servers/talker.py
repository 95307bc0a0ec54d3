"""Talks with traffic_client.py over every kind of flow, and keeps an account of the datagrams.

Arguments: the port, and optionally HOST:PORT that it connects to itself to send to for ever.
TCP: the first byte says the kind: E echoes what comes, S only counts bytes and tells their number when
the client has ended its stream, P sends numbered records until the client closes. UDP: numbers; a
datagram "?" is answered with the account of the sender's address.
"""
import collections
import json
import socket
import struct
import sys
import threading
import time

RECORD = 1024
INTERVAL = 0.001


def serve(peer):
    with peer:
        kind = peer.recv(1)
        if kind == b"E":
            while data := peer.recv(65536):
                peer.sendall(data)
        elif kind == b"S":
            count = 0
            while data := peer.recv(65536):
                count += len(data)
            peer.sendall(str(count).encode())
        elif kind == b"P":
            send_records(peer)


def send_records(peer):
    number = 0
    try:
        while True:
            peer.sendall(struct.pack("!Q", number) * (RECORD // 8))
            number += 1
            time.sleep(INTERVAL)
    except OSError:
        peer.close()


def count_datagrams(port):
    class Account:
        def __init__(self):
            self.received = set()
            self.highest = -1
            self.duplicates = 0
            self.reordered = 0

    accounts = collections.defaultdict(Account)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        udp.bind(("::", port))
        while True:
            data, sender = udp.recvfrom(2048)
            account = accounts[sender[:2]]
            if data == b"?":
                answer = {"received": len(account.received), "duplicates": account.duplicates,
                          "reordered": account.reordered}
                udp.sendto(json.dumps(answer).encode(), sender)
                continue
            number = struct.unpack("!Q", data)[0]
            account.duplicates += number in account.received
            account.reordered += number < account.highest
            account.received.add(number)
            account.highest = max(account.highest, number)


def dial(host, port):
    with socket.create_connection((host, int(port))) as peer:
        send_records(peer)


def main():
    port = int(sys.argv[1])
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True,
                                    backlog=1000)
    threading.Thread(target=count_datagrams, args=(port,), daemon=True).start()
    if len(sys.argv) > 2:
        threading.Thread(target=dial, args=sys.argv[2].rsplit(":", 1), daemon=True).start()
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=serve, args=(peer,), daemon=True).start()


main()
