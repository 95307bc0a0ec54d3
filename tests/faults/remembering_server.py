"""Remembers numbers, one a line, and acknowledges each with the same line; "all" is answered with every
number it knows. Argument: the port."""
import socketserver
import sys
import threading

numbers = set()
lock = threading.Lock()


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            word = line.strip()
            with lock:
                if word == b"all":
                    answer = b" ".join(sorted(numbers))
                else:
                    numbers.add(word)
                    answer = word
            self.wfile.write(answer + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("0.0.0.0", int(sys.argv[1])), Connection).serve_forever()
