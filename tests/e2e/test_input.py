"""Bad input: each kind has a message that says what happened, why, and what to type next, with exit
code 1 or 2, and loses nothing."""

import shutil
import subprocess

from scenario import scenario
from testbed_lib.cluster import PORT, web

VALID = """services:
  web:
    image: hello:1
"""

# A Compose file, and words that its error has to hold: line, key, what would be right.
WRONG_FILES = [
    (VALID + "    imagee: hello:2\n", [":4", "imagee", "image"]),
    (VALID + "    deploy:\n      replicas: many\n", [":5", "replicas", "number"]),
    (VALID + "    ports:\n      - \"80:http\"\n", [":5", "ports"]),
    (VALID + "    healthcheck:\n      test: [\"CMD\", \"true\"]\n      interval: 5 parsecs\n",
     [":6", "interval"]),
    (VALID + "    deploy:\n      resources:\n        limits:\n          memory: lots\n",
     [":7", "memory"]),
    ("services:\n  web:\n   image: hello:1\n  - oops\n", [":4"]),
    ("services:\n  web:\n    command: [\"true\"]\n", [":2", "image"]),
    ("services:\n  Web_Server!:\n    image: hello:1\n", [":2", "Web_Server!"]),
    ("services: {}\n", ["services"]),
    ("", ["services"]),
    (VALID + VALID.replace("services:\n", ""), [":4", "web"]),  # the same service twice
    ("services:\n  web:\n    image: [[[[[[[[[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]]]]]]]]]\n", [":3"]),
]


@scenario(peers=1)
def test_wrong_compose_files(cluster):
    for text, expected in WRONG_FILES:
        done = cluster.try_deploy(text)
        assert done.returncode in (1, 2), f"accepted:\n{text}"
        for words in ("demo.yaml", *expected):
            assert words in done.stderr, f"no '{words}' in the error for:\n{text}\n{done.stderr}"
    assert cluster.replicas() == []
    missing = cluster.any().try_consort("deploy", "-f", "/no/such/file.yaml")
    assert missing.returncode in (1, 2) and "/no/such/file.yaml" in missing.stderr


@scenario(peers=1)
def test_unsupported_key_warns(cluster):
    """A Compose key that Consort doesn't have is said to be left out; the rest is deployed."""
    done = cluster.try_deploy(VALID + "    build: .\n", "demo", None, "--wait")
    assert done.returncode == 0, done.stderr
    assert "build" in done.stderr and ":4" in done.stderr, done.stderr


@scenario(peers=1)
def test_port_taken(cluster):
    """By another service: refused. By another program on the peer: said."""
    cluster.deploy(web(replicas=1), stack="first")
    done = cluster.try_deploy(web(replicas=1), stack="second")
    assert done.returncode == 1, done.stdout
    assert str(PORT) in done.stderr and "first_web" in done.stderr, done.stderr

    peer = cluster.peer(1)
    squatter = subprocess.Popen(peer.words("busybox", "nc", "-l", "-p", "9090"))
    try:
        cluster.deploy(web(replicas=1, port=9090), stack="third", wait=False)
        cluster.wait(lambda: "9090" in peer.consort("why", "third_web"), "`why` names the port")
    finally:
        squatter.kill()
        squatter.wait()
    cluster.wait(lambda: cluster.answers(peer, 9090), "once the port is free, the service has it")


@scenario(peers=3)
def test_no_room(cluster):
    """Resources that no peer has: pending, and `why` names the lacking resource of each peer."""
    cluster.deploy(web(replicas=1, deploy={
        "resources": {"reservations": {"memory": "4000G"}}}), wait=False)
    cluster.wait(lambda: [row["state"] for row in cluster.replicas("demo_web")] == ["pending"],
                 "the replica is pending")
    why = cluster.any().consort("why", "demo_web")
    for peer in cluster.peers():
        assert peer.name in why, why
    assert "memory" in why, why
    cluster.deploy(web(replicas=1))  # corrected, it runs


@scenario(peers=1, bare=True)
def test_full_disk(cluster):
    """A data directory on a full disk: what was committed stays, the error says what is full."""
    peer = cluster.peer(1)
    peer.kill_daemon()
    shutil.rmtree(peer.data_dir)
    peer.data_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", peer.data_dir], check=True)
    peer.start()
    peer.consort("init")
    cluster.import_image(peer)
    cluster.deploy(web(replicas=1))
    filler = peer.data_dir / "filler"
    try:
        filler.write_bytes(b"\0" * (64 << 20))
    except OSError:
        pass
    big = cluster.directory / "big.tar"
    subprocess.run(["tar", "-cf", big, "-C", "/usr/bin", "."], check=True)
    done = peer.try_consort("image", "import", big)
    assert done.returncode == 1 and "space" in done.stderr, done.stderr
    cluster.wait_answers([peer])
    filler.unlink()
    cluster.deploy(web(replicas=2))
    cluster.wait_serving(2)


@scenario(peers=3)
def test_corrupt_data(cluster):
    """A peer whose store is damaged doesn't start, says which file, and harms nobody."""
    cluster.deploy(web(replicas=3))
    peer = cluster.follower()
    peer.kill_daemon()
    stores = [path for path in peer.data_dir.rglob("*.mdb") if path.name != "lock.mdb"]
    assert stores, "no LMDB file in the data directory"
    for store in stores:
        with open(store, "r+b") as file:
            file.write(b"\xa5" * 8192)
    peer.start(wait=False)
    cluster.wait(lambda: "corrupt" in peer.log_tail(), "it says what is wrong")
    cluster.wait(lambda: not peer.daemon_pid(), "it gives up")
    assert str(peer.data_dir) in peer.log_tail(), peer.log_tail()
    cluster.wait_serving(3)


@scenario(peers=3)
def test_corrupt_records(cluster):
    """Damaged records of the log: named, fetched again from the others, and no container stops."""
    cluster.deploy(web(replicas=3))
    peer = cluster.follower()
    peer.kill_daemon()
    store = peer.data_dir / "store.mdb"
    data = store.read_bytes()
    assert b"demo_web" in data
    store.write_bytes(data.replace(b"demo_web", b"demo_wab"))
    peer.start()
    log = peer.log_tail(1000)
    assert "corrupt" in log and str(store) in log, log
    cluster.any().consort("scale", "demo_web=4")
    cluster.wait(lambda: "takes part in votes again" in peer.log_tail(1000), "it has all again")
    cluster.wait_serving(4)
    cluster.wait_answers(cluster.peers())


@scenario(peers=1)
def test_no_permission(cluster):
    peer = cluster.peer(1)
    done = subprocess.run(
        peer.words("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", peer.binary,
                   "--socket", peer.socket, "ps"), capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    assert str(peer.socket) in done.stderr and "permission" in done.stderr.lower(), done.stderr
    assert "group" in done.stderr, f"doesn't say what to do:\n{done.stderr}"


@scenario(peers=1)
def test_no_daemon(cluster):
    peer = cluster.peer(1)
    peer.kill_daemon()
    done = peer.try_consort("ps")
    assert done.returncode == 1 and str(peer.socket) in done.stderr, done.stderr
    assert "consort node" in done.stderr, f"doesn't say what to do:\n{done.stderr}"


@scenario(peers=1)
def test_unknown_words(cluster):
    """Typing errors: exit code 2, the wrong word, and where to read on."""
    peer = cluster.peer(1)
    for words in (["depoly"], ["ps", "--frobnicate"], ["scale", "demo_web"], ["deploy"],
                  ["token", "mint"], ["ps", "--format", "xml"]):
        done = peer.try_consort(*words)
        assert done.returncode == 2, f"consort {words}: exit code {done.returncode}"
        assert "--help" in done.stderr, f"consort {words}:\n{done.stderr}"
    for words in (["scale", "nobody=3"], ["why", "nobody"], ["logs", "nobody"], ["rm", "nobody"],
                  ["service", "inspect", "nobody"], ["image", "rm", "nobody:1"],
                  ["peer", "inspect", "nobody"], ["rollback", "nobody"]):
        done = peer.try_consort(*words)
        assert done.returncode == 1 and "nobody" in done.stderr, f"consort {words}:\n{done.stderr}"
