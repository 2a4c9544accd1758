"""Shows how many processes the machine has."""
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        processes = sum(name.isdigit() for name in os.listdir("/host/proc"))
        own = sum(name.isdigit() for name in os.listdir("/proc"))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"processes {processes}\nvisible {own}\n".encode())


ThreadingHTTPServer(("", 9100), Handler).serve_forever()
