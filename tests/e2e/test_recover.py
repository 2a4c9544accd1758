"""A quorum that is lost for good, and the way out of it."""

from scenario import scenario
from test_trust import Operator
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


def lose(cluster, lost, ask):
    """Those machines die, all of whose peers vote, and `ask` has missed them."""
    cluster.wait(lambda: {peer.name for peer in lost} <= voters(cluster, ask), "they vote")
    for peer in lost:
        peer.kill()
    cluster.wait(lambda: ask.query("status")["live_voters"] <= 1, "they are missed")


def epoch(peer):
    return peer.query("recover", "--plan")["epoch"]


@scenario(peers=3)
def test_by_the_root_key(cluster):
    """Sealed by the cluster's root key: another key is refused before anything is done; who returns
    follows."""
    one, two, three = cluster.peers()
    lose(cluster, (two, three), one)
    other = cluster.directory / "other.key"
    other.write_bytes(bytes(range(32)))
    other.chmod(0o600)
    wrong = one.try_consort("recover", "--yes", "--root-key", other)
    assert wrong.returncode == 1 and "is not the root key of this cluster" in wrong.stderr, wrong.stderr
    both = one.try_consort("recover", "--yes", "--root-key", other, "--alone")
    assert both.returncode == 2, both
    assert epoch(one) == 1
    assert "epoch 2" in one.consort("recover", "--yes", "--force", "--root-key", one.data_dir / "root.key")
    cluster.wait(lambda: one.query("status")["quorum"], "there is a quorum")
    assert voters(cluster, one) == {one.name}
    two.start()
    cluster.wait(lambda: epoch(two) == 2, "who returns follows")


@scenario(peers=3)
def test_alone(cluster):
    """Without a key that others believe: the old voters are revoked, and one that returns is shut out."""
    one, two, three = cluster.peers()
    lose(cluster, (one, two), three)
    said = three.consort("recover", "--yes", "--force", "--alone")
    assert "epoch 2" in said and "the old voters are revoked" in said, said
    cluster.wait(lambda: three.query("status")["quorum"], "there is a quorum")
    cluster.wait(lambda: cluster.states(three) == {"peer-1": "revoked", "peer-2": "revoked", "peer-3": "alive"},
                 "the old voters are revoked")
    two.start()
    cluster.wait(lambda: "revoked" in two.log_tail(200) + three.log_tail(200), "it is shut out")
    assert epoch(two) == 1 and voters(cluster, three) == {three.name}


@scenario(peers=4)
def test_by_an_admin(cluster):
    """Typed over an admin's link at a peer that does not vote: the admin's key seals it, and the old
    voters believe that."""
    cluster.wait(lambda: len(voters(cluster, cluster.peer(1))) == 3, "three vote")
    voting = voters(cluster, cluster.peer(1))
    lost = [peer for peer in cluster.peers() if peer.name in voting]
    ask = next(peer for peer in cluster.peers() if peer.name not in voting)
    home = cluster.directory / "admin"
    home.mkdir()
    admin = Operator(cluster, home)
    admin.run("context", "create", "fleet", ask.consort("token", "create", "--role", "admin").split()[-1])
    ask.query("peer", "ls", "--consistent")  # it knows that admin
    lose(cluster, lost, ask)
    refused = ask.try_consort("recover", "--yes", "--force")
    assert refused.returncode == 1 and "--root-key" in refused.stderr, refused.stderr
    assert epoch(ask) == 1
    said = admin.run("recover", "--yes", "--force").stdout
    assert f"epoch 2: {ask.name} votes alone" in said, said
    lost[0].start()
    cluster.wait(lambda: epoch(lost[0]) == 2, "an old voter follows")
