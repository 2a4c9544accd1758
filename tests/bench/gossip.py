"""Membership beside Serf's: 20 real members of each, one after the other, with their LAN profiles.

Each side goes through the same three parts, drawn from the same seed:
  idle      what a member costs that has nothing to do
  deaths    a member is killed and its cable pulled: when do all the others know?
  accused   some members are paused again and again, some get hardly any processor time, and the
            processors are loaded: which of the others, that were always well, are suspected or
            held dead by one another, and how often must they refute?
What members know is read from what they log, on both sides: each logs a change as it believes it.
Serf does not log whom it hears suspected, Consort does; how often members refuted, Serf logs and
Consort counts.
"""

import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from testbed_lib import process
from testbed_lib.network import inside, run
from testbed_lib.serf import SerfTestbed

PEERS = 20
SEED = 4
BOUND_S = 90
READ_EACH_S = 0.01
EPISODE_GAP_S = 3  # suspicions of a member that are closer than this are one

# Two minutes after a cluster was formed, the connections that this took are closed again.
FULL = {"settle_s": 150, "idle_s": 60, "deaths": 20, "accused_s": 120}
QUICK = {"settle_s": 5, "idle_s": 10, "deaths": 2, "accused_s": 20}
DRAIN_S = 10  # what was accused at the very end is still counted
PAUSED = 4
PAUSE_S = (0.5, 16)
BETWEEN_PAUSES_S = (0.05, 2)
STARVED = 6
STARVED_US = 10_000  # in each second, which a starved member shares with its loaders
STARVED_LOADERS = 8
LOADERS = 2  # and as many for the whole machine

GOALS = {"death_median_s": 3, "cpu_percent": 0.1, "pss_bytes": 10 * 1000 * 1000}
NO_MORE = ("bytes_per_s", "false_deaths", "false_suspicions", "refutations")  # than Serf
CPU_CGROUP = Path("/sys/fs/cgroup/cpu")

# A processor's worth of work, which ends with us.
FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
LOADER = "import ctypes\nctypes.CDLL(None).prctl(1, 9)\nwhile True: pass"


class ConsortSide:
    CHANGE = re.compile(r"peer (\S+) (is alive|is suspected|is dead|has left)")
    MEANS = {"is alive": "alive", "is suspected": "suspect", "is dead": "dead", "has left": "left"}

    METRICS = "127.0.0.1:9464"

    def __init__(self, testbed):
        self.testbed = testbed
        self.testbed.start_options = [f"--metrics={self.METRICS}"]
        self.names = {}

    def up(self):
        self.testbed.up(PEERS, bare=True)
        start = time.monotonic()
        self.testbed.form(self.testbed.peers())
        seconds = time.monotonic() - start
        # One that is not known by name yet is logged by the start of its id.
        self.names = {peer["id"][:12]: peer["name"] for peer in self.testbed.peer(1).query("peer", "ls")}
        return seconds

    def change(self, line):
        """(member, state) if the line tells of a change, else None."""
        if found := self.CHANGE.search(line):
            return self.names.get(found[1], found[1]), self.MEANS[found[2]]
        return None

    def start_options(self, peer):
        return self.testbed.start_options

    def refutations(self, watch, peers):
        """How often they answered an accusation, since they were started."""
        count = 0
        for peer in peers:
            page = peer.run(sys.executable, "-c", FETCH, f"http://{self.METRICS}/metrics",
                            capture_output=True, text=True).stdout
            count += int(re.search(r"^consort_gossip_refutations_total (\d+)", page, re.M)[1])
        return count


class SerfSide:
    """Serf logs who failed, and who it suspects itself; the suspicions of others are seen only where
    the suspect refutes them."""

    CHANGE = re.compile(r"serf: EventMember(Join|Failed|Leave): (\S+)|memberlist: (Suspect) (\S+) has"
                        r"|memberlist: (Refuting) a (?:suspect|dead) message")
    MEANS = {"Join": "alive", "Failed": "dead", "Leave": "left", "Suspect": "suspect",
             "Refuting": "refutes"}

    def __init__(self, testbed, encrypted=False):
        self.testbed = testbed
        self.testbed.options = ["-encrypt=cg8StVXbQJ0gPvMd9o7yrg=="] if encrypted else []

    def up(self):
        self.testbed.up(PEERS, bare=True)
        start = time.monotonic()
        self.testbed.form(self.testbed.peers())
        return time.monotonic() - start

    def change(self, line):
        if found := self.CHANGE.search(line):
            word = found[1] or found[3] or found[5]
            return found[2] or found[4] or "", self.MEANS[word]
        return None

    def start_options(self, peer):
        """How one that was killed finds the others again."""
        seeds = [other for other in self.testbed.peers() if other.index != peer.index][:3]
        return ["-retry-interval=1s", *(f"-retry-join={seed.address}" for seed in seeds)]

    def refutations(self, watch, peers):
        names = {peer.name for peer in peers}
        return sum(state == "refutes" and member in names for _, _, member, state in watch.changes)


class Watch:
    """What members say of each other in their logs, and when it was read."""

    def __init__(self, side):
        self.side = side
        self.files = {peer.name: open(peer.log, "rb") for peer in side.testbed.peers()}
        self.tails = {name: b"" for name in self.files}
        self.known = {}    # (observer, member): alive, dead or left
        self.changes = []  # (seconds, observer, member, state)

    def __enter__(self):
        self.read()
        return self

    def __exit__(self, *_):
        for file in self.files.values():
            file.close()

    def read(self):
        for observer, file in self.files.items():
            *lines, self.tails[observer] = (self.tails[observer] + file.read()).split(b"\n")
            now = time.monotonic()
            for line in lines:
                if change := self.side.change(line.decode(errors="replace")):
                    member, state = change
                    if state == "refutes":
                        member = observer
                    elif state != "suspect":  # Serf does not log that a suspicion has ended
                        self.known[observer, member] = state
                    self.changes.append((now, observer, member, state))

    def until(self, predicate, what):
        deadline = time.monotonic() + BOUND_S
        while not predicate():
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {BOUND_S} s: {what}; known: {self.not_alive()}")
            time.sleep(READ_EACH_S)
            self.read()

    def forget(self, observer):
        for key in [key for key in self.known if key[0] == observer]:
            del self.known[key]

    def not_alive(self):
        return {f"{observer} of {member}": self.known.get((observer, member), "unknown")
                for observer in self.files for member in self.files
                if observer != member and self.known.get((observer, member)) != "alive"}

    def wait_all_alive(self):
        self.until(lambda: not self.not_alive(), "all see all others alive")


# Idle.

def port_counters(testbed):
    """{index: (bytes, packets) that the peer sent and received}, with their Ethernet headers."""
    links = json.loads(run(*inside(testbed.network.switch), "ip", "-s", "-json", "link", "show"))
    stats = {link["ifname"]: link["stats64"] for link in links}
    return {peer.index: tuple(stats[f"p{peer.index}"][way][what]
                              for what in ("bytes", "packets") for way in ("rx", "tx"))
            for peer in testbed.peers()}


def cpu_seconds(pid):
    """Of all its threads, to the nanosecond: what is idle uses less than a tick in a second."""
    return sum(int(path.read_text().split()[0])
               for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def wakings(pid):
    """How often its threads have slept and been woken."""
    return sum(int(line.split()[1]) for path in Path(f"/proc/{pid}/task").glob("*/status")
               for line in path.read_text().splitlines() if line.startswith("voluntary_ctxt"))


def memory_bytes(pid, key):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"smaps_rollup of {pid} has no {key}")


def machine_cpu_seconds():
    """What all processors have worked so far, for whomever."""
    fields = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def total(measure, pids):
    return sum(map(measure, pids))


def measure_idle(side, seconds):
    pids = {peer.index: process.of_daemon(peer) for peer in side.testbed.peers()}
    counters, machine, start = port_counters(side.testbed), machine_cpu_seconds(), time.monotonic()
    used = {index: (total(cpu_seconds, own), total(wakings, own)) for index, own in pids.items()}
    time.sleep(seconds)
    used = {index: (total(cpu_seconds, own) - used[index][0], total(wakings, own) - used[index][1])
            for index, own in pids.items()}
    elapsed, after = time.monotonic() - start, port_counters(side.testbed)
    rates = {index: [(b - a) / elapsed for a, b in zip(counters[index], after[index])]
             for index in counters}
    cpu = [100 * used[index][0] / elapsed for index in pids]
    pss = [sum(memory_bytes(pid, "Pss") for pid in own) for own in pids.values()]
    others = machine_cpu_seconds() - machine - sum(used[index][0] for index in pids)
    return {
        "bytes_per_s": round(statistics.median(rate[0] + rate[1] for rate in rates.values())),
        "bytes_per_s_max": round(max(rate[0] + rate[1] for rate in rates.values())),
        "packets_per_s": round(statistics.median(rate[2] + rate[3] for rate in rates.values()), 1),
        "cpu_percent": round(statistics.median(cpu), 3),
        "cpu_percent_max": round(max(cpu), 3),
        "wakings_per_s": round(statistics.median(used[index][1] / elapsed for index in pids), 1),
        "pss_bytes": int(statistics.median(pss)),
        "pss_bytes_max": max(pss),
        "rss_bytes": int(statistics.median(sum(memory_bytes(pid, "Rss") for pid in own)
                                           for own in pids.values())),
        "rest_of_machine_cpu_percent": round(100 * others / elapsed, 1),
    }


# Deaths.

def one_death(side, watch, victim):
    """Kills the member, waits until all others hold it dead, and brings it back. Seconds until the
    first knew, until all knew, and from its start until all saw each other again."""
    pid, others = victim.daemon_pid(), [name for name in watch.files if name != victim.name]
    start = time.monotonic()
    side.testbed.network.unplug(victim.index)  # so that nothing tells the others that its port is shut
    os.kill(pid, signal.SIGKILL)
    watch.until(lambda: all(watch.known.get((name, victim.name)) == "dead" for name in others),
                f"all know that {victim.name} is dead")
    known = [moment - start for moment, _, member, state in watch.changes
             if (member, state) == (victim.name, "dead") and moment > start]
    victim.kill()
    watch.forget(victim.name)
    start_again = time.monotonic()
    victim.start(*side.start_options(victim))
    watch.wait_all_alive()
    return min(known), max(known), time.monotonic() - start_again


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def measure_deaths(side, watch, count):
    chance = random.Random(SEED)
    first, last, back, begun = [], [], [], len(watch.changes)
    victims = [chance.randint(1, PEERS) for _ in range(count)]
    for index in victims:
        time.sleep(chance.uniform(1, 3))
        times = one_death(side, watch, side.testbed.peer(index))
        first.append(times[0])
        last.append(times[1])
        back.append(times[2])
    dead = {f"peer-{index}" for index in victims}
    return {
        "death_median_s": round(statistics.median(last), 2),
        "death_p95_s": round(percentile(last, 95), 2),
        "death_max_s": round(max(last), 2),
        "death_first_median_s": round(statistics.median(first), 2),
        "back_median_s": round(statistics.median(back), 2),
        "deaths_s": [round(seconds, 2) for seconds in last],
        "deaths_of_the_living": sum(state == "dead" and member not in dead
                                    for _, _, member, state in watch.changes[begun:]),
    }


# False accusations.

def pauses(seconds):
    """Who is paused, [(at_s, index, signal)] in order, and who is starved; the same for each side."""
    chance = random.Random(SEED)
    ill = chance.sample(range(1, PEERS + 1), PAUSED + STARVED)
    paused, starved = ill[:PAUSED], ill[PAUSED:]
    plan = []
    for index in paused:
        at = chance.uniform(*BETWEEN_PAUSES_S)
        while at < seconds - PAUSE_S[1]:
            plan.append((at, index, signal.SIGSTOP))
            at += chance.uniform(*PAUSE_S)
            plan.append((at, index, signal.SIGCONT))
            at += chance.uniform(*BETWEEN_PAUSES_S)
    return paused, sorted(plan), starved


class Starved:
    """Members that share next to no processor time with others that want all of it."""

    def __init__(self, testbed, indices):
        self.loaders, self.groups = [], []
        for index in indices:
            group = CPU_CGROUP / f"gossip-bench-{index}"
            group.mkdir(exist_ok=True)
            self.groups.append(group)
            (group / "cpu.cfs_period_us").write_text("1000000")
            (group / "cpu.cfs_quota_us").write_text(str(STARVED_US))
            (group / "cgroup.procs").write_text(str(testbed.peer(index).daemon_pid()))
            for _ in range(STARVED_LOADERS):
                self.loaders.append(subprocess.Popen([sys.executable, "-c", LOADER]))
                (group / "cgroup.procs").write_text(str(self.loaders[-1].pid))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for loader in self.loaders:
            loader.kill()
            loader.wait()
        for group in self.groups:
            for pid in (group / "cgroup.procs").read_text().split():
                (CPU_CGROUP / "cgroup.procs").write_text(pid)
            group.rmdir()


def carry_out(side, watch, plan, seconds):
    pids = {index: side.testbed.peer(index).daemon_pid() for _, index, _ in plan}
    start = time.monotonic()
    try:
        for at, index, number in [*plan, (seconds, None, None)]:
            while (left := start + at - time.monotonic()) > 0:
                time.sleep(min(left, 0.05))
                watch.read()
            if index:
                os.kill(pids[index], number)
    finally:
        for pid in pids.values():
            os.kill(pid, signal.SIGCONT)


def episodes(changes):
    """Suspicions of one member that follow closely are one, however many tell of it."""
    count, latest = 0, {}
    for moment, _, member, _ in changes:
        count += moment - latest.get(member, -EPISODE_GAP_S) >= EPISODE_GAP_S
        latest[member] = moment
    return count


def measure_accused(side, watch, seconds):
    paused, plan, starved = pauses(seconds)
    well = [peer for peer in side.testbed.peers() if peer.index not in paused + starved]
    refuted, begun = side.refutations(watch, well), len(watch.changes)
    loaders = []
    try:
        with Starved(side.testbed, starved):
            for _ in range(LOADERS):
                loaders.append(subprocess.Popen([sys.executable, "-c", LOADER]))
            carry_out(side, watch, plan, seconds)
    finally:
        for loader in loaders:
            loader.kill()
            loader.wait()
    carry_out(side, watch, [], DRAIN_S)
    healthy = {peer.name for peer in well}
    at_healthy = [change for change in watch.changes[begun:] if change[1] in healthy]
    false = [change for change in at_healthy if change[2] in healthy]
    deaths = [change for change in false if change[3] == "dead"]
    suspicions = [change for change in false if change[3] == "suspect"]
    held_dead = [change for change in at_healthy if change[3] == "dead"]
    names = {f"peer-{index}" for index in paused}
    # The ill may be held dead or not, whichever the tool thinks right of seconds of silence.
    return {
        "false_deaths": len(deaths),
        "false_deaths_members": len({change[2] for change in deaths}),
        "false_suspicions": episodes(suspicions),
        "false_suspicions_members": len({change[2] for change in suspicions}),
        "refutations": side.refutations(watch, well) - refuted,
        "paused_held_dead": sum(change[2] in names for change in held_dead),
        "starved_held_dead": sum(change[2] not in names | healthy for change in held_dead),
        "pauses": sum(number == signal.SIGSTOP for _, _, number in plan),
    }


# Both.

def measure_side(side, sizes):
    try:
        load = os.getloadavg()[0]
        formed = side.up()
        with Watch(side) as watch:
            watch.wait_all_alive()
            time.sleep(sizes["settle_s"])
            result = {"machine_load": round(load, 2), "formed_s": round(formed, 2),
                      **measure_idle(side, sizes["idle_s"])}
            watch.read()
            result |= measure_deaths(side, watch, sizes["deaths"])
            result |= measure_accused(side, watch, sizes["accused_s"])
            print(f"{type(side).__name__}: {json.dumps(result)}", file=sys.stderr, flush=True)
            return result
    finally:
        side.testbed.down()


def measure_encrypted(side, sizes):
    """Only what it sends: Consort has no mode without encryption, Serf's default has none with."""
    try:
        side.up()
        time.sleep(sizes["settle_s"])
        return measure_idle(side, sizes["idle_s"])["bytes_per_s"]
    finally:
        side.testbed.down()


def ratios(ours, theirs):
    """Consort's by Serf's: below 1 is better than Serf. None where Serf's is 0."""
    return {key: round(ours[key] / theirs[key], 3) if theirs[key] else None
            for key in (*GOALS, *NO_MORE)}


def missed(ours, theirs):
    found = [f"{key}: {ours[key]} > {most}" for key, most in GOALS.items() if ours[key] > most]
    return found + [f"{key}: {ours[key]} > Serf's {theirs[key]}" for key in NO_MORE
                    if ours[key] > theirs[key]]


def measure(cluster, quick=False):
    if not shutil.which("serf"):
        sys.exit("tools/bench gossip: there is no `serf` to compare with: apt-get install serf "
                 "(nothing else needs it, so tools/setup leaves it out)")
    sizes = QUICK if quick else FULL
    ours = measure_side(ConsortSide(cluster), sizes)
    serf = SerfTestbed("serfbench")
    serf.down()
    theirs = measure_side(SerfSide(serf), sizes)
    theirs["bytes_per_s_encrypted"] = measure_encrypted(SerfSide(serf, encrypted=True), sizes)
    version = subprocess.run(["serf", "version"], capture_output=True, text=True).stdout.split()
    return {"consort": ours, "serf": {"version": version[1].lstrip("v") if version[:1] == ["Serf"] else
                                      version[0], **theirs},
            "ratio": ratios(ours, theirs), "missed": missed(ours, theirs), "members": PEERS,
            "seed": SEED, "quick": quick}
