"""A testbed: a switch and N peers of one cluster."""

import os
import subprocess
import time
from pathlib import Path

from . import process
from .network import PEERS_MAX, Network, inside, namespaces, run
from .peer import Peer

DIRECTORY = "/run/consort-testbed"
TOP = Path(__file__).resolve().parent.parent.parent
BUILDS = ("build", "build-release", "build-test", "build-land")
JOIN_WAIT_S = 60


def find_binary():
    """$CONSORT_BINARY, or the newest `consort` of this tree's build directories; None if there is
    none."""
    if "CONSORT_BINARY" in os.environ:
        return Path(os.environ["CONSORT_BINARY"]).resolve()
    found = [path for build in BUILDS for path in (TOP / build / "node/consort", TOP / build / "consort")
             if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def build_release(target="node/consort"):
    """Builds a release of this tree into build-release/ and returns its binary, or another target."""
    build = TOP / "build-release"
    if not (build / "build.ninja").exists():
        run("meson", "setup", "--buildtype=release", build, TOP)
    done = subprocess.run(["ninja", "-C", build, target], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"the build failed:\n{done.stdout[-4000:]}")
    return build / target


def lacking():
    """Why this machine can't have peers in namespaces; None if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    probe = f"consort-probe-{os.getpid()}"
    added = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "delete", probe], capture_output=True)
    return None if added.returncode == 0 else f"no network namespace can be made: {added.stderr.strip()}"


def mount_hugetlb_if_needed():
    """On a host with cgroup v1, crun wants every controller that the kernel has; systemd leaves
    hugetlb out on some. Returns whether it was mounted by this call."""
    root = process.CGROUP_ROOT
    controllers = Path("/proc/cgroups").read_text()
    if (root / "cgroup.controllers").exists() or "hugetlb" not in controllers:
        return False
    if os.path.ismount(root / "hugetlb"):
        return False
    (root / "hugetlb").mkdir(exist_ok=True)
    run("mount", "-t", "cgroup", "-o", "hugetlb", "cgroup", root / "hugetlb")
    return True


def unmount_hugetlb():
    run("umount", process.CGROUP_ROOT / "hugetlb", check=False)  # others may use it now


class Testbed:
    """Peers are numbered from 1. Two testbeds with different names do not touch one another."""

    def __init__(self, name="tb", directory=None, binary=None):
        self.directory = Path(directory or f"{DIRECTORY}/{name}")
        self.network = Network(f"consort-{name}")
        self.start_options = []  # of each daemon that up() starts
        self.binary = binary or find_binary()

    def peer(self, index):
        """The peer of that number, whether it runs or not."""
        return Peer(self.network, int(index), self.directory, self.binary)

    def indices(self):
        """The numbers of the peers that were started, dead ones too."""
        if not self.directory.is_dir():
            return []
        return sorted(int(path.name) for path in self.directory.iterdir() if path.name.isdigit())

    def peers(self):
        return [self.peer(index) for index in self.indices()]

    def up(self, count, bare=False):
        """Starts peers 1 to `count`; unless `bare`, forms one cluster of them."""
        if not 1 <= count <= PEERS_MAX:
            raise ValueError(f"a testbed has 1 to {PEERS_MAX} peers, not {count}")
        if self.network.is_up() or self.indices():
            raise RuntimeError(f"there is a testbed in {self.directory}; take it down first")
        self._mount_hugetlb_if_needed()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.network.up()
        peers = [self.peer(index) for index in range(1, count + 1)]
        for peer in peers:
            peer.start(*self.start_options, wait=False)
        for peer in peers:
            peer.wait_ready()
        if not bare:
            self.form(peers)
        return peers

    def form(self, peers):
        """The first peer founds a cluster and the others join it."""
        founder, *others = peers
        founder.consort("init")
        if not others:
            return
        token = self.token(founder, uses=len(others))
        for peer in others:
            peer.consort("join", token)
        self.wait_members(founder, len(peers))

    def token(self, peer, uses=1):
        return peer.consort("token", "create", "--uses", uses).split()[-1]

    def wait_members(self, peer, count):
        """Returns once `peer` sees that many peers alive."""
        deadline = time.monotonic() + JOIN_WAIT_S
        while True:
            alive = self.members_alive(peer)
            if alive >= count:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{peer.name} sees {alive} of {count} peers alive after "
                                   f"{JOIN_WAIT_S} s; its log ends:\n{peer.log_tail()}")
            time.sleep(0.1)

    def members_alive(self, peer):
        """How many peers that one sees alive, itself among them."""
        return sum(entry["state"] == "alive" for entry in peer.query("peer", "ls"))

    def client_words(self, *command):
        """The words of a command that runs where a client of the cluster stands: at the switch."""
        return [*inside(self.network.switch), *map(str, command)]

    def down(self):
        """Removes all that is left of the testbed, also of one that came up only in part."""
        indices = set(self.indices())
        indices |= {int(name.rpartition("-")[2]) for name in namespaces(self.network.prefix)
                    if name != self.network.switch}
        for index in sorted(indices):
            self.peer(index).remove()
        self.network.down()
        hugetlb_is_ours = self._hugetlb_note.exists()
        process.remove_directory(self.directory)
        if hugetlb_is_ours and not self._others_are_up():
            unmount_hugetlb()

    def leaks(self):
        """What is there of the testbed, in words: nothing, after down()."""
        found = [f"network namespace {name}" for name in namespaces(self.network.prefix)]
        found += [f"mount {point}" for point in process.mounts_below(self.directory)]
        pids = process.of_peer(self.network.switch, self.directory)
        for name in namespaces(self.network.prefix):
            pids |= set(process.in_namespace(name))
        found += [f"process {pid}: {' '.join(process.arguments(pid))[:120]}" for pid in sorted(pids)]
        if not self._others_are_up():  # whose cgroup a name is, only its peer knows
            found += [f"cgroup {path}" for path in process.empty_cgroups()]
        if self.directory.exists():
            found.append(f"directory {self.directory}")
        return found

    def _others_are_up(self):
        """Whether another testbed stands on this machine."""
        return any(name not in namespaces(self.network.prefix) for name in namespaces("consort"))

    @property
    def _hugetlb_note(self):
        return self.directory / "hugetlb-is-ours"

    def _mount_hugetlb_if_needed(self):
        if mount_hugetlb_if_needed():
            self.directory.mkdir(parents=True, exist_ok=True)
            self._hugetlb_note.touch()
