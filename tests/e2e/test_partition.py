"""Networks that break and heal."""

from scenario import scenario
from testbed_lib.cluster import web


@scenario(peers=5)
def test_three_two(cluster):
    """A partition 3 | 2: the majority reschedules; the minority keeps serving and says so; healed,
    there is one truth and nothing is doubled."""
    cluster.deploy(web(replicas=5))
    cluster.wait_serving(5)
    leader = cluster.leader()
    others = [peer for peer in cluster.peers() if peer.index != leader.index]
    majority, minority = [leader, *others[:2]], others[2:]
    cluster.partition(majority, minority)

    names = {peer.name for peer in majority}
    cluster.wait(lambda: cluster.serving(ask=leader) == 5 and
                 {row["peer"] for row in cluster.replicas("demo_web", leader)} <= names,
                 "the majority runs all five")
    cluster.wait_answers(majority)
    cluster.wait_answers(minority)
    cluster.wait(lambda: minority[0].query("status")["quorum"] is False, "the minority says so")
    refused = cluster.try_deploy(web(replicas=5, version="2"), ask=minority[0])
    assert refused.returncode == 1 and "quorum" in refused.stderr, refused.stderr

    cluster.heal()
    cluster.wait(lambda: all(set(cluster.states(peer).values()) == {"alive"}
                             for peer in cluster.peers()), "everyone sees everyone")
    cluster.wait_serving(5)
    cluster.wait(lambda: len({str(sorted((row["name"], row["peer"]) for row in
                                         cluster.replicas(ask=peer)))
                              for peer in cluster.peers()}) == 1, "all tell the same")
    cluster.wait_no_orphans()
    cluster.deploy(web(replicas=5, version="3"))


@scenario(peers=3)
def test_lossy_link(cluster):
    """A peer that loses a tenth of its packets stays a member, and requests to it are answered."""
    cluster.network.loss(2, 10)
    cluster.deploy(web(replicas=3))
    cluster.wait_serving(3)
    cluster.wait_answers()
    cluster.network.loss(2, 0)
    cluster.wait(lambda: set(cluster.states(cluster.peer(1)).values()) == {"alive"}, "all alive")


@scenario(peers=3)
def test_one_way_cut(cluster):
    """Two peers that can't reach each other, while the third reaches both: nobody is thrown out."""
    cluster.deploy(web(replicas=3))
    cluster.wait_serving(3)
    cluster.network.cut(2, 3)
    for _ in range(20):  # a while, in which a naive failure detector accuses
        assert cluster.states(cluster.peer(1)) == {f"peer-{i}": "alive" for i in (1, 2, 3)}
        cluster.wait_answers([cluster.peer(1)])
    cluster.heal()
    cluster.wait_serving(3)
