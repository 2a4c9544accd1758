#!/usr/bin/env python3
"""If this fails, tools/plot does not draw what was measured, or the documents tell of other numbers or plots.

usage: test_plots.py CONSORT TOP
"""

import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

TOP = Path(sys.argv[2])
PLOTS = TOP / "docs/plots"
DOCUMENT = (TOP / "docs/performance.md").read_text()
SAYS = re.compile(r"^\| ([\d,]+) peers, (\d+) deaths? \|(.*)\|[^|]*\|$", re.M)


def measured(name):
    rows = [line.split() for line in (PLOTS / f"{name}.txt").read_text().splitlines() if line[0] != "#"]
    return {(int(row[0]), int(row[1])): row[2:] for row in rows}


def rounded(seconds):
    return f"{float(seconds):.1f}"


def wrong_numbers(document, table):
    """What the document's table of deaths says otherwise than what was measured."""
    rows = SAYS.findall(document)
    if not rows:
        yield "there is no table of deaths"
    for peers, deaths, cells in rows:
        for loss, cell in zip([0, 5, 10, 25], cells.split("|")):
            row = table.get((int(peers.replace(",", "")), loss))
            wanted = f"{rounded(row[1])} ({rounded(row[2])})" if row and row[0] != "1" else row and rounded(row[1])
            if (cell.strip() or None) != wanted or (row and row[0] != deaths):
                yield f"{peers} peers, {loss} % loss: \"{cell.strip()}\" of {deaths}, measured was {row}"


def draw(directory):
    done = subprocess.run([TOP / "tools/plot", "--to", directory], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr and not done.stdout, done
    drawn = sorted(Path(directory).glob("*.svg"))
    assert [path.name for path in drawn] == sorted(path.name for path in PLOTS.glob("*.svg")), drawn
    for path in drawn:
        texts = {"".join(node.itertext()).strip() for node in xml.parse(path).iter("{http://www.w3.org/2000/svg}text")}
        units = [text for text in texts if "in s:" in text or "in %" in text or text == "peers"]
        assert len(units) == 2, f"{path.name}: {texts}"


table = measured("death")
wrong = list(wrong_numbers(DOCUMENT, table))
assert list(wrong_numbers("| 20 peers, 20 deaths | 0.1 (0.2) | | | | < 3 |\n", table)), "another number must be noticed"
assert not any(int(row[3]) for row in table.values()), "somebody who lived was held dead"
wrong += [f"docs/performance.md does not show {path.name}" for path in PLOTS.glob("*.svg")
          if f"](plots/{path.name})" not in DOCUMENT]
print("\n".join(wrong))
if wrong:
    sys.exit(1)
if not shutil.which("gnuplot"):
    print("skipped: there is no gnuplot")
    sys.exit(77)
with tempfile.TemporaryDirectory() as directory:
    draw(directory)
