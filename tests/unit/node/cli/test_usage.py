#!/usr/bin/env python3
"""If this fails, words that make no sense get no clear answer: what is wrong, what to type next, exit status 2.

usage: test_usage.py CONSORT
"""

import subprocess
import sys

CONSORT = sys.argv[1]

# What is typed, what is said about it, and where to read on.
CASES = [
    ("", "which command?", "consort --help"),
    ("--bogus", "there is no option --bogus", "consort --help"),
    ("--socket", "--socket wants a value", "consort --help"),
    ("--format xml ps", "--format xml: want text or json", "consort --help"),
    ("foo", "there is no command foo", "consort --help"),
    ("token", "token what?", "consort token --help"),
    ("token foo", "there is no command token foo", "consort token --help"),
    ("scale", "SERVICE=N is expected, as in web=3", "consort scale --help"),
    ("scale web=x", "web=x: SERVICE=N is expected, as in web=3", "consort scale --help"),
    ("join", "which token? Make one at a member with: consort token create", "consort join --help"),
    ("join a b", "one token is expected, and nothing behind it", "consort join --help"),
    ("peer trace a a", "two peers are expected: from which, and to which", "consort peer trace --help"),
    ("token create --uses x", "--uses x: want a whole number such as 3", "consort token create --help"),
    ("cluster profile moon", "moon: profiles are lan, wan and edge", "consort cluster profile --help"),
    ("cluster profile lan wan", "one profile is expected: lan, wan or edge", "consort cluster profile --help"),
    ("cluster voters 4", "4: 1, 3, 5 or 7 peers can vote", "consort cluster voters --help"),
    ("cluster voters x", "x: 1, 3, 5 or 7 peers can vote", "consort cluster voters --help"),
    ("cluster voters 3 5", "one number is expected: 1, 3, 5 or 7", "consort cluster voters --help"),
    ("cluster profile --probe-interval 5", "--probe-interval 5: want a time such as 10s, 5m or 1h",
     "consort cluster profile --help"),
    ("deploy --check --wait", "--check deploys nothing: --wait can't go with it", "consort deploy --help"),
    ("deploy --pull --check", "--check deploys nothing: --pull can't go with it", "consort deploy --help"),
    ("recover", "recover asks before it goes on: without a terminal, give --yes", "consort recover --help"),
    ("recover x", "recover is for the peer that is asked: it takes no argument", "consort recover --help"),
    ("peer inspect --bogus a", "there is no option --bogus", "consort peer inspect --help"),
]

failed = 0
for typed, wrong, see in CASES:
    done = subprocess.run([CONSORT, *typed.split()], capture_output=True, text=True)
    expected = (2, "", f"consort: {wrong}\n  see: {see}\n")
    if (done.returncode, done.stdout, done.stderr) != expected:
        print(f"consort {typed}: expected {expected}, was {(done.returncode, done.stdout, done.stderr)}")
        failed += 1
sys.exit(failed > 0)
