"""Every verb of the command line, on a cluster that is well."""

import json
import os
import pty
import shutil
import signal
import subprocess
import termios

from scenario import scenario
from testbed_lib.cluster import web

VERBS = """node init join leave token peer cluster status deploy ps stats service scale update rollback rm logs exec attach
cp top port events watch why image version context""".split()


@scenario(peers=1, bare=True)
def test_help_and_version(cluster):
    peer = cluster.peer(1)
    overview = peer.consort("--help")
    for verb in VERBS:
        assert verb in overview, f"`consort --help` doesn't name {verb}"
        text = peer.consort(verb, "--help")
        assert f"consort {verb}" in text, text
    assert peer.consort("version").split(), "no version"
    assert peer.query("version")


@scenario(peers=3)
def test_peers_and_status(cluster):
    peer = cluster.peer(2)
    everybody = {f"peer-{i}": "alive" for i in (1, 2, 3)}
    cluster.wait(lambda: cluster.states(peer) == everybody, "peer-2 sees everybody")
    entry = peer.query("peer", "inspect", "peer-1")
    assert entry["name"] == "peer-1" and entry["address"].startswith("10.77.0.1"), entry
    assert peer.query("status")["quorum"] is True
    assert "peer-3" in peer.consort("peer", "ls")


@scenario(peers=3)
def test_voters(cluster):
    """cluster voters: chosen at one peer, made so by the leader, refused where it can't be; and why."""
    one, two, three = cluster.peers()
    def voters():
        return [peer.query("status")["voters"] for peer in cluster.peers()]
    cluster.wait(lambda: voters() == [3, 3, 3], "all vote")
    term = one.query("status")["term"]
    assert two.query("cluster", "voters")["max"] == 5
    two.consort("cluster", "voters", "1")
    cluster.wait(lambda: voters() == [1, 1, 1], "one votes")
    leader = cluster.leader(one)
    other = next(peer for peer in cluster.peers() if peer.index != leader.index)
    assert "at most 1 vote" in three.consort("status")
    assert "as many as consort cluster voters says" in one.consort("peer", "inspect", other.name)
    assert one.try_consort("cluster", "voters", "4").returncode == 2
    one.consort("cluster", "voters", "7")
    cluster.wait(lambda: voters() == [3, 3, 3], "and back")
    assert "at most 7 vote, were 1" in one.consort("events")
    assert one.query("status")["term"] == term, "the lead was lost on the way"
    assert one.query("status")["disk_free_bytes"] > 0


@scenario(peers=2)
def test_full_disk(cluster):
    """A peer whose disk is nearly full says so, and the others know that it should not vote."""
    one, two = cluster.peers()
    two.kill_daemon(signal.SIGTERM)
    kept = two.directory / "kept"
    shutil.move(two.data_dir, kept)
    two.data_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", two.data_dir], check=True)
    shutil.copytree(kept, two.data_dir, dirs_exist_ok=True, symlinks=True)
    two.start()
    cluster.wait(lambda: two.query("status").get("disk_is_full"), "it sees it")
    assert "is nearly full" in two.consort("status")
    cluster.wait(lambda: "data directory is nearly full" in one.consort("peer", "inspect", two.name),
                 "the other knows")
    assert one.query("peer", "inspect", two.name)["disk_bytes"] == 48 << 20
    assert not one.query("status")["disk_is_full"]


@scenario(peers=3)
def test_profile(cluster):
    """cluster profile: chosen at one peer, in force at all; what makes no sense changes nothing."""
    one, two, three = cluster.peers()
    assert two.query("cluster", "profile")["profile"] == "lan"
    one.consort("cluster", "profile", "edge", "--fanout", "3")
    for peer in (one, two, three):
        cluster.wait(lambda: peer.query("cluster", "profile")["probe_interval_ms"] == 5000, "all take it on")
        assert peer.query("cluster", "profile")["fanout"] == 3
    assert three.query("status")["profile"] == "edge"
    assert "profile edge" in two.consort("status")
    assert one.try_consort("cluster", "profile", "--suspicion", "99").returncode == 1
    two.consort("cluster", "profile", "lan")
    cluster.wait(lambda: three.query("cluster", "profile")["probe_interval_ms"] == 600, "and back")


@scenario(peers=2)
def test_tokens(cluster):
    peer = cluster.peer(1)
    before = len(peer.query("token", "ls"))
    token = cluster.token(peer, uses=3)
    entries = peer.query("token", "ls")
    assert len(entries) == before + 1
    assert token not in json.dumps(entries), "`token ls` shows the secret"
    peer.consort("token", "revoke", entries[-1]["id"])
    cluster.wait(lambda: len(peer.query("token", "ls")) == before, "it is gone")


@scenario(peers=3)
def test_services(cluster):
    """deploy, ps, service, scale, update, events, why and rm, each asked of another peer."""
    one, two, three = cluster.peers()
    cluster.deploy(web(replicas=2), ask=one)
    assert "unchanged" in cluster.deploy(web(replicas=2), ask=two).lower()
    cluster.wait_answers()
    assert len(cluster.replicas("demo_web", three)) == 2
    assert "demo_web.1" in two.consort("ps")

    services = three.query("service", "ls")
    assert [service["name"] for service in services] == ["demo_web"], services
    inspected = two.query("service", "inspect", "demo_web")
    assert inspected["name"] == "demo_web" and "hello:1" in json.dumps(inspected)

    two.consort("scale", "demo_web=5")
    cluster.wait_serving(5, ask=three)
    three.consort("scale", "demo_web=1")
    cluster.wait_serving(1, ask=one)

    three.consort("update", "demo_web", "--env", "VERSION=9", "--wait")
    cluster.wait(lambda: cluster.answers(one).endswith("version 9"), "the update serves")

    events = two.query("events")
    assert any(event["subject"] == "demo_web" for event in events), events
    assert "demo_web" in one.consort("why", "demo_web")
    assert "demo_web.1" in one.consort("why", "demo_web.1")

    one.consort("rm", "demo_web")
    cluster.wait(lambda: not cluster.replicas(ask=three), "all replicas are gone")
    cluster.wait(lambda: not three.query("service", "ls"), "the service is gone")
    cluster.wait(lambda: not any(cluster.answers(peer) for peer in cluster.peers()), "the port too")


@scenario(peers=3)
def test_logs_and_exec(cluster):
    """Of a replica that runs on another peer than the one that is asked."""
    cluster.deploy(web(replicas=1))
    cluster.wait_serving(1)
    (row,) = cluster.replicas("demo_web")
    far = next(peer for peer in cluster.peers() if peer.name != row["peer"])
    cluster.wait(lambda: "version 1 answers" in far.consort("logs", "demo_web"), "its log is read")
    assert far.consort("exec", row["name"], "--", "echo", "from inside") == "from inside\n"
    done = far.try_consort("exec", row["name"], "--", "sh", "-c", "echo no >&2; exit 7")
    assert done.returncode == 7 and done.stderr == "no\n", done
    inside = far.consort("exec", "-u", "nobody", "-e", "WORD=there", "-w", "/tmp", row["name"],
                         "sh", "-c", "echo $(id -un) $WORD $PWD")
    assert inside == "nobody there /tmp\n", inside
    refused = far.try_consort("exec", "-u", "eve", row["name"], "true")
    assert refused.returncode == 1 and "eve" in refused.stderr, refused
    processes = far.query("top", row["name"])
    assert any(process["pid"] == 1 for process in processes), processes
    at = far.query("port", "demo_web", "80")
    assert {row["peer"] for row in at} == {peer.name for peer in cluster.peers()}, at
    assert far.try_consort("port", "demo_web", "81").returncode == 1
    piped = far.consort("exec", "-i", row["name"], "--", "cat", input="through\n")
    assert piped == "through\n", piped
    with open(__file__, "rb") as file:  # which can't be polled
        counted = subprocess.run(far.words(far.binary, "--socket", far.socket, "exec", "-i", row["name"],
                                           "wc", "-c"), stdin=file, stdout=subprocess.PIPE, check=True)
    assert int(counted.stdout) == os.path.getsize(__file__), counted
    much = far.consort("exec", "-i", row["name"], "--", "sh", "-c", "sleep 1; wc -c", input="x" * 8_000_000)
    assert int(much) == 8_000_000, much

    follow = subprocess.Popen(
        far.words(far.binary, "--socket", far.socket, "logs", "-f", "demo_web"),
        stdout=subprocess.PIPE, text=True)
    far.consort("exec", row["name"], "--", "sh", "-c", "echo a new line >/proc/1/fd/1")
    for line in follow.stdout:
        if "a new line" in line:
            break
    else:
        raise AssertionError("`logs -f` ended without the new line")
    far.consort("scale", "demo_web=2", "--wait")
    for line in follow.stdout:
        if "demo_web.2@" in line:
            break
    else:
        raise AssertionError("`logs -f` doesn't follow a replica that started later")
    follow.kill()
    follow.wait()


@scenario(peers=2)
def test_cp(cluster):
    """Into a replica on another peer and out of it: files, folders, archives; what can't be is said."""
    cluster.deploy(web(replicas=1, volumes=["kept:/kept"]))
    (row,) = cluster.replicas("demo_web")
    web_1, far = row["name"], next(peer for peer in cluster.peers() if peer.name != row["peer"])
    here = cluster.directory / "cp"
    (here / "folder/deep").mkdir(parents=True)
    (here / "folder/deep/file").write_text("deep\n")
    (here / "big").write_bytes(os.urandom(5_000_000))
    far.consort("cp", here / "folder", f"{web_1}:/kept")
    assert far.consort("exec", web_1, "cat", "/kept/folder/deep/file") == "deep\n"
    far.consort("cp", here / "big", f"{web_1}:/tmp/renamed")
    far.consort("cp", f"{web_1}:/tmp/renamed", here / "back")
    assert (here / "back").read_bytes() == (here / "big").read_bytes()
    far.consort("cp", f"{web_1}:/kept/folder", here / "again")
    assert (here / "again/deep/file").read_text() == "deep\n"
    archive = subprocess.run(far.words(far.binary, "--socket", far.socket, "cp", f"{web_1}:/kept/folder", "-"),
                             stdout=subprocess.PIPE, check=True).stdout
    listed = subprocess.run(["tar", "-t"], input=archive, stdout=subprocess.PIPE, check=True).stdout
    assert b"folder/deep/file" in listed, listed
    far.consort("exec", web_1, "ln", "-s", "/../../../../..", "/kept/up")
    refused = far.try_consort("cp", f"{web_1}:/kept/up{here}/big", here / "stolen")
    assert refused.returncode == 1 and "No such file" in refused.stderr and not (here / "stolen").exists(), refused
    refused = far.try_consort("cp", here / "none", f"{web_1}:/tmp")
    assert refused.returncode == 1 and str(here / "none") in refused.stderr, refused
    refused = far.try_consort("cp", here / "big", f"{web_1}:/proc/sys/x")
    assert refused.returncode == 1 and "permitted" in refused.stderr, refused
    assert far.try_consort("cp", here / "big", here / "other").returncode == 2


class Typist:
    """A command of a peer on a terminal of its own."""

    def __init__(self, peer, *words):
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (31, 97))
        self.process = subprocess.Popen(peer.words(peer.binary, "--socket", peer.socket, *words),
                                        stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.seen = ""

    def type(self, keys):
        os.write(self.master, keys.encode())

    def wait_for(self, words):
        while words not in self.seen:
            self.seen += os.read(self.master, 4096).decode()

    def end(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@scenario(peers=2)
def test_attach(cluster):
    """To a shell on a terminal, from another peer: keys, the terminal's size, and leaving it be."""
    shell = {"image": "hello:1", "entrypoint": ["sh"], "tty": True, "stdin_open": True}
    cluster.deploy({"services": {"shell": shell}})
    (row,) = cluster.replicas("demo_shell")
    far = next(peer for peer in cluster.peers() if peer.name != row["peer"])
    typist = Typist(far, "attach", row["name"])
    try:
        typist.type("stty size; X=5; tty\n")
        typist.wait_for("31 97")
        typist.wait_for("/dev/pts/")
        typist.type("\x10\x11")
        assert typist.process.wait(timeout=60) == 0
    finally:
        typist.end()
    typist = Typist(far, "attach", row["name"])
    try:
        typist.type("echo x$X; exit\n")
        typist.wait_for("x5")  # the same shell
        assert typist.process.wait(timeout=60) == 0, "the container's end ends it"
    finally:
        typist.end()


@scenario(peers=2)
def test_events_follow(cluster):
    peer = cluster.peer(2)
    follow = subprocess.Popen(peer.words(peer.binary, "--socket", peer.socket, "events", "-f"),
                              stdout=subprocess.PIPE, text=True)
    cluster.deploy(web(replicas=1), wait=False)
    for line in follow.stdout:
        if "demo_web" in line:
            break
    else:
        raise AssertionError("`events -f` ended without the deploy")
    follow.kill()
    follow.wait()


@scenario(peers=2)
def test_images(cluster):
    """Imported on one peer, an image serves on every other, and can be removed."""
    peer = cluster.peer(1)
    assert "hello:1" in json.dumps(peer.query("image", "ls"))
    cluster.deploy(web(replicas=2))
    cluster.wait_serving(2)
    assert len(cluster.holders()) == 2, "both replicas are on one peer"
    used = peer.try_consort("image", "rm", "hello:1")
    assert used.returncode == 1 and "demo_web" in used.stderr, used.stderr
    peer.consort("rm", "demo_web")
    cluster.wait(lambda: peer.try_consort("image", "rm", "hello:1").returncode == 0,
                 "the image can be removed, once its containers are gone")
    assert "hello:1" not in json.dumps(peer.query("image", "ls"))
    damaged = cluster.directory / "damaged.tar"
    damaged.write_bytes((cluster.directory / "hello.tar").read_bytes()[:20000])
    done = peer.try_consort("image", "import", damaged)
    assert done.returncode == 1 and "damaged.tar" in done.stderr, done.stderr


@scenario(peers=2)
def test_image_saved(cluster):
    """A saved image is the same image elsewhere; what can't be saved leaves no file."""
    one, two = cluster.peers()
    digest = one.query("image", "ls")[0]["digest"]
    saved = cluster.directory / "saved.tar"
    assert one.consort("image", "save", "hello:1", saved) == ""
    assert f"hello:1 {digest}" in two.consort("image", "import", saved)
    assert one.run(one.binary, "--socket", one.socket, "image", "save", "hello:1",
                   capture_output=True).stdout == saved.read_bytes()
    none = cluster.directory / "none.tar"
    done = one.try_consort("image", "save", "none:1", none)
    assert done.returncode == 1 and "none:1" in done.stderr and not none.exists(), done.stderr
    done = one.try_consort("image", "save", "hello:1", "/no/such/folder/x.tar")
    assert done.returncode == 1 and "/no/such/folder/x.tar" in done.stderr, done.stderr
    done = one.try_consort("image", "save", "hello:1", "/dev/full/x")
    assert done.returncode == 1, done.stderr


@scenario(peers=3)
def test_any_peer_answers_for_all(cluster):
    """A published port on every peer spreads requests over every replica, wherever it runs."""
    cluster.deploy(web(replicas=3))
    cluster.wait_serving(3)
    for peer in cluster.peers():
        seen = set()
        cluster.wait(lambda p=peer, s=seen: s.add(cluster.answers(p)) or len(s - {None}) == 3,
                     f"{peer.name} passes requests to all three replicas")
    cluster.any().consort("scale", "demo_web=1")
    cluster.wait_serving(1)
    cluster.wait_answers()


@scenario(peers=3)
def test_names_inside_containers(cluster):
    """A container finds a service by its name, whichever peers the two run on."""
    compose = web(replicas=2)
    compose["services"]["ticker"] = {
        "image": "hello:1", "command": ["/bin/ticker", "web"], "deploy": {"replicas": 3}}
    cluster.deploy(compose)
    peer = cluster.peer(1)
    for slot in (1, 2, 3):
        cluster.wait(lambda s=slot: "version 1" in peer.consort("logs", f"demo_ticker.{s}"),
                     f"ticker {slot} reaches web by name")
    done = peer.try_consort("exec", "demo_ticker.1", "--", "nslookup", "no-such-service")
    assert done.returncode != 0, "a name that isn't there was answered"
