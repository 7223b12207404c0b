"""Connections grow old: an agent makes a new one when nothing is under way, and nobody notices."""

import json
from pathlib import Path

from harness import Typist, now_ns, wait_until
from harness.agent import text
from test_enforcement import READ, governed, under_rules
from test_freezes import expect_nothing_but_that, is_stopped, of


# The second: it is there, holds a permit, and has spoken on another connection already.
BETWEEN = {"SLUICE_FAULT": "stop@between-connections:2"}


def connect_anew(agent, seconds=1):
    path = agent.home / "agent.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"connectionSeconds": seconds}))


def expect_between(*agents):
    """They sleep where the old connection is gone and the new one has said nothing."""
    for agent in agents:
        wait_until(lambda: is_stopped(agent.process), f"{agent.name} stops between two connections")


def test_an_agent_makes_new_connections_and_nothing_is_lost_doubled_or_refused(make_suite):
    # Each acknowledges: a slow machine must not outsleep a lease between two connections.
    suite = make_suite(lease_ms=6000)
    young, lasting = suite.agent("young"), suite.agent("lasting")
    for agent, seconds in ((young, 1), (lasting, 86_400)):
        connect_anew(agent, seconds)
    typists = [Typist(agent.run().expect(), 0.02) for agent in (young, lasting)]
    for typist in typists:
        typist.start()

    def connections(agent):
        return agent.process.said.count("connected as")

    wait_until(lambda: connections(young) >= 4, "four connections, one after the other")
    for typist in typists:
        typist.expect_more().stop()
    for agent in (young, lasting):
        agent.expect_drained()
    for agent, typist in zip((young, lasting), typists):
        assert agent.status["accepted"] == len(typist.sent), agent.status["refused"]
        assert [name for name in suite.keys() if name.startswith(f"{agent.name}-")] == [name for name, _ in typist.sent], "each event once, in order"

    # A pause is obeyed and acknowledged on whatever connection there is.
    before = connections(young)
    for _ in range(3):
        certificate = suite.expect_in_time(suite.pause())
        assert {a["node"]: a["how"] for a in certificate["agents"]} == dict.fromkeys(("young", "lasting"), "STOP_HOW_ACKNOWLEDGED")
        suite.resume()
    wait_until(lambda: connections(young) > before, "another one")
    # Control: who is told otherwise keeps the connection that it has.
    assert connections(lasting) == 1


def test_a_pause_that_finds_an_agent_between_two_connections_is_certain_and_obeyed(make_suite):
    suite = make_suite(lease_ms=2000)
    ann, bob = agents = suite.agent("ann"), suite.agent("bob")
    for agent in agents:
        connect_anew(agent)
        agent.run(BETWEEN).expect()
    expect_between(ann, bob)
    # The control: one that slept there for a moment has a connection, and acknowledges.
    bob.process.thaw()
    bob.expect()
    typists = [Typist(agent, 0.02).start() for agent in agents]
    certificate = suite.expect_in_time(suite.pause())
    assert of(certificate) == {"ann": "lease_ended", "bob": "acknowledged"}
    start = now_ns()
    # It wakes during the pause, with what was typed meanwhile before it.
    ann.process.thaw()
    ann.expect(capturing=False)
    for typist in typists:
        typist.expect_more(50)
    end = now_ns()
    suite.resume()
    expect_nothing_but_that(suite, start, end)


def test_whoever_is_revoked_between_two_connections_gets_no_other(make_suite):
    suite = make_suite(lease_ms=1000)
    ann, bob = agents = suite.agent("ann"), suite.agent("bob")
    for agent in agents:
        connect_anew(agent)
        agent.run(BETWEEN).expect()
    expect_between(ann, bob)
    suite.cli("revoke", "agent", "ann")
    for agent in agents:
        agent.process.thaw()
    bob.expect(capturing=True)
    ann.expect(capturing=False)
    begun = now_ns() // 1000
    # Three leases, in which it knocks again and again.
    while (status := ann.fresh)["atMicroseconds"] < begun + 3_000 * suite.lease_ms:
        assert not status["classes"], "it has got a lease again"
    assert suite.agent_states() == {"bob": "current"}


def test_a_consent_that_is_withdrawn_while_an_agent_is_between_two_connections_counts_for_the_next(make_suite):
    suite = governed(make_suite)
    ann, bob = agents = suite.agent("ann", "E1"), suite.agent("bob", "E2")
    for subject in ("E1", "E2"):
        suite.approved("consent", "grant", subject, "--purpose", "model-training")
    for agent in agents:
        connect_anew(agent)
        under_rules(agent.run(BETWEEN), *READ, "conversation")
    expect_between(*agents)
    suite.cli("consent", "withdraw", "E1", "--purpose", "model-training")
    for agent in agents:
        agent.process.thaw()
    under_rules(ann, *READ)
    under_rules(bob, *READ, "conversation")
    for agent in agents:
        agent.send(text("said", source="chat"))
        agent.expect_drained()
    assert suite.vault("SELECT subject, SUM(count) FROM segment WHERE class = 'conversation' GROUP BY subject") == [("E2", 1)]
    assert ann.fresh["refused"]["no-record"] == 1


def test_ingest_alone_has_the_memory_that_gives_back_what_a_connection_leaves(make_suite):
    suite = make_suite()
    maps = {name: Path(f"/proc/{suite.services[name].id}/maps").read_text() for name in ("ingest", "policy", "control")}
    assert {name: "libjemalloc" in text for name, text in maps.items()} == {"ingest": True, "policy": False, "control": False}
