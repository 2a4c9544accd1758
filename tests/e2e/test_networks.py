"""Networks: UDP at every peer, who reaches whom by name and by address, and what a restart leaves."""

import json
import socket
import subprocess
import sys
from contextlib import contextmanager

from scenario import scenario
from testbed_lib.cluster import web

# What runs in a container's network, with the machine's own Python: the images have only busybox.
ECHO = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
while True:
    data, client = server.recvfrom(65536)
    server.sendto(sys.argv[2].encode() + b":" + data, client)
"""
ASK = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(5)
client.sendto(b"hello", (sys.argv[1], int(sys.argv[2])))
data, server = client.recvfrom(65536)
print(data.decode(), server[0])
"""

ASK6 = """
import ipaddress, socket, sys
name, port, *labels = sys.argv[1:]
question = b"\\xbe\\xef\\x01\\0\\0\\1\\0\\0\\0\\0\\0\\0"
question += b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.settimeout(5)
asker.sendto(question + b"\\0\\0\\x1c\\0\\1", ("10.88.0.1", 53))
answer = asker.recv(4096)
assert answer[7] == 1, answer
address = str(ipaddress.ip_address(answer[-16:]))
client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
client.settimeout(5)
client.sendto(b"hello", (address, int(port)))
data, server = client.recvfrom(65536)
print(data.decode(), server[0])
"""


# Says to each who connects at which of its own addresses that was: over IPv4 and IPv6, or IPv6 alone.
WHERE = """
import socket, sys
server = socket.socket(socket.AF_INET6)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(sys.argv[2]))
server.bind(("::", int(sys.argv[1])))
server.listen()
print("ready", flush=True)
while True:
    client, peer = server.accept()
    client.sendall(client.getsockname()[0].removeprefix("::ffff:").encode())
    client.close()
"""
# Looks each NAME/PORT/FAMILY up as containers do (4: the A, 6: the AAAA), connects, and prints what is said.
LISTEN = """
import ipaddress, socket, sys
def resolve(name, family):
    kind, size = (1, 4) if family == "4" else (28, 16)
    question = b"\\xbe\\xef\\x01\\0\\0\\1\\0\\0\\0\\0\\0\\0"
    question += bytes([len(name)]) + name.encode() + bytes([0, 0, kind, 0, 1])
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.settimeout(5)
    asker.sendto(question, ("10.88.0.1", 53))
    answer = asker.recv(4096)
    return str(ipaddress.ip_address(answer[-size:])) if answer[7] == 1 else None
for words in sys.argv[1:]:
    name, port, family = words.split("/")
    address = resolve(name, family)
    if address:
        print(socket.create_connection((address, int(port)), 20).recv(100).decode())
    else:
        print("unknown")
"""


def network_of(peer, row):
    """The command's words that run something in the network of that replica's container."""
    (pin,) = (path for path in peer.directory.glob("**/netns/*")
              if path.name.rpartition(".")[2] == str(row["generation"]))
    return ["nsenter", f"--net={pin}"]


@contextmanager
def running(peer, words):
    process = subprocess.Popen(peer.words(*words), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


def asked(address, port):
    """What the UDP port answers, or nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((address, port))
        client.send(b"hello")
        try:
            return client.recv(2000).decode()
        except (TimeoutError, ConnectionRefusedError):
            return ""


@scenario(peers=3)
def test_udp(cluster):
    """A published UDP port answers at every peer, and by the service's name in every container."""
    sleeper = {"image": "hello:1", "command": ["sleep", "1000"]}
    cluster.deploy({"services": {
        "echo": {**sleeper, "ports": ["5353:53/udp"]},
        "asker": {**sleeper, "deploy": {"mode": "global"}}}}, stack="u")
    (row,) = cluster.replicas("u_echo")
    holder = cluster.named(row["peer"])
    with running(holder, [*network_of(holder, row), sys.executable, "-c", ECHO, "53", "echo"]):
        for peer in cluster.peers():
            answer = cluster.client.call(asked, peer.address, 5353)
            assert answer == "echo:hello", (peer, answer)
        virtual = holder.query("service", "inspect", "u_echo")["virtual_ip"]
        for asker in cluster.replicas("u_asker"):
            peer = cluster.named(asker["peer"])
            done = peer.run(*network_of(peer, asker), sys.executable, "-c", ASK, virtual, "53",
                            capture_output=True, text=True)
            assert done.stdout.split() == ["echo:hello", virtual], (peer, done)


@scenario(peers=2)
def test_ipv6(cluster):
    """Names have IPv6 addresses, too: by them services are reached at whichever peer, over TCP and UDP,
    by those that are on a network with them; and what is published answers over IPv6."""
    sleeper = {"image": "hello:1", "command": ["sleep", "1000"]}
    keys = {"deploy": {"mode": "global"}, "healthcheck": None, "ports": ["8085:80"]}
    service = {key: value for key, value in web(**keys)["services"]["web"].items() if value}
    cluster.deploy({"services": {
        "web": {**service, "networks": ["inside"]},
        "echo": {**sleeper, "ports": ["5353:53/udp"], "networks": ["inside"]},
        "asker": {**sleeper, "deploy": {"mode": "global"}, "networks": ["inside"]},
        "stranger": sleeper},
        "networks": {"inside": {"internal": True}}}, stack="six")
    (row,) = cluster.replicas("six_echo")
    holder = cluster.named(row["peer"])
    virtual = {name: cluster.any().query("service", "inspect", f"six_{name}")["virtual_ipv6"]
               for name in ("web", "echo")}
    with running(holder, [*network_of(holder, row), sys.executable, "-c", ECHO, "53", "echo"]):
        for asker in cluster.replicas("six_asker"):
            peer = cluster.named(asker["peer"])
            done = peer.run(*network_of(peer, asker), sys.executable, "-c", ASK6, "echo", "53",
                            capture_output=True, text=True)
            assert done.stdout.split() == ["echo:hello", virtual["echo"]], (peer, done)
            cluster.wait(lambda: tcp(cluster, asker, f"[{virtual['web']}]"), "TCP over IPv6", 30)
        for peer in cluster.peers():
            done = peer.run(sys.executable, "-c", ASK.replace("AF_INET", "AF_INET6"), "::1", "5353",
                            capture_output=True, text=True)
            assert done.stdout.split() == ["echo:hello", "::1"], (peer, done)
            done = peer.run("busybox", "wget", "-q", "-O", "-", "http://[::1]:8085/",
                            capture_output=True, text=True)
            assert done.stdout.strip(), (peer, done)
    (stranger,) = cluster.replicas("six_stranger")
    assert not tcp(cluster, stranger, f"[{virtual['web']}]")


def tcp(cluster, row, name, port=80):
    """What busybox in that container gets from http://NAME:PORT/, or nothing."""
    done = cluster.any().try_consort("exec", row["name"], "--", "wget", "-q", "-O", "-",
                                     f"http://{name}:{port}/")
    return done.stdout.strip() if done.returncode == 0 else ""


def bridges(peer):
    """Bridges of Compose networks on that peer."""
    done = peer.run("ip", "-json", "link", "show", "type", "bridge", capture_output=True, text=True)
    return [link["ifname"] for link in json.loads(done.stdout or "[]") if link["ifname"] != "consort0"]


@scenario(peers=3)
def test_isolation(cluster):
    """Services see and reach those alone that are on a network with them, at whichever peer; what is
    published is reached by all; and nothing is left of a network when its last container goes."""
    keys = {"deploy": {"mode": "global"}, "healthcheck": None, "ports": []}
    service = {key: value for key, value in web(**keys)["services"]["web"].items() if value}
    cluster.deploy({
        "services": {
            "front": {**service, "networks": ["edge"]},
            "api": {**service, "networks": {"edge": None, "back": {"aliases": ["backend"]}}},
            "db": {**service, "networks": ["back"], "ports": ["8085:80"]}},
        "networks": {"edge": None, "back": {"internal": True}}}, stack="shop")
    cluster.deploy({"services": {"web": service}}, stack="other")
    rows = {}
    for row in cluster.replicas():
        rows.setdefault(row["service"], []).append(row)
    addresses = {name: cluster.any().query("service", "inspect", name)["virtual_ip"] for name in rows}
    reached = {"shop_front": {"api", "shop_api"}, "shop_api": {"front", "db", "shop_db"},
               "shop_db": {"api", "backend"}, "other_web": {"web"}}
    hidden = {"shop_front": {"db", "shop_db", "db.shop", "backend", "other_web", addresses["shop_db"],
                             addresses["other_web"]},
              "shop_db": {"front", "web", addresses["shop_front"], addresses["other_web"]},
              "other_web": {"api", "db", "shop_front", addresses["shop_api"]}}
    for name, names in reached.items():
        for row in rows[name]:
            for other in names:
                cluster.wait(lambda: tcp(cluster, row, other), f"{row['name']} reaches {other}", 30)
    for name, names in hidden.items():
        for other in names:
            assert not tcp(cluster, rows[name][0], other), (name, other)
    for name in ("shop_front", "other_web"):  # published is published
        assert tcp(cluster, rows[name][0], cluster.peer(2).address, 8085)
    assert all(len(bridges(peer)) == 3 for peer in cluster.peers()), list(map(bridges, cluster.peers()))
    for peer in cluster.peers():
        peer.kill_daemon()
        peer.start()
    cluster.wait(lambda: tcp(cluster, rows["shop_front"][0], "api"), "names after a restart", 60)
    assert not tcp(cluster, rows["shop_front"][0], "db")
    cluster.any().consort("rm", "shop")
    cluster.wait(lambda: all(len(bridges(peer)) == 1 for peer in cluster.peers()), "bridges are gone")


def heard(cluster, row, wanted):
    """What is said to the container of that row at each "NAME/PORT/FAMILY" that is wanted."""
    peer = cluster.named(row["peer"])
    done = peer.run(*network_of(peer, row), sys.executable, "-c", LISTEN, *wanted,
                    capture_output=True, text=True)
    return dict(zip(wanted, done.stdout.split())) or done


def addresses(peer, row):
    """The addresses of that container: {"eth0": {4: …, 6: …}, …}."""
    done = peer.run(*network_of(peer, row), "ip", "-json", "addr", "show", "scope", "global",
                    capture_output=True, text=True, check=True)
    return {link["ifname"]: {4 if info["family"] == "inet" else 6: info["local"]
                             for info in link["addr_info"] if info}
            for link in json.loads(done.stdout) if link}


def guards(peer):
    """How many rules that peer has of what passes from a cable: of MACs and addresses."""
    done = peer.run("nft", "list", "table", "bridge", "consort", capture_output=True, text=True)
    return done.stdout.count('" . ')


def check_networks(cluster, fronts, dbs, own):
    """The service api is reached over the network that it shares with whoever asks, and there at IPv6
    where it listens at that alone; front and db don't know each other, nor aliases of the other network."""
    for rows, interface, other, backend in ((fronts, "eth0", "db", "unknown"),
                                            (dbs, "eth1", "front", own["eth1"][4])):
        expected = {"backend/90/4": backend}
        for family in (4, 6):
            expected |= {f"api/90/{family}": own[interface][4], f"api/91/{family}": own[interface][6],
                         f"{other}/90/{family}": "unknown"}
        for row in rows:
            assert heard(cluster, row, expected) == expected, (row["name"], own)


@scenario(peers=3)
def test_several_networks(cluster):
    """A service on two networks is reached over either by those that are on it, at whichever peer, over
    IPv4 and IPv6 and if it listens at IPv6 alone; they stay apart; so it is after the daemons'
    restart; and when the stack goes, nothing of the networks is left."""
    sleeper = {"image": "hello:1", "command": ["sleep", "1000"], "stop_signal": "SIGKILL"}
    every = {**sleeper, "deploy": {"mode": "global"}}
    cluster.deploy({
        "services": {
            "front": {**every, "networks": ["edge"]},
            "api": {**sleeper, "ports": ["8086:90"],
                    "networks": {"back": {"aliases": ["backend"]}, "edge": {"gw_priority": 1}}},
            "db": {**every, "networks": ["back"]}},
        "networks": {"edge": None, "back": None}}, stack="shop")
    fronts, dbs = cluster.replicas("shop_front"), cluster.replicas("shop_db")
    (api,) = cluster.replicas("shop_api")
    holder = cluster.named(api["peer"])
    own = addresses(holder, api)
    server = [*network_of(holder, api), sys.executable, "-c", WHERE]
    with running(holder, [*server, "90", "0"]), running(holder, [*server, "91", "1"]):
        check_networks(cluster, fronts, dbs, own)
        for peer in cluster.peers():  # published ports lead over the network of highest priority
            assert cluster.client.call(heard_at, peer.address, 8086) == own["eth0"][4], (peer, own)
        for peer in cluster.peers():
            peer.kill_daemon()
            peer.start()
        check_networks(cluster, fronts, dbs, own)
    assert all(len(bridges(peer)) == 2 and guards(peer) > 0 for peer in cluster.peers())
    cluster.any().consort("rm", "shop")
    cluster.wait(lambda: not any(bridges(peer) or guards(peer) for peer in cluster.peers()),
                 "bridges and rules are gone")


def heard_at(address, port):
    with socket.create_connection((address, port), 20) as client:
        return client.recv(100).decode()
