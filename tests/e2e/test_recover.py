"""A quorum that is lost for good, and the way out of it."""

from scenario import scenario
from testbed_lib.cluster import web


def voters(cluster, ask):
    return {row["name"] for row in ask.query("recover", "--plan")["voters"]}


@scenario(peers=5)
def test_three_of_five_are_lost(cluster):
    """Three of five machines are gone: changes are refused with what to type; recovered, the two that
    are left go on; and the three, switched on after all, follow them and vote again in time."""
    cluster.deploy(web(replicas=5))
    cluster.wait_serving(5)
    survivors, lost = cluster.peers()[:2], cluster.peers()[2:]
    for peer in lost:
        peer.kill()
    one = survivors[0]
    cluster.wait(lambda: one.query("status")["live_voters"] == 2, "the three are missed")
    refused = cluster.try_deploy(web(replicas=5, version="2"), ask=one)
    assert refused.returncode == 1 and "consort recover" in refused.stderr, refused.stderr
    assert "consort recover" in one.consort("status")

    unasked = one.try_consort("recover")
    assert unasked.returncode == 2 and "--yes" in unasked.stderr, unasked.stderr
    cluster.wait(lambda: len(one.query("recover", "--plan")["holders"]) == 1,
                 "what the other one holds is known")
    plan = one.query("recover", "--plan")
    best = cluster.named(plan["newer"]) if plan["newer"] else one
    said = best.consort("recover", "--yes")
    for words in ("WHAT MAY BE LOST", "epoch 2", *(f"{peer.name}: dead" for peer in lost)):
        assert words in said, said
    assert voters(cluster, best) == {best.name}

    cluster.wait(lambda: best.query("status")["quorum"], "there is a quorum")
    cluster.deploy(web(replicas=5, version="3"), ask=best)
    cluster.wait_serving(5, ask=best)
    cluster.wait_answers(survivors)
    assert {row["peer"] for row in cluster.replicas("demo_web", best)} == \
        {peer.name for peer in survivors}
    assert not {peer.name for peer in lost} & voters(cluster, best)

    for peer in lost:
        peer.start()
    cluster.wait(lambda: all(peer.query("recover", "--plan")["epoch"] == 2 for peer in cluster.peers()),
                 "all are in the new epoch")
    cluster.wait(lambda: all(set(cluster.states(peer).values()) == {"alive"}
                             for peer in cluster.peers()), "everyone sees everyone")
    cluster.wait_no_orphans()
    cluster.wait(lambda: len(voters(cluster, best)) == 5, "all vote again")
    cluster.deploy(web(replicas=5, version="4"), ask=lost[0])
    cluster.wait_serving(5)
