"""etcd, which benchmarks compare with, on the same testbed: a member in each peer's place.

    fleet = EtcdTestbed("etcd", directory)
    fleet.up(3, bare=True)
    fleet.leader()
    fleet.peer(3).kill_daemon()
    fleet.down()
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from . import process
from .peer import START_WAIT_S, Peer
from .testbed import Testbed

CLIENTS_PORT = 2379
PEERS_PORT = 2380


class EtcdPeer(Peer):
    """One member, with all options but the addresses as they come."""

    def __init__(self, *arguments, count=0):
        super().__init__(*arguments)
        self.count = count
        self.clients_url = f"http://{self.address}:{CLIENTS_PORT}"

    def start(self, *options, wait=True):
        if not Path(f"/run/netns/{self.namespace}").exists():
            self.network.plug_in(self.index)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        own = f"http://{self.address}:{PEERS_PORT}"
        members = ",".join(f"peer-{index}=http://{self.network.address(index)}:{PEERS_PORT}"
                           for index in range(1, self.count + 1))
        with open(self.log, "a") as log:
            subprocess.Popen(
                [*self.words(self.binary), "--name", self.name, "--data-dir", self.data_dir,
                 "--listen-client-urls", self.clients_url,
                 "--advertise-client-urls", self.clients_url,
                 "--listen-peer-urls", own, "--initial-advertise-peer-urls", own,
                 "--initial-cluster", members, "--log-level", "warn", *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        if wait:
            self.wait_ready()

    def daemon_pid(self):
        for pid in process.in_namespace(self.namespace):
            words = process.arguments(pid)
            if Path((words or [""])[0]).name == "etcd" and str(self.data_dir) in words:
                return pid
        return None

    def status(self):
        """What the member says of itself, or None."""
        done = self.run("etcdctl", f"--endpoints={self.clients_url}", "endpoint", "status", "-w",
                        "json", capture_output=True, text=True)
        return json.loads(done.stdout)[0]["Status"] if done.returncode == 0 else None

    def environment(self):
        return {**os.environ, "ETCDCTL_API": "3"}

    def wait_ready(self):
        deadline = time.monotonic() + START_WAIT_S
        while not (status := self.status()) or not status.get("leader"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not answer; its log ends:\n{self.log_tail()}")
            time.sleep(0.05)

    def leads(self):
        status = self.status()
        return bool(status) and status["leader"] == status["header"]["member_id"]


class EtcdTestbed(Testbed):
    def __init__(self, name, directory=None):
        super().__init__(name, directory, binary=shutil.which("etcd"))
        self.count = 0

    def up(self, count, bare=True):
        self.count = count
        return super().up(count, bare=True)

    def peer(self, index):
        return EtcdPeer(self.network, int(index), self.directory, self.binary, count=self.count)

    def leader(self):
        deadline = time.monotonic() + START_WAIT_S
        while time.monotonic() < deadline:
            for peer in self.peers():
                if peer.daemon_pid() and peer.leads():
                    return peer
            time.sleep(0.1)
        raise RuntimeError("no member of etcd leads")
