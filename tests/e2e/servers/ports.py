"""Answers every line on a port with the line itself and the local address that it came to."""
import socketserver
import sys


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.strip() + b" at " + self.connection.getsockname()[0].encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


Server(("0.0.0.0", int(sys.argv[1])), Echo).serve_forever()
