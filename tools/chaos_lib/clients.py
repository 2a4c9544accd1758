"""Clients that read, write, and compare and set, each at whichever peer; and what they saw.

Registers are configs of the cluster's own (`config.set`); their value is a number at the beginning
of the content, what follows makes it larger. A new set of registers is used every few seconds, so
that each one's history can be searched. Beside them, logs: configs to which clients append words by
compare and set; every word whose append was acknowledged must be there at the end.
"""

import errno
import random
import threading
import time
from collections import Counter

from testbed_lib.api import ApiError, Connection

REGISTERS = 4      # at a time
SET_S = 15.0       # after which others are used
OPERATION_S = 7.0  # then its outcome is unknown
PAUSE_S = 0.06     # between two of a client, at most
FILLER_BYTES_MAX = 6000

READ, WRITE, SWAP = "read", "write", "swap"
OK, REFUSED, UNKNOWN = "ok", "refused", "unknown"


def value_of(content):
    return int(content.split(b" ", 1)[0])


class History:
    """Lines as tests/linear/linear_history reads them, and what else is checked."""

    def __init__(self):
        self.lock = threading.Lock()
        self.lines = []
        self.counts = Counter()   # (operation, outcome)
        self.appended = {}        # log: words acknowledged
        self.problems = []
        self.registers = set()

    def add(self, client, register, kind, expected, value, outcome, call, end):
        with self.lock:
            self.registers.add(register)
            self.counts[kind, outcome] += 1
            self.lines.append(f"{client} {register} {kind} {expected} {value} {outcome} {call} {end}")

    def count(self, what, outcome):
        with self.lock:
            self.counts[what, outcome] += 1

    def append(self, log, word, outcome):
        with self.lock:
            self.counts["append", outcome] += 1
            words = self.appended.setdefault(log, set())
            if outcome == OK:
                words.add(word)

    def problem(self, words):
        with self.lock:
            self.problems.append(words)


class Client:
    """One client's connections: one to each peer, made anew after each failure."""

    def __init__(self, machines, peers):
        self.machines, self.peers = machines, peers
        self.connections = {}
        self.seen = {}  # (connection, config): the newest version that it showed

    def call(self, peer, method, params):
        """The result and None; or None and what went wrong: an errno, or UNKNOWN."""
        connection = self.connections.pop(peer, None)
        try:
            if not connection:
                connection = Connection(self.machines.peer(peer).socket, OPERATION_S)
        except OSError:
            return None, errno.ECONNREFUSED  # it never heard of it
        try:
            result = connection.call(method, params)
        except ApiError as error:
            self.connections[peer] = connection
            return None, -error.code
        except (OSError, ValueError):
            connection.close()
            return None, UNKNOWN
        self.connections[peer] = connection
        return result, None

    def get(self, peer, config, consistent):
        """(version, content, None), (0, b"0", None) if there is none, or (None, None, error)."""
        params = {"name": config, "consistent": True} if consistent else {"name": config}
        result, error = self.call(peer, "config.get", params)
        if error == errno.ENOENT:
            return 0, b"0", None
        return (None, None, error) if error else (result["version"], result["data"], None)

    def close(self):
        for connection in self.connections.values():
            connection.close()


class Worker(threading.Thread):
    def __init__(self, number, machines, peers, history, seed, began, stop):
        super().__init__(daemon=True)
        self.number, self.peers, self.history = number, peers, history
        self.client = Client(machines, peers)
        self.dice = random.Random(seed * 1000003 + number)
        self.began, self.stop = began, stop
        self.known = {}   # register: (version, value), as this client saw it last
        self.written = 0
        self.newest = {}  # (connection, config): the version it showed last, without consistency

    def run(self):
        while not self.stop.wait(self.dice.uniform(0, PAUSE_S)):
            which = int((time.monotonic() - self.began) / SET_S)
            register = f"r{which}-{self.dice.randrange(REGISTERS)}"
            peer = self.dice.randint(1, self.peers)
            act = self.dice.choices([self.read, self.write, self.swap, self.look, self.append],
                                    [40, 20, 20, 10, 10])[0]
            act(peer, f"log{which}" if act == self.append else register)
        self.client.close()

    def fresh(self):
        """A value that nobody else writes, and a content that begins with it."""
        self.written += 1
        value = self.number * 1000000 + self.written
        size = int(FILLER_BYTES_MAX * self.dice.random() ** 4)
        return value, b"%d %s" % (value, b"x" * size)

    def read(self, peer, register):
        call = time.monotonic_ns()
        version, content, error = self.client.get(peer, register, True)
        if error:
            self.history.count(READ, UNKNOWN if error == UNKNOWN else "failed")
            return
        value = value_of(content)
        self.history.add(self.number, register, READ, 0, value, OK, call, time.monotonic_ns())
        self.known[register] = version, value

    def _set(self, peer, register, kind, expected):
        value, content = self.fresh()
        params = {"name": register, "data": content}
        if expected:
            params["expected"] = expected[0]
        call = time.monotonic_ns()
        result, error = self.client.call(peer, "config.set", params)
        end = time.monotonic_ns()
        if error == errno.ECONNREFUSED:
            self.history.count(kind, "failed")
            return
        outcome = OK if not error else REFUSED if expected and error == errno.EBADE else UNKNOWN
        self.history.add(self.number, register, kind, expected[1] if expected else 0, value, outcome,
                         call, end)
        if outcome == OK:
            self.known[register] = result["version"], value

    def write(self, peer, register):
        self._set(peer, register, WRITE, None)

    def swap(self, peer, register):
        if self.dice.random() < 0.5:  # else by what it saw long ago, which is seldom there still
            self.read(peer, register)
        self._set(peer, register, SWAP, self.known.get(register, (0, 0)))

    def look(self, peer, register):
        """What the peer knows by itself: of one daemon, never older than before."""
        before = self.client.connections.get(peer)
        version, _, error = self.client.get(peer, register, False)
        connection = self.client.connections.get(peer)
        if error:
            self.history.count("look", UNKNOWN if error == UNKNOWN else "failed")
            return
        self.history.count("look", OK)
        newest = self.newest.get((peer, register), (None, 0))
        if newest[0] is connection and before is connection and version < newest[1]:
            self.history.problem(f"peer-{peer} went back: {register} at version {version} after "
                                 f"{newest[1]}, over one connection")
        self.newest[peer, register] = connection, version

    def append(self, peer, log):
        version, content, error = self.client.get(peer, log, True)
        if error:
            self.history.count("append", UNKNOWN if error == UNKNOWN else "failed")
            return
        self.written += 1
        word = f"{self.number}.{self.written}"
        params = {"name": log, "data": content + b" " + word.encode(), "expected": version}
        _, error = self.client.call(peer, "config.set", params)
        outcome = OK if not error else REFUSED if error == errno.EBADE else UNKNOWN
        self.history.append(log, word, "failed" if error == errno.ECONNREFUSED else outcome)
