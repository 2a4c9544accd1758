#!/usr/bin/env python3
"""If this fails, systemd would not take the unit as meant, or a stop or an upgrade would end containers.

usage: test_systemd_unit.py SYSTEMD_ANALYZE CONSORT UNIT
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ANALYZE, CONSORT, UNIT = sys.argv[1:]
MUST_SAY = ["Type=notify", "KillMode=process", "Delegate=yes", "RuntimeDirectoryPreserve=yes",
            "Restart=on-failure", "StartLimitIntervalSec=0", "StateDirectoryMode=0700"]

text = Path(UNIT).read_text()
missing = [line for line in MUST_SAY if line not in text.splitlines()]
for line in missing:
    print(f"the unit does not say {line}")

# The binary is not installed where the unit expects it, and the man page neither.
text = re.sub(r"^ExecStart=\S+", f"ExecStart={Path(CONSORT).resolve()}", text, flags=re.M)
text = re.sub(r"^Documentation=.*\n", "", text, flags=re.M)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "consort.service"
    path.write_text(text)
    done = subprocess.run([ANALYZE, "verify", "--man=no", path], capture_output=True, text=True)
# What it says of other units of this machine is none of ours.
ours = [line for line in (done.stdout + done.stderr).splitlines() if "consort.service" in line]
for line in ours:
    print(line)
sys.exit(bool(missing or ours))
