"""GET / greets; GET /token and /key say whether the secrets are there, to who knows them."""
import configparser
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

settings = configparser.RawConfigParser()
settings.read("/etc/notes/settings.ini")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers.get("Authorization") == f"Bearer {read('/run/secrets/token')}"
        lines = [settings["notes"]["greeting"], settings["notes"]["price"], read("/motd"),
                 f"key of {len(read('/run/secrets/session_key'))}", "known" if known else "a stranger",
                 f"uid {os.getuid()} on {os.uname().nodename}"]
        self.send_response(200)
        self.end_headers()
        self.wfile.write("\n".join(lines).encode() + b"\n")


HTTPServer(("", 8000), Handler).serve_forever()
