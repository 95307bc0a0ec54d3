"""Answers what it receives: over multicast groups of both families, for all sources and for one
alone, over UDP-Lite, and over a packet socket; and says how raw and ICMP sockets hear the answers to
their own echo requests.

    groups.py PORT SOURCE OWN

SOURCE is the one source of the second group of IPv4, OWN an address of the container.
"""
import select
import socket
import struct
import sys

PORT, SOURCE, OWN = int(sys.argv[1]), sys.argv[2], sys.argv[3]
ALL_SOURCES, ONE_SOURCE, GROUP6 = "239.7.7.7", "239.7.7.8", "ff15::77"
IP_ADD_SOURCE_MEMBERSHIP, UDPLITE, UDPLITE_RECV_CSCOV, ICMP_FILTER = 39, 136, 11, 1
ECHO_TYPE = 0x88b5  # of frames for experiments


def group_socket(port):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.IPPROTO_IP, 49, 0)  # IP_MULTICAST_ALL: its own groups alone
    made.bind(("0.0.0.0", port))
    return made


def all_sources():
    made = group_socket(PORT)
    request = socket.inet_aton(ALL_SOURCES) + struct.pack("=4si", bytes(4),
                                                          socket.if_nametoindex("eth0"))
    made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    return made


def one_source():
    made = group_socket(PORT + 1)
    request = b"".join(map(socket.inet_aton, (ONE_SOURCE, OWN, SOURCE)))
    made.setsockopt(socket.IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, request)
    return made


def group_of_ipv6():
    made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    made.bind(("::", PORT + 2))
    request = socket.inet_pton(socket.AF_INET6, GROUP6) + struct.pack(
        "=I", socket.if_nametoindex("eth0"))
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    return made


def lite():
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, UDPLITE)
    made.setsockopt(UDPLITE, UDPLITE_RECV_CSCOV, 8)
    made.bind(("0.0.0.0", PORT + 3))
    return made


def raw_icmp():
    made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    made.setsockopt(255, ICMP_FILTER, struct.pack("=I", 0xffffffff ^ 1))  # echo replies alone
    return made


def packet():
    made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    made.bind(("eth0", ECHO_TYPE))
    return made


def ping(raw, target):
    """The sequence number of the answer to an echo request."""
    header = struct.pack("!BBHHH", 8, 0, 0, 4711, 99)
    total = sum(struct.unpack("!4H", header))
    total = (total & 0xffff) + (total >> 16)
    raw.sendto(struct.pack("!BBHHH", 8, 0, total ^ 0xffff, 4711, 99), (target, 0))
    while True:
        if not select.select([raw], [], [], 5)[0]:
            return b"nothing"
        answer = raw.recv(2048)[20:]
        if answer[4:6] == struct.pack("!H", 4711):
            return b"%d" % struct.unpack("!H", answer[6:8])


def main():
    raw, frames = raw_icmp(), packet()
    talkers = [all_sources(), one_source(), group_of_ipv6(), lite()]
    plain = socket.create_server(("0.0.0.0", PORT))  # tells that all is ready
    while True:
        for ready in select.select([*talkers, frames, plain], [], [])[0]:
            if ready is plain:
                plain.accept()[0].close()
                continue
            data, sender = ready.recvfrom(2048)
            if ready is frames:
                frames.sendto(data, ("eth0", ECHO_TYPE, 0, 0, sender[4]))
            elif data == b"ping":
                ready.sendto(ping(raw, sender[0]), sender)
            else:
                ready.sendto(data, sender)


main()
