#!/usr/bin/env python3
"""If this fails, a message or a document tells of a command, option, function or file that there is not.

usage: test_words.py CONSORT TOP

Looks at what the sources' texts say behind a colon ("see: consort peer ls"), and at `consort …` in the
documents, the examples and the tools' words, and compares that with --help; and at each `name_of_something`
and path in the documents, which the sources must have.
"""

import re
import subprocess
import sys
from pathlib import Path

CONSORT, TOP = sys.argv[1], Path(sys.argv[2])
COMMAND = re.compile(r"\bconsort ((?:-|[a-z])[^`,;:\n]*)")


def help_of(*words):
    return subprocess.run([CONSORT, *words, "--help"], capture_output=True, text=True).stdout


LISTED = re.findall(r"^  ([a-z]+(?: (?!\.)[a-z]+)?)", help_of().split("Commands:")[1].split("Options:")[0],
                    re.M)
GROUPS = {name.split()[0] for name in LISTED if " " in name}
OPTIONS = {name: set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", help_of(*name.split())))
           for name in [*LISTED, ""]}


def objection(text):
    """What is wrong with "peer ls --wait and more words", or None."""
    words = text.split()
    name = words[0] if words[0] not in GROUPS else " ".join(words[:2])
    if words[0].startswith("-"):
        name = ""
    elif name not in LISTED:
        return None if name in GROUPS else f"there is no command 'consort {name}'"
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text.split(" -- ")[0]):
        if option not in OPTIONS[name] | OPTIONS[""]:
            return f"'consort {name}' has no option {option}"
    return None


def texts_of_source(path):
    """The string literals of a C file, those side by side joined."""
    source = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
    for run in re.findall(r'(?:"(?:[^"\\\n]|\\.)*"\s*)+', source):
        yield "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', run)).replace("\\n", "\n")


def commands_of_source(path):
    for text in texts_of_source(path):
        found = re.search(r": consort |^consort \w+ --", text)
        if found:
            yield from COMMAND.findall(text[found.start():])
        yield from (words for words in COMMAND.findall(text) if words.split()[0] in GROUPS)


def commands_of_page(path):
    text = path.read_text()
    for piece in re.findall(r"`([^`]*)`", text) + re.findall(r"^(?:#| )   *(.*)$", text, re.M):
        yield from COMMAND.findall(piece) if piece.startswith("consort ") else []


def unknown_names(path, names):
    """Identifiers and paths in the page that the sources do not have."""
    text = path.read_text()
    for name in re.findall(r"`([A-Za-z]+_[A-Za-z_]*[A-Za-z])`", text):
        if name not in names:
            yield f"there is no {name} in the sources"
    for name in re.findall(r"\b(?:base|gossip|consensus|runtime|node|tests|tools|docs)/[\w/.*-]*[\w/*]", text):
        if name.startswith("tests/sim") or name in BUILT:
            continue
        if not any(TOP.glob(name.rstrip("/"))):
            yield f"there is no {name}"


# Made by the build.
BUILT = {"node/consort", "tests/etcd/raft_script", "tests/bench/gossip-memory",
         "tests/linear/linear_history"}


def main():
    failed = count = 0
    folders = ["base", "gossip", "consensus", "runtime", "node"]
    sources = [path for folder in folders for path in sorted((TOP / folder).rglob("*.c"))]
    pages = [*sorted((TOP / "docs").rglob("*.md")), TOP / "README.md", TOP / "CHANGELOG.md",
             TOP / "examples/hello/compose.yaml", TOP / "tools/demo"]
    for path, find in [(path, commands_of_source) for path in sources] + [
            (path, commands_of_page) for path in pages]:
        for text in find(path):
            count += 1
            why = objection(text)
            if why:
                print(f"{path.relative_to(TOP)}: {why}: {text!r}")
                failed += 1
    names = set(re.findall(r"\w+", "".join(path.read_text() for folder in [*folders, "tests"]
                                           for path in (TOP / folder).rglob("*.[ch]"))))
    for path in [*sorted((TOP / "docs").rglob("*.md")), TOP / "README.md"]:
        for why in unknown_names(path, names):
            print(f"{path.relative_to(TOP)}: {why}")
            failed += 1
    if count < 100:
        print(f"only {count} commands were found: the search is broken")
    return failed > 0 or count < 100


sys.exit(main())
