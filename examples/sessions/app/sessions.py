"""Counts a visitor's visits in memcached, whichever instance answers."""
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

host, _, port = os.environ["MEMCACHED"].partition(":")


def ask(words):
    with socket.create_connection((host, int(port)), 5) as connection:
        connection.sendall(words.encode())
        return connection.makefile().readline().strip()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        count = "0"
        if self.path != "/healthz":
            visitor = self.path.strip("/") or "nobody"
            count = ask(f"incr {visitor} 1\r\n")
            if count == "NOT_FOUND":
                ask(f"add {visitor} 0 300 1\r\n1\r\n")
                count = "1"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{count} {socket.gethostname()}\n".encode())


ThreadingHTTPServer(("", 8000), Handler).serve_forever()
