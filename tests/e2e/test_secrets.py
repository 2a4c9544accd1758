"""Secrets: on no disk in the clear, with every container that shall have them, and with nobody else."""

import base64
import os

from scenario import scenario

CANARY, NEXT, OWN = "quicksilver-4711", "aqua-regia-0815", "aqua-fortis-1234"
PLAIN = "plain-as-day-42"  # a config: what is searched for and must be found
COMPOSE = """
services:
  web:
    image: hello:1
    command: [/bin/web]
    configs: [{source: note, target: /etc/note}]
    secrets: [key, own]
    deploy: {replicas: 2}
    x-consort: {failover_after: 1s}
configs:
  note: {file: note}
secrets:
  key: {file: key}
  own: {external: true}
"""
PINNED = """
services:
  web:
    image: hello:1
    command: [/bin/web]
    configs: [{source: note, target: /etc/note}]
    secrets: [key]
    deploy: {placement: {constraints: [node.name == WHERE]}}
configs:
  note: {file: note}
secrets:
  key: {file: key}
"""


def files_of(peer):
    """What of the peer's is on a disk: all but what is mounted there, and what images unpack to."""
    for top, folders, names in os.walk(peer.directory):
        folders[:] = [name for name in folders if not os.path.ismount(f"{top}/{name}") and name != "layers"]
        yield from (f"{top}/{name}" for name in names
                    if os.path.isfile(f"{top}/{name}") and not os.path.ismount(f"{top}/{name}"))


def content(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:  # it was there a moment ago
        return b""


def holding(peer, text):
    """The peer's files in which the text stands, as it is or as tools write binary text."""
    raw = text.encode()
    forms = (raw, raw.hex().encode(), base64.b64encode(raw)[:-4], text.encode("utf-16-le"))
    return [path for path in files_of(peer) if any(form in content(path) for form in forms)]


def assert_sealed(peers, *texts):
    for peer in peers:
        assert any("/data/" in path for path in holding(peer, PLAIN)), f"{peer.name}: the search finds nothing"
        for text in texts:
            assert holding(peer, text) == [], f"{peer.name}: {text} stands in {holding(peer, text)}"


def project(cluster, key):
    folder = cluster.directory / "sealed"
    folder.mkdir(exist_ok=True)
    for name, text in (("compose.yaml", COMPOSE), ("key", key), ("note", PLAIN), ("own", OWN)):
        (folder / name).write_text(text)
    return folder


def deploy(cluster, peer, key):
    return peer.consort("deploy", "-f", project(cluster, key) / "compose.yaml", "s", "--wait")


def shown(cluster):
    """What each replica reads out of its two secrets, by the peer that it is on."""
    ask = cluster.any()
    return {row["peer"]: ask.try_consort("exec", f"s_web.{row['slot']}", "--", "sh", "-c", "cat /run/secrets/*").stdout
            for row in cluster.replicas("s_web", ask) if row["state"] == "running"}


def wait_shown(cluster, key):
    cluster.wait(lambda: list(shown(cluster).values()) == [key + OWN] * 2, f"both show {key}")


def sealed_to(ask, name):
    return set(next(row for row in ask.query("secret", "ls") if row["name"] == name)["sealed_to"])


@scenario(peers=4)
def test_sealed(cluster):
    """Deployed, changed, rolled back, moved to another machine, under another leader: the containers have it, and no
    disk has."""
    peers = cluster.peers()
    peers[3].consort("secret", "set", "own", project(cluster, CANARY) / "own")
    deploy(cluster, peers[0], CANARY)
    wait_shown(cluster, CANARY)
    assert_sealed(peers, CANARY, OWN)
    for peer in peers:  # whoever can open it or not sees that nothing has changed
        assert "unchanged" in deploy(cluster, peer, CANARY), peer.name
        assert "unchanged" in peer.consort("secret", "set", "own", cluster.directory / "sealed/own"), peer.name
    deploy(cluster, peers[3], NEXT)
    wait_shown(cluster, NEXT)
    peers[1].consort("rollback", "s_web", "1", "--wait")
    wait_shown(cluster, CANARY)

    cluster.leader().kill_daemon()
    leader = cluster.wait(lambda: cluster.leader().daemon_pid() and cluster.leader(), "another leads")
    for peer in peers:
        if not peer.daemon_pid():
            peer.start()
    lost = cluster.wait(lambda: next((peer for peer in peers if peer.name in shown(cluster) and peer.name != leader.name),
                                     None), "a peer that does not lead runs one")
    lost.kill()
    cluster.wait(lambda: lost.name not in shown(cluster), "it moved")
    wait_shown(cluster, CANARY)
    assert_sealed(peers, CANARY, NEXT, OWN)


def pin(cluster, name):
    (project(cluster, CANARY) / "pinned.yaml").write_text(PINNED.replace("WHERE", name))
    cluster.any().consort("deploy", "-f", cluster.directory / "sealed/pinned.yaml", "s", "--wait")


@scenario(peers=4)
def test_holders(cluster):
    """The key is with the voters and with whom the replica is placed on, and with nobody else: not where it ran
    before, nor with who was shut out. A machine that comes back alone, without a quorum, shows it again."""
    def ask_who_votes():
        return {peer.name for peer in cluster.peers() if peer.query("status")["is_voter"]}

    cluster.wait(lambda: len(ask_who_votes()) == 3, "three vote")
    voters = ask_who_votes()
    outside = next(peer for peer in cluster.peers() if peer.name not in voters)
    inside = next(peer for peer in cluster.peers() if peer.name in voters)
    pin(cluster, outside.name)
    cluster.wait(lambda: sealed_to(outside, "s_key") == voters | {outside.name}, "all who need the key have it")
    assert_sealed(cluster.peers(), CANARY)
    for peer in cluster.peers():
        peer.kill()
    outside.start()
    show = ("exec", "s_web.1", "--", "cat", "/run/secrets/key")
    cluster.wait(lambda: outside.try_consort(*show).stdout == CANARY, "it shows its secret without a quorum")
    assert not outside.query("status")["quorum"]
    assert holding(outside, CANARY) == [], holding(outside, CANARY)
    for peer in cluster.peers():
        if peer.name != outside.name:
            peer.start()
    pin(cluster, inside.name)
    cluster.wait(lambda: sealed_to(outside, "s_key") == voters, "who runs it no more has lost the key")
    stay = {inside.name, cluster.leader().name}
    shut_out = next(name for name in voters if name not in stay)
    inside.consort("peer", "revoke", shut_out)
    assert shut_out not in sealed_to(inside, "s_key")
