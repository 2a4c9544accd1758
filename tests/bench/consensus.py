"""Consensus beside etcd's: three members of each as real processes, one side after the other.

Both sides stand on the same testbed, with their data on the same disk, and are written to by the
same program (consensus_load/load.c), whose clients are spread evenly over the three members and
stand on the members' machines: Consort is spoken to at its UNIX socket, etcd by gRPC at TCP within
the member's network namespace. All else is as it comes.
  load     1 to 1,000 clients in a closed loop, values of 256 bytes
  outage   the leader is killed: when is the next write acknowledged that was sent after that?
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

from testbed_lib import build_release, process
from testbed_lib.etcd import EtcdTestbed
from testbed_lib.testbed import TOP

from gossip import FETCH, cpu_seconds, memory_bytes

MEMBERS = 3
VALUE_BYTES = 256
FULL = {"clients": (1, 10, 100, 1000), "warmup_s": 3, "seconds": 15, "outages": 20, "settle_s": 3}
QUICK = {"clients": (1, 100), "warmup_s": 1, "seconds": 2, "outages": 2, "settle_s": 1}
SETTLE_BOUND_S = 30
METRICS = "127.0.0.1:9464"

MEASURED = (100, 1000)  # clients for whom there are goals
COMMITS_RATIO, MEMORY_RATIO, OUTAGE_S = 1.5, 0.1, 1


def number(page, name):
    """The sum of that metric."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", page, re.M))


class ConsortSide:
    name = "consort"

    def __init__(self, testbed):
        self.testbed = testbed
        self.testbed.start_options = [f"--metrics={METRICS}"]

    def up(self):
        self.testbed.up(MEMBERS, bare=True)
        self.testbed.form(self.testbed.peers())
        self.wait_whole()

    def leader(self):
        return self.testbed.leader()

    def wait_whole(self):
        """Returns once all vote and follow one leader."""
        def whole():
            states = [peer.query("status") for peer in self.testbed.peers()]
            return len({state.get("leader") for state in states}) == 1 and all(
                state["voters"] == state["live_voters"] == MEMBERS for state in states)
        self.testbed.wait(whole, "all members vote", SETTLE_BOUND_S)

    def target(self, peer):
        return str(peer.socket)

    def restart(self, peer):
        peer.start(*self.testbed.start_options)

    def syncs(self, page):
        """LMDB's commit is an fdatasync, and a write of one page with O_DSYNC."""
        return 2 * number(page, "consort_store_commits_total")

    def metrics(self, peer):
        return peer.run(sys.executable, "-c", FETCH, f"http://{METRICS}/metrics",
                        capture_output=True, text=True, check=True).stdout


class EtcdSide:
    name = "etcd"

    def __init__(self, testbed):
        self.testbed = testbed

    def up(self):
        self.testbed.up(MEMBERS)
        self.wait_whole()

    def leader(self):
        return self.testbed.leader()

    def wait_whole(self):
        for peer in self.testbed.peers():
            peer.wait_ready()

    def target(self, peer):
        return f"{peer.namespace}@{peer.clients_url.removeprefix('http://')}"

    def restart(self, peer):
        peer.start()

    def syncs(self, page):
        """bbolt's commit is two of them."""
        return (number(page, "etcd_disk_wal_fsync_duration_seconds_count")
                + 2 * number(page, "etcd_disk_backend_commit_duration_seconds_count"))

    def metrics(self, peer):
        return peer.run(sys.executable, "-c", FETCH, f"{peer.clients_url}/metrics",
                        capture_output=True, text=True, check=True).stdout


def load(side, *words):
    done = subprocess.run([TOP / "build-release/tests/bench/consensus-load", side.name,
                           *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"consensus-load {side.name} {words}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def usage(side):
    peers = side.testbed.peers()
    return (sum(cpu_seconds(pid) for peer in peers for pid in process.of_daemon(peer)),
            sum(side.syncs(side.metrics(peer)) for peer in peers))


def memory(side):
    """Of all members."""
    return sum(memory_bytes(pid, "Pss") for peer in side.testbed.peers() for pid in process.of_daemon(peer))


def measure_load(side, clients, sizes):
    targets = [side.target(peer) for peer in side.testbed.peers()]
    time.sleep(sizes["settle_s"])
    cpu, syncs = usage(side)
    # What the warm-up takes counts in all of these, and so do its commits.
    result = load(side, clients, 0, sizes["warmup_s"], VALUE_BYTES, *targets)
    commits = result["commits"]
    result = load(side, clients, 0, sizes["seconds"], VALUE_BYTES, *targets)
    pss = memory(side)
    commits += result["commits"]
    cpu_after, syncs_after = usage(side)
    return {**result, "syncs_per_commit": round((syncs_after - syncs) / max(commits, 1), 3),
            "cpu_us_per_commit": round(1e6 * (cpu_after - cpu) / max(commits, 1), 1),
            "pss_bytes": pss}


def measure_outage(side):
    leader = side.leader()
    others = [peer for peer in side.testbed.peers() if peer.index != leader.index]
    result = load(side, "outage", leader.daemon_pid(), VALUE_BYTES, side.target(leader),
                  *(side.target(peer) for peer in others))
    side.restart(leader)
    side.wait_whole()
    time.sleep(1)
    return result["outage_ms"] / 1000


def measure_side(side, sizes):
    try:
        side.up()
        time.sleep(sizes["settle_s"])
        result = {"pss_idle_bytes": memory(side),
                  "clients": {str(count): measure_load(side, count, sizes)
                              for count in sizes["clients"]}}
        outages = [measure_outage(side) for _ in range(sizes["outages"])]
        result |= {"outage_median_s": round(statistics.median(outages), 3),
                   "outage_max_s": round(max(outages), 3),
                   "outages_s": [round(seconds, 3) for seconds in outages]}
        print(f"{side.name}: {json.dumps(result)}", file=sys.stderr, flush=True)
        return result
    finally:
        side.testbed.down()


def ratios(ours, theirs):
    """Consort's by etcd's."""
    def by_clients(key):
        return {count: round(ours["clients"][count][key] / theirs["clients"][count][key], 3)
                for count in ours["clients"]}
    keys = ("commits_per_s", "p50_ms", "p99_ms", "syncs_per_commit", "cpu_us_per_commit",
            "pss_bytes")
    return {**{key: by_clients(key) for key in keys},
            "outage": round(ours["outage_median_s"] / theirs["outage_median_s"], 3)}


def missed(ours, ratio):
    found = []
    for count in map(str, MEASURED):
        if count not in ours["clients"]:
            continue
        if (value := ratio["commits_per_s"][count]) <= COMMITS_RATIO:
            found.append(f"{count} clients: {value} of etcd's commits, not above {COMMITS_RATIO}")
        if (value := ratio["p99_ms"][count]) >= 1:
            found.append(f"{count} clients: p99 is {value} of etcd's")
        if (value := ratio["pss_bytes"][count]) > MEMORY_RATIO:
            found.append(f"{count} clients: memory is {value} of etcd's, above {MEMORY_RATIO}")
    if ours["outage_median_s"] >= OUTAGE_S:
        found.append(f"outage: {ours['outage_median_s']} s, not below {OUTAGE_S}")
    return found


def measure(cluster, quick=False):
    if not shutil.which("etcd") or not shutil.which("etcdctl"):
        sys.exit("tools/bench consensus: there is no `etcd` to compare with: apt-get install "
                 "etcd-server etcd-client (nothing else needs it, so tools/setup leaves it out)")
    build_release("tests/bench/consensus-load")
    sizes = QUICK if quick else FULL
    cluster.directory = TOP / "build-release/bench-consort"  # both on this disk, never a tmpfs
    etcd = EtcdTestbed("etcdbench", TOP / "build-release/bench-etcd")
    etcd.down()
    theirs = measure_side(EtcdSide(etcd), sizes)
    cluster.down()
    ours = measure_side(ConsortSide(cluster), sizes)
    ratio = ratios(ours, theirs)
    version = subprocess.run(["etcd", "--version"], capture_output=True, text=True).stdout.split()
    return {"consort": ours, "etcd": {"version": version[2], **theirs}, "ratio": ratio,
            "missed": missed(ours, ratio), "members": MEMBERS, "value_bytes": VALUE_BYTES,
            "machine_load": os.getloadavg()[0], "quick": quick}
