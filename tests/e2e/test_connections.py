"""Connections go on while daemons stop, die and are replaced by newer ones."""

import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scenario import scenario
from test_levels import next_binary
from test_networks import network_of, running
from testbed_lib import process
from testbed_lib.network import inside

PORT = 7007

# What runs in a container's network, with the machine's own Python: the images have only busybox.
ECHO = """
import socket, sys, threading
def serve(client):
    while data := client.recv(65536):
        client.sendall(data)
    client.close()
def answer_datagrams():
    while True:
        client = datagrams.recvfrom(100)[1]
        datagrams.sendto(str(client).encode(), client)
server = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=64)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("0.0.0.0", int(sys.argv[1])))
threading.Thread(target=answer_datagrams, daemon=True).start()
print("ready", flush=True)
while True:
    threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
"""
# Sends random bytes all the time and wants each of them back, in order; for a line of its input it tells
# how many came by then.
CARRY = """
import os, random, select, socket, sys, time
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
connection.settimeout(20)
total = 0
while True:
    sent = os.urandom(random.randrange(1, 60000))
    connection.sendall(sent)
    got = b""
    while len(got) < len(sent):
        part = connection.recv(len(sent) - len(got))
        if not part:
            sys.exit(f"the connection ended after {total} bytes")
        got += part
    if got != sent:
        sys.exit(f"other bytes came back after {total}")
    if total == 0:
        print("ready", flush=True)
    total += len(got)
    if select.select([sys.stdin], [], [], 0.002)[0]:
        if not sys.stdin.readline():
            break
        print(total, flush=True)
"""
# The same of datagrams: each is answered with where it came from, which must never be another address or port.
# One that is lost is sent again.
ASK = """
import select, socket, sys, time
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect((sys.argv[1], int(sys.argv[2])))
client.settimeout(0.5)
first, total = None, 0
while True:
    try:
        client.send(b"?")
        got = client.recv(100)
    except (TimeoutError, ConnectionRefusedError):
        time.sleep(0.01)
        continue
    if first is None:
        first = got
        print("ready", flush=True)
    if got != first:
        sys.exit(f"the replica sees {got}, not {first}, after {total}")
    total += 1
    if select.select([sys.stdin], [], [], 0.01)[0]:
        if not sys.stdin.readline():
            break
        print(total, flush=True)
"""


def carrier(words, address, program=CARRY):
    """A client whose connection carries bytes from now on."""
    return subprocess.Popen([*words, sys.executable, "-c", program, address, str(PORT)], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@contextmanager
def carrying(cluster, name, words, address, program=CARRY):
    """A connection that carries bytes until this is left: a function that waits until more have come."""
    child = carrier(words, address, program)

    def say():
        try:
            child.stdin.write("\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except BrokenPipeError:
            line = ""
        assert line, f"{name}: {child.stderr.read()}"
        return int(line)

    def check():
        total = say()
        cluster.wait(lambda: say() > total, f"{name}: bytes go on")

    try:
        assert child.stdout.readline() == "ready\n", f"{name}: {child.stderr.read()}"
        yield check
        child.stdin.close()
        assert child.wait(30) == 0, f"{name}: {child.stderr.read()}"
    finally:
        child.kill()
        child.wait()


def mesh_processes(peer):
    return process.mesh_processes(peer.namespace)


def find_echo(cluster):
    """The one replica of the service u_echo, its peer, and another one."""
    (row,) = cluster.replicas("u_echo")
    holder = cluster.named(row["peer"])
    return row, holder, next(peer for peer in cluster.peers() if peer.name != holder.name)


def start_newer(cluster, peer, newer, checks):
    """A newer build takes over at that peer, and what the mesh process of the old one carries stays there."""
    before = mesh_processes(peer)
    peer.binary = newer
    peer.start()
    cluster.wait(lambda: len(mesh_processes(peer) - before) == 1, "one of the new build is there")
    for check in checks:
        check()
    assert before <= mesh_processes(peer), "the old one still has what it carries"


def echoed(address):
    """What a new connection to the published port carries."""
    with socket.create_connection((address, PORT), 20) as client:
        client.settimeout(20)
        client.sendall(b"hello")
        return client.recv(100)


@scenario(peers=3)
def test_daemon_replaced(cluster):
    """No connection breaks and no container restarts while daemons stop, are killed, and make room for a newer
    binary: at the peer of the replica and at others, from outside and from containers. A peer without
    a daemon takes new ones as well."""
    newer = next_binary(cluster)
    sleeper = {"image": "hello:1", "command": ["sleep", "1000"]}
    cluster.deploy({"services": {
        "echo": {**sleeper, "ports": [f"{PORT}:{PORT}"]},
        "asker": {**sleeper, "deploy": {"mode": "global"}}}}, stack="u")
    row, holder, other = find_echo(cluster)
    askers = {asker["peer"]: asker for asker in cluster.replicas("u_asker")}
    virtual = holder.query("service", "inspect", "u_echo")["virtual_ip"]
    outside = inside(cluster.network.switch)
    containers = {peer: set(peer.conmons()) for peer in (holder, other)}
    with ExitStack() as stack:
        stack.enter_context(running(holder, [*network_of(holder, row), sys.executable, "-c", ECHO, str(PORT)]))
        checks = []
        for peer in (holder, other):
            within = peer.words(*network_of(peer, askers[peer.name]))
            for name, words, address in (("published", outside, peer.address), ("virtual", within, virtual)):
                checks.append(stack.enter_context(carrying(cluster, f"{name} at {peer}", words, address)))
        # First at the other: a peer without a daemon goes on with what it knew last, and just after the holder
        # came back that may be that its replica is not there.
        for peer in (other, holder):
            before = mesh_processes(peer)
            assert len(before) == 1, before
            for number in (signal.SIGKILL, signal.SIGTERM):
                peer.kill_daemon(number)
                for check in checks:
                    check()
                assert cluster.client.call(echoed, peer.address) == b"hello"
                peer.start()
                for check in checks:
                    check()
                assert mesh_processes(peer) == before
        for peer in (holder, other):
            peer.kill_daemon(signal.SIGTERM)
            start_newer(cluster, peer, newer, checks)
            for at in (holder, other):
                assert cluster.client.call(echoed, at.address) == b"hello"
        for peer, conmons in containers.items():
            assert set(peer.conmons()) == conmons, peer
    for peer in (holder, other):
        cluster.wait(lambda: len(mesh_processes(peer)) == 1, "the old ones end with their connections")


@scenario(peers=3)
def test_datagrams_go_on(cluster):
    """The replica goes on to see a client's datagrams come from the same port, while daemons are killed and replaced."""
    newer = next_binary(cluster)
    cluster.deploy({"services": {"echo": {"image": "hello:1", "command": ["sleep", "1000"],
                                          "ports": [f"{PORT}:{PORT}/udp"]}}}, stack="u")
    row, holder, other = find_echo(cluster)
    outside = inside(cluster.network.switch)
    with ExitStack() as stack:
        stack.enter_context(running(holder, [*network_of(holder, row), sys.executable, "-c", ECHO, str(PORT)]))
        checks = [stack.enter_context(carrying(cluster, f"at {peer}", outside, peer.address, program=ASK))
                  for peer in (holder, other)]
        for peer in (holder, other):
            peer.kill_daemon(signal.SIGKILL)
            for check in checks:
                check()
            start_newer(cluster, peer, newer, checks)


@scenario(peers=3)
def test_revoked_without_its_daemon(cluster):
    """A connection to a peer that is shut out is cut by the others, though that peer's daemon is not there to do it."""
    cluster.deploy({"services": {"echo": {"image": "hello:1", "command": ["sleep", "1000"],
                                          "ports": [f"{PORT}:{PORT}"]}}}, stack="u")
    row, holder, other = find_echo(cluster)
    with running(holder, [*network_of(holder, row), sys.executable, "-c", ECHO, str(PORT)]):
        client = carrier(inside(cluster.network.switch), other.address)
        try:
            assert client.stdout.readline() == "ready\n", client.stderr.read()
            holder.kill_daemon(signal.SIGKILL)
            other.consort("peer", "revoke", holder.name)
            assert cluster.wait(lambda: client.poll() is not None and client.poll() != 0, "it is cut")
            assert mesh_processes(holder), "it is there, and would go on"
        finally:
            client.kill()
            client.wait()


@scenario(peers=1)
def test_least_privilege(cluster):
    """The process that passes connections on has no rights that it does not need, and is gone once its peer has left."""
    peer = cluster.any()
    (pid,) = cluster.wait(lambda: mesh_processes(peer), "it runs")
    cluster.wait(lambda: status_of(pid)["Uid"].split() == 4 * ["65534"], "it is nobody")
    status = status_of(pid)
    low_ports = f"{1 << 10:016x}"
    assert status["CapEff"] == status["CapPrm"] == low_ports, status
    assert status["NoNewPrivs"] == "1" and status["Groups"] == "", status
    (path,) = peer.run_dir.glob("mesh-*.sock")
    assert path.stat().st_mode & 0o777 == 0o600, path
    peer.consort("leave", "--force")
    cluster.wait(lambda: not mesh_processes(peer), "it has ended")
    assert not list(peer.run_dir.glob("mesh-*"))


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}
