"""POST / puts a job into the queue; GET / says who did how many."""
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import redis

queue = redis.Redis(host=os.environ["REDIS_HOST"])


class Handler(BaseHTTPRequestHandler):
    def answer(self, text):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_POST(self):
        queue.rpush(os.environ["QUEUE"], self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.answer("queued\n")

    def do_GET(self):
        done = queue.hgetall("results")
        self.answer("".join(f"{name.decode()} {count.decode()}\n" for name, count in sorted(done.items())))


ThreadingHTTPServer(("", 8000), Handler).serve_forever()
