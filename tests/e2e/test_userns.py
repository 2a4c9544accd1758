"""userns_mode: auto, from the file to what is left in the end."""

from pathlib import Path

from scenario import scenario
from testbed_lib.cluster import web

FILE = Path(__file__).resolve().parent / "compose/userns/compose.yaml"
FIRST = 1879048192  # of the ids that peers hand out


def sh(peer, replica, script):
    return peer.consort("exec", replica, "--", "sh", "-c", script).split()


@scenario(peers=1)
def test_user_namespace(cluster):
    """A replica with ids of its own serves, shares a volume, is entered, copied into, updated and removed."""
    peer = cluster.peer(1)
    text = FILE.read_text()
    cluster.deploy(text, stack="u")
    cluster.wait_serving(1, "u_web")
    cluster.wait_serving(1, "u_plain")
    identity = ["0", str(FIRST), "65536"]
    assert sh(peer, "u_web.1", "cat /proc/self/uid_map") == identity
    assert sh(peer, "u_plain.1", "cat /proc/self/uid_map") == ["0", "0", "4294967295"]

    sh(peer, "u_web.1", "echo web > /kept/web; chown 1000 /kept/web")
    sh(peer, "u_plain.1", "echo plain > /kept/plain")
    owners = "cd /kept && stat -c '%n %u' web plain && cat /greeting 2>/dev/null || true"
    assert sh(peer, "u_web.1", owners) == ["web", "1000", "plain", "0", "hello"]
    assert sh(peer, "u_plain.1", owners) == ["web", "1000", "plain", "0"]

    copied = cluster.directory / "copied"
    copied.write_text("copied\n")
    peer.consort("cp", copied, "u_web.1:/tmp/copied")
    assert sh(peer, "u_web.1", "stat -c %u /tmp/copied; cat /tmp/copied") == ["0", "copied"]
    peer.consort("cp", "u_web.1:/kept/web", cluster.directory / "back")
    assert (cluster.directory / "back").read_text() == "web\n"

    before = sh(peer, "u_web.1", "cut -d' ' -f22 /proc/1/stat")  # when it began
    peer.kill_daemon()
    peer.start()
    cluster.wait_serving(1, "u_web")
    assert sh(peer, "u_web.1", "cut -d' ' -f22 /proc/1/stat; cat /proc/self/uid_map") == before + identity

    cluster.deploy(text.replace("mapped", "again"), stack="u")
    cluster.wait_serving(1, "u_web")
    assert sh(peer, "u_web.1", "echo $VERSION; cat /kept/web; stat -c %u /kept/web") == ["again", "web", "1000"]
    for service in ("u_web", "u_plain"):
        peer.consort("rm", service)
    cluster.wait(lambda: not cluster.replicas(), "nothing is wanted any more")
    cluster.wait_no_orphans()
    assert not [point for point in peer.mounts() if "/userns/" in str(point)], peer.mounts()
    assert not list((peer.run_dir / "userns").iterdir())


@scenario(peers=1)
def test_no_apparmor(cluster):
    """A profile that the machine can't confine by keeps the replica from running, and `why` says so."""
    peer = cluster.peer(1)
    cluster.deploy(web(replicas=1, security_opt=["apparmor=nobodys"]), wait=False)
    words = ("AppArmor's profile nobodys is not loaded", "profile nobodys, and this machine has no AppArmor")
    cluster.wait(lambda: any(each in peer.consort("why", "demo_web") for each in words), "why says what is lacking")
    assert not cluster.serving()
