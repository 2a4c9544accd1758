"""What on this machine belongs to one peer: its processes, mounts and cgroups.

A peer's daemon and conmons run in its network namespace. Its containers have namespaces of their
own; they are known by descent from those, and by the root file system that they stand on, which
lies below the peer's directory. Nothing is found by a program's name alone.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

KILL_WAIT_S = 10
UNMOUNTS_AT_ONCE = 16
CGROUP_PATIENCE_S = 5
CGROUP_ROOT = Path("/sys/fs/cgroup")

# The top cgroup of one peer: "consort-" and the start of its id.
CONSORT_CGROUP = re.compile(r"(/consort-[0-9a-f]{12})(/|$)")

# Programs that work for a peer outside its network namespace's processes.
HELPERS = {"consort", "conmon", "crun", "runc"}


def _pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _read(path):
    """A file of /proc as text; empty when the process has gone."""
    try:
        return Path(path).read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _network_of(path):
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino)


def _parent(pid):
    """0 for a process that has ended and only waits to be reaped."""
    state, parent = (_read(f"/proc/{pid}/stat").rpartition(")")[2].split() + ["Z", "0"])[:2]
    return 0 if state == "Z" else int(parent)


def _root_mount(pid):
    """The line of mountinfo that says what the process's root directory is."""
    for line in _read(f"/proc/{pid}/mountinfo").splitlines():
        if line.split()[4] == "/":
            return line
    return ""


def arguments(pid):
    return _read(f"/proc/{pid}/cmdline").split("\0")[:-1]


def in_namespace(namespace):
    """The processes in that network namespace."""
    wanted = _network_of(f"/run/netns/{namespace}")
    return [pid for pid in _pids() if wanted and _network_of(f"/proc/{pid}/ns/net") == wanted]


def mesh_processes(namespace):
    """Those that pass connections on: one, or more after an upgrade."""
    return {pid for pid in in_namespace(namespace) if arguments(pid)[1:2] == ["mesh-process"]}


def of_daemon(peer):
    """The processes that a peer of any kind consists of, without its containers: the daemon, and the
    mesh process that outlives it."""
    return [peer.daemon_pid(), *mesh_processes(peer.namespace)]


def _mounts_of(pid):
    """Which mount namespace the process is in; None when it has gone."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except OSError:
        return None


def _stands_below(pid, directory):
    """True if the process's root file system, or what it was told to run, is below the directory."""
    words = arguments(pid)
    if words and Path(words[0]).name in HELPERS and f"{directory}/" in " ".join(words):
        return True
    # A list of mounts is long when there are hundreds of containers: not read without need.
    return _mounts_of(pid) not in (None, _mounts_of("self")) and f"{directory}/" in _root_mount(pid)


def _in_cgroups_of(pids):
    return {int(pid) for cgroup in cgroups_of(pids) for file in cgroup.rglob("cgroup.procs")
            for pid in _read(file).split()}


def of_peer(namespace, directory):
    """Every process of the peer: daemon, conmons, what runs in containers, and their helpers."""
    parents = {pid: _parent(pid) for pid in _pids()}
    found = set(in_namespace(namespace))
    found |= _in_cgroups_of(found)
    found |= {pid for pid in parents.keys() - found if _stands_below(pid, directory)}
    found |= _in_cgroups_of(found)
    while children := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= children
    return found - {os.getpid()}


def _consort_cgroups(pid):
    lines = (line.split(":", 2)[2] for line in _read(f"/proc/{pid}/cgroup").splitlines())
    return {match.group(1) for match in map(CONSORT_CGROUP.match, lines) if match}


def cgroups_of(pids):
    """The directories of the cgroups that peers make for their containers, of those processes."""
    return cgroups_at(set().union(*map(_consort_cgroups, pids)) - _consort_cgroups(os.getpid()))


def cgroups_at(paths):
    """The directories of the cgroups at those paths, in all hierarchies that have them."""
    roots = [CGROUP_ROOT, *CGROUP_ROOT.iterdir()]
    return {root / path[1:] for path in paths for root in roots if (root / path[1:]).is_dir()}


def kill_all(find):
    """SIGKILLs what `find()` returns until it returns nothing: a process may have just forked."""
    deadline = time.monotonic() + KILL_WAIT_S
    while pids := find():
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes {sorted(pids)} do not end on SIGKILL")
        time.sleep(0.02)


def mounts_below(directory):
    """Mount points at or below the directory, the latest first, as they have to be unmounted."""
    points = [line.split()[4].replace("\\040", " ")
              for line in _read("/proc/self/mountinfo").splitlines()]
    below = [point for point in points if point == str(directory) or point.startswith(f"{directory}/")]
    return below[::-1]


def unmount_below(directory):
    """Side by side: each waits for all processors to have let go of the mount."""
    def unmount(point):
        subprocess.run(["umount", "--lazy", point], stderr=subprocess.DEVNULL)
    with ThreadPoolExecutor(max_workers=UNMOUNTS_AT_ONCE) as pool:
        list(pool.map(unmount, mounts_below(directory)))


def _remove_tree_of_cgroups(top):
    for path in sorted([top, *top.rglob("*")], key=lambda p: len(p.parts), reverse=True):
        try:
            if path.is_dir():
                path.rmdir()
        except OSError:
            pass
    return not top.exists()


def remove_cgroups(directories):
    """Removes those cgroups with all below them. Who was killed leaves them only once it is reaped, and crun
    removes some at the same time: so again for a while; in vain while a process stays inside."""
    left = [top for top in directories if not _remove_tree_of_cgroups(top)]
    until = time.monotonic() + CGROUP_PATIENCE_S
    while left and time.monotonic() < until:
        time.sleep(0.02)
        left = [top for top in left if not _remove_tree_of_cgroups(top)]
    # What is left then, `leaks` names.


def remove_directory(directory):
    unmount_below(directory)
    shutil.rmtree(directory, ignore_errors=True)


def empty_cgroups():
    """Top cgroups of peers, on the whole machine, in which no process is left."""
    tops = [path for root in [CGROUP_ROOT, *CGROUP_ROOT.iterdir()] if root.is_dir()
            for path in root.glob("consort-*") if CONSORT_CGROUP.match(f"/{path.name}")]
    return [top for top in tops if not any(_read(file).strip() for file in top.rglob("cgroup.procs"))]
