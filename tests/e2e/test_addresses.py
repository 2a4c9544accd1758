"""Addresses that services choose within a network (ipv4_address, ipv6_address): who reaches them, and
that they stay where replicas and daemons don't."""

import sys

from scenario import scenario
from test_networks import ASK, ECHO, network_of, running
from testbed_lib.cluster import web

CHOSEN, CHOSEN6 = "172.28.0.5", "fd00:28::5"
IPAM = {"ipam": {"config": [{"subnet": "172.28.0.0/16"}, {"subnet": "fd00:28::/64"}]}, "enable_ipv6": True}
SLEEPER = {"image": "hello:1", "command": ["sleep", "1000"], "stop_signal": "SIGKILL",
           "deploy": {"mode": "global"}}

# Asks again and again from one port, so that it is one flow, and says what the first answer was.
INSIST = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(0.2)
client.bind(("0.0.0.0", 5000))
print("ready", flush=True)
while True:
    client.sendto(b"hello", (sys.argv[1], 53))
    try:
        print(client.recv(100).decode(), flush=True)
        break
    except OSError:
        pass
"""


# The host's busybox is not asked: with a timeout its wget falls over.
GET = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode().strip())
"""


def http(cluster, row, address):
    """What a client in that container's network gets, or nothing."""
    peer = cluster.named(row["peer"])
    host = f"[{address}]" if ":" in address else address
    done = peer.run(*network_of(peer, row), sys.executable, "-c", GET, f"http://{host}/",
                    capture_output=True, text=True)
    return done.stdout.strip()


def udp(cluster, row, address):
    """What it gets by UDP, and from which address."""
    peer = cluster.named(row["peer"])
    script = ASK.replace("AF_INET", "AF_INET6") if ":" in address else ASK
    done = peer.run(*network_of(peer, row), sys.executable, "-c", script, address, "53",
                    capture_output=True, text=True)
    return done.stdout.split()


def pings(cluster, row, address):
    peer = cluster.named(row["peer"])
    return peer.run(*network_of(peer, row), "busybox", "ping", "-c", "1", "-W", "5", address,
                    capture_output=True).returncode == 0


def rules(peer):
    """What the packet filter knows of services' addresses there."""
    return "".join(peer.run("nft", "list", "table", family, "consort_addresses", capture_output=True,
                            text=True).stdout for family in ("ip", "ip6"))


def deploy(cluster):
    """Two stacks, each with a network of the same range and a service at the same address of it."""
    for stack, version in (("one", "1"), ("two", "2")):
        service = web(version=version, replicas=1)["services"]["web"]
        cluster.deploy({"services": {
            "web": {**service, "ports": [], "expose": ["53/udp"],
                    "networks": {"lan": {"ipv4_address": CHOSEN, "ipv6_address": CHOSEN6}}},
            "asker": {**SLEEPER, "networks": ["lan"]},
            # whose way out is over another network, or which has none
            "guest": {**SLEEPER, "networks": {"lan": None, "side": {"gw_priority": 1}}},
            "inner": {**SLEEPER, "networks": ["vault"]}},
            "networks": {"lan": IPAM, "side": None, "vault": {**IPAM, "internal": True}}}, stack=stack)


def check_tcp(cluster, rows):
    """Every client gets to its own stack's service."""
    for stack, version in (("one", "1"), ("two", "2")):
        for row in rows[stack]:
            for address in (CHOSEN, CHOSEN6):
                expected = f"{stack}_web.1 version {version}"
                cluster.wait(lambda: http(cluster, row, address) == expected,
                             f"{row['name']} reaches {expected} at {address}", 60)


def check_udp(cluster, rows):
    (server,) = cluster.replicas("one_web")
    holder = cluster.named(server["peer"])
    with running(holder, [*network_of(holder, server), sys.executable, "-c", ECHO, "53", "four"]):
        for row in rows["one"]:
            got = udp(cluster, row, CHOSEN)
            assert got == ["four:hello", CHOSEN], (row["name"], got)
    echo6 = ECHO.replace("AF_INET", "AF_INET6").replace("0.0.0.0", "::")
    with running(holder, [*network_of(holder, server), sys.executable, "-c", echo6, "53", "six"]):
        for row in rows["one"]:
            got = udp(cluster, row, CHOSEN6)
            assert got == ["six:hello", CHOSEN6], (row["name"], got)


@scenario(peers=3)
def test_addresses(cluster):
    """A service is reached at the addresses that it chose by those on the network, itself too, from
    whichever peer, over TCP, UDP and ping; another network's same address is another service's; so
    it is without daemons, after their restart, and when the replica's machine has died."""
    deploy(cluster)
    rows = {stack: [row for service in ("asker", "guest", "web")
                    for row in cluster.replicas(f"{stack}_{service}")] for stack in ("one", "two")}
    check_tcp(cluster, rows)
    check_udp(cluster, rows)
    assert all(pings(cluster, row, CHOSEN) for row in rows["one"])
    for row in cluster.replicas("one_inner"):  # the same range, and nobody there
        assert not http(cluster, row, CHOSEN), row
    said = cluster.any().query("service", "inspect", "one_web")["addresses"]
    assert said == f"{CHOSEN} in one_lan, {CHOSEN6} in one_lan", said
    check_tcp(cluster, rows)  # a link that was idle for a minute is closed, and opened by daemons only
    for peer in cluster.peers():
        peer.kill_daemon()
    check_tcp(cluster, rows)
    for peer in cluster.peers():
        peer.start()
    check_tcp(cluster, rows)
    check_udp(cluster, rows)

    (before,) = cluster.replicas("one_web")
    victim = cluster.named(before["peer"])
    victim.kill()
    cluster.wait(lambda: cluster.serving("one_web") and cluster.replicas("one_web")[0]["peer"] != victim.name,
                 "the replica runs elsewhere")
    rows["one"] = [row for row in rows["one"]
                   if row["peer"] != victim.name and row["service"] != "one_web"]
    check_tcp(cluster, {"one": rows["one"], "two": []})
    check_udp(cluster, rows)


@scenario(peers=1)
def test_early(cluster):
    """Whoever has sent datagrams to the address before there was a service gets to it without a pause."""
    def service(**settings):
        return {**SLEEPER, "expose": ["53/udp"], "networks": {"lan": settings or None}}
    networks = {"lan": {"name": "shared", **IPAM}}
    cluster.deploy({"services": {"asker": service()}, "networks": networks}, stack="one")
    peer, (asker,) = cluster.any(), cluster.replicas("one_asker")
    with running(peer, [*network_of(peer, asker), sys.executable, "-c", INSIST, CHOSEN]) as insisting:
        cluster.deploy({"services": {"echo": service(ipv4_address=CHOSEN)}, "networks": networks}, stack="two")
        (echo,) = cluster.replicas("two_echo")
        with running(peer, [*network_of(peer, echo), sys.executable, "-c", ECHO, "53", "late"]):
            assert insisting.stdout.readline() == "late:hello\n"


@scenario(peers=1)
def test_refused(cluster):
    """An address that another stack's service has in the network is refused, and one's own may move
    from service to service."""
    peer = cluster.any()

    def lan(address, service="a"):
        return {"services": {service: {"image": "hello:1", "command": ["sleep", "1000"],
                                       "stop_signal": "SIGKILL",
                                       "networks": {"lan": {"ipv4_address": address}}}},
                "networks": {"lan": {"name": "shared", **IPAM}}}
    cluster.deploy(lan("172.28.0.7"), stack="one")
    refused = cluster.try_deploy(lan("172.28.0.7"), "two")
    assert refused.returncode != 0 and "172.28.0.7" in refused.stderr and "one_a" in refused.stderr, refused
    assert "consort rm one_a" in refused.stderr, refused.stderr
    outside = cluster.try_deploy(lan("172.29.0.7"), "two")
    assert outside.returncode != 0 and "172.28.0.0/16 (line " in outside.stderr, outside.stderr
    assert "choose an address of 172.28.0.0/16" in outside.stderr, outside.stderr
    cluster.deploy(lan("172.28.0.8"), stack="two")
    cluster.deploy(lan("172.28.0.7", "b"), stack="one")
    cluster.wait(lambda: "172.28.0.7" in rules(peer) and "172.28.0.8" in rules(peer), "rules of both")
    peer.consort("rm", "one")
    cluster.wait(lambda: "172.28.0.7" not in rules(peer) and "172.28.0.8" in rules(peer),
                 "one's rules are gone")
    peer.consort("rm", "two")
    cluster.wait(lambda: not rules(peer), "all rules are gone")


@scenario(peers=3)
def test_left_over(cluster):
    """What a daemon that was killed has left of a service's addresses is gone with the service, once
    there is a daemon again."""
    service = {**SLEEPER, "networks": {"lan": {"ipv4_address": CHOSEN, "ipv6_address": CHOSEN6}}}
    cluster.deploy({"services": {"a": service}, "networks": {"lan": IPAM}}, stack="one")
    for peer in cluster.peers():
        cluster.wait(lambda: CHOSEN in rules(peer) and CHOSEN6 in rules(peer), "there are rules")
    *others, victim = cluster.peers()
    victim.kill_daemon()
    others[0].consort("rm", "one")
    for peer in others:
        cluster.wait(lambda: not rules(peer), "no rule is left")
    assert CHOSEN in rules(victim)
    victim.start()
    cluster.wait(lambda: not rules(victim), "the next daemon removes what is left")
