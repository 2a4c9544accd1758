"""Asks every target, and shows what they said."""
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        with open("/etc/collector/targets.txt", encoding="utf-8") as file:
            targets = file.read().split()
        text = "".join(urllib.request.urlopen(target, timeout=10).read().decode() for target in targets)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"up {len(targets)}\n{text}".encode())


threading.Thread(target=ThreadingHTTPServer(("", 9091), Handler).serve_forever, daemon=True).start()
ThreadingHTTPServer(("", 9090), Handler).serve_forever()
