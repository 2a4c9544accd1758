#!/usr/bin/env python3
"""If this fails, what tools/chaos wrote down is misread, or a wrong history passes for a right one.

usage: test_linear_history.py LINEAR_HISTORY
"""

import subprocess
import sys
import tempfile

PROGRAM = sys.argv[1]
FAILURES = []


def expect(code, words, *lines):
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        done = subprocess.run([PROGRAM, file.name], capture_output=True, text=True)
    said = done.stdout + done.stderr
    if done.returncode != code or words not in said:
        FAILURES.append(f"{lines}: exits with {done.returncode}, not {code} and '{words}': {said}")


expect(0, "3 operations on 2 registers: 2 linearizable",
       "1 a write 0 7 ok 10 20", "2 a read 0 7 ok 30 40", "2 b read 0 0 ok 30 40")
# A write whose outcome nobody knows may have happened, late, or not.
expect(0, "1 linearizable", "1 a write 0 7 unknown 10 20", "2 a read 0 0 ok 30 40",
       "2 a read 0 7 ok 50 60")
expect(1, "register a is not linearizable", "1 a write 0 7 unknown 10 20", "2 a read 0 7 ok 30 40",
       "2 a read 0 0 ok 50 60")
# A stale read, after the write has returned; not so at the same moment, or on another register.
expect(1, "client 2's read of 0", "1 a write 0 7 ok 10 20", "2 a read 0 0 ok 21 40")
expect(0, "1 linearizable", "1 a write 0 7 ok 10 20", "2 a read 0 0 ok 20 40")
expect(1, "1 linearizable, 1 not", "1 a write 0 7 ok 10 20", "2 a read 0 0 ok 21 40",
       "2 b read 0 0 ok 41 42")
# Swaps: of two from one value, one is refused; a refused one says what the register did not hold.
expect(0, "1 linearizable", "1 a swap 0 7 ok 10 20", "2 a swap 0 8 refused 15 25")
expect(1, "swap to", "1 a swap 0 7 ok 10 20", "2 a swap 0 8 ok 15 25")
expect(1, "where 0 was expected, refused", "1 a swap 0 7 refused 10 20")
expect(0, "1 linearizable", "1 a swap 0 7 unknown 10 20", "2 a read 0 7 ok 30 40")
# What makes no sense.
for line in ("1 a write 0 7 ok 10", "1 a wipe 0 7 ok 10 20", "1 a write 0 7 perhaps 10 20", "x",
             "1 a read 0 7 unknown 10 20", "1 a write 0 7 refused 10 20", "1 a write 0 7 ok 20 10"):
    expect(2, ":2: " + line, "1 a read 0 0 ok 1 2", line)
done = subprocess.run([PROGRAM, "/no/such/file"], capture_output=True, text=True)
if done.returncode != 2:
    FAILURES.append("a file that is not there is no failure")

print("\n".join(FAILURES))
sys.exit(1 if FAILURES else 0)
