#!/usr/bin/env python3
"""If this fails, tools/chaos breaks other things than it says, or does not see what is wrong.

usage: test_chaos.py PRELOAD TOP
"""

import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

PRELOAD, TOP = sys.argv[1], Path(sys.argv[2])
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOP / "tools"))

from chaos_lib import schedule, verdict  # noqa: E402
from chaos_lib.clients import History  # noqa: E402
from chaos_lib.machines import CONTROL, Machine  # noqa: E402
from testbed_lib import api  # noqa: E402

FAILURES = []


def check(holds, words):
    if not holds:
        FAILURES.append(words)


def check_schedule():
    first, again, other = (schedule.draw(seed, 300, 5) for seed in (7, 7, 8))
    check(list(map(str, first)) == list(map(str, again)), "one seed has two schedules")
    check(list(map(str, first)) != list(map(str, other)), "two seeds have one schedule")
    check({fault.kind for fault in first} == set(schedule.WEIGHTS), "a kind of fault never comes")
    check(all(fault.start_s + fault.lasts_s <= 300 for fault in first), "a fault outlasts the run")


def check_packing():
    values = [None, True, False, 0, 127, 128, 1 << 40, -1, -1000, "", "text", b"\0\xff", [1, [2]],
              {"a": {"b": [None]}}, "x" * 70000]
    for value in values:
        check(api.Unpacker(api.pack(value)).value() == value, f"{value!r:.40} is packed wrong")
    short = bytes.fromhex("83a16101a16292c3c0a163c403000102")  # as a peer packs it
    check(api.Unpacker(short).value() == {"a": 1, "b": [True, None], "c": b"\0\1\2"}, "unpacked wrong")
    try:
        api.Unpacker(b"\xc6\xff\xff\xff\xff").value()
        check(False, "a value that is cut short is taken")
    except ValueError:
        pass


def check_verdict():
    def problems(content, *words):
        history = History()
        for word in words:
            history.append("log", word, "ok")
        history.append("log", "9.9", "unknown")
        verdict.check_logs({"log": content}, history)
        return "; ".join(history.problems)
    check(problems({b"0 1.1 2.1"}, "1.1", "2.1") == "", "a whole log is called wrong")
    check(problems({b"0 1.1 9.9"}, "1.1") == "", "what may have been done is called wrong")
    check("lacks" in problems({b"0 2.1"}, "1.1", "2.1"), "a lost word is not seen")
    check("lacks" in problems(set(), "1.1"), "a lost log is not seen")
    check("twice" in problems({b"0 1.1 1.1"}, "1.1"), "a word that is there twice is not seen")
    check("every peer" in problems({b"0 1.1", b"0 1.1 2.1"}, "1.1"), "peers that differ are not seen")


WRITER = """
import json, os, sys, time
store = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
other = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
said = {"wall": time.time(), "monotonic": time.monotonic(), "preload": os.environ.get("LD_PRELOAD")}
try:
    os.pwrite(store, b"a" * 4096, 0)
    os.fsync(store)
    os.pwrite(store, b"b" * 1024, 512)
    os.pwrite(store, b"c" * 4096, 4096)
    os.pwrite(store, b"d" * 100, 600)
except OSError as error:
    said["errno"] = error.errno
os.pwrite(other, b"o", 0)
print(json.dumps(said))
"""


def write_under_preload(directory, control):
    """A process that writes, syncs, writes, and ends as if the power had failed."""
    (directory / "control").write_bytes(struct.pack(CONTROL, *control))
    done = subprocess.run(
        [sys.executable, "-c", WRITER, directory / "data/store.mdb", directory / "other"],
        env={**os.environ, "LD_PRELOAD": PRELOAD, "CHAOS_CONTROL": str(directory / "control"),
             "CHAOS_STORE": str(directory / "data/store.mdb"),
             "CHAOS_JOURNAL": str(directory / "journal")},
        stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def machine_in(directory):
    (directory / "1/data").mkdir(parents=True)
    network = SimpleNamespace(address=str, namespace=str)
    return Machine(network, 1, directory, Path("/nowhere/node/consort"))


def check_preload():
    synced = b"a" * 4096
    written = b"a" * 512 + b"b" * 88 + b"d" * 100 + b"b" * 836 + b"a" * 2560 + b"c" * 4096
    for torn, expected in (("nothing", {written}), ("all", {synced})):
        with tempfile.TemporaryDirectory() as directory:
            machine = machine_in(Path(directory))
            said = write_under_preload(machine.directory, (0, 0, 0, 0))
            check(said["preload"] is None, "what a daemon starts runs under the preload")
            check((machine.data_dir / "store.mdb").read_bytes() == written, "a write went wrong")
            machine._take_back(torn, random.Random(1))
            check((machine.data_dir / "store.mdb").read_bytes() in expected, f"took back wrongly: {torn}")
            check(machine.journal.read_bytes() == b"", "the journal is not begun anew")
    for torn in ("writes", "sectors"):
        seen = set()
        for seed in range(20):
            with tempfile.TemporaryDirectory() as directory:
                machine = machine_in(Path(directory))
                store = machine.data_dir / "store.mdb"
                if seed == 0:
                    write_under_preload(machine.directory, (0, 0, 0, 0))
                    journal = machine.journal.read_bytes()
                machine.journal.write_bytes(journal)
                store.write_bytes(written)
                machine._take_back(torn, random.Random(seed))
                content = store.read_bytes()
                check(content[:512] == synced[:512] and content[1536:4096] == synced[1536:],
                      f"what was synced is gone: {torn}")
                seen.add(content)
        check(len(seen) > 1, f"a torn disk is always the same: {torn}")
    with tempfile.TemporaryDirectory() as directory:
        machine = machine_in(Path(directory))
        before = time.time(), time.monotonic()
        said = write_under_preload(machine.directory, (3600 * 1000 + 999, 5, 1000, 0))
        check(3600 < said["wall"] - before[0] < 4000, "the wall clock does not jump")
        check(0 <= said["monotonic"] - before[1] < 400, "the monotonic clock jumps")
        check(said.get("errno") == 5, "a write does not fail")
        check((machine.directory / "other").read_bytes() == b"o", "another file's write fails")


check_schedule()
check_packing()
check_verdict()
check_preload()
print("\n".join(FAILURES))
sys.exit(1 if FAILURES else 0)
