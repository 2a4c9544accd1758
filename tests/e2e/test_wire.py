"""What somebody who listens on the wire gets to read: nothing."""

import signal
import subprocess

from scenario import scenario
from testbed_lib.cluster import web

SECRET = "quicksilver-4711"


@scenario(peers=3)
def test_nothing_readable(cluster):
    capture = cluster.directory / "wire.pcap"
    tcpdump = subprocess.Popen(
        cluster.client_words("tcpdump", "-i", "switch", "-w", capture, "-s", "0", "-U", "--immediate-mode"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cluster.wait(capture.exists, "tcpdump listens")
    # One replica, asked through each peer, so that bodies travel between peers.
    cluster.deploy(web(replicas=1, version=SECRET))
    cluster.wait_serving(1)
    peers = cluster.peers()
    for peer in peers:
        cluster.wait(lambda p=peer: SECRET in inside_answer(p), f"{peer.name} answers")
    cluster.any().consort("logs", "demo_web")
    tcpdump.send_signal(signal.SIGINT)
    tcpdump.wait()
    wire = capture.read_bytes()
    assert len(wire) > 10000, f"only {len(wire)} bytes were captured"
    for words in (SECRET, "demo_web", "VERSION=", "hello:1", "peer-1"):
        assert words.encode() not in wire, f"'{words}' went over the wire in the clear"


def inside_answer(peer):
    """Asked on the machine itself, over loopback: only what peers say to each other is on the wire."""
    done = peer.run("curl", "-s", "-m", "5", "http://127.0.0.1:8080/", capture_output=True, text=True)
    return done.stdout
