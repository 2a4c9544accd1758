"""What a peer costs that has nothing to do: one of three, with 3 containers of its own."""

import os
import time
from pathlib import Path

from testbed_lib import process
from testbed_lib.cluster import web

PEERS = 3
SETTLE_S = 15
MEASURE_S = 60


def memory_bytes(pid, key):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"smaps_rollup of {pid} has no {key}")


def cpu_seconds(pid):
    """Of the process and of the children that it waited for (health checks)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def measure(cluster):
    cluster.up(PEERS)
    # Without health checks, which cost what they run.
    cluster.deploy(web(replicas=3 * PEERS, healthcheck={"disable": True}))
    cluster.wait_serving(3 * PEERS)
    time.sleep(SETTLE_S)
    peers = [process.of_daemon(peer) for peer in cluster.peers()]
    before = [sum(map(cpu_seconds, pids)) for pids in peers]
    time.sleep(MEASURE_S)
    percents = [100 * (sum(map(cpu_seconds, pids)) - used) / MEASURE_S for pids, used in zip(peers, before)]
    return {
        "pss_bytes": max(sum(memory_bytes(pid, "Pss") for pid in pids) for pids in peers),
        "rss_bytes": max(sum(memory_bytes(pid, "Rss") for pid in pids) for pids in peers),
        "cpu_percent": round(max(percents), 3),
        "peers": PEERS,
        "containers_a_peer": 3,
        "measured_s": MEASURE_S,
    }
