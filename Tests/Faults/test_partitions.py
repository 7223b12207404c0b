"""An agent behind a network that breaks, in a network namespace of its own (FAULTS: N01, N02, N04, N05)."""

import contextlib
import json
import os
import shutil
import subprocess
import time

import pytest
from hostile import Agent, Process, binaries, key, wait_until

TAG = f"sl{os.getpid() % 100_000}"
NET = f"10.197.{os.getpid() % 250}"


def run(*words, check=True, input=None):
    return subprocess.run(words, check=check, capture_output=True, text=True, input=input, timeout=30)


@pytest.fixture(scope="module")
def namespace():
    """A namespace with one way to this host: `NET.1` here, `NET.2` there."""
    for tool in ("ip", "nft"):
        if not shutil.which(tool):
            pytest.skip(f"there is no {tool} (apt: iproute2, nftables)")
    if os.geteuid() != 0:
        pytest.skip("namespaces are made by root only")
    made = run("ip", "netns", "add", TAG, check=False)
    if made.returncode:
        pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
    try:
        done = run("ip", "link", "add", TAG, "type", "veth", "peer", "name", "eth0", "netns", TAG, check=False)
        if done.returncode:
            pytest.skip(f"no veth here: {done.stderr.strip()}")
        run("ip", "addr", "add", f"{NET}.1/30", "dev", TAG)
        run("ip", "link", "set", TAG, "up")
        for words in (["addr", "add", f"{NET}.2/30", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"]):
            run("ip", "-n", TAG, *words)
        done = run("ip", "netns", "exec", TAG, "nft", "add table inet try", check=False)
        if done.returncode:
            pytest.skip(f"no nftables in a namespace here: {done.stderr.strip()}")
        yield TAG
    finally:
        run("ip", "link", "del", TAG, check=False)
        run("ip", "netns", "del", TAG, check=False)


class Net:
    """Rules on the agent's side."""

    def break_(self, arriving="drop", leaving="drop"):
        chains = "".join(
            f"chain {hook} {{ type filter hook {hook} priority 0; {rule}; }}\n" for hook, rule in (("input", arriving), ("output", leaving)) if rule)
        self.heal()
        run("ip", "netns", "exec", TAG, "nft", "-f", "-", input=f"table inet faults {{\n{chains}}}\n")

    def heal(self):
        run("ip", "netns", "exec", TAG, "nft", "delete", "table", "inet", "faults", check=False)


@pytest.fixture
def net(namespace):
    net = Net()
    yield net
    net.heal()


@pytest.fixture
def suite(make_suite):
    """Ingest listens on every address, for the namespace's sake; the wildcard was the host's own choice."""
    suite = make_suite(lease_ms=1_500)
    suite.up.end()
    path = suite.home / "suite.json"
    settings = json.loads(path.read_text())
    settings["ingest"] = f"tcp://0.0.0.0:{suite.port('ingest')}"
    path.write_text(json.dumps(settings))
    suite.up = suite.adopt(Process([binaries() / "sluice", "up", "--home", suite.home, "--agents", "0"], suite.folder / "up2.log"))
    wait_until(lambda: "serves after" in suite.up.said or not suite.up.is_running, "'sluice up' serves")
    suite.started = suite.service_ids()
    return suite


@pytest.fixture
def agents(suite, namespace):
    """One behind the network, one on this side: the control."""
    far, near = Agent(suite, "far"), Agent(suite, "near")
    far.configure(ingest=f"tcp://{NET}.1:{suite.port('ingest')}")
    far.wrapper = ["ip", "netns", "exec", namespace]
    for agent in (far, near):
        agent.run()
    for agent in (far, near):
        agent.expect_capturing()
    yield far, near
    for agent in (far, near):
        agent.process.end()


def stop_of(certificate, name):
    return next(str(stop["how"]).upper() for stop in certificate["agents"] if stop["node"] == name)


def stored(suite, agent):
    return [line["event"]["key"] for line in suite.read("activity") if line["subject"] == agent.subject]


@pytest.mark.parametrize("arriving, leaving", [("drop", "drop"), ("drop", ""), ("", "drop")], ids=["both ways", "to the agent", "from the agent"])
def test_an_agent_that_is_cut_off_stops_by_itself_and_comes_back_by_itself(suite, net, agents, arriving, leaving):
    far, near = agents
    far.type("before")
    near.type("before")
    far.expect_judged(1)
    far.expect_drained()
    net.break_(arriving, leaving)
    done = suite.cli("pause", "--all", "--reason", "a test", "--json", check=False)
    certificate = json.loads(done.stdout.splitlines()[-1])
    assert certificate.get("complete"), certificate
    assert int(certificate["complete_after_us"]) <= (suite.lease_ms * 1.002 + 1_000) * 1_000, certificate
    assert "LEASE" in stop_of(certificate, "far"), certificate
    assert "ACKNOWLEDGED" in stop_of(certificate, "near"), certificate
    # The certificate is complete: from here on it must not capture, whoever reaches it or not.
    lost = time.time_ns()
    far.type("during-1")
    far.expect_judged(2)
    status = far.expect_capturing(False).status
    assert status["accepted"] == 1, status
    # Cut off for longer than its watchdog waits.
    far.expect(lambda s: not s["isConnected"], "it has noticed")
    net.heal()
    status = far.expect(lambda s: s["isConnected"] and s["epoch"] >= int(certificate["epoch"]), "it is back, and knows of the pause", 90)
    assert not status["classes"]
    far.type("during-2")
    far.expect_judged(3)
    suite.cli("resume", "--all", "--reason", "a test")
    far.expect_capturing()
    # What was caught while it was closed stays out for ever.
    far.write(json.dumps(key("late", at=lost)) + "\n")
    far.type("after")
    status = far.expect_judged(5)
    assert status["accepted"] == 2, status
    far.expect_drained()
    assert stored(suite, far) == ["before", "after"]
    suite.expect_alive()


def test_what_was_spooled_before_a_partition_arrives_after_it_once(suite, net, agents):
    far, near = agents
    far.type("a", "b")
    far.expect_judged(2)
    net.break_()
    # Its lease goes on for a moment: what is caught in it waits in the spool.
    far.type("c")
    accepted = far.expect_judged(3)["accepted"]
    far.expect_capturing(False)
    near.type("x")
    near.expect_drained()
    net.heal()
    far.expect_capturing(within=90)
    far.expect_drained()
    assert stored(suite, far) == ["a", "b", "c"][:accepted]
    assert stored(suite, near) == ["x"]


def test_a_network_that_loses_thirty_per_cent_is_slower_and_correct(suite, net, agents):
    """N05. The lease may end now and then; what was accepted arrives, once and in order, and a pause is certain."""
    far, near = agents
    lossy = "numgen random mod 100 < 30 drop"
    net.break_(lossy, lossy)
    given, until = 0, time.monotonic() + 8
    while time.monotonic() < until:
        far.type(f"l{given}")
        given += 1
        time.sleep(0.02)  # The pace of typing.
    far.expect_judged(given)
    done = suite.cli("pause", "--subject", "FAR", "--capture-only", "--reason", "a test", "--json", check=False)
    certificate = json.loads(done.stdout.splitlines()[-1])
    assert certificate.get("complete"), certificate
    suite.cli("resume", "--all", "--reason", "a test")
    net.heal()
    far.expect_capturing(within=90)
    status = far.expect_drained(90)
    found = stored(suite, far)
    assert len(found) == status["accepted"] and len(found) == len(set(found))
    assert found == sorted(found, key=lambda name: int(name[1:]))
