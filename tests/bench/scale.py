"""How long many replicas take to come up: from the deploy to the last that is healthy."""

import time

from testbed_lib.cluster import web

PEERS = 3
REPLICAS = 50


def measure(cluster):
    cluster.up(PEERS)
    start = time.monotonic()
    cluster.deploy(web(replicas=REPLICAS), wait=False)
    cluster.wait_serving(REPLICAS, bound_s=300)
    return {"seconds": round(time.monotonic() - start, 3), "replicas": REPLICAS, "peers": PEERS}
