"""Writes numbers to remembering_server.py all the time, and knows which were acknowledged. Arguments: the
address and the port.

For each line on its input it makes sure that the server answers again, asks it for everything it
knows, and prints a JSON report. A connection on which nothing comes back is given up for a new one.
"""
import json
import socket
import sys
import threading
import time

PATIENCE = 2.0  # seconds for one answer
DEADLINE = 10.0  # seconds until the server must answer again


class Client:
    def __init__(self, address, port):
        self.target = (address, port)
        self.stream = None
        self.lock = threading.Lock()
        self.next_number = 0
        self.acknowledged = []
        self.reconnects = 0

    def ask(self, word):
        """The server's answer, or None if the connection is no use any more."""
        try:
            if self.stream is None:
                connection = socket.create_connection(self.target, PATIENCE)
                self.stream = connection.makefile("rwb")
                connection.close()  # the stream holds it
                self.reconnects += 1
            self.stream.write(f"{word}\n".encode())
            self.stream.flush()
            answer = self.stream.readline().decode()
            if answer.endswith("\n"):
                return answer.strip()
        except OSError:
            pass
        self.stream = None
        return None

    def write_one(self):
        with self.lock:
            number = str(self.next_number)
            self.next_number += 1
            if self.ask(number) == number:
                self.acknowledged.append(number)

    def check(self):
        end = time.monotonic() + DEADLINE
        with self.lock:
            while (answer := self.ask("all")) is None:
                if time.monotonic() > end:
                    return {"error": f"no answer within {DEADLINE} s"}
                time.sleep(0.01)  # a port that refuses does so at once
            missing = sorted(set(self.acknowledged) - set(answer.split()), key=int)
            return {"acknowledged": len(self.acknowledged), "missing": missing[:10],
                    "reconnects": self.reconnects}


def write_on(client):
    while True:
        client.write_one()
        threading.Event().wait(0.002)


def main():
    client = Client(sys.argv[1], int(sys.argv[2]))
    threading.Thread(target=write_on, args=(client,), daemon=True).start()
    for _ in sys.stdin:
        print(json.dumps(client.check()), flush=True)


if __name__ == "__main__":
    main()
