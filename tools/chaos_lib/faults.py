"""How each fault of a schedule is made, and ended."""

import errno
import heapq
import signal
import time
from collections import Counter

from .schedule import LEADER


class Faults:
    def __init__(self, machines, peers):
        self.machines = machines
        self.count = peers
        self.made = Counter()
        self.skipped = Counter()  # the peer was down, or nobody led
        self.under_way = []
        self._wall_ms = 0

    def play(self, schedule, seconds, tell):
        """Makes each when its time has come, ends it when that is over; tell(elapsed) now and then."""
        began = time.monotonic()
        moments = [(fault.start_s, fault.number, fault, None) for fault in schedule]
        heapq.heapify(moments)
        while (elapsed := time.monotonic() - began) < seconds or moments:
            tell(elapsed)
            if not moments or moments[0][0] > elapsed:
                wait = moments[0][0] - elapsed if moments else seconds - elapsed
                time.sleep(max(0.0, min(0.2, wait)))
                continue
            _, number, fault, end = heapq.heappop(moments)
            if end:
                end()
                self.under_way.remove(str(fault.kind))
                continue
            end = getattr(self, "_" + fault.kind)(fault.what)
            (self.made if end else self.skipped)[fault.kind] += 1
            if end:
                self.under_way.append(str(fault.kind))
                at = time.monotonic() - began + fault.lasts_s
                heapq.heappush(moments, (at, number, fault, end))

    def _peer(self, number):
        """That peer, or who leads; None if nobody does."""
        if number == LEADER:
            number = self.machines.leader()
        return number and self.machines.peer(number)

    # Each returns what ends it, or None if it could not be made.

    def _kill(self, what):
        peer = self._peer(what["peer"])
        if not peer or not peer.runs():
            return None
        peer.end_daemon()
        return lambda: peer.start(wait=False)

    def _stop(self, what):
        peer = self._peer(what["peer"])
        if not peer or not peer.runs() or peer.is_frozen:
            return None
        peer.signal(signal.SIGSTOP)
        return lambda: peer.signal(signal.SIGCONT)

    def _cut(self, what):
        network, everyone = self.machines.network, range(1, self.count + 1)
        if what["way"] == "two":
            pairs = [(one, other) for one in what["side"] for other in everyone
                     if other not in what["side"]]
        else:
            peer = self._peer(what["peer"])
            if not peer:
                return None
            others = what["to"] if what["way"] == "one-way" else everyone
            pairs = [(other, peer.index) for other in others if other != peer.index]
        for one, other in pairs:
            network.cut(one, other, both_ways=what["way"] != "one-way")

        def end():
            for one, other in pairs:
                network.heal(one, other)
        return end

    def _loss(self, what):
        peer = self._peer(what["peer"])
        if not peer:
            return None
        self.machines.network.loss(peer.index, what["percent"])
        return lambda: self.machines.network.loss(peer.index, 0)

    def _power(self, what):
        if what["peers"] == "all":
            peers = [self.machines.peer(number) for number in range(1, self.count + 1)]
        else:
            peers = [self._peer(number) for number in what["peers"]]
        peers = [peer for peer in peers if peer and peer.runs()]
        for peer in peers:
            peer.end_daemon()  # all at once; then what is slow
        for peer in peers:
            peer.cut_power(what["torn"], what["dice"] + peer.index)
        return (lambda: [peer.start(wait=False) for peer in peers]) if peers else None

    def _full(self, what):
        peer = self._peer(what["peer"])
        if not peer:
            return None
        peer.fill_disk()
        return peer.empty_disk

    def _error(self, what):
        peer = self._peer(what["peer"])
        if not peer:
            return None
        peer.fail_disk(getattr(errno, what["errno"]), what["permille"])
        return lambda: peer.fail_disk(0, 0)

    def _clock(self, what):
        peer = self._peer(what["peer"])
        if not peer:
            return None
        peer.set_clock(what["jump_ms"])
        return lambda: None  # it stays so until the next jump

    def end_all(self):
        """After the last one: all is well again."""
        for number in range(1, self.count + 1):
            peer = self.machines.peer(number)
            peer.set_clock(0)
            peer.fail_disk(0, 0)
            peer.empty_disk()
            peer.signal(signal.SIGCONT)
            if not peer.shall_run:
                peer.start(wait=False)
        self.machines.network.heal_all()
