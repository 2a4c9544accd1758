"""From the death of a machine that leads and holds the only replica, to an answer by a new one."""

import statistics
import time

from testbed_lib.cluster import web

PEERS = 3
RUNS = 10
POLL_S = 0.02
BOUND_S = 60


def one_run(cluster):
    """Kills the machine that holds the replica, and returns the seconds without an answer."""
    (row,) = [row for row in cluster.replicas() if row["state"] == "running"]
    victim = cluster.named(row["peer"])
    survivor = next(peer for peer in cluster.alive() if peer.index != victim.index)
    start = time.monotonic()
    victim.kill()  # its network first: whoever answers from here on is a new replica
    while not cluster.client.answers(survivor.address, 8080, timeout=0.5):
        if time.monotonic() > start + BOUND_S:
            raise RuntimeError(f"no replica answers {BOUND_S} s after {victim.name} died, asked at "
                               f"{survivor.name}:\n{survivor.consort('why', 'demo_web')}")
        time.sleep(POLL_S)
    seconds = time.monotonic() - start
    victim.start()
    cluster.wait(lambda: cluster.states(survivor).get(victim.name) == "alive", "the victim is back")
    cluster.wait_serving(1)
    cluster.wait_answers()
    return seconds


def measure(cluster):
    cluster.up(PEERS)
    cluster.deploy(web(replicas=1))
    cluster.wait_serving(1)
    cluster.wait_answers()
    seconds = [round(one_run(cluster), 3) for _ in range(RUNS)]
    return {"median_s": round(statistics.median(seconds), 3), "max_s": max(seconds), "runs_s": seconds,
            "peers": PEERS}
