"""How an image gets to all peers: pulled once from a registry by one, then from peer to peer.

Each cable lets RATE_MBIT out and in, as a site's network might, so that what is measured is who sends what to
whom, and not how many peers share this machine's cores.
"""

import json
import time

from testbed_lib.cluster import web
from testbed_lib.network import inside, run
from testbed_lib.registry import BadRegistry, noise_archive

PEERS = 5
LAYERS = 6
LAYER_MB = 20
RATE_MBIT = 200
PATIENCE_S = 600


def shape(cluster, peer, rate_mbit):
    port = f"p{peer.index}"
    shaper = ("root", "tbf", "rate", f"{rate_mbit}mbit", "burst", "256kb", "latency", "100ms")
    run(*inside(peer.network.namespace(peer.index)), "tc", "qdisc", "replace", "dev", "eth0", *shaper)
    run(*inside(cluster.network.switch), "tc", "qdisc", "replace", "dev", port, *shaper)


def measure(cluster):
    cluster.directory.mkdir(parents=True, exist_ok=True)
    settings = cluster.directory / "registries.json"
    with_registry = BadRegistry(cluster)
    settings.write_text(json.dumps({"insecure": [with_registry.host],
                                    "auths": {with_registry.host: {"auth": with_registry.auth}}}))
    cluster.start_options = ["--registries", settings]
    cluster.up(PEERS)
    archive = cluster.directory / "large.oci"
    noise_archive(archive, 1, LAYERS, LAYER_MB)
    with with_registry as registry:
        registry.put("team/hello", "1", archive)
        for peer in cluster.peers():
            shape(cluster, peer, RATE_MBIT)
        first = cluster.peer(1)
        image = registry.name("team/hello:1")
        started = time.monotonic()
        first.consort("image", "pull", image)
        pulled_s = time.monotonic() - started
        started = time.monotonic()
        cluster.deploy(web(image=image, deploy={"mode": "global", "replicas": None}, healthcheck={"disable": True}),
                       wait=False)
        digest = next(row["digest"] for row in first.query("image", "ls") if row["reference"] == image)
        name = digest.partition(":")[2]
        have_s = {}
        while len(have_s) < PEERS:
            for peer in cluster.peers():
                if peer.name not in have_s and has_all(peer, name):
                    have_s[peer.name] = time.monotonic() - started
            if time.monotonic() - started > PATIENCE_S:
                raise RuntimeError(f"not everywhere after {PATIENCE_S} s: {have_s}\n{cluster.picture()}")
            time.sleep(0.05)
        blobs = [path.rpartition("/")[2] for path, _ in registry.seen if "/blobs/" in path]
        sizes = {digest: len(data) for digest, data in registry.blobs.items()}
        return {
            "image_bytes": sum(sizes.values()),
            "layers": LAYERS + 1,
            "peers": PEERS,
            "rate_mbit": RATE_MBIT,
            "registry_bytes": sum(sizes[blob] for blob in blobs),
            "registry_blob_requests": len(blobs),
            "pull_s": round(pulled_s, 2),
            "all_have_it_s": round(max(have_s.values()), 2),
            "each_has_it_s": sorted(round(seconds, 2) for seconds in have_s.values()),
        }


def has_all(peer, name):
    """Whether all blobs of the image are there, by looking at the disk: it costs the peers nothing."""
    blobs = peer.data_dir / "images/blobs/sha256"
    if not (blobs / name).exists():
        return False
    manifest = json.loads((blobs / name).read_bytes())
    parts = [manifest["config"], *manifest["layers"]]
    return all((blobs / part["digest"].partition(":")[2]).exists() for part in parts)
