"""What an operator is told of peers and the ways between them: ping, trace, inspect, watch, metrics."""

import json
import re
import signal
import subprocess

from scenario import scenario
from testbed_lib.cluster import web


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def everybody_alive(cluster, ask):
    names = {peer.name: "alive" for peer in cluster.peers()}
    cluster.wait(lambda: cluster.states(ask) == names, f"{ask.name} sees everybody")


def way(result, name, via=""):
    return next(entry for entry in result["ways"] if entry["way"] == name and entry["via"] == via)


@scenario(peers=3)
def test_peer_ping(cluster):
    """Round trips by packet and by stream, of any peer; a dead one is said to give no answer."""
    one, two, three = cluster.peers()
    everybody_alive(cluster, one)
    lines = json_lines(one.consort("peer", "ping", "peer-3", "-c", "3", "-i", "100ms", "--format", "json"))
    pongs, result = lines[:-1], lines[-1]
    assert len(pongs) == 6 and not any(pong["lost"] for pong in pongs), pongs
    assert all(0 < pong["rtt_us"] < 1_000_000 for pong in pongs), pongs
    assert (result["from"], result["to"]) == ("peer-1", "peer-3"), result
    for name in ("packet", "stream"):
        assert way(result, name)["received"] == 3, result
    text = one.consort("peer", "ping", "peer-1", "-c", "1", "--at", "peer-2")
    assert "peer-1 by packet: " in text and "0% loss" in text, text
    itself = one.try_consort("peer", "ping", "peer-1")
    assert itself.returncode == 1 and "can't ping itself" in itself.stderr, itself.stderr
    cluster.wait(lambda: any(row["name"] == "peer-3" and row["rtt_us"] > 0 and row["health"] == 0
                             for row in one.query("peer", "ls")), "peer-3 answers probes")

    three.kill()
    cluster.wait(lambda: cluster.states(one)["peer-3"] == "dead", "peer-3 is dead")
    gone = one.try_consort("peer", "ping", "peer-3", "-c", "1")
    assert gone.returncode == 1 and "100% loss" in gone.stdout, (gone.stdout, gone.stderr)
    everybody = {row["name"]: row["state"] for row in two.query("peer", "ls", "--at", "peer-1")}
    assert everybody["peer-3"] == "dead", everybody


@scenario(peers=4)
def test_peer_trace(cluster):
    """A cut between two peers is seen as such: nothing comes directly, and all through the others."""
    one, _, three, _ = cluster.peers()
    everybody_alive(cluster, one)
    there, back = json_lines(three.consort("peer", "trace", "peer-1", "peer-2", "--format", "json"))
    assert (there["from"], there["to"], back["from"]) == ("peer-1", "peer-2", "peer-2")
    assert there["address"].startswith("10.77.0.2") and back["address"].startswith("10.77.0.1")
    assert [(entry["sent"], entry["received"]) for entry in there["ways"]] == [(10, 10)] * 4, there
    assert {entry["via"] for entry in there["ways"]} == {"", "peer-3", "peer-4"}, there

    cluster.network.cut(1, 2)
    cluster.wait(lambda: way(json_lines(three.try_consort(
        "peer", "trace", "peer-1", "peer-2", "-c", "3", "--format", "json").stdout)[0],
        "packet")["received"] == 0, "nothing passes directly")
    there, back = json_lines(three.consort("peer", "trace", "peer-1", "peer-2", "--format", "json"))
    for result in (there, back):
        assert way(result, "packet")["received"] == 0, result
        assert way(result, "packet", "peer-3")["received"] >= 8, result
        assert way(result, "packet", "peer-4")["received"] >= 8, result
    text = three.consort("peer", "trace", "peer-1", "peer-2")
    assert "peer-1 to peer-2 at 10.77.0.2" in text and "through peer-3 (UDP)" in text, text
    cluster.heal()


@scenario(peers=4)
def test_why_suspect(cluster):
    """`peer inspect` says who accuses a suspect, since when, and how long it has; of a dead one, who
    was the first."""
    one, _, three, _ = cluster.peers()
    everybody_alive(cluster, one)
    three.freeze()
    seen = {}

    def is_suspect():
        entry = one.query("peer", "inspect", "peer-3")
        seen.setdefault(entry["state"], entry)
        return entry["state"] in ("suspect", "dead")

    cluster.wait(is_suspect, "peer-3 is suspected")
    cluster.wait(lambda: cluster.states(one)["peer-3"] == "dead", "peer-3 is dead")
    dead = one.query("peer", "inspect", "peer-3")
    assert "suspect" in seen, "it was never seen as suspect"
    suspect = seen["suspect"]
    assert suspect["accusers"] and suspect["dead_in_ms"] > 0, suspect
    assert all(0 <= accuser["heard_ms"] <= suspect["accused_ms"] for accuser in suspect["accusers"])
    assert dead["accusers"][0]["name"] == suspect["accusers"][0]["name"], (suspect, dead)
    assert dead["accusers"][0]["name"] in ("peer-1", "peer-2", "peer-4") and dead["dead_in_ms"] == 0
    text = one.consort("peer", "inspect", "peer-3")
    assert ", first) got no answer: heard " in text, text
    three.thaw()
    everybody_alive(cluster, one)
    assert one.query("peer", "inspect", "peer-3")["accusers"] == []


@scenario(peers=3)
def test_life_of_a_peer(cluster):
    """`peer ls` shows a peer's state, and since when, through its whole life; its successor of the same
    name is told apart."""
    one, two, three = cluster.peers()
    everybody_alive(cluster, one)

    def rows(name="peer-3"):
        return [row for row in one.query("peer", "ls") if row["name"] == name]

    assert 0 <= rows()[0]["since_ms"] < 600_000, rows()
    first_id = rows()[0]["id"]
    three.freeze()
    cluster.wait(lambda: rows()[0]["state"] == "dead", "peer-3 is dead")
    three.thaw()
    everybody_alive(cluster, one)
    three.consort("leave")
    cluster.wait(lambda: rows()[0]["state"] == "left", "peer-3 has left")
    three.consort("join", cluster.token(one))
    cluster.wait(lambda: sorted(row["state"] for row in rows()) == ["alive", "left"],
                 "the new peer-3 is alive beside the old one")
    successor = next(row for row in rows() if row["state"] == "alive")
    assert successor["id"] != first_id
    assert one.query("peer", "inspect", "peer-3")["id"] == successor["id"]
    old = one.query("peer", "inspect", first_id[:12])
    assert old["state"] == "left" and 0 <= old["since_ms"] < 600_000, old
    table = one.consort("peer", "ls")
    assert first_id[:12] in table and successor["id"][:12] in table, table
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["peer-1", "peer-2", "peer-3", "peer-3"]

    one.consort("peer", "revoke", successor["id"][:12])
    cluster.wait(lambda: sorted(row["state"] for row in rows()) == ["left", "revoked"],
                 "the new peer-3 is revoked")
    cluster.wait(lambda: {row["id"]: row["state"] for row in two.query("peer", "ls")}.get(successor["id"]) == "revoked",
                 "peer-2 has heard of that, too")
    assert two.query("peer", "inspect", successor["id"])["state"] == "revoked"
    both = one.try_consort("peer", "inspect", "peer-3")
    assert both.returncode == 1 and "peer-3 is two peers: " in both.stderr, both.stderr
    assert first_id[:12] in both.stderr and successor["id"][:12] in both.stderr, both.stderr


@scenario(peers=1)
def test_words_that_mean_nothing_or_much(cluster):
    """What is not there, what is said wrongly, and what means several things: each with its exit code,
    on stderr, and with what to type next."""
    one = cluster.peers()[0]
    for words, code, message, hint in (
            (("peer", "inspect", "peer-9"), 1, "there is no peer peer-9", "consort peer ls"),
            (("peer", "inspect", "0123abcd"), 1, "there is no peer 0123abcd", "12 or more digits"),
            (("peer", "ping"), 2, "one peer is expected", "consort peer ping --help"),
            (("peer", "trace", "peer-1", "peer-1"), 2, "two peers are expected", "--help"),
            (("peer", "ls", "--at", "peer-9"), 1, "there is no peer peer-9", "consort peer ls"),
            (("peer", "lss"), 2, "there is no command peer lss", "consort peer --help"),
            (("join", "a", "b"), 2, "one token is expected", "consort join --help")):
        answer = one.try_consort(*words)
        assert answer.returncode == code and answer.stdout == "", (words, answer)
        assert message in answer.stderr and hint in answer.stderr, (words, answer.stderr)
    token = one.try_consort("token", "create")
    assert len(token.stdout.split()) == 1 and "consort join TOKEN" in token.stderr, token


def metrics_of(peer, path="/metrics"):
    """{"name{labels}": number} as the peer serves them."""
    text = peer.run("curl", "-sS", "--fail", f"http://127.0.0.1:7302{path}", stdout=subprocess.PIPE,
                    check=True, text=True).stdout
    return {name: float(number) for name, number in re.findall(r"^(consort\S*) (\S+)$", text, re.M)}


@scenario(peers=3)
def test_metrics(cluster):
    """Nothing listens unless asked to; then counters grow with what happens."""
    one, _, three = cluster.peers()
    everybody_alive(cluster, one)
    assert one.run("curl", "-s", "http://127.0.0.1:7302/health").returncode == 7, "somebody answers"
    one.kill_daemon(signal.SIGTERM)
    one.start("--metrics", "7302")
    everybody_alive(cluster, one)
    before = metrics_of(one)
    assert before['consort_gossip_members{state="alive"}'] == 3, before
    assert before["consort_raft_voters"] >= 1 and before["consort_member"] == 1, before
    one.consort("peer", "ping", "peer-2", "-c", "2", "-i", "50ms")
    cluster.wait(lambda: metrics_of(one)["consort_gossip_probes_total"] >
                 before["consort_gossip_probes_total"], "probes are counted")
    after = metrics_of(one)
    assert after["consort_gossip_pings_total"] - before["consort_gossip_pings_total"] == 2, after
    assert after["consort_gossip_rtt_seconds_count"] > before["consort_gossip_rtt_seconds_count"]
    assert after['consort_udp_datagrams_total{direction="sent"}'] > 0, after
    cluster.deploy(web(deploy={"mode": "global", "replicas": None, "resources": {"limits": {"memory": "64M"}}}))
    cluster.wait_serving(3)
    slot = next(row["slot"] for row in one.query("ps") if row["peer"] == one.name)
    labels = f'{{service="demo_web",slot="{slot}"}}'
    used = metrics_of(one)
    assert used[f"consort_container_memory_limit_bytes{labels}"] == 64 << 20, used
    assert used[f"consort_container_cpu_seconds_total{labels}"] > 0, used
    assert used[f"consort_container_pids{labels}"] >= 1, used
    assert sum(name.startswith("consort_container_pids") for name in used) == 1, used
    three.kill()
    cluster.wait(lambda: metrics_of(one)['consort_gossip_members{state="dead"}'] == 1, "a death counts")
    assert metrics_of(one)["consort_gossip_deaths_total"] >= 1


@scenario(peers=3)
def test_watch_lines(cluster):
    """Without a terminal, `watch` says what is, and then each change, a line each."""
    one, _, three = cluster.peers()
    everybody_alive(cluster, one)
    watch = subprocess.Popen([*map(str, one.words(one.binary)), "watch"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, text=True, env=one.environment())
    try:
        three.kill()
        for line in watch.stdout:
            if line == "peer peer-3: dead\n":
                break
        else:
            raise AssertionError("watch ended before it told of the death")
    finally:
        watch.terminate()
        watch.wait()
