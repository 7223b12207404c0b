"""Network namespaces: machines of their own, as far as their network goes, with one way to this one."""

import ctypes
import itertools
import json
import os
import shutil
import subprocess
import threading

import pytest

TAG = f"sl{os.getpid() % 100_000}"
NET = f"10.197.{os.getpid() % 250}"
# Of a process, so that no two of its tests have the same.
_numbers = itertools.count()


def run(*words, check=True, input=None):
    return subprocess.run(words, check=check, capture_output=True, text=True, input=input, timeout=30)


def need_namespaces(*tools):
    """Skips the test, and says why, where none can be made, or a tool is not there."""
    for tool in ("ip", *tools):
        if not shutil.which(tool):
            pytest.skip(f"there is no {tool} (apt: iproute2, nftables, util-linux)")
    if os.geteuid() != 0:
        pytest.skip("namespaces are made by root only")


class Net:
    """A namespace with one way to this host: `host` here, the other end there; and rules on the side there."""

    def __init__(self):
        self.number = next(_numbers)
        self.name = f"{TAG}-{self.number}"
        self.host, self.there = f"{NET}.{4 * self.number + 1}", f"{NET}.{4 * self.number + 2}"

    def make(self):
        """Says why it could not be made."""
        done = run("ip", "netns", "add", self.name, check=False)
        if done.returncode:
            return f"no network namespaces here: {done.stderr.strip()}"
        done = run("ip", "link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name, check=False)
        if done.returncode:
            return f"no veth here: {done.stderr.strip()}"
        run("ip", "addr", "add", f"{self.host}/30", "dev", self.name)
        run("ip", "link", "set", self.name, "up")
        for words in (["addr", "add", f"{self.there}/30", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"]):
            run("ip", "-n", self.name, *words)
        return None

    def has(self, *addresses):
        """Makes more addresses its own, whoever has them elsewhere: nothing leaves it that is for them."""
        for address in addresses:
            run("ip", "-n", self.name, "addr", "add", f"{address}/32", "dev", "lo")

    def within(self, make):
        """Does something there, in a thread of its own, and returns what that returns: a socket that is made there stays there, whoever uses it."""
        result = []

        def there():
            try:
                with open(f"/run/netns/{self.name}") as namespace:
                    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0x40000000) != 0:  # CLONE_NEWNET
                        raise OSError(ctypes.get_errno(), "setns")
                result.append((make(), None))
            except Exception as error:  # noqa: BLE001 - it is raised where somebody hears it
                result.append((None, error))

        thread = threading.Thread(target=there)
        thread.start()
        thread.join()
        [(made, error)] = result
        if error is not None:
            raise error
        return made

    def nft(self, *words, **more):
        return run("ip", "netns", "exec", self.name, "nft", *words, **more)

    def break_(self, arriving="drop", leaving="drop"):
        chains = "".join(
            f"chain {hook} {{ type filter hook {hook} priority 0; {rule}; }}\n" for hook, rule in (("input", arriving), ("output", leaving)) if rule)
        self.heal()
        self.nft("-f", "-", input=f"table inet faults {{\n{chains}}}\n")

    @property
    def dropped(self):
        """Packets, by the rules that count."""
        table = json.loads(self.nft("-j", "list", "table", "inet", "faults").stdout)["nftables"]
        rules = [part for item in table if "rule" in item for part in item["rule"]["expr"] if "counter" in part]
        return sum(part["counter"]["packets"] for part in rules)

    def heal(self):
        self.nft("delete", "table", "inet", "faults", check=False)

    def end(self):
        run("ip", "link", "del", self.name, check=False)
        run("ip", "netns", "del", self.name, check=False)
