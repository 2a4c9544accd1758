"""Strangers at the door: each is refused with one clear line on both sides, and changes nothing."""

import signal
import subprocess
import sys
import time

from scenario import scenario
from testbed_lib.cluster import web


def form_and_keep_one_out(cluster):
    """A cluster of all peers but the last, which is a stranger to it."""
    *members, stranger = cluster.peers()
    cluster.form(members)
    return members, stranger


def refused(cluster, members, stranger, token, words):
    """The stranger's join fails with those words, which the members' logs say too."""
    before = cluster.states(members[0])
    done = stranger.try_consort("join", token)
    assert done.returncode == 1, f"joined with a bad token: {done.stdout}"
    assert words in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2, f"not one clear line:\n{done.stderr}"
    after = cluster.states(members[0])
    assert after == before and after.get(stranger.name) in (None, "left"), f"{before} became {after}"
    return done


@scenario(peers=3, bare=True)
def test_used_up_token(cluster):
    members, stranger = form_and_keep_one_out(cluster)
    token = cluster.token(members[0], uses=1)
    stranger.consort("join", token)
    cluster.wait_members(members[0], 3)
    stranger.consort("leave")
    refused(cluster, members, stranger, token, "token")


@scenario(peers=3, bare=True)
def test_expired_token(cluster):
    members, stranger = form_and_keep_one_out(cluster)
    token = members[0].consort("token", "create", "--expires", "1s").split()[-1]
    time.sleep(2)
    refused(cluster, members, stranger, token, "expired")


@scenario(peers=3, bare=True)
def test_revoked_token(cluster):
    members, stranger = form_and_keep_one_out(cluster)
    token = cluster.token(members[0])
    entry = members[0].query("token", "ls")[-1]
    members[0].consort("token", "revoke", entry["id"])
    refused(cluster, members, stranger, token, "token")


@scenario(peers=3, bare=True)
def test_forged_token(cluster):
    members, stranger = form_and_keep_one_out(cluster)
    token = cluster.token(members[0])
    middle = len(token) // 2
    forged = token[:middle] + ("a" if token[middle] != "a" else "b") + token[middle + 1:]
    refused(cluster, members, stranger, forged, "token")
    done = stranger.try_consort("join", "hello")
    assert done.returncode in (1, 2) and "token" in done.stderr, done.stderr


@scenario(peers=4)
def test_revoked_peer(cluster):
    """A revoked peer is shut out at once, by every other peer, and its replicas run elsewhere."""
    cluster.deploy(web(replicas=4))
    cluster.wait_serving(4)
    thief = cluster.follower()
    honest = [peer for peer in cluster.peers() if peer.index != thief.index]
    honest[0].consort("peer", "revoke", thief.name)
    cluster.wait(lambda: cluster.states(honest[0]).get(thief.name) in (None, "revoked"), "revoked")
    cluster.wait(lambda: {row["peer"] for row in cluster.replicas(ask=honest[0])}
                 <= {peer.name for peer in honest}, "its replicas are placed elsewhere")
    cluster.wait_serving(4, ask=honest[0])

    thief.kill_daemon()
    thief.start()
    cluster.wait(lambda: "revoked" in thief.log_tail(200), "its own log says why")
    cluster.wait(lambda: any("revoked" in peer.log_tail(200) for peer in honest), "and theirs")
    assert cluster.states(honest[0]).get(thief.name) in (None, "revoked")
    done = thief.try_consort("scale", "demo_web=1")
    assert done.returncode != 0, "a revoked peer changed the cluster"
    cluster.wait_serving(4, ask=honest[0])


@scenario(peers=4, bare=True)
def test_foreign_peer(cluster):
    """A peer of another cluster, with a certificate of its own root, at a member's address."""
    *members, foreigner = cluster.peers()
    cluster.form(members)
    foreigner.consort("init")
    victim = members[2]
    victim.kill()
    foreigner.kill()
    impostor = cluster.peer(victim.index)
    impostor.data_dir = foreigner.data_dir
    impostor.start()
    cluster.wait(lambda: cluster.states(members[0])[victim.name] == "dead", "it isn't believed")
    cluster.wait(lambda: "refused" in members[0].log_tail(200), "the members' log says so")
    done = impostor.try_consort("join", cluster.token(members[0]))
    assert done.returncode == 1 and "already" in done.stderr, done.stderr


@scenario(peers=3)
def test_roles(cluster):
    """Operators' keys from another machine: a viewer can't deploy, a deployer can't revoke."""
    keys = {}
    for role in ("viewer", "deployer", "admin"):
        home = cluster.directory / role
        home.mkdir()
        token = cluster.peer(1).consort("token", "create", "--role", role).split()[-1]
        operator = Operator(cluster, home)
        operator.run("context", "create", "fleet", token)
        keys[role] = operator
    compose = cluster.directory / "demo.yaml"
    cluster.deploy(web(replicas=1))

    for operator in keys.values():
        assert "demo_web" in operator.run("ps").stdout
    assert keys["viewer"].run("deploy", "-f", compose, "demo", check=False).returncode == 1
    assert keys["deployer"].run("deploy", "-f", compose, "demo").returncode == 0
    rooted = cluster.directory / "rooted.yaml"
    rooted.write_text("services: {root: {image: hello:1, privileged: true}}\n")
    denied = keys["deployer"].run("deploy", "-f", rooted, "rooted", check=False)
    assert denied.returncode == 1 and "privileged" in denied.stderr, denied.stderr
    assert keys["admin"].run("deploy", "-f", rooted, "rooted").returncode == 0
    denied = keys["deployer"].run("peer", "revoke", "peer-3", check=False)
    assert denied.returncode == 1 and "admin" in denied.stderr, denied.stderr
    assert keys["admin"].run("peer", "revoke", "peer-3").returncode == 0


class Operator:
    """Somebody's own PC: no socket and no peer, only a key in a home directory."""

    def __init__(self, cluster, home):
        self.cluster = cluster
        self.home = home

    def run(self, *words, check=True):
        done = subprocess.run(
            self.cluster.client_words("env", "-u", "CONSORT_SOCKET", f"HOME={self.home}",
                                      self.cluster.binary, *words),
            capture_output=True, text=True)
        if check:
            assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done


# A peer of a later version, as far as all versions agree (node/transport/link_wire.h): it says so in
# its preamble, and answers ours with a refusal that names its own version.
NEWER = 99
SPEAK_NEWER = f"""
import socket, sys
with socket.create_connection((sys.argv[1], 7300), timeout=30) as link:
    link.sendall(b"CNST" + bytes([{NEWER}, 1]))
    sys.stdout.write(link.recv(64).hex())
"""
ANSWER_NEWER = f"""
import socket
with socket.create_server(("0.0.0.0", 7300)) as server:
    print("listening", flush=True)
    while True:
        link, _ = server.accept()
        link.recv(64)
        link.sendall(bytes([0, 3, 2, 1, {NEWER}]))
        link.close()
"""


@scenario(peers=2, bare=True)
def test_newer_version(cluster):
    """A peer of a newer version is refused, both sides say which one to upgrade, and nothing breaks."""
    member, stranger = cluster.peers()
    cluster.form([member])
    answer = stranger.run(sys.executable, "-c", SPEAK_NEWER, member.address, capture_output=True, text=True)
    assert answer.stdout == "0003020101", f"not a refusal that names version 1: {answer}"
    cluster.wait(lambda: f"speaks protocol {NEWER}, this is 1: upgrade this peer" in member.log.read_text(),
                 "the member's log says what to upgrade")
    token = cluster.token(member)
    member.kill_daemon(signal.SIGTERM)
    newer = subprocess.Popen(member.words(sys.executable, "-c", ANSWER_NEWER), stdout=subprocess.PIPE, text=True)
    try:
        newer.stdout.readline()
        done = stranger.try_consort("join", token)
    finally:
        newer.kill()
        newer.wait()
    assert done.returncode == 1 and f"speaks protocol {NEWER}" in done.stderr, done.stderr
    assert "upgrade this peer" in done.stderr, done.stderr
    assert stranger.query("status")["phase"] == "no cluster"
