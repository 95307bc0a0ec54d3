"""Migration of an idle redis container between two hosts: pause, stages, rate, agents' memory."""
import json
import statistics
import subprocess
import sys

from hosts import Hosts
from redis_server import SIZES_MIB, ask, run_container, size_name
from tables import mb, ms, table

TCP_BYTES = 4 << 30

TCP_RECEIVER = """
import socket
s = socket.create_server(("0.0.0.0", 0)); print(s.getsockname()[1], flush=True)
c, _ = s.accept(); b = bytearray(1 << 20)
while c.recv_into(b): pass
"""
TCP_SENDER = """
import socket, sys, time
c = socket.create_connection((sys.argv[1], int(sys.argv[2]))); b = bytes(1 << 20)
t = time.monotonic()
for _ in range(int(sys.argv[3]) >> 20): c.sendall(b)
c.shutdown(socket.SHUT_WR); c.recv(1)
print(int(sys.argv[3]) / (time.monotonic() - t))
"""


def raw_tcp_rate(source, destination):
    """Bytes per second of one TCP connection from one host to the other."""
    receiver = destination.popen([sys.executable, "-c", TCP_RECEIVER], stdout=subprocess.PIPE,
                                 text=True)
    try:
        port = receiver.stdout.readline().strip()
        done = source.run([sys.executable, "-c", TCP_SENDER, destination.address, port,
                           str(TCP_BYTES)], check=True, capture_output=True, text=True, timeout=60)
        return float(done.stdout)
    finally:
        receiver.kill()
        receiver.communicate()


def peak_memory(agent_pid):
    """Highest resident set of an agent since the last reset_peak_memory, in bytes."""
    with open(f"/proc/{agent_pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def reset_peak_memory(agent_pid):
    with open(f"/proc/{agent_pid}/clear_refs", "w", encoding="ascii") as control:
        control.write("5")


def move(hosts, source, destination):
    agents = [hosts[source].agent_pid, hosts[destination].agent_pid]
    for pid in agents:
        reset_peak_memory(pid)
    done = hosts[source].martlet("migrate", "redis", destination, "--json")
    result = json.loads(done.stdout)
    result["agent_memory"] = max(peak_memory(pid) for pid in agents)
    return result


def measure(hosts, mib, rounds):
    """The moves of one size: a -> b -> a -> ... after one that is not counted."""
    cli = run_container(hosts, mib)
    keys = ask(cli, "dbsize")
    here, there = "host-a", "host-b"
    moves = []
    for _ in range(rounds + 1):
        moves.append(move(hosts, here, there))
        here, there = there, here
    if ask(cli, "dbsize") != keys:
        raise RuntimeError("the moved server lost keys")
    hosts[here].martlet("rm", "--force", "redis")
    return moves[1:]


def transfer_rate(moves):
    """Bytes per second of the state, rounds included. Capture and transfer overlap; the report divides the time that
    they take together between them."""
    def seconds(move):
        stages = ("memory rounds", "capture", "transfer")
        return sum(s["seconds"] for s in move["stages"] if s["name"] in stages)
    return statistics.median(move["bytes"] / seconds(move) for move in moves)


def stage_table(results):
    names = [stage["name"] for stage in next(iter(results.values()))[0]["stages"]]
    rows = []
    for index, name in enumerate(names):
        rows.append([name] + [ms(statistics.median(m["stages"][index]["seconds"] for m in moves))
                              for moves in results.values()])
    return table(["stage"] + [size_name(mib) for mib in results], rows)


def run(build, rounds):
    with Hosts(["host-a", "host-b"], build_dir=build) as hosts:
        results = {mib: measure(hosts, mib, rounds) for mib in SIZES_MIB}
        tcp = raw_tcp_rate(hosts["host-a"], hosts["host-b"])
    rows = []
    for mib, moves in results.items():
        rate = transfer_rate(moves)
        rows.append([size_name(mib), ms(statistics.median(m["pause_seconds"] for m in moves)),
                     ms(statistics.median(m["total_seconds"] for m in moves)),
                     mb(statistics.median(m["bytes"] for m in moves)), f"{rate / 1e6:.0f} MB/s",
                     f"{rate / tcp:.2f}", mb(max(m["agent_memory"] for m in moves))])
    head = ["redis", "pause", "in all", "sent", "transfer", "of raw TCP", "agent's memory"]
    return (f"Migration (mode auto) of an idle redis between two hosts over TLS; raw TCP {tcp / 1e6:.0f} MB/s\n\n"
            + table(head, rows) + "\n" + stage_table(results)), []
