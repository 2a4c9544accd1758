"""Peers without a quorum: on_minority."""

from scenario import scenario
from testbed_lib.cluster import web

DUPLICATE = {"x-consort": {"on_minority": "duplicate"}}


def stand_ins(cluster, ask):
    return [row for row in cluster.replicas("demo_web", ask) if row.get("stands_in")]


def wait_stand_ins(cluster, ask, count):
    cluster.wait(lambda: len(rows := stand_ins(cluster, ask)) == count and
                 all(row["health"] == "healthy" for row in rows), f"{count} stand-ins serve")


def wait_as_before(cluster):
    cluster.wait_serving(3)
    cluster.wait(lambda: not any(stand_ins(cluster, peer) for peer in cluster.peers()),
                 "nobody stands in for anybody")
    cluster.wait_no_orphans()


@scenario(peers=3)
def test_cut_off(cluster):
    """One peer of three is cut off: it runs all there, says why, also when its daemon starts anew, and
    gives it back when it is healed, with no request of its clients lost."""
    cluster.deploy(web(**DUPLICATE))
    cluster.wait_serving(3)
    left = cluster.follower()
    cluster.partition([left], [peer for peer in cluster.peers() if peer.index != left.index])
    wait_stand_ins(cluster, left, 2)
    cluster.wait_answers([left])
    why = left.consort("why", "demo_web")
    assert "stands in for replica" in why and "no quorum since" in why, why
    assert "stands in for replica" in left.consort("events")
    status = left.consort("status")
    assert "no quorum" in status and "2 replicas run in the place of others" in status, status

    containers = sorted(left.conmons())
    left.kill_daemon()
    left.start()
    wait_stand_ins(cluster, left, 2)
    assert sorted(left.conmons()) == containers

    with cluster.load([left]) as load:
        cluster.heal()
        wait_as_before(cluster)
    assert load.failed == 0, load.report()
    assert "no longer stands in" in left.consort("events")


@scenario(peers=2)
def test_two_peers(cluster):
    """Of two peers the one that votes dies: the other one runs all, and says what that means."""
    cluster.deploy(web(**DUPLICATE))
    cluster.wait_serving(3)
    voter = cluster.leader()
    left = next(peer for peer in cluster.peers() if peer.index != voter.index)
    voter.kill()
    cluster.wait(lambda: "the only peer that votes does not answer" in left.consort("status"),
                 "the status says what that means")
    cluster.wait(lambda: cluster.serving(ask=left) == 3, "the other one runs all")
    cluster.wait_answers([left])
    voter.start()
    wait_as_before(cluster)
