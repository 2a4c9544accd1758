"""Reads that show every change that was agreed on before them."""

from scenario import scenario
from testbed_lib.cluster import web


def revision(peer, *options):
    return peer.query("service", "inspect", "demo_web", *options)["revision"]


@scenario(peers=5)
def test_what_was_deployed_is_seen(cluster):
    """What one peer has said to be deployed, a consistent read shows at once at every other, also at those
    that do not vote, and with a voter dead; without a majority it fails and says what to do, while what does
    not ask for consistency is answered as ever."""
    peers = cluster.peers()
    for number in range(1, 6):
        cluster.deploy(web(replicas=1, version=str(number)), ask=peers[number % 5], wait=False)
        for peer in peers:
            assert revision(peer, "--consistent") == number, peer.name

    leader = cluster.leader()
    others = [peer for peer in peers if peer.index != leader.index]
    cluster.partition([leader], others)
    cluster.deploy(web(replicas=1, version="6"), ask=others[0], wait=False)
    for peer in others:
        assert revision(peer, "--consistent") == 6, peer.name
    refused = leader.try_consort("ps", "--consistent")
    assert refused.returncode == 1 and "majority" in refused.stderr, refused.stderr
    assert "--consistent" in refused.stderr and "consort status" in refused.stderr, refused.stderr
    assert revision(leader) == 5, "without a quorum, what is known is shown"

    cluster.heal()
    cluster.wait(lambda: revision(leader, "--consistent") == 6, "the leader of before reads again")
    for peer in others[:3]:
        peer.kill()
    for peer in (leader, others[3]):
        refused = peer.try_consort("service", "ls", "--consistent")
        assert refused.returncode == 1 and "majority" in refused.stderr, refused.stderr
        assert revision(peer) == 6
