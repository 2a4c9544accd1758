"""A guest book: GET /entries, POST /entries. PostgreSQL keeps them, Redis keeps the rendered list."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
import redis

LIST_KEY = "entries"
cache = redis.Redis.from_url(os.environ["REDIS_URL"])


def connect():
    with open(os.environ["DB_PASSWORD_FILE"], encoding="utf-8") as file:
        return psycopg2.connect(host=os.environ["DB_HOST"], dbname=os.environ["DB_NAME"],
                                user=os.environ["DB_USER"], password=file.read().strip())


def query(words, *values):
    connection = connect()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(words, values)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, text, **headers):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/healthz":
            query("SELECT 1")
            return self.answer(200, "ok\n")
        cached = cache.get(LIST_KEY)
        if cached is not None:
            return self.answer(200, cached.decode(), X_Cache="hit")
        text = "".join(f"{row[0]}\n" for row in query("SELECT text FROM entries ORDER BY id"))
        cache.setex(LIST_KEY, 60, text)
        return self.answer(200, text, X_Cache="miss")

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        query("INSERT INTO entries (text) VALUES (%s)", text)
        cache.delete(LIST_KEY)
        self.answer(201, "written\n")


query("CREATE TABLE IF NOT EXISTS entries (id serial PRIMARY KEY, text text NOT NULL)")
ThreadingHTTPServer(("", 8000), Handler).serve_forever()
