"""That tools/chaos notices: each tests/chaos/NAME.mutant breaks a copy of the sources on purpose, as
tools/mutants does to the core, and runs on peers of that build are repeated with other seeds until one
finds a violation."""

import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
MUTANTS = TOP / "tests/chaos"
TARGETS = ["node/consort", "tests/linear/linear_history", "tests/chaos/chaos_preload.so"]
TREE = 9  # of build-mutants/: tools/mutants counts from 0


def notices(tree, seeds, minutes, name):
    """The seed that found a violation, and which; or None."""
    for seed in range(1, seeds + 1):
        done = subprocess.run(
            [TOP / "tools/chaos", "--seed", str(seed), "--minutes", str(minutes), "--name", name],
            env={**os.environ, "CONSORT_BINARY": str(tree.build / "node/consort")},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        found = [line for line in done.stdout.splitlines() if line.startswith("violation: ")]
        if done.returncode != 0 and not found:
            sys.exit(f"tools/chaos: the run itself failed:\n{done.stdout[-3000:]}")
        if found:
            return seed, found[0].removeprefix("violation: ")
    return None


def prove(seeds, minutes, name):
    """Breaks each in turn; true if all were noticed, and the sound one found nothing."""
    mutants = SourceFileLoader("mutants", str(TOP / "tools/mutants")).load_module()
    tree = mutants.Tree(TREE)
    tree.make(TARGETS)
    found = notices(tree, 1, minutes, name)
    if found:
        print(f"the sound peers: seed {found[0]}: {found[1]}")
        return False
    print("the sound peers: nothing is found", flush=True)
    survivors = 0
    for path in sorted(MUTANTS.glob("*.mutant")):
        mutant = mutants.Mutant(path)
        misfit = mutant.check(tree.source)
        if misfit:
            sys.exit(f"tools/chaos: {misfit}")
        sound = mutant.apply(tree.source)
        try:
            tree.make(TARGETS)
            found = notices(tree, seeds, minutes, name)
        finally:
            for file, text in sound.items():
                (tree.source / file).write_text(text)
        survivors += not found
        print(f"{mutant.name}: {f'noticed with seed {found[0]}: {found[1]}' if found else 'SURVIVES'}\n"
              f"    {mutant.why}", flush=True)
    return survivors == 0
