"""Containers beside bare crun, Podman and Docker, each in turn in one run.

The same program of the same image notes the moment of its first instruction. Bare crun gets a root file
system that is unpacked already and no network; Podman and Docker are asked by their commands, as
people ask them, with their default network; the runtime by runtime_start(), and a whole peer by
500 idle replicas. Docker's daemon is the bench's own, in a network namespace and with directories of
its own. Reported are medians in milliseconds.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from idle import cpu_seconds, memory_bytes
from testbed_lib import build_release, process
from testbed_lib.network import inside, run
from testbed_lib.testbed import TOP

IMAGE = "now:1"
BIG_IMAGE = "big:1"
BIG_FILES, BIG_FILE_BYTES = 3000, 100_000  # 300 MB
NETNS = "consort-rt-bench"  # no name that the testbed "bench" takes for one of its own
FULL = {"rounds": 20, "unpacked": 3, "parallel": 100, "idle": 500, "idle_s": 30}
QUICK = {"rounds": 3, "unpacked": 1, "parallel": 10, "idle": 20, "idle_s": 5}
SERVER_WAIT_S = 60
# Podman asks for more than root may have on some machines.
ULIMITS = ("--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1024:1024")
LIMITS = {"start_of_crun": 1.5, "docker_of_start": 5, "daemon_pss_bytes": 20_000_000}


class Bench:
    def __init__(self, directory, rounds, parallel):
        self.directory, self.rounds, self.parallel = directory, rounds, parallel
        self.out = directory / "out"
        self.out.mkdir(parents=True)
        self.image_dir = directory / "image"
        self.image_dir.mkdir()
        subprocess.run(["gcc", "-O2", "-static", "-o", self.image_dir / "now",
                        TOP / "tests/bench/runtime_load/now.c"], check=True)
        self.archive = self.make_image(self.image_dir, IMAGE, "image.tar")

    def make_image(self, folder, name, file):
        path = self.directory / file
        subprocess.run([TOP / "tools/make-image", "--without-busybox", folder, path, name, "--", "/now"],
                       check=True, capture_output=True)
        return path

    def make_big_image(self):
        folder = self.directory / "big"
        folder.mkdir()
        shutil.copy(self.image_dir / "now", folder / "now")
        block = os.urandom(BIG_FILE_BYTES // 2)  # half of it can be compressed
        for index in range(BIG_FILES):
            place = folder / f"d{index // 100}"
            place.mkdir(exist_ok=True)
            (place / f"f{index}").write_bytes(block[index % 7:] + bytes(BIG_FILE_BYTES // 2))
        path = self.make_image(folder, BIG_IMAGE, "big.tar")
        shutil.rmtree(folder)
        return path

    def words(self, *words):
        return [*inside(NETNS), *map(str, words)]

    def call(self, *words):
        done = subprocess.run(self.words(*words), capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr or done.stdout}")
        return done.stdout

    def noted_ms(self, name):
        """When that container's first instruction was."""
        path = self.out / name
        deadline = time.monotonic() + SERVER_WAIT_S
        while not path.exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not begin")
            time.sleep(0.001)
        return int(path.read_text()) / 1e6

    def time_ms(self, call):
        begun = time.monotonic()
        call()
        return (time.monotonic() - begun) * 1000

    def measure(self, side):
        """A side has start(name), execute(name), stop(name), remove(name)."""
        started, executed, stopped = [], [], []
        for index in range(self.rounds):
            name = f"{side.name}-{index}"
            begun = time.monotonic() * 1000
            side.start(name)
            started.append(self.noted_ms(name) - begun)
            executed.append(self.time_ms(lambda n=name: side.execute(n)))
            stopped.append(self.time_ms(lambda n=name: side.stop(n)))
            side.remove(name)
        names = [f"{side.name}-p{index}" for index in range(self.parallel)]
        begun = time.monotonic() * 1000
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(side.start, names))
        parallel = max(map(self.noted_ms, names)) - begun
        for name in names:
            side.kill(name)
        return {"start_ms": median(started), "exec_ms": median(executed), "stop_ms": median(stopped),
                "parallel_ms": round(parallel, 1)}


def median(values):
    return round(statistics.median(values), 2)


class Crun:
    """The OCI runtime alone: what all but Docker's runc have below them."""

    name = "crun"

    def __init__(self, bench):
        self.bench = bench
        self.rootfs = bench.directory / "crun-rootfs"
        shutil.copytree(bench.image_dir, self.rootfs)
        (self.rootfs / "out").mkdir()
        self.root = bench.directory / "crun"

    def crun(self, *words):
        return self.bench.call("crun", f"--root={self.root}", *words)

    def bundle(self, name):
        bundle = self.bench.directory / "bundles" / name
        bundle.mkdir(parents=True)
        subprocess.run(["crun", "spec"], cwd=bundle, check=True)
        config = json.loads((bundle / "config.json").read_text())
        config["process"].update(terminal=False, args=["/now", f"/out/{name}"])
        config["root"] = {"path": str(self.rootfs), "readonly": False}
        config["mounts"].append({"destination": "/out", "source": str(self.bench.out), "type": "bind",
                                 "options": ["bind"]})
        config["linux"]["cgroupsPath"] = f"/{NETNS}/{name}"
        (bundle / "config.json").write_text(json.dumps(config))
        return bundle

    def prepare(self):
        for index in range(self.bench.rounds):
            self.bundle(f"crun-{index}")
        for index in range(self.bench.parallel):
            self.bundle(f"crun-p{index}")

    def start(self, name):
        bundle = self.bench.directory / "bundles" / name
        subprocess.run(self.bench.words("crun", f"--root={self.root}", "run", "--detach", "-b", bundle, name),
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=True)

    def execute(self, name):
        self.crun("exec", name, "/now")

    def stop(self, name):
        self.crun("kill", name, "TERM")
        while json.loads(self.crun("state", name))["status"] != "stopped":
            pass

    def remove(self, name):
        self.crun("delete", name)

    def kill(self, name):
        self.crun("delete", "--force", name)


class Engine:
    """Podman and Docker have the same commands."""

    def __init__(self, bench, name, *words, options=()):
        self.bench, self.name, self.prefix, self.options = bench, name, words, options

    def call(self, *words):
        return self.bench.call(*self.prefix, *words)

    def start(self, name):
        self.call("run", "--detach", "--name", name, *self.options, "--volume",
                  f"{self.bench.out}:/out", IMAGE, "/now", f"/out/{name}")

    def execute(self, name):
        self.call("exec", name, "/now")

    def stop(self, name):
        self.call("stop", name)

    def remove(self, name):
        self.call("rm", name)

    def kill(self, name):
        self.call("rm", "--force", name)

    def load_ms(self, archive, times):
        taken = []
        for _ in range(times):
            os.sync()  # or the disk is still busy with what was written before
            taken.append(self.bench.time_ms(lambda: self.call("load", "--input", archive)))
            self.call("rmi", BIG_IMAGE)
        return median(taken)


class DockerDaemon:
    def __init__(self, bench):
        self.directory = bench.directory / "docker"
        self.directory.mkdir()
        self.socket = f"unix://{self.directory}/docker.sock"
        self.engine = Engine(bench, "docker", "docker", "--host", self.socket)
        self.log = open(self.directory / "log", "w")
        self.process = subprocess.Popen(
            bench.words("dockerd", "--data-root", self.directory / "data", "--exec-root",
                        self.directory / "exec", "--host", self.socket, "--pidfile", self.directory / "pid"),
            stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + SERVER_WAIT_S
        while subprocess.run(["docker", "--host", self.socket, "version"], capture_output=True).returncode:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError(f"dockerd does not start: {(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def measure_ours(bench, load):
    words = [load, "start", bench.directory / "ours", bench.archive, IMAGE, bench.out, bench.rounds,
             bench.parallel]
    result = json.loads(bench.call(*words))
    times = {key: median(result[key]) for key in ("start_ms", "exec_ms", "stop_ms")}
    return {**times, "parallel_ms": result["parallel_ms"]}


def measure_idle(cluster, archive, count, seconds):
    """One peer that holds many containers that do nothing."""
    cluster.up(1)
    peer = cluster.peer(1)
    peer.consort("image", "import", archive)
    service = {"image": IMAGE, "command": ["/now", "/noted"], "deploy": {"replicas": count}}
    cluster.deploy({"services": {"idle": service}}, "idle", wait=False)
    cluster.wait(lambda: cluster.serving("idle_idle") == count, f"{count} idle containers", 600)
    daemon, conmons = process.of_daemon(peer), peer.conmons()
    time.sleep(seconds)
    before = {pid: cpu_seconds(pid) for pid in [*daemon, *conmons]}
    time.sleep(seconds)
    used = {pid: cpu_seconds(pid) - was for pid, was in before.items()}
    return {
        "containers": count,
        "daemon_pss_bytes": sum(memory_bytes(pid, "Pss") for pid in daemon),
        "daemon_cpu_percent": round(100 * sum(used[pid] for pid in daemon) / seconds, 3),
        "conmon_pss_bytes": round(statistics.mean(memory_bytes(pid, "Pss") for pid in conmons)),
        "conmons_cpu_percent": round(100 * sum(used[pid] for pid in conmons) / seconds, 3),
    }


def clean(directory):
    """What a bench that was stopped has left, too."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        point = line.split()[4]
        if point.startswith(f"{directory}/"):
            run("umount", "--lazy", point, check=False)
    shutil.rmtree(directory, ignore_errors=True)
    run("ip", "netns", "delete", NETNS, check=False)
    for root in Path("/sys/fs/cgroup").glob(f"*/{NETNS}"):
        if root.is_dir():
            root.rmdir()


def install():
    lacking = [package for package, program in (("podman", "podman"), ("docker.io", "dockerd"))
               if not shutil.which(program)]
    if lacking:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *lacking], check=True,
                       stdout=sys.stderr, env=environment)


def unpack_ours_ms(bench, load, archive, times):
    taken = []
    for _ in range(times):
        store = bench.directory / "unpacked"
        os.sync()
        taken.append(json.loads(bench.call(load, "unpack", store, archive, BIG_IMAGE))["unpack_ms"])
        shutil.rmtree(store)
    return median(taken)


def measure_sides(bench, load, unpacked):
    big = bench.make_big_image()
    ours = measure_ours(bench, load)
    ours["unpack_ms"] = unpack_ours_ms(bench, load, big, unpacked)
    crun = Crun(bench)
    crun.prepare()
    sides = {"consort": ours, "crun": bench.measure(crun)}
    store = bench.directory / "podman"
    podman = Engine(bench, "podman", "podman", "--root", store / "root", "--runroot", store / "run",
                    "--cgroup-manager", "cgroupfs", options=ULIMITS)
    docker = DockerDaemon(bench)
    try:
        for engine in (podman, docker.engine):
            engine.call("load", "--input", bench.archive)
            sides[engine.name] = bench.measure(engine)
            sides[engine.name]["unpack_ms"] = engine.load_ms(big, unpacked)
    finally:
        docker.end()
    return sides


def measure(cluster, quick=False):
    scale = QUICK if quick else FULL
    install()
    load = build_release("tests/bench/runtime-load")
    directory = Path("/var/tmp/consort-rt-bench")
    clean(directory)
    run("ip", "netns", "add", NETNS)
    run(*inside(NETNS), "ip", "link", "set", "lo", "up")
    try:
        cluster._mount_hugetlb_if_needed()
        bench = Bench(directory, scale["rounds"], scale["parallel"])
        sides = measure_sides(bench, load, scale["unpacked"])
        idle = measure_idle(cluster, bench.archive, scale["idle"], scale["idle_s"])
    finally:
        cluster.down()
        clean(directory)
    ours = sides["consort"]
    ratios = {
        "start_of_crun": round(ours["start_ms"] / sides["crun"]["start_ms"], 2),
        "docker_of_start": round(sides["docker"]["start_ms"] / ours["start_ms"], 2),
        "podman_of_start": round(sides["podman"]["start_ms"] / ours["start_ms"], 2),
        "unpack_of_docker": round(ours["unpack_ms"] / sides["docker"]["unpack_ms"], 2),
    }
    met = {
        "start": ratios["start_of_crun"] < LIMITS["start_of_crun"],
        "docker": ratios["docker_of_start"] > LIMITS["docker_of_start"],
        "memory": idle["daemon_pss_bytes"] < LIMITS["daemon_pss_bytes"],
        "unpack": ratios["unpack_of_docker"] < 1,
    }
    return {"sides": sides, "idle": idle, "ratios": ratios, "goals_met": met, "scale": scale}
