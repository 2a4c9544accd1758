"""A cluster of real peers, and what to ask of it: the language of scenarios, the demo and benchmarks.

    cluster = Cluster("e2e")
    cluster.up(5)
    cluster.deploy(web(replicas=3))
    cluster.peer(2).kill()
    cluster.wait_serving(3)

Nothing here asserts a time: wait() has a bound so that a scenario ends, generous enough for two
slow cores under sanitizers. How fast things go is measured in tests/bench.
"""

import json
import subprocess
import time
from pathlib import Path

from .load import Client, Load
from .peer import CommandFailed
from .testbed import TOP, Testbed

HELLO = TOP / "examples/hello"
WAIT_BOUND_S = 60
POLL_S = 0.1
STACK = "demo"
PORT = 8080


def web(version="1", replicas=3, port=PORT, deploy=None, update=None, **keys):
    """A Compose file, as data, with a service `web` that answers "REPLICA VERSION" on `port`.
    `keys` replace the service's, `deploy` and `update` add to its deploy and update_config."""
    service = {
        "image": "hello:1",
        "environment": {"VERSION": version},
        "ports": [f"{port}:80"],
        "healthcheck": {"test": ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1/"],
                        "interval": "1s", "timeout": "5s", "retries": 3},
        "deploy": {
            "replicas": replicas,
            "update_config": {"order": "start-first", "monitor": "3s",
                              "failure_action": "rollback", **(update or {})},
            **(deploy or {}),
        },
        **keys,
    }
    return {"services": {"web": service}}


class Cluster(Testbed):
    def __init__(self, name="tb", directory=None, binary=None):
        super().__init__(name, directory, binary)
        self.client = None

    def up(self, count, bare=False):
        super().up(count, bare)
        self.client = Client(self.network.switch)
        if not bare:
            self.import_image(self.peer(1))

    def down(self):
        if self.client:
            self.client.close()
            self.client = None
        super().down()

    # Waiting.

    def wait(self, predicate, what, bound_s=WAIT_BOUND_S):
        """Polls until `predicate()` is true and returns what it returned. A failing command counts
        as not yet, and is shown if it never gets better."""
        deadline = time.monotonic() + bound_s
        while True:
            problem = None
            try:
                if result := predicate():
                    return result
            except (CommandFailed, OSError, subprocess.TimeoutExpired) as error:
                problem = error
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {bound_s} s: {what}\n{problem or self.picture()}")
            time.sleep(POLL_S)

    def picture(self):
        """What the peers say of the cluster, for the message of a failed wait."""
        lines = []
        for peer in self.alive():
            for words in (["peer", "ls"], ["ps"], ["events"]):
                done = peer.try_consort(*words)
                lines += [f"{peer.name}: consort {' '.join(words)}",
                          *(done.stdout + done.stderr).splitlines()[-25:]]
        return "\n".join(lines)

    # Peers.

    def alive(self):
        return [peer for peer in self.peers() if peer.daemon_pid()]

    def any(self):
        """A peer that can be asked."""
        return self.alive()[0]

    def named(self, name):
        return next(peer for peer in self.peers() if peer.name == name)

    def leader(self, ask=None):
        """The leading peer; waits until there is one."""
        name = self.wait(lambda: (ask or self.any()).query("status").get("leader"), "a leader")
        return self.named(name)

    def follower(self):
        """A peer that does not lead."""
        leader = self.leader()
        return next(peer for peer in self.alive()[::-1] if peer.index != leader.index)

    def states(self, ask):
        """Each peer's state as `ask` sees it, by name."""
        return {entry["name"]: entry["state"] for entry in ask.query("peer", "ls")}

    def partition(self, some, others):
        for one in some:
            for other in others:
                self.network.cut(one.index, other.index)

    def heal(self):
        self.network.heal_all()

    # Services.

    def import_image(self, peer, reference="hello:1"):
        archive = self.directory / "hello.tar"
        if not archive.exists():
            subprocess.run([TOP / "tools/make-image", HELLO / "image", archive, reference, "--",
                            "/bin/web"], check=True, capture_output=True)
        peer.consort("image", "import", archive)

    def deploy(self, compose, stack=STACK, ask=None, wait=True):
        """Deploys a Compose file given as data (JSON is YAML) or as text."""
        text = compose if isinstance(compose, str) else json.dumps(compose, indent=2)
        path = self.directory / f"{stack}.yaml"
        path.write_text(text)
        return (ask or self.any()).consort("deploy", "-f", path, stack, *(["--wait"] if wait else []))

    def try_deploy(self, compose, stack=STACK, ask=None, *options):
        """As deploy(), however it goes: a CompletedProcess."""
        text = compose if isinstance(compose, str) else json.dumps(compose, indent=2)
        path = self.directory / f"{stack}.yaml"
        path.write_text(text)
        return (ask or self.any()).try_consort("deploy", "-f", path, stack, *options)

    def replicas(self, service=None, ask=None):
        """What `ps` says of the replicas that shall run."""
        rows = (ask or self.any()).query("ps")
        return [row for row in rows if service in (None, row["service"])]

    def serving(self, service=f"{STACK}_web", ask=None, version=None):
        """How many replicas of the service answer for it."""
        return sum(row["state"] == "running" and row["health"] in ("healthy", "none")
                   and version in (None, row["revision"]) for row in self.replicas(service, ask))

    def wait_serving(self, count, service=f"{STACK}_web", ask=None, bound_s=WAIT_BOUND_S):
        self.wait(lambda: self.serving(service, ask) == count == len(self.replicas(service, ask)),
                  f"{count} replicas of {service} serve", bound_s)

    def answers(self, peer, port=PORT, path="/"):
        return self.client.answers(peer.address, port, path)

    def wait_answers(self, peers=None, port=PORT, bound_s=WAIT_BOUND_S):
        """Returns once each of those peers (all by default) answers requests to the port."""
        for peer in peers or self.alive():
            self.wait(lambda p=peer: self.answers(p, port), f"{peer.name}:{port} answers", bound_s)

    def load(self, peers=None, port=PORT, **options):
        """Requests to each of those peers for as long as the `with` lasts."""
        return Load(self.client, [peer.address for peer in peers or self.alive()], port, **options)

    def kill_replica(self, row):
        """Kills the processes of that replica (a row of `ps`), as a crash would. Its first process is
        shielded from signals sent inside; the example's ends with the server that it watches."""
        self.any().try_consort("exec", row["name"], "--", "sh", "-c", "kill -9 -1")

    def holders(self, service=f"{STACK}_web"):
        """The peers that run replicas of the service."""
        return [self.named(name) for name in {row["peer"] for row in self.replicas(service)}]

    # What is really there, whatever the cluster says.

    def containers(self, peer):
        """How many containers the machine holds."""
        return len(peer.conmons())

    def wait_no_orphans(self, bound_s=WAIT_BOUND_S):
        """Returns once each peer runs exactly the containers that `ps` places on it, with one root
        file system and one network cable each."""
        def settled():
            rows = self.replicas()
            for peer in self.alive():
                wanted = sum(row["peer"] == peer.name for row in rows)
                if {self.containers(peer), len(overlays(peer)), len(cables(peer))} != {wanted}:
                    return False
            return True
        self.wait(settled, "no orphan container, mount or cable", bound_s)


def overlays(peer):
    """Mount points of containers' root file systems on that peer."""
    return [point for point in peer.mounts() if Path(point).name in ("rootfs", "merged")]


def cables(peer):
    """Network devices that lead to containers: ports of the peer's bridge."""
    done = peer.run("ip", "-json", "link", "show", "type", "veth", capture_output=True, text=True)
    links = json.loads(done.stdout or "[]")
    return [link["ifname"] for link in links if link.get("master")]
