"""Compose files as people write them, deployed unchanged: those of examples/ and of tests/e2e/compose/.

Those of busybox alone need nothing; those of real services need images that tools/images has made."""

import os
import shutil
import subprocess
import tempfile
import traceback
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from scenario import Skip, scenario
from testbed_lib import CommandFailed
from testbed_lib.testbed import TOP

SHELLS = TOP / "tests/e2e/compose"
EXAMPLES = TOP / "examples"
IMAGES = TOP / "tools/images"
CACHE = Path(os.environ.get("CONSORT_IMAGES", "/var/cache/consort-images"))
DEPLOY_BOUND_S = 180


# --- Images ---

def made(names):
    return all(list((CACHE / "bookworm").glob(f"{name}-*.tar")) for name in names)


def import_images(cluster, *names, cache=None):
    """Takes the images in at the first peer; the others fetch what they need from it."""
    archive = cluster.directory / "images.tar"
    subprocess.run([IMAGES, "--output", archive, *(["--cache", cache] if cache else []), *names], check=True,
                   capture_output=True, timeout=600)
    cluster.peer(1).consort("image", "import", archive)
    archive.unlink()


def import_shells(cluster):
    with tempfile.TemporaryDirectory() as cache:
        import_images(cluster, "busybox", "alpine", cache=cache)


def need(cluster, *names):
    if not made(names):
        raise Skip(f"tools/images has not made {', '.join(names)}")
    import_images(cluster, *names)


# --- Projects ---

@contextmanager
def environment(**variables):
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Project:
    """A folder's Compose file, deployed from a copy that all peers can read."""

    def __init__(self, cluster, folder, stack=None):
        self.cluster, self.peer = cluster, cluster.peer(1)
        self.folder = cluster.directory / "projects" / folder.name
        shutil.copytree(folder, self.folder, dirs_exist_ok=True)
        self.stack = stack or folder.name

    def deploy(self, *files, options=(), **variables):
        """Deploys it, and waits until it is there; returns what was said of it."""
        if not files:
            files = [next(name for name in ("compose.yaml", "compose.yml", "docker-compose.yml", "stack.yml")
                          if (self.folder / name).exists())]
        words = [word for name in files for word in ("-f", self.folder / name)]
        with environment(**variables):
            done = self.peer.try_consort("deploy", *words, *options, "--wait", timeout=DEPLOY_BOUND_S)
        assert done.returncode == 0, f"{self.stack}: {done.stdout}{done.stderr}\n{self.cluster.picture()}"
        return done.stderr + done.stdout

    def sh(self, service, script, slot=1):
        """What the script prints in the service's container."""
        done = self.peer.try_consort("exec", f"{self.stack}_{service}.{slot}", "--", "sh", "-c", script)
        assert done.returncode == 0, f"{service}: {script}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def shows(self, service, expected, slot=1):
        for script, words in expected.items():
            shown = " ".join(self.sh(service, script, slot).split())
            assert shown == words, f"{self.stack}_{service}: {script}: {shown}"

    def services(self):
        return {row["service"].removeprefix(f"{self.stack}_") for row in self.peer.query("ps")
                if row["service"].startswith(f"{self.stack}_")}

    def state(self, service):
        return next(row["state"] for row in self.peer.query("ps") if row["service"] == f"{self.stack}_{service}")

    def wait_answer(self, port, part, path="/"):
        """Waits until every peer answers with that part."""
        for peer in self.cluster.alive():
            self.cluster.wait(lambda p=peer: part in (self.cluster.answers(p, port, path) or ""),
                              f"{peer.name}:{port}{path} answers with {part}")

    def wait_log(self, service, part):
        self.cluster.wait(lambda: part in self.peer.consort("logs", f"{self.stack}_{service}"),
                          f"{service} logs {part}")

    def remove(self):
        self.peer.consort("rm", self.stack)


def post(cluster, port, text):
    """Posts the text to a peer as a client of the cluster would; what it answers."""
    address = cluster.alive()[-1].address
    url = urllib.request.Request(f"http://{address}:{port}/", data=text.encode())
    return cluster.client.call(lambda: urllib.request.urlopen(url, timeout=20).read().decode())


def play(cluster, *checks):
    """Every one of them, whatever becomes of the others; all that failed is said at the end."""
    failed = []
    for check in checks:
        try:
            check(cluster)
        except (AssertionError, CommandFailed, OSError, subprocess.TimeoutExpired):
            failed.append(f"{check.__name__}: {traceback.format_exc()}")
            for stack in {row["service"].split("_")[0] for row in cluster.peer(1).query("ps")}:
                cluster.peer(1).try_consort("rm", stack)
    assert not failed, "\n".join(failed)


# --- With a shell alone ---

def check_profiles(cluster):
    project = Project(cluster, SHELLS / "profiles")
    project.deploy()
    assert project.services() == {"app"}, project.services()
    project.deploy(options=["--profile", "debug"])
    assert project.services() == {"app", "shell", "load"}, project.services()
    project.remove()


def check_anchors(cluster):
    project = Project(cluster, SHELLS / "anchors")
    project.deploy(REGION="north")
    show = "echo $LOG_LEVEL $REGION $EXTRA $FROM"
    for service, words in {"one": "info north", "two": "debug north", "three": "debug north yes", "four": "base"}.items():
        project.shows(service, {show: words})
    project.remove()


def check_overrides(cluster):
    project = Project(cluster, SHELLS / "overrides")
    project.deploy("compose.yaml", "compose.prod.yaml", "compose.region.yaml", DEBUG="0")
    assert project.services() == {"web", "db"}, project.services()
    project.shows("web", {"echo $MODE $DEBUG $REGION $KEPT": "production 0 north",
                          "cat /etc/app/*.conf": "base prod"}, slot=2)
    project.wait_answer(8092, "base", "/base.conf")
    assert not cluster.answers(cluster.peer(1), 8090, "/base.conf")
    project.remove()


def check_interpolation(cluster):
    project = Project(cluster, SHELLS / "interpolation", stack="inter")
    project.deploy(FROM_OUTSIDE="outside")
    project.shows("show", {
        "echo $DEFAULTED,$EMPTY_DEFAULTED,$EMPTY_KEPT,$NESTED,$ALTERNATIVE,$NO_ALTERNATIVE,$NEEDED":
            "default,was empty,,set,alternative,,set",
        "echo $PLAIN $URL $FROM_OUTSIDE $TRUE $NUMBER":
            "set-$SET http://example.org:8080/?a=b&c=#x outside true 007",
        "echo $A,$B,$C,$COMBINED,$RAW": 'from file,single $SET,double set,example.org:8080,"$not ${touched}"'})
    project.wait_log("show", "/root ready")
    project.remove()


def check_fences(cluster):
    project = Project(cluster, SHELLS / "fences")
    said = project.deploy()
    assert "what services have by ipv4_address" in said, said
    cluster.wait(lambda: project.sh("front", "wget -q -O /dev/null http://api.internal:8000/ 2>&1; true")
                 .count("404"), "front reaches middle by its alias")
    cluster.wait(lambda: project.sh("middle", "wget -q -O /dev/null http://back:8000/ 2>&1; true").count("404"),
                 "middle reaches back")
    project.shows("front", {"wget -T 3 -q -O /dev/null http://back:8000/ 2>&1 | grep -c 404; true": "0"})
    project.remove()


def check_rolling(cluster):
    project = Project(cluster, SHELLS / "rolling")
    said = project.deploy()
    assert "node.role == worker is left out" in said, said
    project.wait_answer(8093, "version 1")
    project.deploy(VERSION="2")
    project.wait_answer(8093, "version 2")
    assert "version 1" not in {cluster.answers(peer, 8093) for peer in cluster.alive()}
    project.remove()


def check_limits(cluster):
    project = Project(cluster, SHELLS / "limits")
    project.deploy()
    project.shows("box", {
        "id -u; id -G": "1000 1000 44 4242",
        "touch /x 2>/dev/null || echo denied; touch /tmp/x && echo written": "denied written",
        "df -k /dev/shm /tmp | awk 'NR > 1 {print $2}'": "2048 4096",
        "ulimit -n; cat /proc/1/oom_score_adj; cat /proc/sys/net/core/somaxconn": "1024 200 256",
        "hostname; cat /proc/sys/kernel/domainname": "box example.org",
        "grep CapBnd /proc/self/status | cut -f2": "0000000000002000",
        "cat /proc/1/comm": "init"})
    project.remove()


def check_long(cluster):
    project = Project(cluster, SHELLS / "long")
    project.deploy()
    project.wait_answer(8094, "served")
    project.shows("web", {
        "cat /etc/app.conf; echo; cat /etc/app.key; echo; stat -c '%u %g %a' /etc/app.conf /etc/app.key":
            "conf of long key 1 2 400 0 0 440",
        "df -k /scratch | awk 'NR > 1 {print $2}'; stat -c %a /scratch; echo $A $B": "1024 700 one two words",
        "grep old /etc/hosts": "192.0.2.1 old"})
    project.remove()


def check_short(cluster):
    project = Project(cluster, SHELLS / "short")
    said = project.deploy()
    assert "published on all of every peer's addresses" in said, said
    project.wait_answer(8095, "served")
    project.wait_answer(8096, "served")
    project.shows("web", {"cat /app_conf /run/secrets/key; echo; echo $A $B $C": "confkey one two words three",
                          "touch /data/x /made/x /anonymous/x /scratch/x && echo ok": "ok"})
    assert (project.folder / "made/on/demand/x").exists()
    project.sh("web", "echo kept > /data/kept")
    project.deploy()
    project.shows("web", {"cat /data/kept": "kept"})
    project.remove()


def check_includes(cluster):
    project = Project(cluster, SHELLS / "includes")
    project.deploy()
    assert project.services() == {"probe", "cache", "web"}, project.services()
    project.wait_log("probe", "included")
    project.shows("web", {"echo $NAME $TUNED": "included yes"})
    project.remove()


def check_legacy(cluster):
    project = Project(cluster, SHELLS / "legacy")
    shared = cluster.directory / "shared"
    shared.mkdir()
    said = project.deploy(SHARED_FOLDER=str(shared))
    assert "version: ignored" in said and "isolation: ignored" in said, said
    assert (shared / "index.html").read_text() == "stored\n"
    project.wait_answer(8097, "stored")
    for name in ("database", "the_store", "store_1"):
        cluster.wait(lambda: project.sh("My_App.web", f"nc -w 5 {name} 5432 </dev/null || true") == "hello",
                     f"{name} answers")
    project.shows("My_App.web", {"touch /data/x 2>/dev/null || echo read-only": "read-only"})
    project.remove()


def check_swarm(cluster):
    project = Project(cluster, SHELLS / "swarm")
    page = cluster.directory / "page.html"
    page.write_text("the page\n")
    project.peer.consort("config", "set", "the-page", page)
    project.peer.consort("secret", "set", "token", page)
    project.deploy(options=["swarm"])
    project.wait_answer(8098, "the page")
    assert sum(row["service"] == "swarm_agent" for row in project.peer.query("ps")) == len(cluster.peers())
    cluster.wait(lambda: project.state("once") == "exited", "the job is done")
    project.remove()


def check_backup(cluster):
    project = Project(cluster, SHELLS / "backup")
    project.deploy(HERE="peer-2")
    project.wait_log("restore", "line 1")
    cluster.wait(lambda: project.state("restore") == "exited", "what was backed up is restored")
    project.remove()


def check_ignored(cluster):
    project = Project(cluster, SHELLS / "ignored")
    said = project.deploy()
    for key in ("build", "develop", "platform", "gpus", "cgroup_parent", "driver", "pull_policy",
                "storage_opt", "external_links"):
        assert f".{key}: " in said, f"{key} is not warned of: {said}"
    project.shows("web", {"echo runs": "runs"})
    project.remove()


def check_machine(cluster):
    project = Project(cluster, SHELLS / "machine")
    project.deploy()
    script = "for kind in pid ipc uts; do readlink /proc/self/ns/$kind; done"
    own, agent = project.sh("own", script).split(), project.sh("agent", script).split()
    here = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "ipc", "uts")]
    assert agent == here and not set(own) & set(here), (own, agent, here)
    project.shows("agent", {"test -d /machine/proc/1 && ls /machine/etc | grep -c passwd$": "1"})
    project.remove()


def check_office(cluster):
    project = Project(cluster, SHELLS / "office")
    project.deploy(HERE="peer-2")
    project.shows("app", {"stat -c '%u %g' /var/www/html; echo $UPLOADS $CACHE_HOST": "33 33 512M cache"})
    cluster.wait(lambda: project.sh("app", "nc -w 5 cache 6379 </dev/null || true") == "pong", "the cache answers")
    project.shows("cron", {"cat /plugins/hello; touch /plugins/x 2>/dev/null || echo read-only": "installed read-only"})
    project.remove()


def check_exporters(cluster):
    project = Project(cluster, SHELLS / "exporters")
    project.deploy()
    assert sum(row["service"] == "exporters_exporter" for row in project.peer.query("ps")) == len(cluster.peers())
    project.wait_log("exporter", "exclude=^/(sys|proc|dev|host|etc)($|/)")
    project.wait_log("collector", "--retention=15d")
    project.shows("exporter", {"ls -d /host/proc/1 /host-sys/kernel; touch /host/x 2>/dev/null || echo read-only":
                               "/host-sys/kernel /host/proc/1 read-only"})
    project.shows("collector", {"cat /etc/collector/collector.yml; touch /collector/x && id -u; ulimit -n":
                                "scrape_interval: 15s 65534 2048"})
    project.remove()


@scenario(peers=2)
def test_some_shells(cluster):
    """Three projects of busybox alone: short forms, variables, and a file of some years ago."""
    import_shells(cluster)
    play(cluster, check_short, check_interpolation, check_legacy)


@scenario(peers=2, bound_s=600, nightly=True)
def test_shells(cluster):
    """All seventeen, one after the other: every key that they use does what it says."""
    import_shells(cluster)
    play(cluster, check_profiles, check_anchors, check_overrides, check_interpolation, check_fences, check_rolling,
         check_limits, check_long, check_short, check_includes, check_legacy, check_swarm, check_backup,
         check_ignored, check_machine, check_office, check_exporters)


# --- With real services ---

@scenario(peers=3, nightly=True)
def test_guestbook(cluster):
    """A web page with a database and a cache: entries are kept over a new deploy, and a new password is not needed."""
    need(cluster, "nginx", "redis", "postgres", "python")
    project = Project(cluster, EXAMPLES / "guestbook")
    project.deploy()
    project.wait_answer(8080, "", "/entries")
    assert post(cluster, 8080, "first, with 'quotes'") == "written\n"
    project.wait_answer(8080, "first, with 'quotes'", "/entries")
    hits = project.sh("cache", "redis-cli info stats | grep keyspace_hits")
    assert not hits.endswith(":0"), hits
    project.peer.consort("update", "guestbook_db", "--force", "--wait", timeout=DEPLOY_BOUND_S)
    assert post(cluster, 8080, "second") == "written\n"
    project.wait_answer(8080, "first, with 'quotes'\nsecond", "/entries")
    project.remove()


def check_static_site(cluster):
    project = Project(cluster, EXAMPLES / "static-site")
    project.deploy(SITE_TITLE="A title")
    project.wait_answer(8081, "It is served from a folder.")
    project.shows("web", {"touch /x 2>/dev/null || echo read-only; curl -sI http://localhost/ | grep X-Site | tr -d '\\r'":
                          "read-only X-Site: A title"})
    project.remove()


def check_blog(cluster):
    project = Project(cluster, EXAMPLES / "blog")
    project.deploy(options=["--profile", "admin"])
    project.wait_log("console", "First post")
    project.wait_answer(8082, "The blog")
    project.remove()


def check_worker_queue(cluster):
    project = Project(cluster, EXAMPLES / "worker-queue")
    project.deploy()
    project.wait_answer(8083, "")
    for number in range(20):
        assert post(cluster, 8083, f"job {number}") == "queued\n"
    cluster.wait(lambda: sum(int(line.split()[1]) for line in cluster.answers(cluster.peer(1), 8083).splitlines()) == 20,
                 "the workers have done all jobs, each once")
    project.peer.consort("scale", "worker-queue_worker=4", "--wait")
    project.remove()


def check_notes_api(cluster):
    project = Project(cluster, EXAMPLES / "notes-api")
    project.deploy(NOTES_TOKEN="s3cret", GREETING_FROM="here")
    project.wait_answer(8084, "Hello from here\n5$\nbe kind\nkey of 13\na stranger\nuid 65534 on notes")
    project.shows("api", {"stat -c '%a %u' /run/secrets/token /etc/notes/settings.ini": "400 65534 440 65534",
                          "cat /run/secrets/token": "s3cret"})
    project.remove()


def check_migrations(cluster):
    project = Project(cluster, EXAMPLES / "migrations")
    project.deploy()
    project.wait_log("report", "1|it's seeded")
    assert project.state("migrate") == project.state("seed") == "exited"
    project.remove()


def check_sessions(cluster):
    project = Project(cluster, EXAMPLES / "sessions")
    project.deploy()
    counts = [cluster.wait(lambda p=peer: cluster.answers(p, 8085, "/ann"), "it answers").split()[0]
              for peer in cluster.peers() * 2]
    assert counts == [str(number + 1) for number in range(len(counts))], counts
    project.remove()


def check_monitoring(cluster):
    project = Project(cluster, EXAMPLES / "monitoring")
    project.deploy()
    project.wait_answer(9090, "up 1\nprocesses ")
    project.wait_answer(9091, "up 1\nprocesses ")
    lines = cluster.answers(cluster.peer(1), 9090).splitlines()
    assert int(lines[2].split()[1]) > 20, f"the exporter sees the machine's processes: {lines}"
    project.remove()


@scenario(peers=3, bound_s=900, nightly=True)
def test_services(cluster):
    """Seven more projects of examples/, of nginx, MariaDB, PostgreSQL, Redis, memcached and Python."""
    need(cluster, "nginx", "redis", "postgres", "python", "mariadb", "memcached")
    play(cluster, check_static_site, check_worker_queue, check_notes_api, check_migrations, check_sessions,
         check_monitoring, check_blog)


