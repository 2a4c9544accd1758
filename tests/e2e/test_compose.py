"""Compose files as people write them: several files, what is extended and included, services that wait."""

import shutil
import subprocess
from pathlib import Path

from scenario import scenario
from testbed_lib.cluster import HELLO, TOP, web

FILES = Path(__file__).resolve().parent / "compose"


def folder(cluster, name):
    """A copy of the project where its peer can read it, and nothing else is."""
    target = cluster.directory / name
    shutil.copytree(FILES / name, target)
    return target


def sh(cluster, replica, script):
    return cluster.peer(1).try_consort("exec", replica, "--", "sh", "-c", script)


@scenario(peers=2)
def test_split_files(cluster):
    """An override beside the base, a service that extends another file's, variables, a profile."""
    peer = cluster.peer(1)
    project = folder(cluster, "split")
    base, override = project / "compose.yaml", project / "compose.override.yaml"
    peer.consort("deploy", "-f", base, "-f", override, "--wait")
    cluster.wait_serving(2, "shop_web")
    assert {row["service"] for row in peer.query("ps")} == {"shop_web"}
    cluster.wait_answers()
    environment = sh(cluster, "shop_web.1", "echo $VERSION $REGION $EXTRA; stat -c %a /data").stdout
    assert environment.split() == ["from-env", "home", "from-env-extra", "750"], environment
    peer.consort("deploy", "-f", base, "-f", override, "--profile", "debug", "--wait")
    assert {row["service"] for row in peer.query("ps")} == {"shop_web", "shop_shell"}


@scenario(peers=2)
def test_waits(cluster):
    """depends_on: a job first, then the database until it is healthy, then the web service."""
    peer = cluster.peer(2)
    peer.consort("deploy", "-f", folder(cluster, "chain") / "compose.yaml", "chain")

    def state(service):
        rows = [row for row in peer.query("ps") if row["service"] == service]
        return (rows[0]["state"], rows[0]["health"], rows[0].get("detail", "")) if rows else ("", "", "")

    cluster.wait(lambda: state("chain_setup")[0] == "running", "the job runs")
    waiting = state("chain_db")
    if state("chain_setup")[0] == "running":  # it still did
        assert waiting[0] in ("pending", "unknown", ""), waiting
    cluster.wait(lambda: state("chain_db")[0] == "running", "the database starts")
    assert state("chain_setup")[0] == "exited", state("chain_setup")
    if state("chain_db")[1] != "healthy":
        assert state("chain_web")[0] == "pending", state("chain_web")
        assert "waits for chain_db to be healthy" in peer.consort("ps"), peer.consort("ps")
    cluster.wait_serving(1, "chain_web")
    assert state("chain_db")[:2] == ("running", "healthy"), state("chain_db")
    cluster.deploy((FILES / "chain/compose.yaml").read_text(), stack="chain")  # --wait counts the job as done
    assert state("chain_setup")[0] == "exited"


@scenario(peers=1)
def test_sandbox(cluster):
    """What a service's keys grant and take is what its processes see."""
    cluster.deploy((FILES / "sandbox/compose.yaml").read_text(), stack="s")
    checks = {
        "id -u; id -g; pwd; hostname": "1000 1000 /tmp box",
        "cat /proc/1/limits | grep 'open files' | awk '{print $4, $5}'": "512 600",
        "cat /proc/sys/net/core/somaxconn": "77",
        "df -k /dev/shm | tail -1 | awk '{print $2}'": "2048",
        "cat /proc/1/oom_score_adj": "300",
        "grep Cpus_allowed_list /proc/1/status | cut -f2": "0",
        "grep -c 'Groups:.*4242' /proc/1/status": "1",
        "echo x > /dev/sink && echo written": "written",
        "touch /x 2>/dev/null || echo read-only": "read-only",
        "grep -E 'search|options' /etc/resolv.conf | tr '\\n' ' '": "search example.org options ndots:2",
        "grep legacy /etc/hosts | awk '{print $1}'": "192.0.2.7",
        "cat /not/in/the/image/conf; stat -c ' %a' /nor/this/data": "found 755",
        "grep CapBnd /proc/1/status | cut -f2": "0000000000000400",
        "grep NoNewPrivs /proc/1/status | cut -f2": "1",
    }
    for script, expected in checks.items():
        done = sh(cluster, "s_box.1", script)
        assert " ".join(done.stdout.split()) == expected, f"{script}: {done.stdout}{done.stderr}"


@scenario(peers=2)
def test_parts(cluster):
    """include with its own folder and variables; secrets, configs, an env_file that may be missing."""
    peer = cluster.peer(1)
    peer.consort("deploy", "-f", folder(cluster, "parts") / "compose.yaml", "parts", "--wait")
    assert {row["service"] for row in peer.query("ps")} == {"parts_web", "parts_store"}
    assert sh(cluster, "parts_store.1", "echo $STORE").stdout.strip() == "here"
    shown = sh(cluster, "parts_web.1", "cat /etc/settings /run/secrets/web.key; stat -c %a /run/secrets/web.key")
    assert shown.stdout.split("\n")[:3] == ["stack=parts", "the key", "400"], shown.stdout


@scenario(peers=3)
def test_external(cluster):
    """Configs and secrets of the cluster's own: shown by name, taken up by a deploy or an update --force and not
    before, brought back by a rollback, and not removed from under a service. Two who set at once don't undo
    each other, and a secret is printed nowhere."""
    one, two, _ = cluster.peers()
    project = cluster.directory / "external"
    project.mkdir()
    (project / "app.conf").write_bytes(b"one\n\xff\0")
    (project / "key").write_text("hush-canary")
    (project / "compose.yaml").write_text("""
services:
  web:
    image: hello:1
    command: [/bin/web]
    configs: [{source: settings, target: /etc/app.conf}]
    secrets: [{source: key, mode: 0400}]
configs:
  settings: {external: true, name: app}
secrets:
  key: {external: true}
""")

    def deploy():
        return one.try_consort("deploy", "-f", project / "compose.yaml", "ext", "--wait")

    refused = deploy()
    assert refused.returncode == 1 and "there is no config named app" in refused.stderr, refused.stderr
    first = int(two.consort("config", "set", "app", project / "app.conf").split()[1])
    two.consort("secret", "set", "key", project / "key")
    assert deploy().returncode == 0
    shown = sh(cluster, "ext_web.1", "head -n 1 /etc/app.conf; cat /run/secrets/key; stat -c ' %a' /run/secrets/key")
    assert shown.stdout.split() == ["one", "hush-canary", "400"], shown.stdout
    row = next(row for row in one.query("config", "ls") if row["name"] == "app")
    assert (row["version"], row["size_bytes"], row["stack"]) == (first, 6, ""), row
    assert row["services"] == [{"service": "ext_web", "version": first}], row

    (project / "app.conf").write_text("two\n")
    stale = one.try_consort("config", "set", "app", project / "app.conf", "--expect", "0")
    assert stale.returncode == 1 and f"is at version {first}, not at 0" in stale.stderr, stale.stderr
    second = int(one.consort("config", "set", "app", project / "app.conf", "--expect", first).split()[1])
    assert second > first
    assert one.consort("config", "get", "app") == "two\n"
    assert sh(cluster, "ext_web.1", "head -n 1 /etc/app.conf").stdout == "one\n"
    assert f"has version {first} of the config app; {second} is newer" in one.consort("why", "ext_web")
    one.consort("update", "ext_web", "--force", "--wait")
    assert sh(cluster, "ext_web.1", "cat /etc/app.conf").stdout == "two\n"
    one.consort("rollback", "ext_web", "1", "--wait")
    assert sh(cluster, "ext_web.1", "head -n 1 /etc/app.conf").stdout == "one\n"

    for kind, name in (("config", "app"), ("secret", "key")):
        # one that had to be sent twice is refused with fewer words
        cluster.wait(lambda: f"ext_web uses the {kind} {name}" in one.try_consort(kind, "rm", name).stderr,
                     "it is not removed from under the service")
    told = "".join(one.consort(*words) for words in (["secret", "ls"], ["events"], ["service", "inspect", "ext_web"]))
    assert "key" in told and "hush" not in told, told
    one.consort("rm", "ext")
    cluster.wait(lambda: one.try_consort("secret", "rm", "key").returncode == 0, "the secret can go")
    assert one.query("secret", "ls") == []


@scenario(peers=2)
def test_quota(cluster):
    """What would go over a stack's quota is refused at once, in words that say what is used, and changes nothing."""
    one, two = cluster.peers()
    two.consort("quota", "set", "demo", "--replicas", "2", "--memory", "256M")
    cluster.deploy(web(replicas=2, deploy={"resources": {"limits": {"memory": "64M"}}}))
    over = two.try_consort("scale", "demo_web=3")
    assert over.returncode == 1 and "it has 2, and would have 3" in over.stderr, over.stderr
    large = one.try_consort("update", "demo_web", "--memory", "200M")
    assert large.returncode == 1 and "256 MiB of memory by its quota; it has 128" in large.stderr, large.stderr
    row = one.query("quota", "ls")[0]
    assert (row["replicas_used"], row["replicas"], row["memory_bytes_used"]) == (2, 2, 128 << 20), row
    assert "2 of 2" in two.consort("quota", "ls")
    one.consort("quota", "rm", "demo")
    two.consort("scale", "demo_web=3", "--wait")
    assert one.query("quota", "ls") == []


@scenario(peers=2)
def test_limits_while_it_serves(cluster):
    """update --memory and --cpus: the containers run on, and have them; rollback likewise."""
    cluster.deploy(web(replicas=2, deploy={"resources": {"limits": {"memory": "64M"}}}))
    cluster.wait_answers()

    def limits():
        script = ("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; "
                  "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null")
        return [sh(cluster, f"demo_web.{slot}", script).stdout.split()[:2] for slot in (1, 2)]

    def started():
        return sorted((row["generation"], row["restarts"]) for row in cluster.replicas("demo_web"))

    before = started()
    rows = cluster.peer(1).query("stats", "demo_web")
    assert {row["name"] for row in rows} == {"demo_web.1", "demo_web.2"}, rows
    assert all(row["memory_limit_bytes"] == 64 << 20 and 0 < row["memory_bytes"] < 64 << 20
               and row["pids"] > 0 and row["cpu_millis"] >= 0 for row in rows), rows
    assert "demo_web.2" in cluster.peer(2).consort("stats")
    with cluster.load() as load:
        cluster.peer(1).consort("update", "demo_web", "--memory", "96M", "--cpus", "0.5", "--wait")
        cluster.wait(lambda: all(found == ["100663296", "50000"] for found in limits()), "the limits are there")
        assert started() == before, "containers were replaced"
        assert all(row["revision"] == 2 for row in cluster.replicas("demo_web"))
        cluster.peer(2).consort("rollback", "demo_web")
        cluster.wait(lambda: all(found[0] == "67108864" for found in limits()), "and back")
        assert started() == before, "containers were replaced"
    assert load.failed == 0, load.report()


@scenario(peers=1)
def test_keeping(cluster):
    """What an image keeps outlives updates and goes with its service; hooks run around each start and end;
    a part of a volume is shown."""
    peer = cluster.peer(1)
    archive = cluster.directory / "keeper.tar"
    subprocess.run([TOP / "tools/make-image", "--volume", "/data", HELLO / "image", archive, "keeper:1", "--", "/bin/sh"],
                   check=True, capture_output=True)
    peer.consort("image", "import", archive)
    path = folder(cluster, "keeping") / "compose.yaml"
    peer.consort("deploy", "-f", path, "keep", "--wait")
    cluster.wait_serving(1, "keep_gallery")
    assert sh(cluster, "keep_gallery.1", "ls -d /small && touch /small/x").returncode == 1  # read-only
    assert sh(cluster, "keep_db.1", "echo mine > /data/mine; echo warm > /cache/it").returncode == 0
    text = path.read_text()
    path.write_text(text.replace("${ROUND:-1}", "2"))
    peer.consort("deploy", "-f", path, "keep", "--wait")
    kept = sh(cluster, "keep_db.1", "cat /data/mine /cache/it /data/log").stdout.split("\n")
    assert kept == ["mine", "warm", "prepared 1", "leaves", "ended", "prepared 2", ""], kept
    volumes = peer.data_dir / "anonymous"
    assert len(list(volumes.iterdir())) == 3, list(volumes.iterdir())  # /data of both, /cache
    path.write_text(text.replace("echo prepared", "echo broken; exit 3; echo"))
    failed = peer.try_consort("deploy", "-f", path, "keep", "--wait")
    assert failed.returncode == 1 and "post_start failed" in failed.stderr, failed.stderr
    cluster.wait_serving(1, "keep_db")
    assert "mine" in sh(cluster, "keep_db.1", "cat /data/mine").stdout
    peer.consort("rm", "keep")
    cluster.wait(lambda: list(volumes.iterdir()) == [], "its anonymous volumes are gone")
