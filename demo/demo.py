#!/usr/bin/env python3
"""Moves live services between three hosts while their clients go on.

The hosts are network namespaces on one bridge, each with its own agent; the clients have a
namespace of their own. First redis with 256 MB of data goes a -> b -> c -> a under 50 clients that
verify every reply; then nginx, in the middle of serving one download of 200 MB. The demo fails if a
client saw any error. It needs root, and leaves nothing behind, also when it is interrupted.
"""
import argparse
import json
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
from hosts import Hosts  # noqa: E402

HOSTS = ["host-a", "host-b", "host-c"]
ROUTE = ["host-a", "host-b", "host-c", "host-a"]
ADDRESS = "10.77.0.50"
CALM = 1.0  # seconds of load before, between and after the moves
DOWNLOAD_PY = ROOT / "tests/e2e/download.py"
DATASET_MIB = 256
FILE_MIB = 200

REDIS = ["redis-server", "--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no",
         "--save", "", "--appendonly", "no"]
NGINX_CONFIG = """
daemon off; user www-data; worker_processes 2; error_log stderr; pid /run/nginx-demo.pid;
events { } http { access_log off; server { listen 80; root /srv/web; } }
"""
NGINX = ["sh", "-c", f"""mkdir -p /srv/web && python3 {DOWNLOAD_PY} --make {FILE_MIB} > /srv/web/file
printf '%s' "$1" > /tmp/nginx.conf && exec nginx -c /tmp/nginx.conf""", "sh", NGINX_CONFIG]


class Failure(Exception):
    """The demo did not show what it should."""


def title(text):
    print(f"\n\033[1m{text}\033[0m", flush=True)


def human(size):
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"


def between(bounds, factor, unit, digits=0):
    lower, upper = bounds["lower"] * factor, bounds["upper"] * factor
    return f"{lower:.{digits}f} to {upper:.{digits}f} {unit}"


def print_prediction(host):
    """What the agents expect of the mode that they would choose."""
    mode = next(mode for mode in host["modes"] if mode["mode"] == host["auto"]["mode"])
    print(f"  predicted ({mode['mode']}): pause {between(mode['pause_seconds'], 1e3, 'ms')}; "
          f"in all {between(mode['total_seconds'], 1, 's', 2)}, "
          f"{between(mode['bytes'], 1e-6, 'MB')}", flush=True)


def print_move(move):
    """The stages of one move as a table."""
    print(f"  {'stage':<42}{'time':>10}{'bytes':>12}{'rate':>13}")
    for stage in move["stages"]:
        seconds, size = stage["seconds"], stage["bytes"]
        rate = f"{human(size / seconds)}/s" if size and seconds > 0 else ""
        print(f"  {stage['number']} {stage['name']:<40}{seconds * 1000:>7.1f} ms"
              f"{human(size) if size else '':>12}{rate:>13}")
    print(f"  measured: pause {move['pause_seconds'] * 1000:.0f} ms; in all {move['total_seconds']:.2f} s, "
          f"{human(move['bytes'])}", flush=True)


class Demo:
    def __init__(self, hosts, build):
        self.hosts = hosts
        self.build = build
        self.clients = []

    def run_container(self, name, command, port):
        self.hosts[ROUTE[0]].martlet("run", "--name", name, "--overlay", "/",
                                     "--ip", f"{ADDRESS}/24", "--", *command)
        try:
            self.hosts.await_port(ADDRESS, port)
        except subprocess.CalledProcessError:
            raise Failure(f"{name} does not listen") from None

    def start_client(self, *args):
        """Starts a load and waits until it is at work."""
        client = self.hosts.client_popen([str(a) for a in args], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)
        self.clients.append(client)
        line = client.stdout.readline().strip()
        if line != "ready":
            raise Failure(f"the client did not start: {line}")
        return client

    def move_around(self, name, client):
        """Moves the container along ROUTE; returns the measurements of the moves."""
        moves = []
        time.sleep(CALM)
        for source, destination in zip(ROUTE, ROUTE[1:]):
            title(f"{name}: {source} -> {destination}")
            foretold = self.hosts[source].martlet("predict", name, destination, "--json")
            print_prediction(json.loads(foretold.stdout)["hosts"][0])
            done = self.hosts[source].martlet("migrate", name, destination, "--json")
            moves.append(json.loads(done.stdout))
            print_move(moves[-1])
            if client.poll() is not None:
                raise Failure(f"the client ended early: {client.stdout.read()}")
            time.sleep(CALM)
        return moves

    def report_of(self, client):
        """Ends a load by closing its input; its report is one line of JSON."""
        output, _ = client.communicate(timeout=60)
        try:
            return json.loads(output.splitlines()[-1])
        except (IndexError, ValueError) as error:
            raise Failure(f"the client gave no report: {output}") from error

    def stop_container(self, name):
        self.hosts[ROUTE[-1]].martlet("rm", "--force", name)

    def close(self):
        for client in self.clients:
            client.kill()
            client.communicate()

    def redis(self):
        title(f"redis with {DATASET_MIB} MB of data, 50 clients that verify every reply")
        self.run_container("redis", REDIS, 6379)
        client = self.start_client(self.build / "demo/martlet-demo-client", "--host", ADDRESS,
                                   "--connections", 50, "--rate", 5000, "--dataset", DATASET_MIB,
                                   "--until-eof", "--json")
        moves = self.move_around("redis", client)
        report = self.report_of(client)
        self.stop_container("redis")
        print_clients(report, moves)
        failed = sum(report[kind] for kind in ("errors", "resets", "lost", "wrong", "damaged"))
        if failed or client.returncode != 0:
            raise Failure(f"{failed} failures at the clients: {report['first_failure']}")

    def nginx(self):
        title(f"nginx in the middle of a download of {FILE_MIB} MB over one connection")
        self.run_container("web", NGINX, 80)
        client = self.start_client("python3", DOWNLOAD_PY, "--host", ADDRESS, "--path", "/file",
                                   "--mib", FILE_MIB, "--seconds", 12, "--hold")
        self.move_around("web", client)
        report = self.report_of(client)
        self.stop_container("web")
        title("the download")
        print(f"  {human(report['bytes'])} in {report['seconds']:.1f} s, longest gap "
              f"{report['longest_gap_ms']:.0f} ms, checksum "
              f"{'right' if report['intact'] else 'WRONG'} ({report['sha256'][:16]})")
        if not report["intact"]:
            raise Failure("the download is damaged")


def print_clients(report, moves):
    title("the clients' view of all three moves")
    print(f"  errors {report['errors']}, resets {report['resets']}, lost replies {report['lost']}, "
          f"wrong replies {report['wrong']}, damaged values {report['damaged']}")
    print(f"  {report['replies']} replies in {report['seconds']:.1f} s "
          f"({report['replies_per_second']:.0f}/s), latency p50 {report['p50_ms']:.2f} ms, "
          f"p99 {report['p99_ms']:.1f} ms")
    longest = max(move["pause_seconds"] for move in moves)
    print(f"  longest gap {report['longest_gap_ms']:.0f} ms (longest pause {longest * 1000:.0f} ms)",
          flush=True)


def interrupt(*_):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # one is enough; cleaning up must not be cut short
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    start = time.monotonic()
    try:
        with Hosts(HOSTS, build_dir=args.build.resolve()) as hosts:
            demo = Demo(hosts, args.build.resolve())
            try:
                demo.redis()
                demo.nginx()
            finally:
                demo.close()
    except Failure as failure:
        print(f"\ndemo failed: {failure}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"\ndemo failed: {error}\n{error.stdout or ''}{error.stderr or ''}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    title(f"no client noticed more than a pause ({time.monotonic() - start:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
