"""Daemons and machines that die, one and many, and the whole fleet at once."""

import re
import signal

from scenario import scenario
from testbed_lib.cluster import cables, overlays, web


@scenario(peers=5)
def test_leader_daemon_killed(cluster):
    """SIGKILL of the leader's daemon: its containers run on, and deploys work again."""
    cluster.deploy(web(replicas=5))
    cluster.wait_serving(5)
    leader = cluster.leader()
    before = set(leader.conmons())
    leader.kill_daemon()
    assert set(leader.conmons()) == before, "containers ended with the daemon"

    other = cluster.any()
    cluster.wait(lambda: cluster.leader(other).index != leader.index, "another peer leads")
    cluster.deploy(web(replicas=5, version="2"), ask=other)

    leader.start()
    cluster.wait(lambda: cluster.states(other).get(leader.name) == "alive", "the peer is back")
    cluster.wait_serving(5)
    cluster.wait_no_orphans()


@scenario(peers=3)
def test_leader_daemon_stops(cluster):
    """SIGTERM to the leader's daemon: it ends once another leads, by one term and no election."""
    cluster.wait(lambda: cluster.any().query("status")["live_voters"] == 3, "all vote")
    old = cluster.leader()
    other = cluster.follower()
    term = old.query("status")["term"]
    old.kill_daemon(signal.SIGTERM)
    heir = re.search(r"the lead is handed over to peer (\S+)", old.log_tail())
    assert heir, f"it did not say who took over:\n{old.log_tail()}"
    cluster.wait(lambda: cluster.leader(other).name == heir[1], "all follow whom it named")
    old.start()
    cluster.wait(lambda: cluster.leader(old).name == heir[1], "who stopped follows")
    assert [peer.query("status")["term"] for peer in cluster.peers()] == 3 * [term + 1]


@scenario(peers=3)
def test_daemon_restarts(cluster):
    """A restarted daemon takes its containers back: the same processes, still serving."""
    cluster.deploy(web(replicas=3))
    cluster.wait_serving(3)
    peer = cluster.holders()[0]
    before = set(peer.conmons())
    peer.kill_daemon()
    peer.start()
    cluster.wait_serving(3)
    cluster.wait_answers([peer])
    assert set(peer.conmons()) == before, "a container was started anew"
    cluster.wait_no_orphans()


def lose_machines(cluster, victims, replicas):
    """Kills the machines at once and waits until what they ran serves elsewhere."""
    for victim in victims:
        victim.kill()
    survivors = cluster.alive()
    cluster.wait(lambda: cluster.serving(ask=survivors[0]) == replicas and not
                 {peer.index for peer in cluster.holders()} & {peer.index for peer in victims},
                 "every replica serves on a peer that lives")
    cluster.wait_answers(survivors)


@scenario(peers=3)
def test_machine_dies(cluster):
    """Its replicas serve elsewhere; when it comes back it runs nothing that isn't its any more."""
    cluster.deploy(web(replicas=3))
    cluster.wait_serving(3)
    victim = cluster.follower()
    lose_machines(cluster, [victim], 3)
    victim.start()
    cluster.wait(lambda: cluster.states(cluster.any()).get(victim.name) == "alive", "it is back")
    cluster.wait_serving(3)
    cluster.wait_answers()
    cluster.wait_no_orphans()


@scenario(peers=3)
def test_leading_machine_dies(cluster):
    cluster.deploy(web(replicas=3))
    cluster.wait_serving(3)
    lose_machines(cluster, [cluster.leader()], 3)


@scenario(peers=5)
def test_two_of_five_die(cluster):
    cluster.deploy(web(replicas=5))
    cluster.wait_serving(5)
    lose_machines(cluster, [cluster.leader(), cluster.follower()], 5)


@scenario(peers=5)
def test_leader_dies_in_rollout(cluster):
    """Killed in the middle of a rolling update: the next leader brings it to its end."""
    cluster.deploy(web(replicas=4, version="1"))
    cluster.wait_serving(4)
    leader = cluster.leader()
    cluster.deploy(web(replicas=4, version="2"), ask=leader, wait=False)
    cluster.wait(lambda: cluster.serving(version=2) >= 1, "the rollout is under way")
    lose_machines(cluster, [leader], 4)
    cluster.wait(lambda: cluster.serving(version=2) == len(cluster.replicas("demo_web")) == 4,
                 "every replica is of the new revision")


@scenario(peers=4)
def test_power_cut(cluster):
    """All peers, of which one does not vote, restart at once: the cluster forms again by itself with all intent."""
    cluster.deploy(web(replicas=2))
    cluster.wait_serving(2)
    cluster.deploy(web(replicas=4))
    cluster.wait_serving(4)
    peers = cluster.peers()
    for peer in peers:
        peer.kill()
    for peer in peers:
        peer.start(wait=False)
    for peer in peers:
        peer.wait_ready()
    cluster.wait(lambda: set(cluster.states(peers[0]).values()) == {"alive"}, "all are alive again")
    cluster.wait_serving(4)
    cluster.wait_answers()
    cluster.wait_no_orphans()


@scenario(peers=3)
def test_replica_killed(cluster):
    """A replica whose process dies is started again where it is."""
    cluster.deploy(web(replicas=3))
    cluster.wait_serving(3)
    victim = cluster.replicas("demo_web")[0]
    cluster.kill_replica(victim)
    cluster.wait(lambda: any(row["name"] == victim["name"] and row["restarts"] >= 1
                             for row in cluster.replicas("demo_web")), "it was restarted")
    cluster.wait_serving(3)


@scenario(peers=3)
def test_frozen_daemon(cluster):
    """A daemon that hangs is suspected, and taken back when it moves again."""
    cluster.deploy(web(replicas=3))
    cluster.wait_serving(3)
    peer = cluster.follower()
    others = [other for other in cluster.peers() if other.index != peer.index]
    peer.freeze()
    cluster.wait(lambda: cluster.states(others[0])[peer.name] != "alive", "it is noticed")
    cluster.wait(lambda: cluster.serving(ask=others[0]) >= 3, "its replicas serve elsewhere")
    peer.thaw()
    cluster.wait(lambda: cluster.states(others[0])[peer.name] == "alive", "it is taken back")
    cluster.wait_serving(3, ask=others[0])
    cluster.wait_no_orphans()


@scenario(peers=3)
def test_removal_leaves_nothing(cluster):
    """After `rm` no container, root file system or cable is left on any peer."""
    cluster.deploy(web(replicas=6))
    cluster.wait_serving(6)
    cluster.any().consort("rm", "demo_web")
    cluster.wait(lambda: not cluster.replicas(), "ps is empty")
    cluster.wait(lambda: not any(peer.conmons() or overlays(peer) or cables(peer)
                                 for peer in cluster.peers()), "nothing is left on the machines")


@scenario(peers=5)
def test_image_outlives_its_machines(cluster):
    """The machine where the image was imported and the one that runs the only replica die together:
    spare copies were made, so the service comes up elsewhere."""
    cluster.deploy(web(replicas=1))
    cluster.wait_serving(1)
    importer = cluster.peer(1)
    cluster.wait(lambda: max(image["peers"] for image in importer.query("image", "ls")) >= 3,
                 "three peers hold the image")
    (holder,) = cluster.holders()
    others = [peer for peer in cluster.peers() if peer.index not in (importer.index, holder.index)]
    victims = [importer, holder if holder.index != importer.index else others.pop()]
    for victim in victims:
        victim.kill()
    cluster.wait(lambda: cluster.serving(ask=others[0]) == 1 and
                 not {row["peer"] for row in cluster.replicas(ask=others[0])} & {v.name for v in victims},
                 "the replica serves elsewhere")
    cluster.wait_answers(others)
