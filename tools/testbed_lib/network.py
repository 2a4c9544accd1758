"""The network of a testbed: a switch (a bridge in a namespace of its own) and a cable to each peer.

The switch stands in its own namespace so that the host's FORWARD policy has no say over what passes
it. Faults are nftables rules on the switch: a peer can't see them, as it can't see a broken cable.
"""

import subprocess
from pathlib import Path

SUBNET = "10.77.0"
SWITCH_ADDRESS = f"{SUBNET}.254"
PEERS_MAX = 200

# Pairs of ports between which nothing passes, and a chain in which each peer has its loss.
RULES = """
table bridge faults {
    set cut { type ifname . ifname; }
    chain loss { }
    chain forward {
        type filter hook forward priority 0;
        iifname . oifname @cut drop
        jump loss
    }
}
"""


def run(*command, check=True, input=None):
    """Runs a command quietly; what it says on failure is in the exception."""
    done = subprocess.run([str(word) for word in command], input=input, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def inside(namespace):
    """The words before a command that make it run in the namespace's network. `ip netns exec`
    would remount /sys too, which hides the cgroups that containers need."""
    return ["nsenter", f"--net=/run/netns/{namespace}", "--"]


def namespaces(prefix):
    """The names of the namespaces that are `prefix` or start with `prefix-`."""
    directory = Path("/run/netns")
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    return sorted(name for name in names if name == prefix or name.startswith(prefix + "-"))


class Network:
    def __init__(self, prefix):
        self.prefix = prefix
        self.switch = prefix  # the switch's namespace

    def namespace(self, index):
        return f"{self.prefix}-{index}"

    def address(self, index):
        return f"{SUBNET}.{index}"

    def _in_switch(self, *command, check=True, input=None):
        return run(*inside(self.switch), *command, check=check, input=input)

    def _nft(self, rules, check=True):
        self._in_switch("nft", "-f", "-", input=rules, check=check)

    def is_up(self):
        return self.switch in namespaces(self.prefix)

    def up(self):
        run("ip", "netns", "add", self.switch)
        self._in_switch("ip", "link", "set", "lo", "up")
        self._in_switch("ip", "link", "add", "switch", "type", "bridge")
        self._in_switch("ip", "address", "add", f"{SWITCH_ADDRESS}/24", "dev", "switch")
        self._in_switch("ip", "link", "set", "switch", "up")
        # Where br_netfilter is loaded, bridged packets would visit the IP hooks as well.
        self._in_switch("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", check=False)
        self._nft(RULES)

    def plug_in(self, index):
        """Gives the peer a fresh namespace, with a cable to the switch."""
        namespace, port = self.namespace(index), f"p{index}"
        run("ip", "netns", "add", namespace)
        # A machine keeps its hardware address when it is switched on again, and neighbours rely on it.
        self._in_switch("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0",
                        "address", f"02:00:0a:4d:00:{index:02x}", "netns", namespace)
        self._in_switch("ip", "link", "set", port, "master", "switch", "up")
        peer = inside(namespace)
        run(*peer, "ip", "link", "set", "lo", "up")
        run(*peer, "ip", "address", "add", f"{self.address(index)}/24", "dev", "eth0")
        run(*peer, "ip", "link", "set", "eth0", "up")
        run(*peer, "ip", "route", "add", "default", "via", SWITCH_ADDRESS)

    def unplug(self, index):
        """Nothing leaves or reaches the peer any more, not even a farewell."""
        self._in_switch("ip", "link", "delete", f"p{index}", check=False)

    def remove(self, index):
        run("ip", "netns", "delete", self.namespace(index), check=False)

    def down(self):
        for namespace in namespaces(self.prefix):
            run("ip", "netns", "delete", namespace)

    def cut(self, one, other, both_ways=True):
        """From now on, nothing passes between the two peers (or only from `other` to `one`)."""
        self._cut_elements("add", one, other, both_ways)

    def heal(self, one, other):
        # Deleting what is not there is an error, and adding what is there is none.
        self._cut_elements("add", one, other, True)
        self._cut_elements("delete", one, other, True)

    def heal_all(self):
        self._nft("flush set bridge faults cut\nflush chain bridge faults loss\n")

    def _cut_elements(self, verb, one, other, both_ways):
        pairs = [f'"p{one}" . "p{other}"'] + ([f'"p{other}" . "p{one}"'] if both_ways else [])
        self._nft(f"{verb} element bridge faults cut {{ {', '.join(pairs)} }}\n")

    def loss(self, index, percent):
        """Drops that share of the peer's packets, in each direction; 0 drops none."""
        chain = f"loss_p{index}"
        rules = f"add chain bridge faults {chain}\nflush chain bridge faults {chain}\n"
        if percent > 0:
            rules += "".join(
                f'add rule bridge faults {chain} {direction} "p{index}" '
                f"numgen random mod 100 < {percent} drop\n" for direction in ("iifname", "oifname"))
        self._nft(rules)
        if f"jump {chain}" not in self._in_switch("nft", "list", "chain", "bridge", "faults", "loss"):
            self._nft(f"add rule bridge faults loss jump {chain}\n")
