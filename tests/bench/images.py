"""How an image gets to all peers: pulled once from a registry by one, then from peer to peer.

Each cable lets RATE_MBIT out and in, as a site's network might, so that what is measured is who sends what to
whom, and not how many peers share this machine's cores.
"""

import hashlib
import io
import json
import random
import tarfile
import time

from testbed_lib.cluster import web
from testbed_lib.network import inside, run
from testbed_lib.registry import BadRegistry

PEERS = 5
LAYERS = 6
LAYER_MB = 20
RATE_MBIT = 200
PATIENCE_S = 600


def make_archive(path, seed, layers=LAYERS, layer_mb=LAYER_MB):
    """An OCI archive of bytes that don't compress, over examples/hello's files."""
    import subprocess
    from testbed_lib.cluster import HELLO, TOP
    base = path.with_suffix(".base")
    subprocess.run([TOP / "tools/make-image", "--format", "oci", HELLO / "image", base, "hello:1", "--", "/bin/web"],
                   check=True, capture_output=True)
    with tarfile.open(base) as tar:
        files = {entry.name.removeprefix("./"): tar.extractfile(entry).read() for entry in tar if entry.isfile()}
    index = json.loads(files["index.json"])

    def blob(digest):
        return f"blobs/sha256/{digest.partition(':')[2]}"

    def put(data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        files[blob(digest)] = data
        return {"digest": digest, "size": len(data)}

    manifest = json.loads(files[blob(index["manifests"][0]["digest"])])
    config = json.loads(files[blob(manifest["config"]["digest"])])
    noise = random.Random(seed)
    for number in range(layers):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            entry = tarfile.TarInfo(f"data/{number}")
            entry.size = layer_mb << 20
            tar.addfile(entry, io.BytesIO(noise.randbytes(entry.size)))
        layer = put(data.getvalue())
        manifest["layers"].append({"mediaType": "application/vnd.oci.image.layer.v1.tar", **layer})
        config["rootfs"]["diff_ids"].append(layer["digest"])
    config.pop("history", None)
    manifest["config"] |= put(json.dumps(config).encode())
    index["manifests"][0] |= put(json.dumps(manifest).encode())
    files["index.json"] = json.dumps(index).encode()
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


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
    make_archive(archive, 1)
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
