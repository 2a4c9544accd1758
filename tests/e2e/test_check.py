"""deploy --check: what would be deployed and what that would change, said before anything is."""

import json

from scenario import scenario
from testbed_lib.cluster import PORT

STACK = """services:
  web:
    image: hello:1
    ports: ["{port}:8080"]
    environment: {{WORD: "{word}"}}
    configs: [{{source: page, target: /page}}]
    secrets: [key]
    deploy: {{replicas: {replicas}}}
{more}configs: {{page: {{content: "{page}"}}}}
secrets: {{key: {{file: ./key}}}}
"""
MORE = """  idle:
    image: hello:1
"""


def checker(cluster):
    """Writes the stack's file, checks it, and returns what is said; `plan` is that of one service."""
    peer, project = cluster.peer(1), cluster.directory / "check"
    project.mkdir()
    (project / "key").write_text("secret\n")

    def check(verb=("--check", "--format", "json"), stack="shop", port=PORT, word="a", replicas=1, page="p", more=""):
        (project / "compose.yaml").write_text(
            STACK.format(port=port, word=word, replicas=replicas, page=page, more=more))
        return peer.try_consort("deploy", "-f", project / "compose.yaml", stack, *verb)

    return check


def plan(done, service="shop_web"):
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["compared"], said
    row = next(row for row in said["services"] if row["name"] == service)
    return (row["change"], row["differs_in"]), said


@scenario(peers=2)
def test_check(cluster):
    """Each change by its name, and none of them made; what a deploy would be refused for is said."""
    check, peer = checker(cluster), cluster.peer(1)
    assert plan(check())[0] == ("new", [])
    assert peer.query("service", "ls") == [] and cluster.replicas() == []
    assert check(["--wait"], more=MORE).returncode == 0
    assert plan(check(more=MORE))[0] == ("unchanged", [])
    assert plan(check(replicas=2))[0] == ("scale", [])
    change, said = plan(check(word="b"))
    assert change == ("update", ["environment"]) and said["removed"] == ["shop_idle"], said
    assert plan(check(page="q"))[0] == ("update", ["configs and secrets"])
    assert {row["revision"] for row in peer.query("service", "ls")} == {1}

    words = check(["--check"], word="b", replicas=2).stdout
    assert "updated from revision 1: environment" in words and "removed: shop_idle" in words, words
    assert "nothing was changed" in words, words

    taken = check(stack="other")
    assert taken.returncode == 1 and "shop_web already" in taken.stderr, taken
    assert plan(check(stack="other", port=PORT + 1), "other_web")[0] == ("new", [])


@scenario(peers=1)
def test_check_alone(cluster):
    """Without a daemon the files are checked all the same, and what could not be is said."""
    check = checker(cluster)
    cluster.peer(1).kill_daemon()
    done = check(["--check"])
    assert done.returncode == 0, done.stderr
    assert "not checked:" in done.stdout and "as far as the files say" in done.stdout, done.stdout
    said = json.loads(check().stdout)
    assert not said["compared"] and "no peer answers" in said["not_compared"], said
    wrong = check(more="  bad: {imagee: x}\n")
    assert wrong.returncode == 1 and "did you mean image?" in wrong.stderr, wrong
    assert check(["--check", "--wait"]).returncode == 2
