"""What 300 containers that crash at once and again do to the peer that holds them: how late its event
loop is, and whether the others take it for dead or slow. Backoff as by default."""

import time


PEERS = 3
CONTAINERS = 300
MEASURE_S = 60
METRICS = "127.0.0.1:9464"
LIMITS = {"lag_p99_ms": 50}
FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"


def metrics_of(cluster, peer):
    """{"name{labels}": value}"""
    done = peer.run("python3", "-c", FETCH, f"http://{METRICS}/metrics", capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def quantile_ms(before, after, share):
    """The upper bound of the bucket in which that share lies; None beyond the last."""
    prefix = 'consort_loop_lag_seconds_bucket{le="'
    total = after["consort_loop_lag_seconds_count"] - before["consort_loop_lag_seconds_count"]
    for name in after:
        if name.startswith(prefix) and after[name] - before[name] >= share * total:
            bound = name[len(prefix):].rstrip('"}')
            return None if bound == "+Inf" else float(bound) * 1000
    return None


def measure(cluster):
    cluster.start_options = [f"--metrics={METRICS}"]
    cluster.up(PEERS)
    victim = cluster.follower()
    service = {"image": "hello:1", "command": ["/bin/false"],
               "deploy": {"replicas": CONTAINERS, "placement": {"constraints": [f"node.hostname == {victim.name}"]}}}
    before = metrics_of(cluster, victim)
    cluster.deploy({"services": {"crash": service}}, "crashes", wait=False)
    deaths, suspicions, deadline = 0, 0, time.monotonic() + MEASURE_S
    watcher = next(peer for peer in cluster.peers() if peer.index != victim.index)
    last = "alive"
    while time.monotonic() < deadline:
        state = cluster.states(watcher)[victim.name]
        deaths += state == "dead" != last
        suspicions += state == "suspect" != last
        last = state
        time.sleep(0.2)
    after = metrics_of(cluster, victim)
    refutations = "consort_gossip_refutations_total"
    restarts = sum(row.get("restarts", 0) for row in cluster.replicas("crashes_crash"))
    p99 = quantile_ms(before, after, 0.99)
    return {
        "containers": CONTAINERS, "measured_s": MEASURE_S, "restarts": restarts,
        "lag_p50_ms_below": quantile_ms(before, after, 0.5), "lag_p99_ms_below": p99,
        "refutations": after[refutations] - before[refutations],
        "suspicions": suspicions, "deaths": deaths,
        "goals_met": {"lag": p99 is not None and p99 <= LIMITS["lag_p99_ms"], "membership": deaths == 0},
    }
