"""Real peers under faults and concurrent clients, and whether what the clients saw can be.

schedule.py   which fault comes when, drawn from the seed alone
machines.py   peers whose disk, clock and power can be broken, and who starts them again
faults.py     how each fault is made and ended
clients.py    what clients do, and the history of what they saw
verdict.py    what must hold of it

tools/chaos puts them together. How a disk and a wall clock are broken is in tests/chaos/preload.c.
"""
