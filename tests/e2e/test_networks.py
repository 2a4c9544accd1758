"""Networks: UDP at every peer, who reaches whom by name and by address, and what a restart leaves."""

import socket
import subprocess
import sys
from contextlib import contextmanager

from scenario import scenario

# What runs in a container's network, with the machine's own Python: the images have only busybox.
ECHO = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
while True:
    data, client = server.recvfrom(65536)
    server.sendto(sys.argv[2].encode() + b":" + data, client)
"""
ASK = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(5)
client.sendto(b"hello", (sys.argv[1], int(sys.argv[2])))
data, server = client.recvfrom(65536)
print(data.decode(), server[0])
"""


def network_of(peer, row):
    """The command's words that run something in the network of that replica's container."""
    (pin,) = (path for path in peer.directory.glob("**/netns/*")
              if path.name.rpartition(".")[2] == str(row["generation"]))
    return ["nsenter", f"--net={pin}"]


@contextmanager
def running(peer, words):
    process = subprocess.Popen(peer.words(*words), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


def asked(address, port):
    """What the UDP port answers, or nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((address, port))
        client.send(b"hello")
        try:
            return client.recv(2000).decode()
        except (TimeoutError, ConnectionRefusedError):
            return ""


@scenario(peers=3)
def test_udp(cluster):
    """A published UDP port answers at every peer, and by the service's name in every container."""
    sleeper = {"image": "hello:1", "command": ["sleep", "1000"]}
    cluster.deploy({"services": {
        "echo": {**sleeper, "ports": ["5353:53/udp"]},
        "asker": {**sleeper, "deploy": {"mode": "global"}}}}, stack="u")
    (row,) = cluster.replicas("u_echo")
    holder = cluster.named(row["peer"])
    with running(holder, [*network_of(holder, row), sys.executable, "-c", ECHO, "53", "echo"]):
        for peer in cluster.peers():
            answer = cluster.client.call(asked, peer.address, 5353)
            assert answer == "echo:hello", (peer, answer)
        virtual = holder.query("service", "inspect", "u_echo")["virtual_ip"]
        for asker in cluster.replicas("u_asker"):
            peer = cluster.named(asker["peer"])
            done = peer.run(*network_of(peer, asker), sys.executable, "-c", ASK, virtual, "53",
                            capture_output=True, text=True)
            assert done.stdout.split() == ["echo:hello", virtual], (peer, done)
