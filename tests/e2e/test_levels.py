"""An upgrade, peer by peer, to a version of consort with one more level of the cluster's state."""

import json
import signal

from scenario import Skip, scenario
from testbed_lib.api import ApiError, Connection
from testbed_lib.cluster import web

OLD_LEVEL, NEXT_LEVEL = 2, 3
TAKES = f"level {NEXT_LEVEL}, which takes consort 0.2.0"


def next_binary(cluster):
    """Consort as it will be (tests/levels/), of the same build."""
    binary = cluster.binary.parent.parent / "tests/levels/consort-next"
    if not binary.is_file():
        raise Skip(f"there is no {binary}")
    return binary


def change_binary(peer, binary):
    peer.kill_daemon(signal.SIGTERM)
    peer.binary = binary
    return peer.start(wait=False)


def note(peer):
    """A change that only the newer version knows: None, or why it is refused."""
    with Connection(peer.socket, timeout=30) as connection:
        try:
            connection.call("note", {"name": "hello"})
        except ApiError as error:
            return error
    return None


def state(peer):
    """What the peer's intent holds, as far as it is shown."""
    return [peer.query(*words) for words in (["events"], ["service", "inspect", "demo_web"])]


def wait_same(cluster, peers):
    def same():
        applied = {peer.query("status")["applied"] for peer in peers}
        first, *others = [state(peer) for peer in peers]
        return len(applied) == 1 and all(
            [event["text"] for event in other[0]] == [event["text"] for event in first[0]]
            and other[1]["revisions"] == first[1]["revisions"] for other in others)
    cluster.wait(same, "all peers have the same state")


@scenario(peers=5, bare=True)
def test_upgraded_one_by_one(cluster):
    """Old and new apply the same, deploys go on between, and the level is raised after the last upgrade only;
    from then on an old one is refused with the version that it takes: voter, non-voter and newcomer."""
    newer = next_binary(cluster)
    *peers, stranger = cluster.peers()  # four, of which three vote
    cluster.form(peers)
    cluster.import_image(peers[0])
    cluster.deploy(web(replicas=2, version="0"), ask=peers[0])
    for number, peer in enumerate(peers, start=1):
        waits_for = {other.name for other in peers[number - 1:]}
        change_binary(peer, newer)
        peer.wait_ready()
        if number == len(peers):
            break
        cluster.wait(lambda: set(peer.query("status")["level_waits_for"]) == waits_for - {peer.name},
                     "it knows who is too old")
        refused = note(peer)
        assert refused and "too old: " in refused.message, refused
        assert all(name in refused.message for name in waits_for - {peer.name}), refused
        assert "upgrade consort" in refused.hint, refused.hint
        cluster.deploy(web(replicas=2, version=str(number)), ask=peers[-number], wait=False)
        wait_same(cluster, peers)
        assert {other.query("status")["level"] for other in peers} == {OLD_LEVEL}
        assert f"raised to {NEXT_LEVEL} once all peers know that" in peer.consort("status")
        shown = json.loads(peer.consort("peer", "ls", "--format", "json"))
        assert {row["name"]: row["level"] for row in shown} == {
            other.name: NEXT_LEVEL if other.name not in waits_for - {peer.name} else OLD_LEVEL
            for other in peers}, shown
        assert f"level:     {NEXT_LEVEL}" in peer.consort("peer", "inspect", peer.name)

    cluster.wait(lambda: {other.query("status")["level"] for other in peers} == {NEXT_LEVEL},
                 "the level is raised")
    cluster.wait_serving(2, ask=peers[0])
    assert note(peers[0]) is None
    wait_same(cluster, peers)
    kinds = [event["kind"] for event in peers[1].query("events")]
    assert kinds.count("level") == 1 and kinds.index("level") < kinds.index("note"), kinds
    assert "level" not in peers[0].consort("status")

    voters = {peer.name: peer.query("status")["is_voter"] for peer in peers}
    for is_voter in (True, False):
        peer = next(peer for peer in peers[::-1] if voters[peer.name] == is_voter)
        daemon = change_binary(peer, cluster.binary)
        assert daemon.wait(timeout=60) == 1
        assert TAKES in peer.log_tail(), peer.log_tail()
        peer.binary = newer
        peer.start()
    refused = stranger.try_consort("join", cluster.token(peers[0]))
    assert refused.returncode == 1, refused.stdout
    assert f"level {NEXT_LEVEL}, which takes consort 0.2.0" in refused.stderr, refused.stderr
    assert "upgrade consort on this machine" in refused.stderr, refused.stderr
    assert stranger.name not in cluster.states(peers[0])
