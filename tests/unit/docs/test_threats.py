#!/usr/bin/env python3
"""If this fails, docs/threat-model.md says that a test shows something, and there is no such test, or none named.

usage: test_threats.py CONSORT TOP
"""

import re
import sys
from pathlib import Path

TOP = Path(sys.argv[2])
NAMED = re.compile(r"`([a-z0-9/_]+\.(?:c|py)): (\w+)`")
RUN = {".c": r"cmocka_unit_test\w*\({}\b", ".py": r"@scenario\(.*\)\ndef {}\("}


def objections(document):
    for line in document.splitlines():
        is_row = line.startswith("| to ")
        named = NAMED.findall(line)
        if is_row and not named:
            yield f"no test is named: {line[:60]}…"
        for file, test in named:
            path = TOP / file
            if not path.exists():
                yield f"there is no {file}"
            elif not re.search(RUN[path.suffix].format(test), path.read_text()):
                yield f"{file} does not run {test}"


wrong = list(objections((TOP / "docs/threat-model.md").read_text()))
assert list(objections("| to lie | | | nothing |")), "a row without a test must be noticed"
assert list(objections("| to lie | | | `tests/unit/gossip/test_swim.c: test_nothing` |")), "so must a name without a test"
print("\n".join(wrong))
sys.exit(1 if wrong else 0)
