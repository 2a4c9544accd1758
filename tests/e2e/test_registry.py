"""Images from registries: Debian's own over TLS and with a login, and one that misbehaves."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

from scenario import scenario
from testbed_lib.cluster import HELLO, TOP, web
from testbed_lib.registry import BadRegistry, Registry, noise_archive, read_archive


def archive_of(cluster, name="hello.oci"):
    path = cluster.directory / name
    subprocess.run([TOP / "tools/make-image", "--format", "oci", HELLO / "image", path, "hello:1", "--",
                    "/bin/web"], check=True, capture_output=True)
    return path


def other_archive_of(cluster):
    """The same, with another command: another image."""
    path = cluster.directory / "other.oci"
    subprocess.run([TOP / "tools/make-image", "--format", "oci", HELLO / "image", path, "hello:1", "--",
                    "/bin/sh", "/bin/web"], check=True, capture_output=True)
    return path


def up_with(cluster, count, **registries):
    """Peers that know that much of registries."""
    path = cluster.directory / "registries.json"
    cluster.directory.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(registries))
    for peer in cluster.peers():
        peer.kill_daemon()
        peer.start("--registries", path)
    cluster.form(cluster.peers())


@scenario(peers=3, bare=True)
def test_pull_and_deploy(cluster):
    """An image is deployed from a registry with TLS and a login by one pull for all peers; once it is
    here, the registry is not needed."""
    with Registry(cluster, login=("ann", "secret")) as registry:
        registry.push("team/hello", "1", archive_of(cluster))
        one, two, three = cluster.peers()
        up_with(cluster, 3, auths={registry.host: {"auth": registry.auth}},
                ca={registry.host: str(registry.certificate)})
        image = registry.name("team/hello:1")
        cluster.deploy(web(replicas=3, image=image))
        cluster.wait_serving(3)
        cluster.wait_answers()
        registry.push("team/hello", "1", other_archive_of(cluster))  # the tag means another image now
        cluster.deploy(web(replicas=3, image=image))
        before = one.query("service", "inspect", "demo_web")["revision"]
        one.consort("deploy", "-f", cluster.directory / "demo.yaml", "demo", "--pull", "--wait")
        assert one.query("service", "inspect", "demo_web")["revision"] == before + 1
        assert sum(image in peer.consort("image", "ls") for peer in cluster.peers()) == 1
        missing = one.try_consort("image", "pull", registry.name("team/none:1"))
        assert missing.returncode == 1 and "has no image 1 of team/none" in missing.stderr, missing.stderr
    cluster.deploy(web(replicas=2, version="2", image=image))
    cluster.wait_serving(2)
    gone = two.try_consort("image", "pull", image)
    assert gone.returncode == 1 and registry.host in gone.stderr, gone.stderr


@scenario(peers=1, bare=True)
def test_who_may_pull(cluster):
    """Without the CA or the login a pull fails, and says which it is; nothing is left of it."""
    with Registry(cluster, login=("ann", "secret")) as registry:
        registry.push("team/hello", "1", archive_of(cluster))
        peer = cluster.peers()[0]
        image = registry.name("team/hello:1")
        up_with(cluster, 1)
        distrusted = peer.try_consort("image", "pull", image)
        assert distrusted.returncode == 1 and "certificate" in distrusted.stderr, distrusted.stderr
        assert "registries.json" in distrusted.stderr, distrusted.stderr
        path = cluster.directory / "registries.json"  # is read anew for each pull
        path.write_text(json.dumps({"ca": {registry.host: str(registry.certificate)}}))
        nobody = peer.try_consort("image", "pull", image)
        assert nobody.returncode == 1 and "asks for a login" in nobody.stderr, nobody.stderr
        path.write_text(json.dumps({"insecure": [registry.host], "auths": {registry.host: {"auth": "YW5uOndyb25n"}}}))
        wrong = peer.try_consort("image", "pull", image)
        assert wrong.returncode == 1 and "refuses this login" in wrong.stderr, wrong.stderr
        path.write_text("{\"auths\": 1}")
        nonsense = peer.try_consort("image", "pull", image)
        assert nonsense.returncode == 1 and f"{path}: \"auths\"" in nonsense.stderr, nonsense.stderr
        path.write_text(json.dumps({"insecure": [registry.host], "auths": {registry.host: {"auth": registry.auth}}}))
        assert image in peer.consort("image", "pull", image)
        rows = peer.query("image", "ls")
        assert [row["reference"] for row in rows] == [image], rows
        assert not list((peer.data_dir / "images/tmp").iterdir())
        typo = peer.try_consort("image", "pull", "NOT:an/image")
        assert typo.returncode == 1 and "no image name" in typo.stderr, typo.stderr


@scenario(peers=1, bare=True)
def test_bad_registry(cluster):
    """What breaks off goes on from there, what is redirected is followed without the token, and what is
    not what it claims to be is refused."""
    archive = archive_of(cluster)
    layer = max(read_archive(archive)[1].items(), key=lambda item: len(item[1]))[0]
    with BadRegistry(cluster, breaks=2, redirects=True, busy=1) as registry:
        digest = registry.put("team/hello", "1", archive)
        peer = cluster.peers()[0]
        up_with(cluster, 1, insecure=[registry.host], auths={registry.host: {"auth": registry.auth}})
        image = registry.name("team/hello:1")
        assert digest in peer.consort("image", "pull", image)
        ranges = [headers["Range"] for path, headers in registry.seen if "Range" in headers]
        assert len(ranges) >= 2 and "bytes=0-" not in ranges, ranges
        shown = [path for path, headers in registry.seen
                 if "/blobs/" in path and headers["Host"] != registry.host and "Authorization" in headers]
        assert shown == [], shown
        peer.consort("image", "rm", image)
        registry.lies = layer
        lie = peer.try_consort("image", "pull", image)
        assert lie.returncode == 1 and layer in lie.stderr and "the bytes that came" in lie.stderr, lie.stderr
        assert peer.query("image", "ls") == []
        assert not list((peer.data_dir / "images/tmp").iterdir())
        registry.lies = ""
        pinned = registry.name(f"team/hello@{digest}")
        assert digest in peer.consort("image", "pull", pinned)
        assert digest in peer.consort("image", "ls")


@scenario(peers=3, bare=True)
def test_peers_first(cluster):
    """What a peer has is not asked of the registry: an image is pulled once for all that deploy it, and a
    layer that is part of an image elsewhere is fetched from there."""
    archive, other = archive_of(cluster), other_archive_of(cluster)
    layer = max(read_archive(archive)[1].items(), key=lambda item: len(item[1]))[0]
    assert layer in read_archive(other)[1]
    with BadRegistry(cluster) as registry:
        registry.put("team/hello", "1", archive)
        registry.put("team/hello", "2", other)
        up_with(cluster, 3, insecure=[registry.host], auths={registry.host: {"auth": registry.auth}})
        cluster.deploy(web(image=registry.name("team/hello:1"), deploy={"mode": "global", "replicas": None}))
        cluster.wait_serving(3)
        cluster.peers()[1].consort("image", "pull", registry.name("team/hello:2"))

        def given(digest):
            return sum(path.endswith(f"/blobs/{digest}") and "Authorization" in headers
                       for path, headers in registry.seen)
        assert given(layer) == 1, registry.seen
        for blobs in (read_archive(archive)[1], read_archive(other)[1]):
            assert all(given(digest) == 1 for digest in blobs), registry.seen
        # And by a peer that has none of it: the layer comes from the others.
        three = cluster.peers()[2]
        cluster.any().consort("rm", "demo_web")
        cluster.wait(lambda: cluster.replicas() == [], "no replica is left")
        for path in (three.data_dir / "images/blobs/sha256").iterdir():
            path.unlink()
        three.consort("image", "pull", registry.name("team/hello:2"))
        assert given(layer) == 1, registry.seen


@scenario(peers=21, bare=True, nightly=True, alone=True, bound_s=600)
def test_twenty_peers_one_pull(cluster):
    """Twenty peers that deploy one image at once make one pull of it, and the registry is not needed by one
    that comes later."""
    archive = cluster.directory / "noise.oci"
    noise_archive(archive, 1, 4, 4)
    *early, late = cluster.peers()
    with Registry(cluster, login=("ann", "secret")) as registry:
        registry.push("team/hello", "1", archive)
        path = cluster.directory / "registries.json"
        path.write_text(json.dumps({"auths": {registry.host: {"auth": registry.auth}},
                                    "ca": {registry.host: str(registry.certificate)}}))
        for peer in early:
            peer.kill_daemon()
            peer.start("--registries", path)
        cluster.form(early)
        image = registry.name("team/hello:1")
        cluster.deploy(web(image=image, deploy={"mode": "global", "replicas": None}))
        cluster.wait_serving(20)
        manifest = json.loads(read_archive(archive)[0])
        blobs = [blob["digest"] for blob in (manifest["config"], *manifest["layers"])]
        assert sorted(registry.blobs_given()) == sorted(blobs), (registry.blobs_given(), blobs)
        other = cluster.directory / "other.oci"  # and now each of them deploys it itself
        noise_archive(other, 2, 2, 4)
        registry.push("team/hello", "2", other)
        with ThreadPoolExecutor(len(early)) as pool:
            list(pool.map(lambda peer: cluster.deploy(
                web(image=registry.name("team/hello:2"), port=9000 + peer.index, replicas=1),
                stack=f"of-{peer.name}", ask=peer, wait=False), early))
        manifest = json.loads(read_archive(other)[0])
        blobs += [blob["digest"] for blob in (manifest["config"], *manifest["layers"])
                  if blob["digest"] not in blobs]
        for peer in early:
            cluster.wait_serving(1, f"of-{peer.name}_web")
        assert sorted(registry.blobs_given()) == sorted(blobs), (registry.blobs_given(), blobs)
    late.consort("join", cluster.token(early[0]))
    cluster.wait_serving(21)
    assert cluster.answers(late)


def images_run(cluster, digests):
    """Which of these images each replica's container was made of, wherever it is."""
    specs = [path.read_bytes() for peer in cluster.peers()
             for path in peer.data_dir.glob("containers/demo_web.*/spec")]
    return [next((digest for digest in digests if digest.encode() in spec), "another") for spec in specs]


@scenario(peers=3, bare=True)
def test_tag_means_another_image(cluster):
    """A tag that means another image now changes nothing by itself: what restarts, moves or is added is the
    image that was agreed on. A deploy that asks the registry again rolls the new one out."""
    with BadRegistry(cluster) as registry:
        agreed = registry.put("team/hello", "1", archive_of(cluster))
        up_with(cluster, 3, insecure=[registry.host], auths={registry.host: {"auth": registry.auth}})
        image = registry.name("team/hello:1")
        cluster.deploy(web(replicas=2, image=image))
        cluster.wait_serving(2)
        one, two = cluster.holders()
        other = next(peer for peer in cluster.peers() if peer.name not in (one.name, two.name))
        pushed = registry.put("team/hello", "1", other_archive_of(cluster))
        assert pushed != agreed
        assert pushed in other.consort("image", "pull", image)  # where the tag means the new one
        assert images_run(cluster, (agreed, pushed)) == [agreed] * 2
        crashed = next(row for row in cluster.replicas() if row["peer"] == two.name)
        cluster.kill_replica(crashed)
        cluster.wait(lambda: any(row["restarts"] > 0 for row in cluster.replicas()), "it is started again")
        cluster.wait_serving(2)
        assert images_run(cluster, (agreed, pushed)) == [agreed] * 2
        one.consort("scale", "demo_web=3")
        cluster.wait_serving(3)
        assert other.name in {row["peer"] for row in cluster.replicas()}
        assert images_run(cluster, (agreed, pushed)) == [agreed] * 3
        assert agreed in one.consort("service", "inspect", "demo_web", "--format", "json")
        one.consort("deploy", "-f", cluster.directory / "demo.yaml", "demo", "--pull", "--wait")
        cluster.wait(lambda: images_run(cluster, (agreed, pushed)) == [pushed] * 2, "the new one runs")
        assert pushed in one.consort("service", "inspect", "demo_web", "--format", "json")
        one.consort("rollback", "demo_web", "--wait")
        cluster.wait(lambda: set(images_run(cluster, (agreed, pushed))) == {agreed}, "and the old one again")


def assets_archive_of(cluster, text):
    """An image of two layers that has www/page with that text."""
    folder = cluster.directory / "assets"
    (folder / "www").mkdir(parents=True, exist_ok=True)
    (folder / "www/page").write_text(text)
    path = cluster.directory / "assets.oci"
    subprocess.run([TOP / "tools/make-image", "--format", "oci", folder, path, "assets:1", "--", "/bin/true"],
                   check=True, capture_output=True)
    return path


def shows_page(cluster, replicas, text):
    peer = cluster.alive()[0]
    for slot in range(1, replicas + 1):
        done = peer.consort("exec", f"demo_web.{slot}", "--", "sh", "-c",
                            "cat /all/www/page; echo; cat /part/page; echo; touch /part/new 2>/dev/null && echo written; /all/bin/busybox echo")
        assert done.split() == [text, text], done


@scenario(peers=3, bare=True)
def test_mounted_image(cluster):
    """An image that a service mounts is found at deploy, and shown read-only. A replica that moves has it,
    too, as it was at deploy: also when the registry is gone, or its tag means another image."""
    with BadRegistry(cluster) as registry:
        registry.put("team/hello", "1", archive_of(cluster))
        agreed = registry.put("team/assets", "1", assets_archive_of(cluster, "one"))
        up_with(cluster, 3, insecure=[registry.host], auths={registry.host: {"auth": registry.auth}})
        assets = registry.name("team/assets:1")
        mounts = [{"type": "image", "source": assets, "target": "/all"},
                  {"type": "image", "source": assets, "target": "/part", "image": {"subpath": "www"}}]
        service = web(replicas=2, image=registry.name("team/hello:1"), volumes=mounts)
        none = web(image=registry.name("team/hello:1"),
                   volumes=[{"type": "image", "source": registry.name("team/none:1"), "target": "/all"}])
        (cluster.directory / "none.json").write_text(json.dumps(none))
        refused = cluster.any().try_consort("deploy", "-f", cluster.directory / "none.json", "none")
        assert refused.returncode == 1 and "no peer has the image" in refused.stderr, refused.stderr
        cluster.deploy(service)
        cluster.wait_serving(2)
        shows_page(cluster, 2, "one")
        told = cluster.any().query("service", "inspect", "demo_web")["revisions"][-1]["mounted_images"]
        assert told == [{"image": assets, "image_digest": agreed}] * 2, told
        said = cluster.any().consort("service", "inspect", "demo_web")
        assert "MOUNTED DIGEST" in said and assets in said, said
        registry.put("team/assets", "1", assets_archive_of(cluster, "two"))
    victim = cluster.holders()[0]
    victim.kill()
    cluster.wait(lambda: victim.index not in {peer.index for peer in cluster.holders()} and cluster.serving() == 2,
                 "both replicas serve on peers that live")
    shows_page(cluster, 2, "one")
    for peer in cluster.alive():
        assert (peer.data_dir / "images/blobs/sha256" / agreed.partition(":")[2]).exists(), peer.name
    cluster.any().consort("rm", "demo_web")
    cluster.wait(lambda: cluster.replicas() == [], "no replica is left")
    cluster.wait_no_orphans()
    for peer in cluster.alive():
        assert not [point for point in peer.mounts() if "/mounts/" in str(point)], peer.mounts()


@scenario(peers=1, bare=True)
def test_full_disk(cluster):
    """When the disk is nearly full, what was pulled and is not in use goes, the least recently used first;
    what runs, and what an operator imported, stays."""
    peer = cluster.peers()[0]
    # Taken by the daemon once it is started anew, and away with the peer's other mounts.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", peer.data_dir], check=True)
    with BadRegistry(cluster) as registry:
        for number in range(1, 7):
            path = cluster.directory / "noise.oci"
            noise_archive(path, number, 1, 10)
            registry.put("team/hello", str(number), path)
        up_with(cluster, 1, insecure=[registry.host], auths={registry.host: {"auth": registry.auth}})
        cluster.import_image(peer, "imported:1")
        images = [registry.name(f"team/hello:{number}") for number in range(7)]
        cluster.deploy(web(replicas=1, image=images[1], healthcheck={"disable": True}))  # it is in use: 20 MB
        cluster.wait_serving(1)
        for image in images[2:4]:
            peer.consort("image", "pull", image)
        assert {row["reference"] for row in peer.query("image", "ls")} == {"imported:1", *images[1:4]}
        peer.consort("image", "pull", images[4])

        def names():
            return {row["reference"] for row in peer.query("image", "ls")}
        cluster.wait(lambda: images[2] not in names(), "the image that was pulled first is gone")
        assert names() == {"imported:1", images[1], images[3], images[4]}, names()
        assert "images that nothing used are removed" in peer.log.read_text()
        assert cluster.answers(peer)
        peer.consort("image", "pull", images[5])
        cluster.wait(lambda: images[3] not in names(), "and then the next")
        assert names() == {"imported:1", images[1], images[4], images[5]}, names()
