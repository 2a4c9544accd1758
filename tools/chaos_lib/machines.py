"""Peers whose disk, wall clock and power can be broken; and who starts their daemons again, as systemd
would."""

import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import threading
import time
from pathlib import Path

from testbed_lib import process
from testbed_lib.api import ApiError, Connection
from testbed_lib.network import run
from testbed_lib.peer import Peer
from testbed_lib.testbed import Testbed

DISK_BYTES = 48 << 20
RESTART_S = 0.5      # after a daemon has ended
LOOK_S = 0.1
EXCUSED_S = 20.0     # after a fault of its disk, a daemon may end because of it
CONTROL = "<qIII"    # struct control of tests/chaos/preload.c
RECORD = "<QQQ"      # struct record there
SECTOR_BYTES = 512


class Machine(Peer):
    """A peer on a small disk of its own, under the preload."""

    def __init__(self, network, index, directory, binary):
        super().__init__(network, index, directory, binary)
        self.preload = binary.parent.parent / "tests/chaos/chaos_preload.so"
        self.control = self.directory / "control"
        self.journal = self.directory / "journal"
        self.popen = None
        self.options = ()        # of the daemon, as it was first started
        self.shall_run = False   # as the faults want it; the keeper sees to it
        self.was_killed = False  # on purpose
        self.is_frozen = False
        self.excused_until = 0.0
        self.ended_at = 0.0
        self._map = None
        self.lock = threading.RLock()  # of its life: the faults' thread and the keeper's

    # Its life.

    def start(self, *options, wait=True):
        with self.lock:
            if not self._map:
                self._make()
            self.was_killed = self.is_frozen = False
            self.options = options or self.options
            self.popen = super().start(*self.options, wait=wait)
            self.shall_run = True

    def daemon_words(self):
        store = self.data_dir / "store.mdb"
        return ["env", f"LD_PRELOAD={self.preload}", f"CHAOS_CONTROL={self.control}",
                f"CHAOS_STORE={store}", f"CHAOS_JOURNAL={self.journal}",
                "ASAN_OPTIONS=verify_asan_link_order=0:handle_segv=1", self.binary]

    def _make(self):
        if not self.preload.exists():  # the loader would pass it over, and no disk or clock would fail
            raise FileNotFoundError(f"{self.preload} is not there: build its target as well")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "consort-chaos", self.data_dir)
        self.control.write_bytes(bytes(struct.calcsize(CONTROL)))
        with open(self.control, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def runs(self):
        return self.popen is not None and self.popen.poll() is None

    def end_daemon(self):
        """SIGKILL, and it stays down until start()."""
        with self.lock:
            self.shall_run, self.was_killed = False, True
            if self.runs():
                self.popen.kill()
                self.popen.wait()

    def signal(self, number):
        if self.runs():
            os.kill(self.popen.pid, number)
            self.is_frozen = number == signal.SIGSTOP

    # Its disk and its clock.

    def _set(self, offset, form, value):
        struct.pack_into(form, self._map, offset, value)

    def set_clock(self, offset_ms):
        self._set(0, "<q", offset_ms)

    def fail_disk(self, errno, permille):
        """Writes and syncs of the store fail with that error, so often; 0: none does."""
        self.excused_until = time.monotonic() + EXCUSED_S
        self._set(12, "<I", permille)
        self._set(8, "<I", errno)

    def failed_writes(self):
        return struct.unpack_from(CONTROL, self._map)[3] if self._map else 0

    def fill_disk(self):
        self.excused_until = time.monotonic() + EXCUSED_S
        try:
            with open(self.data_dir / "ballast", "ab", buffering=0) as file:
                while file.write(bytes(1 << 16)):
                    pass
        except OSError:
            pass  # it is full

    def empty_disk(self):
        self.excused_until = time.monotonic() + EXCUSED_S
        (self.data_dir / "ballast").unlink(missing_ok=True)

    def cut_power(self, torn, dice):
        """Network and daemon are gone, and of what was not synced what `torn` says."""
        self.network.unplug(self.index)
        self.end_daemon()
        process.kill_all(lambda: process.in_namespace(self.namespace))
        self.network.remove(self.index)
        self._take_back(torn, random.Random(dice))
        process.remove_directory(self.run_dir)
        self.socket.unlink(missing_ok=True)

    def _take_back(self, torn, dice):
        data = self.journal.read_bytes() if self.journal.exists() else b""
        records, at, head = [], 0, struct.calcsize(RECORD)
        while at + head <= len(data):
            offset, size, file_size = struct.unpack_from(RECORD, data, at)
            records.append((offset, data[at + head:at + head + size], file_size))
            at += head + size
        store = self.data_dir / "store.mdb"
        if torn == "nothing" or not store.exists():
            records = []
        with open(store, "r+b") if records else open(os.devnull, "wb") as file:
            for offset, old, file_size in reversed(records):
                if torn == "writes" and dice.random() < 0.5:
                    continue
                for start in range(0, len(old), SECTOR_BYTES):
                    if torn == "sectors" and dice.random() < 0.5:
                        continue
                    file.seek(offset + start)
                    file.write(old[start:start + SECTOR_BYTES])
                if torn == "all":
                    file.truncate(file_size)
        self.journal.write_bytes(b"")


class Machines(Testbed):
    """All of them, on one switch."""

    def __init__(self, name, directory=None, binary=None):
        super().__init__(name, directory, binary)
        self._machines = {}
        self._stop = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self.problems = []  # daemons that ended for no reason
        self.restarts = 0

    def peer(self, index):
        index = int(index)
        if index not in self._machines:
            self._machines[index] = Machine(self.network, index, self.directory, self.binary)
        return self._machines[index]

    def keep(self):
        """From now on, daemons that end are started again."""
        self._keeper.start()

    def stop_keeping(self):
        self._stop.set()
        if self._keeper.is_alive():
            self._keeper.join()

    def down(self):
        self.stop_keeping()
        for machine in self._machines.values():
            machine.shall_run = False
            machine.signal(signal.SIGCONT)
        super().down()

    def _keep(self):
        while not self._stop.wait(LOOK_S):
            for machine in list(self._machines.values()):
                try:
                    with machine.lock:
                        self._look_after(machine)
                except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                    self.problems.append(f"{machine.name} can't be started: {error}")

    def _look_after(self, machine):
        now = time.monotonic()
        if not machine.shall_run or machine.runs():
            machine.ended_at = 0.0
            return
        if not machine.ended_at:
            machine.ended_at = now
            code = machine.popen.returncode
            if not machine.was_killed and (code != 1 or now > machine.excused_until):
                self.problems.append(f"{machine.name}'s daemon ended by itself with {code}")
        if now - machine.ended_at < RESTART_S:
            return
        if os.path.exists(f"/run/netns/{machine.namespace}"):
            machine.ended_at = 0.0
            machine.start(wait=False)
            self.restarts += 1

    def leader(self):
        """The number of the peer that leads, as far as anybody says at once; or None."""
        for machine in self._machines.values():
            if not machine.runs() or machine.is_frozen:
                continue
            try:
                with Connection(machine.socket, 0.5) as connection:
                    name = connection.call("status").get("leader")
            except (OSError, ApiError, ValueError):
                continue
            if name:
                return int(name.rpartition("-")[2])
        return None

    def keep_logs(self, directory):
        directory.mkdir(parents=True, exist_ok=True)
        for machine in self._machines.values():
            if machine.log.exists():
                shutil.copy(machine.log, directory / f"{machine.name}.log")


def linear_history(binary):
    return Path(binary).parent.parent / "tests/linear/linear_history"
