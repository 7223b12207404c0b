"""Agents behind networks that break, each in a network namespace of its own (FAULTS: N01, N02, N04, N05)."""

import itertools
import json
import time

import pytest
from hostile import Agent, Process, Suite, at_once, binaries, key, wait_until
from harness.networks import Net, need_namespaces  # isort: skip - hostile puts the harness on the path


@pytest.fixture(scope="module")
def namespaces():
    need_namespaces("nft")
    nets = [Net() for _ in range(3)]
    try:
        for net in nets:
            if why := net.make():
                pytest.skip(why)
            done = net.nft("add table inet try", check=False)
            if done.returncode:
                pytest.skip(f"no nftables in a namespace here: {done.stderr.strip()}")
        yield nets
    finally:
        for net in nets:
            net.end()


@pytest.fixture
def nets(namespaces):
    yield namespaces
    for net in namespaces:
        net.heal()


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """Ingest listens on every address, for the namespaces' sake; the wildcard was the host's own choice."""
    suite = Suite(tmp_path_factory.mktemp("suite"), lease_ms=2_000)
    suite.up.end()
    path = suite.home / "suite.json"
    settings = json.loads(path.read_text())
    settings["ingest"] = f"tcp://0.0.0.0:{suite.port('ingest')}"
    path.write_text(json.dumps(settings))
    suite.up = suite.adopt(Process([binaries() / "sluice", "up", "--home", suite.home, "--agents", "0"], suite.folder / "up2.log"))
    wait_until(lambda: "serves after" in suite.up.said or not suite.up.is_running, "'sluice up' serves")
    suite.started = suite.service_ids()
    yield suite
    suite.close()


numbers = itertools.count()


@pytest.fixture
def agents(suite, namespaces):
    """Three, each behind a network of its own, and one on this side: the control."""
    number = next(numbers)
    fars, near = [Agent(suite, f"far-{number}-{net.name[-1]}") for net in namespaces], Agent(suite, f"near-{number}")
    for far, net in zip(fars, namespaces):
        far.configure(ingest=f"tcp://{net.host}:{suite.port('ingest')}")
        far.wrapper = ["ip", "netns", "exec", net.name]
    for agent in (*fars, near):
        agent.run()
    for agent in (*fars, near):
        agent.expect_capturing()
    yield fars, near
    for agent in (*fars, near):
        agent.process.end()
    suite.resume(check=False)


def stop_of(certificate, name):
    return next(str(stop["how"]).upper() for stop in certificate["agents"] if stop["node"] == name)


def stored(suite, agent):
    return [line["event"]["key"] for line in suite.read("activity") if line["subject"] == agent.subject]


def test_an_agent_that_is_cut_off_stops_by_itself_and_comes_back_by_itself(suite, nets, agents):
    """Three ways to be cut off, one to each agent."""
    fars, near = agents
    ways = {"both ways": ("drop", "drop"), "to the agent": ("drop", ""), "from the agent": ("", "drop")}
    far_of, net_of = dict(zip(ways, fars)), dict(zip(ways, nets))
    at_once(lambda agent: agent.accept("before"), (*fars, near))
    at_once(lambda way: far_of[way].expect_drained(), ways)
    begun = {far: far.judged for far in fars}
    for way, (arriving, leaving) in ways.items():
        net_of[way].break_(arriving, leaving)
    done = suite.cli("pause", "--all", "--reason", "a test", "--json", check=False)
    certificate = json.loads(done.stdout.splitlines()[-1])
    assert certificate.get("complete"), certificate
    assert int(certificate["complete_after_us"]) <= (suite.lease_ms * 1.002 + 1_000) * 1_000, certificate
    for way, far in far_of.items():
        assert "LEASE" in stop_of(certificate, far.name), (way, certificate)
    assert "ACKNOWLEDGED" in stop_of(certificate, near.name), certificate
    # The certificate is complete: from here on none may capture, whoever reaches it or not.
    lost = time.time_ns()
    for far in fars:
        far.type("during-1")

    def goes_on(way):
        far = far_of[way]
        status = far.expect_judged(begun[far] + 1)
        assert status["accepted"] == 1, status
        far.expect_capturing(False)
        # Cut off for longer than its watchdog waits.
        far.expect(lambda s: not s["isConnected"], "it has noticed")
        net_of[way].heal()
        status = far.expect(lambda s: s["isConnected"] and s["epoch"] >= int(certificate["epoch"]), "it is back, and knows of the pause", 90)
        assert not status["classes"]
        far.type("during-2")
        far.expect_judged(begun[far] + 2)

    at_once(goes_on, ways)
    suite.resume()

    def captures_again(way):
        far = far_of[way]
        far.expect_capturing()
        # What was caught while it was closed stays out for ever.
        far.write(json.dumps(key("late", at=lost)) + "\n")
        assert far.expect_judged(begun[far] + 3)["accepted"] == 1
        far.accept("after")
        far.expect_drained()
        assert stored(suite, far) == ["before", "after"]

    at_once(captures_again, ways)
    suite.expect_alive()


def test_what_was_spooled_before_a_partition_arrives_after_it_once_and_a_network_that_loses_is_slower_and_correct(suite, nets, agents):
    """One agent is cut off; of the others' packets 30 and 70 in a hundred are lost (N05): leases may end now and then. What was accepted
    arrives, once and in order, and a pause is certain."""
    (cut, *lossy), near = agents
    cut.accept("a", "b")
    begun = cut.judged
    nets[0].break_()
    for net, lost in zip(nets[1:], (30, 70)):
        net.break_(*[f"numgen random mod 100 < {lost} counter drop"] * 2)
    # Its lease goes on for a moment: what is caught in it waits in the spool.
    cut.type("c")
    accepted = cut.expect_judged(begun + 1)["accepted"]
    # Somebody types on the lossy lines, until enough is lost.
    given = 0
    while min(net.dropped for net in nets[1:]) < 20:
        for agent in lossy:
            agent.type(f"l{given}")
        given += 1
        time.sleep(0.02)  # The pace of typing.
    for agent in lossy:
        agent.expect_judged(given)
    cut.expect_capturing(False)
    near.accept("x")
    near.expect_drained()
    done = suite.cli("pause", "--all", "--capture-only", "--reason", "a test", "--json", check=False)
    certificate = json.loads(done.stdout.splitlines()[-1])
    assert certificate.get("complete"), certificate
    assert "LEASE" in stop_of(certificate, cut.name), certificate
    assert "ACKNOWLEDGED" in stop_of(certificate, near.name), certificate
    suite.resume()
    for net in nets:
        net.heal()

    def comes_back(agent):
        agent.expect_capturing(within=90)
        agent.expect_drained(90)

    at_once(comes_back, [cut, *lossy])
    assert stored(suite, cut) == ["a", "b", "c"][:accepted]
    assert stored(suite, near) == ["x"]
    for agent in lossy:
        found = stored(suite, agent)
        assert len(found) == agent.status["accepted"] and len(found) == len(set(found))
        assert found == sorted(found, key=lambda name: int(name[1:]))
    # The control: the first of them were accepted, so there was something to lose.
    assert all(agent.status["accepted"] > 0 for agent in lossy)
