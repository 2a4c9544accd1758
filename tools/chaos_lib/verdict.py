"""What must hold once all is well again, and of what the clients saw."""

import subprocess
import time
from collections import Counter

from testbed_lib.api import ApiError, Connection

from .clients import OK, READ, Client, value_of
from .machines import linear_history

SETTLE_S = 60
FINAL_CLIENT = 0
# What no daemon may ever log.
FORBIDDEN = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "Assertion `")


def settle(machines, peers):
    """Waits until every peer runs, sees all alive and has applied the same; what is wrong, or None."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        states = []
        for number in range(1, peers + 1):
            try:
                with Connection(machines.peer(number).socket, 2) as connection:
                    states.append(connection.call("status"))
            except (OSError, ApiError, ValueError) as error:
                states.append({"peer": number, "error": str(error)})
        if all(state.get("quorum") and state["live"] == peers for state in states) and \
                len({state["applied"] for state in states}) == 1:
            return None
        if time.monotonic() > deadline:
            shown = [{key: state.get(key) for key in ("name", "leader", "live", "applied", "error")}
                     for state in states]
            return f"not all well {SETTLE_S} s after the last fault: {shown}"
        time.sleep(0.2)


def final_reads(machines, peers, history):
    """Reads every register and log at every peer; returns the logs' contents."""
    client, contents = Client(machines, peers), {}
    for config in sorted(history.registers) + sorted(history.appended):
        for peer in range(1, peers + 1):
            call = time.monotonic_ns()
            version, content, error = client.get(peer, config, True)
            if error:
                history.problem(f"a last read of {config} at peer-{peer} failed: {error}")
            elif config in history.registers:
                history.add(FINAL_CLIENT, config, READ, 0, value_of(content), OK, call,
                            time.monotonic_ns())
            else:
                contents.setdefault(config, set()).add(content)
    client.close()
    return contents


def check_logs(contents, history):
    """Every acknowledged word is there, once, and at every peer."""
    for log, words in history.appended.items():
        found = contents.get(log) or {b"0"}
        if len(found) > 1:
            history.problem(f"{log} is not the same at every peer")
        for content in found:
            counts = Counter(content.decode().split()[1:])
            if missing := sorted(words - set(counts)):
                history.problem(f"{log} lacks {len(missing)} acknowledged words: {missing[:5]}")
            if doubled := [word for word, count in counts.items() if count > 1]:
                history.problem(f"{log} has words twice: {doubled[:5]}")


def check_daemons(machines, peers, history):
    for number in range(1, peers + 1):
        machine = machines.peer(number)
        text = machine.log.read_text(errors="replace") if machine.log.exists() else ""
        for words in FORBIDDEN:
            if words in text:
                history.problem(f"{machine.name}'s log says '{words}'")
    for problem in machines.problems:
        history.problem(problem)


def check_linear(path, history, binary):
    """Writes the history down and has it checked; returns the checker's last line."""
    path.write_text("".join(f"{line}\n" for line in history.lines))
    done = subprocess.run([linear_history(binary), path], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    if done.returncode != 0:
        for line in lines[:-1] or [done.stderr.strip() or f"exit code {done.returncode}"]:
            history.problem(line)
    return lines[-1] if lines else ""
