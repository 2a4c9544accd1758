"""Deploys that go well, deploys that go wrong, and leaving, under load."""

from scenario import scenario
from testbed_lib import CommandFailed
from testbed_lib.cluster import web


@scenario(peers=3)
def test_rolling_update_under_load(cluster):
    """Not one request fails while every replica is replaced."""
    cluster.deploy(web(replicas=3, version="1"))
    cluster.wait_serving(3)
    cluster.wait_answers()
    with cluster.load() as load:
        cluster.deploy(web(replicas=3, version="2"))
        cluster.wait(lambda: cluster.serving(version=2) == 3, "all are of the new revision")
    assert load.failed == 0, load.report()
    assert any(body.endswith("version 2") for body in load.bodies), load.bodies


def deploy_bad(cluster, words_of_why, **bad):
    """Deploys something that can't work over a service that does, under load: it's rolled back, no
    request fails, and `why` names the replica and quotes what it said last."""
    cluster.deploy(web(replicas=3, version="1"))
    cluster.wait_serving(3)
    cluster.wait_answers()
    with cluster.load() as load:
        try:
            cluster.deploy(web(replicas=3, version="2", **bad))
            raise AssertionError("deploy --wait says that it went well")
        except CommandFailed as failure:
            assert failure.code == 1, failure
            assert "rolled back" in failure.stdout + failure.stderr, failure
    cluster.wait_serving(3)
    cluster.wait_no_orphans()
    assert load.failed == 0, load.report()
    assert all(body.endswith("version 1") for body in load.bodies), load.bodies
    # What went wrong with that is no error of what comes after.
    cluster.deploy(web(replicas=3, version="1"))
    cluster.any().consort("scale", "demo_web=2", "--wait")
    why = cluster.any().consort("why", "demo_web")
    for words in ("demo_web.", *words_of_why):
        assert words in why, f"`why` doesn't say '{words}':\n{why}"


@scenario(peers=3)
def test_crash_loop_rolled_back(cluster):
    deploy_bad(cluster, ["no database at db:5432"],
               command=["sh", "-c", "echo 'no database at db:5432'; sleep 0.2; exit 3"])


@scenario(peers=3)
def test_failing_health_rolled_back(cluster):
    deploy_bad(cluster, ["health", "cache is cold"],
               healthcheck={"test": ["CMD-SHELL", "echo cache is cold; exit 1"],
                            "interval": "1s", "timeout": "1s", "retries": 2})


@scenario(peers=3)
def test_bad_image_rolled_back(cluster):
    """An image that is there but can't be run: no such program in it."""
    deploy_bad(cluster, ["/bin/nothing-here"], command=["/bin/nothing-here"])


@scenario(peers=3)
def test_missing_image_refused(cluster):
    cluster.deploy(web(replicas=3))
    refused = cluster.try_deploy(web(replicas=3, image="nowhere:1"))
    assert refused.returncode == 1 and "nowhere:1" in refused.stderr, refused.stderr
    assert "image import" in refused.stderr, f"doesn't say what to type next:\n{refused.stderr}"
    cluster.wait_serving(3)


@scenario(peers=3)
def test_rollback_by_hand(cluster):
    cluster.deploy(web(replicas=2, version="1"))
    cluster.deploy(web(replicas=2, version="2"))
    cluster.any().consort("rollback", "demo_web", "--wait")
    cluster.wait(lambda: cluster.answers(cluster.peer(1)).endswith("version 1"), "version 1 again")


@scenario(peers=4)
def test_leave_under_load(cluster):
    """`leave` drains first: no request fails, and what ran there runs elsewhere."""
    cluster.deploy(web(replicas=4))
    cluster.wait_serving(4)
    cluster.wait_answers()
    leaver = cluster.follower()
    stayers = [peer for peer in cluster.peers() if peer.index != leaver.index]
    with cluster.load(stayers) as load:
        leaver.consort("leave")
        cluster.wait_serving(4, ask=stayers[0])
    assert load.failed == 0, load.report()
    assert leaver.name not in {row["peer"] for row in cluster.replicas(ask=stayers[0])}
    cluster.wait(lambda: not leaver.conmons(), "it runs no container any more")
    cluster.wait(lambda: cluster.states(stayers[0]).get(leaver.name) in (None, "left"), "it has left")


@scenario(peers=4)
def test_leader_leaves(cluster):
    cluster.deploy(web(replicas=4))
    cluster.wait_serving(4)
    leader = cluster.leader()
    stayers = [peer for peer in cluster.peers() if peer.index != leader.index]
    leader.consort("leave")
    cluster.wait_serving(4, ask=stayers[0])
    cluster.deploy(web(replicas=4, version="2"), ask=stayers[0])


@scenario(peers=3)
def test_leaves_and_joins_again(cluster):
    """A peer that has left keeps nothing of the cluster, and is a member again with a new token."""
    cluster.deploy(web(replicas=3))
    cluster.wait_serving(3)
    leaver = cluster.follower()
    stayer = next(peer for peer in cluster.peers() if peer.index != leaver.index)
    leaver.consort("leave")
    assert leaver.query("status")["phase"] == "no cluster", leaver.query("status")
    cluster.wait_serving(3, ask=stayer)
    assert not leaver.conmons(), "containers are left"
    cluster.wait(lambda: leaver.run("ip", "link", "show", "consort0", capture_output=True).returncode != 0,
                 "its bridge is gone")
    leaver.consort("join", cluster.token(stayer))
    # Who decides must know what it can carry, or it is not chosen.
    cluster.wait(lambda: all(any(row["name"] == leaver.name and row["state"] == "alive" and row["version"]
                                 for row in peer.query("peer", "ls")) for peer in cluster.peers()),
                 "all know its capacity")
    stayer.consort("scale", "demo_web=6", "--wait")
    cluster.wait(lambda: leaver.conmons(), "it runs containers again")
