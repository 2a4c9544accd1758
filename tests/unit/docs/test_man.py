#!/usr/bin/env python3
"""If this fails, the man pages tell of commands, options or Compose keys that are not there, or keep some back.

usage: test_man.py CONSORT TOP

Asks the binary for --help, of all and of each command, and compares that with docs/man/consort.1.md and
consort-node.8.md, word for word; and the tables of keys in node/compose/ with consort-compose.5.md.
"""

import re
import subprocess
import sys
from pathlib import Path

CONSORT, TOP = sys.argv[1], Path(sys.argv[2])
MAN = TOP / "docs/man"
FAILURES = []


def check(holds, words):
    if not holds:
        FAILURES.append(words)


def same(left, right, words):
    for missing in sorted(set(left) - set(right)):
        check(False, f"{words}: the man page lacks: {missing}")
    for extra in sorted(set(right) - set(left)):
        check(False, f"{words}: only the man page has: {extra}")


def help_of(*words):
    done = subprocess.run([CONSORT, *words, "--help"], capture_output=True, text=True)
    check(done.returncode == 0, f"{' '.join(words)} --help exits with {done.returncode}")
    return done.stdout


def commands():
    """What `consort --help` lists: {"token create": "", "scale": "SERVICE=N...", …}."""
    listed = re.search(r"\nCommands:\n(.*?)\n\n", help_of(), re.S).group(1)
    found = {}
    for line in listed.splitlines():
        words = re.match(r"  (.*?)  +\S", line).group(1)
        name = re.match(r"[a-z]+(?: [a-z]+)?", words).group(0)
        found[name] = words[len(name):].strip()
    return found


def options(text):
    """The options in a help text, as "-f, --file FILE"."""
    listed = text.split("\nOptions:\n")[1].split("\n\n")[0]
    return {re.match(r"\s*(.*?)(?:  |$)", line).group(1) for line in listed.splitlines()}


def terms(text):
    """What stands in the terms of definition lists: "`--wait`" and ":   …" below."""
    return [word for line in re.findall(r"^(`.*`)\n:", text, re.M)
            for word in re.findall(r"`([^`]*)`", line)]


def sections(page):
    """{"deploy": ("-f FILE [NAME]", body)} of the headings "## consort deploy -f FILE [NAME]"."""
    found = {}
    for part in re.split(r"^#+ ", page, flags=re.M)[1:]:
        heading, _, body = part.partition("\n")
        second = "create|ls|revoke|inspect|ping|trace|profile|voters|import|pull|save|rm|use|set|get"
        match = re.match(rf"consort ([a-z]+(?: (?:{second}))?)(?: (.*))?$", heading)
        if match:
            found[match.group(1)] = (match.group(2) or "", body)
    return found


def check_commands():
    page = (MAN / "consort.1.md").read_text()
    helped, told = commands(), sections(page)
    same(helped, told, "commands")
    common = terms(page.split("# OPTIONS")[1].split("# COMMANDS")[0])
    everywhere = options(help_of("version"))
    same(everywhere, common, "options of every command")
    for name in helped.keys() & told.keys():
        usage, body = told[name]
        check(usage == helped[name], f"{name}: help says '{helped[name]}', the man page '{usage}'")
        own = options(help_of(*name.split())) - everywhere
        if name == "node":
            body = (MAN / "consort-node.8.md").read_text().split("# OPTIONS")[1].split("# SIGNALS")[0]
            own |= everywhere
        same(own, terms(body), f"options of {name}")


def keys_of_compose():
    """({supported}, {not supported}) by the tables `{"key", reader}` of the parser."""
    supported, refused = set(), set()
    for path in sorted((TOP / "node/compose").glob("*.c")):
        for key, reader in re.findall(r'\{"([a-z_-]+)", ([A-Za-z_]\w*)\}', path.read_text()):
            (refused if reader == "NULL" else supported).add(key)
    return supported, refused


def check_compose():
    page = (MAN / "consort-compose.5.md").read_text()
    supported, refused = keys_of_compose()
    check(len(supported) > 50 and len(refused) > 20, "the tables of Compose keys were not found")
    # Keys are in backticks, or in bold within the words on a key that has others below it.
    told = set(re.findall(r"`([a-z_-]+)`", page))
    inside = set(re.findall(r"\*\*([a-z_-]+)\*\*", page))
    for key in sorted((supported | refused) - told - inside):
        check(False, f"Compose keys: the man page lacks: {key}")
    for key in sorted(told - supported - refused):
        check(False, f"Compose keys: only the man page has: {key}")
    warned = re.search(r"These are warnings: (.*?)\.\n", page, re.S).group(1)
    service = (TOP / "node/compose/parse_service.c").read_text().split("service_keys[] = {")[1]
    same(set(re.findall(r'\{"([a-z_]+)", NULL\}', service)), set(re.findall(r"`([a-z_]+)`", warned)),
         "keys of a service that are warnings")


check_commands()
check_compose()
for words in FAILURES:
    print(words)
sys.exit(1 if FAILURES else 0)
