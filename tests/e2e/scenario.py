"""How a scenario says what it needs.

    @scenario(peers=5)
    def test_machine_dies(cluster):
        # what would break without it
        cluster.deploy(web(replicas=3))
        …

`cluster` is a testbed_lib.cluster.Cluster of that many peers; see there for what it can do.
"""

BOUND_S = 240


class Skip(Exception):
    """Raised by a scenario that can't be run here; its text says why."""


def scenario(peers=3, bare=False, bound_s=BOUND_S, pending=None, alone=False, nightly=False):
    """Marks a scenario: on how many peers it runs (`bare`: that know nothing of each other yet), and
    after how many seconds it is given up. One that would disturb others, or be disturbed, is played
    `alone`. One that is not known to hold yet is `pending` with the
    reason: it is skipped, and counted as such, unless it is named on the command line. A `nightly` one is
    played only when it is named: it is long, or needs what tools/nightly makes first."""
    def mark(function):
        function.scenario = {"up": {"count": peers, "bare": bare}, "bound_s": bound_s,
                             "pending": pending, "alone": alone, "nightly": nightly}
        return function
    return mark
