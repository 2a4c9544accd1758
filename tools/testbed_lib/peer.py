"""One peer of a testbed: how it is started, spoken to, and broken."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from . import process
from .network import inside

PORT = 7300
START_WAIT_S = 20
COMMAND_WAIT_S = 120
LOG_TAIL_LINES = 40
NO_LEAK_CHECK = {"ASAN_OPTIONS": "detect_leaks=0"}  # of a build with sanitizers
leak_checked = set()  # the words of queries that were


class CommandFailed(Exception):
    """A command ended otherwise than expected; the text holds all that it printed."""

    def __init__(self, words, done):
        self.code, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        super().__init__(f"`{' '.join(words)}` exited with {done.returncode}\n"
                         f"{done.stdout}{done.stderr}".rstrip())


class Peer:
    def __init__(self, network, index, directory, binary):
        self.network = network
        self.index = index
        self.binary = binary
        self.name = f"peer-{index}"
        self.address = network.address(index)
        self.namespace = network.namespace(index)
        self.directory = Path(directory) / str(index)
        self.data_dir = self.directory / "data"
        self.run_dir = self.directory / "run"
        self.socket = self.directory / "consort.sock"
        self.log = self.directory / "node.log"

    def __repr__(self):
        return self.name

    # Its life.

    def daemon_words(self):
        """The words before `node`."""
        return [self.binary]

    def start(self, *options, wait=True):
        """Starts the daemon, and before it the machine, if that was killed; returns its Popen.
        Containers that still run are the daemon's to find again."""
        if not self.binary:
            raise RuntimeError("there is no consort binary: build one (meson setup build && ninja -C "
                               "build), or set CONSORT_BINARY")
        if not Path(f"/run/netns/{self.namespace}").exists():
            self.network.plug_in(self.index)
        for directory in (self.data_dir, self.run_dir):
            directory.mkdir(parents=True, exist_ok=True)
        endpoint = f"{self.address}:{PORT}"
        with open(self.log, "a") as log:
            daemon = subprocess.Popen(
                [*self.words(*self.daemon_words()), "node", "--data-dir", self.data_dir,
                 "--run-dir", self.run_dir, "--socket", self.socket, "--listen", endpoint,
                 "--advertise", endpoint, "--name", self.name, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        if wait:
            self.wait_ready()
        return daemon

    def wait_ready(self):
        """Returns once the daemon answers on its socket."""
        deadline = time.monotonic() + START_WAIT_S
        while self.try_consort("status").returncode != 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} does not answer; its log ends:\n{self.log_tail()}")
            time.sleep(0.05)

    def daemon_pid(self):
        """The daemon's process, or None."""
        for pid in process.in_namespace(self.namespace):
            words = process.arguments(pid)
            if words[1:2] == ["node"] and str(self.data_dir) in words:
                return pid
        return None

    def kill_daemon(self, signal_number=signal.SIGKILL):
        """Ends the daemon alone; conmons and containers run on."""
        self._signal(signal_number)
        deadline = time.monotonic() + process.KILL_WAIT_S
        while self.daemon_pid():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: the daemon does not end on signal {signal_number}")
            time.sleep(0.02)

    def freeze(self):
        self._signal(signal.SIGSTOP)

    def thaw(self):
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        pid = self.daemon_pid()
        if not pid:
            raise RuntimeError(f"{self.name}: no daemon runs")
        os.kill(pid, number)

    def kill(self):
        """Dies as a machine dies: network, daemon and containers are gone at once, and of its files
        only the disk (the data directory) is left."""
        self.network.unplug(self.index)
        cgroups = process.cgroups_of(self.processes()) | process.cgroups_at(self._cgroup_paths())
        process.kill_all(self.processes)
        self.network.remove(self.index)
        process.unmount_below(self.directory)
        process.remove_cgroups(cgroups)
        process.remove_directory(self.run_dir)
        self.socket.unlink(missing_ok=True)

    def _cgroup_paths(self):
        """Where its containers' cgroups are, by its log: the top one stays when no process is in it."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return {f"/consort-{start}" for start in re.findall(r" at generation \d+, id=([0-9a-f]{12})", text)}

    def remove(self):
        self.kill()
        process.remove_directory(self.directory)

    # What it has.

    def processes(self):
        return process.of_peer(self.namespace, self.directory)

    def conmons(self):
        return [pid for pid in self.processes() if Path((process.arguments(pid) or [""])[0]).name == "conmon"]

    def mounts(self):
        return process.mounts_below(self.directory)

    def log_tail(self, lines=LOG_TAIL_LINES):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    # Speaking to it.

    def environment(self):
        """With CONSORT_SOCKET, and `consort` in the PATH."""
        path = f"{Path(self.binary or '.').parent}:{os.environ['PATH']}"
        return {**os.environ, "CONSORT_SOCKET": str(self.socket), "PATH": path}

    def words(self, *command):
        """The words of that command, run on this peer's machine."""
        return [*inside(self.namespace), *map(str, command)]

    def run(self, *command, variables=None, **options):
        """Runs any command on this peer's machine: a CompletedProcess."""
        return subprocess.run(self.words(*command), env={**self.environment(), **(variables or {})}, **options)

    def try_consort(self, *words, input=None, timeout=COMMAND_WAIT_S, variables=None):
        """Runs `consort WORDS…` against this peer: a CompletedProcess, however it went."""
        return self.run(self.binary, "--socket", self.socket, *words, variables=variables,
                        capture_output=True, text=True, input=input, timeout=timeout)

    def consort(self, *words, input=None, timeout=COMMAND_WAIT_S, variables=None):
        """Runs `consort WORDS…` against this peer and returns what it printed."""
        done = self.try_consort(*words, input=input, timeout=timeout, variables=variables)
        if done.returncode != 0:
            raise CommandFailed([self.name + ":", "consort", *map(str, words)], done)
        return done.stdout

    def query(self, *words, timeout=COMMAND_WAIT_S):
        """As consort(), with --format json, decoded. What is asked again and again is looked at for
        leaks but once: that takes as long as all else."""
        variables = NO_LEAK_CHECK if words in leak_checked else None
        text = self.consort(*words, "--format", "json", timeout=timeout, variables=variables)
        leak_checked.add(words)
        return json.loads(text)
