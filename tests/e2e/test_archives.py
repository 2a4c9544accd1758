"""Archives as other tools write them, and what `image save` writes read by those tools."""

import json
import os
import shutil
import subprocess
import tarfile
from contextlib import contextmanager

from scenario import Skip, scenario
from testbed_lib.cluster import TOP

TOOLS = ("skopeo", "umoci", "buildah")


def need(*tools):
    if missing := [tool for tool in tools if not shutil.which(tool)]:
        raise Skip(f"not installed: {' '.join(missing)} (apt install {' '.join(missing)})")


class Workshop:
    """Makes images with other people's tools. Each has /etc/marker, which says its name, above a layer
    that has /etc/gone and /etc/old/file, which are removed again."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir(parents=True)
        self.base = directory / "base.oci"
        root = directory / "root"
        (root / "etc/old").mkdir(parents=True)
        for name in ("etc/gone", "etc/old/file", "etc/kept"):
            (root / name).write_text(f"{name}\n")
        subprocess.run([TOP / "tools/make-image", "--format", "oci", root, self.base, "base:1", "--", "/bin/sh"],
                       check=True, capture_output=True)
        self.layout = directory / "layout"
        self.skopeo(f"oci-archive:{self.base}", f"oci:{self.layout}:base")

    def path(self, name):
        path = self.directory / name
        assert not path.exists(), path
        return path

    def run(self, *words):
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=self.directory)
        assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stderr}"
        return done.stdout

    def skopeo(self, source, target, *options):
        self.run("skopeo", "--insecure-policy", "copy", *options, source, target)

    def change(self, root, marker):
        (root / "etc/marker").write_text(f"{marker}\n")
        (root / "etc/gone").unlink()
        shutil.rmtree(root / "etc/old")

    def umoci(self, marker):
        """The image with a layer more, made by umoci, in the layout under that name."""
        bundle = self.path(f"bundle-{marker}")
        self.run("umoci", "unpack", "--image", f"{self.layout}:base", bundle)
        self.change(bundle / "rootfs", marker)
        self.run("umoci", "repack", "--image", f"{self.layout}:{marker}", bundle)
        self.run("umoci", "config", "--image", f"{self.layout}:{marker}", "--config.env", f"MARKER={marker}")

    def buildah(self, *words):
        return self.run("buildah", "--root", self.directory / "storage", "--runroot", self.directory / "run",
                        "--storage-driver", "vfs", *words).strip()

    def buildah_image(self, marker, *options):
        container = self.buildah("from", "--pull-never", f"oci-archive:{self.base}")
        mount = self.buildah("mount", container)
        self.change(self.directory / mount.lstrip("/") if not mount.startswith("/") else type(self.directory)(mount),
                    marker)
        self.buildah("config", "--env", f"MARKER={marker}", container)
        self.buildah("commit", "--quiet", *options, container, f"localhost/{marker}:1")
        self.buildah("rm", container)
        return f"localhost/{marker}:1"

    def tar_of(self, layout, name):
        """A layout as people pack it: with a folder's own entry, and "./" before the names."""
        path = self.path(name)
        self.run("tar", "-C", layout, "-cf", path, ".")
        return path


def make_umoci(workshop):
    """Archives by umoci and, from what it made, by skopeo."""
    workshop.umoci("umoci")
    source = f"oci:{workshop.layout}:umoci"
    found = {"layout": workshop.path("one-layout")}
    workshop.skopeo(source, f"oci:{found['layout']}:umoci")
    found["layout-tar"] = workshop.tar_of(found["layout"], "layout.tar")
    for kind in ("oci-archive", "docker-archive"):
        found[kind] = workshop.path(f"{kind}.tar")
        workshop.skopeo(source, f"{kind}:{found[kind]}:umoci:1")
    plain = workshop.path("plain")
    workshop.skopeo(source, f"dir:{plain}", "--dest-decompress")
    found["zstd"] = workshop.path("zstd.tar")
    workshop.skopeo(f"dir:{plain}", f"oci-archive:{found['zstd']}:umoci:1", "--dest-compress-format", "zstd")
    found["plain"] = workshop.path("plain.tar")
    workshop.skopeo(f"dir:{plain}", f"oci-archive:{found['plain']}:umoci:1", "--dest-oci-accept-uncompressed-layers")
    return found


def make_buildah(workshop):
    found = {}
    image = workshop.buildah_image("buildah")
    docker = workshop.buildah_image("buildah-docker", "--format", "docker")
    for name, source, kind in (("buildah-oci", image, "oci-archive"), ("buildah-save", docker, "docker-archive")):
        found[name] = workshop.path(f"{name}.tar")
        workshop.buildah("push", "--quiet", source, f"{kind}:{found[name]}:{source}")
    # One image for several platforms: the host's is the first, and one that can't run here.
    workshop.buildah("manifest", "create", "many")
    workshop.buildah("manifest", "add", "many", f"containers-storage:{image}")
    other = workshop.buildah_image("other", "--format", "oci")
    workshop.buildah("manifest", "add", "--arch", "s390x", "many", f"containers-storage:{other}")
    layout = workshop.path("many-layout")
    workshop.buildah("manifest", "push", "--quiet", "--all", "many", f"oci:{layout}:many")
    found["many"] = workshop.tar_of(layout, "many.tar")
    return found


def contents(archive):
    """(digest of the configuration, diff ids) of the one image in an archive or layout, by skopeo."""
    kind = "oci" if archive.is_dir() else "oci-archive"
    words = ["skopeo", "inspect", "--config", "--raw", f"{kind}:{archive}"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["rootfs"]["diff_ids"]


@scenario(peers=1)
def test_others_archives(cluster):
    """What skopeo, umoci and buildah write is imported and runs, with what was removed gone; and what is
    saved is read by skopeo with the same layers."""
    need(*TOOLS)
    peer = cluster.peer(1)
    workshop = Workshop(cluster.directory / "workshop")
    archives = {**make_umoci(workshop), **make_buildah(workshop)}
    services = {}
    for name, archive in archives.items():
        peer.consort("image", "import", archive, f"tried/{name}:1")
        services[name] = {"image": f"tried/{name}:1", "command": [
            "sh", "-c", "cat /etc/marker; test ! -e /etc/gone -a ! -e /etc/old -a -e /etc/kept && echo right; "
                        "echo $$MARKER; exec sleep 1000"]}
    cluster.deploy({"services": services}, stack="tried")
    for name in archives:
        marker = "umoci" if not name.startswith(("buildah", "many")) else "buildah"
        marker = "buildah-docker" if name == "buildah-save" else marker
        cluster.wait(lambda: peer.consort("logs", f"tried_{name}").split().count("right"), f"{name} says something")
        said = [line.rpartition(" ")[2] for line in peer.consort("logs", f"tried_{name}").splitlines()]
        assert said == [marker, "right", marker], (name, said)
    for name in ("zstd", "many", "buildah-save"):
        saved = cluster.directory / f"{name}-saved.tar"
        peer.consort("image", "save", f"tried/{name}:1", saved)
        layers = contents(saved)
        loaded = workshop.path(f"{name}-loaded")
        workshop.skopeo(f"oci-archive:{saved}", f"oci:{loaded}:x")
        assert contents(loaded) == layers
        again = workshop.path(f"{name}-docker.tar")
        workshop.skopeo(f"docker-archive:{saved}", f"docker-archive:{again}:x:1")
        with tarfile.open(again) as tar:
            assert json.load(tar.extractfile("manifest.json"))[0]["Layers"]


@contextmanager
def docker(cluster):
    """Calls Docker's client on a daemon of its own, which touches nothing of the machine's."""
    directory = cluster.directory / "docker"
    directory.mkdir(parents=True)
    host = f"unix://{directory}/sock"
    with open(directory / "log", "w") as log:
        daemon = subprocess.Popen(["dockerd", "--data-root", directory / "data", "--exec-root", directory / "exec",
                                   "--host", host, "--bridge=none", "--iptables=false", "--ip6tables=false",
                                   "--storage-driver", "vfs", "--pidfile", directory / "pid"],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def call(*words):
        return subprocess.run(["docker", *map(str, words)], capture_output=True, text=True,
                              env={**os.environ, "DOCKER_HOST": host})
    try:
        cluster.wait(lambda: call("version").returncode == 0, "Docker's daemon answers")
        yield call
    finally:
        daemon.terminate()
        daemon.wait()


@scenario(peers=1)
def test_docker_archives(cluster):
    """`docker load` takes what is saved here, and `docker save` writes what is taken in here."""
    need("dockerd", "docker", "containerd")
    peer = cluster.peer(1)
    ours, theirs = cluster.directory / "ours.tar", cluster.directory / "theirs.tar"
    peer.consort("image", "save", "hello:1", ours)
    with docker(cluster) as call:
        loaded = call("load", "-i", ours)
        assert "hello:1" in loaded.stdout, loaded
        assert call("tag", "hello:1", "theirs:1").returncode == 0
        saved = call("save", "-o", theirs, "theirs:1", "hello:1")
        assert saved.returncode == 0, saved.stderr
    taken = peer.consort("image", "import", theirs)
    assert "theirs:1" in taken and "hello:1" in taken, taken
    cluster.deploy({"services": {"web": {"image": "theirs:1", "command": ["echo", "it runs"]}}}, wait=False)
    cluster.wait(lambda: "it runs" in peer.consort("logs", "demo_web"), "it runs")
