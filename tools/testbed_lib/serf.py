"""Serf, which benchmarks compare with, on the same testbed: an agent in each peer's place.

    fleet = SerfTestbed("serf")
    fleet.up(20)
    fleet.peer(3).kill()
    fleet.down()
"""

import json
import shutil
import subprocess
import time
from pathlib import Path

from . import process
from .peer import START_WAIT_S, Peer
from .testbed import Testbed

PORT = 7946


class SerfPeer(Peer):
    """One agent with the `lan` profile, which is its default, and all else as it comes."""

    def __init__(self, *arguments, options=()):
        super().__init__(*arguments)
        self.options = options

    def start(self, *options, wait=True):
        if not Path(f"/run/netns/{self.namespace}").exists():
            self.network.plug_in(self.index)
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.log, "a") as log:
            subprocess.Popen(
                [*self.words(self.binary), "agent", "-profile=lan", f"-node={self.name}",
                 f"-bind={self.address}:{PORT}", *self.options, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        if wait:
            self.wait_ready()

    def daemon_pid(self):
        for pid in process.in_namespace(self.namespace):
            words = process.arguments(pid)
            if words[1:2] == ["agent"] and f"-node={self.name}" in words:
                return pid
        return None

    def wait_ready(self):
        deadline = time.monotonic() + START_WAIT_S
        while self.serf("members").returncode != 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not answer; its log ends:\n{self.log_tail()}")
            time.sleep(0.05)

    def serf(self, *words):
        return self.run(self.binary, *words, capture_output=True, text=True)

    def query(self, *words):
        done = self.serf(*words, "-format=json")
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: serf {' '.join(words)}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)


class SerfTestbed(Testbed):
    def __init__(self, name):
        super().__init__(name, binary=shutil.which("serf"))
        self.options = []  # of every agent

    def peer(self, index):
        return SerfPeer(self.network, int(index), self.directory, self.binary,
                        options=self.options)

    def form(self, peers):
        founder, *others = peers
        for peer in others:
            done = peer.serf("join", founder.address)
            if done.returncode != 0:
                raise RuntimeError(f"{peer.name} does not join: {done.stdout}{done.stderr}")
        for peer in peers:
            self.wait_members(peer, len(peers))

    def members_alive(self, peer):
        return sum(member["status"] == "alive" for member in peer.query("members")["members"])
