"""Peers of Consort on one machine, each in a network namespace of its own.

    testbed = Testbed()
    testbed.up(3)
    testbed.cut(1, 2)
    testbed.peer(3).kill()
    testbed.down()

network.py   the namespaces, the switch between them, and faults on its ports
process.py   finding and ending the processes, mounts and cgroups of one peer
peer.py      one peer: its daemon, its CLI, and how it fails
testbed.py   all of them together
cluster.py   what a scenario, the demo or a benchmark does with them: deploy, wait, count
etcd.py      etcd in the peers' place, to compare with
serf.py      Serf likewise
api.py       calls of the API without the CLI
load.py      requests that never stop, and how many of them failed

What is there is always read from the kernel, never from notes of our own, so that a testbed that
broke half-way can be used and removed like any other.
"""

from .peer import CommandFailed, Peer
from .testbed import Testbed, build_release, find_binary, lacking

__all__ = ["CommandFailed", "Peer", "Testbed", "build_release", "find_binary", "lacking"]
