"""Which fault comes when. Nothing but the seed, the duration and the number of peers decides it; who
leads at the time is looked up when a fault is for the leader."""

import random
from dataclasses import dataclass, field

LEADER = 0  # in the place of a peer's number

ROUND_S = 20.0  # faults, then
CALM_S = 4.0    # none begins, so that the cluster has times in which all of it must work
PAUSE_S = 1.5   # between the beginnings of two, on average

WEIGHTS = {
    "kill": 4,    # SIGKILL to the daemon; started again as systemd would
    "stop": 4,    # SIGSTOP, then SIGCONT
    "cut": 5,     # a partition in two, one peer alone, or one way only
    "loss": 2,    # of packets
    "power": 3,   # a machine, or all, lose power: what was not synced is gone, in part or whole
    "full": 2,    # the data directory's file system has no room
    "error": 3,   # writes and syncs of the store fail: EIO, or ENOSPC
    "clock": 3,   # the wall clock jumps
}
LASTS_S = {"kill": (0.2, 3), "stop": (0.2, 6), "cut": (1, 8), "loss": (1, 8), "power": (0.3, 4),
           "full": (1, 6), "error": (0.5, 4), "clock": (0, 0)}


@dataclass(order=True)
class Fault:
    start_s: float
    number: int
    kind: str = field(compare=False)
    lasts_s: float = field(compare=False)
    what: dict = field(compare=False)

    def __str__(self):
        what = " ".join(f"{key}={value}" for key, value in self.what.items())
        return f"{self.start_s:7.2f} s {self.kind:6} for {self.lasts_s:4.1f} s  {what}"


def _one(dice, peers):
    """A peer: often the one that leads."""
    return LEADER if dice.random() < 0.35 else dice.randint(1, peers)


def _details(dice, kind, peers):
    if kind == "cut":
        way = dice.choice(["two", "two", "alone", "one-way", "one-way"])
        if way == "two":
            side = dice.sample(range(1, peers + 1), dice.randint(1, peers // 2))
            return {"way": way, "side": sorted(side)}
        if way == "alone":
            return {"way": way, "peer": _one(dice, peers)}
        return {"way": way, "peer": _one(dice, peers), "to": dice.sample(range(1, peers + 1), 2)}
    if kind == "power":
        return {"peers": "all" if dice.random() < 0.2 else [_one(dice, peers)],
                "torn": dice.choice(["nothing", "all", "writes", "sectors"]),
                "dice": dice.getrandbits(32)}
    what = {"peer": _one(dice, peers)}
    if kind == "loss":
        what["percent"] = dice.randint(5, 40)
    elif kind == "error":
        what["errno"] = dice.choice(["EIO", "EIO", "ENOSPC"])
        what["permille"] = dice.choice([20, 200, 1000])
    elif kind == "clock":
        what["jump_ms"] = dice.choice([-1, 1]) * int(10 ** dice.uniform(2, 8))
    return what


def draw(seed, seconds, peers):
    """The faults of a run, in order; all of them end before it does."""
    dice = random.Random(seed)
    faults, at = [], 1.0
    kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
    while True:
        at += dice.expovariate(1 / PAUSE_S)
        if at % ROUND_S > ROUND_S - CALM_S:
            at += CALM_S
        kind = dice.choices(kinds, weights)[0]
        lasts = dice.uniform(*LASTS_S[kind])
        what = _details(dice, kind, peers)
        if at + LASTS_S[kind][1] > seconds:
            if at > seconds:
                return faults
            continue
        faults.append(Fault(at, len(faults), kind, lasts, what))
