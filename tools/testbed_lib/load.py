"""Requests to published ports, made where a client of the cluster stands, and a count of failures.

    client = Client("consort-tb")
    client.get("10.77.0.1", 8080)                  a Response, or an OSError
    with Load(client, ["10.77.0.1", "10.77.0.2"], 8080) as load:
        …
    assert load.failed == 0, load.report()
"""

import ctypes
import http.client
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

REQUEST_TIMEOUT_S = 5
FAILURES_KEPT = 20
CLONE_NEWNET = 0x40000000


def enter_network(namespace):
    """Moves this thread, and no other, into that network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            error = ctypes.get_errno()
            raise OSError(error, f"enter network namespace {namespace}: {os.strerror(error)}")


@dataclass
class Response:
    status: int
    body: str


def request(address, port, path="/", timeout=REQUEST_TIMEOUT_S):
    """One request on a connection of its own. OSError or http.client.HTTPException on failure."""
    connection = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        return Response(response.status, response.read().decode(errors="replace").strip())
    finally:
        connection.close()


class Client:
    """Makes requests from inside a network namespace, on threads that live in it."""

    def __init__(self, namespace, threads=8):
        self.namespace = namespace
        self._pool = ThreadPoolExecutor(threads, initializer=enter_network, initargs=(namespace,))

    def get(self, address, port, path="/", timeout=REQUEST_TIMEOUT_S):
        return self._pool.submit(request, address, port, path, timeout).result()

    def call(self, function, *arguments):
        """Runs any function there."""
        return self._pool.submit(function, *arguments).result()

    def answers(self, address, port, path="/", timeout=REQUEST_TIMEOUT_S):
        """The body of a 200, or None for anything else."""
        try:
            response = self.get(address, port, path, timeout)
        except (OSError, http.client.HTTPException):
            return None
        return response.body if response.status == 200 else None

    def close(self):
        self._pool.shutdown(wait=True)


class Load:
    """Asks each of the addresses again and again, one thread an address, until it is stopped."""

    def __init__(self, client, addresses, port, path="/", pause_s=0.02):
        self.succeeded = 0
        self.failed = 0
        self.longest_gap_s = 0.0  # the longest that one address went without a good answer
        self.bodies = Counter()
        self._failures = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._start = time.monotonic()
        self._threads = [
            threading.Thread(target=self._run, args=(client.namespace, address, port, path, pause_s))
            for address in addresses]

    def _run(self, namespace, address, port, path, pause_s):
        enter_network(namespace)
        last_good = time.monotonic()
        while not self._stop.is_set():
            try:
                response = request(address, port, path)
                problem = None if response.status == 200 else f"HTTP {response.status}"
            except (OSError, http.client.HTTPException) as error:
                problem = repr(error)
            now = time.monotonic()
            with self._lock:
                self.longest_gap_s = max(self.longest_gap_s, now - last_good)
                if problem:
                    self.failed += 1
                    if len(self._failures) < FAILURES_KEPT:
                        self._failures.append(f"at {now - self._start:.2f} s, {address}: {problem}")
                else:
                    last_good = now
                    self.succeeded += 1
                    self.bodies[response.body] += 1
            self._stop.wait(pause_s)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def report(self):
        return "\n".join([f"{self.succeeded} requests answered, {self.failed} failed", *self._failures])
