"""Connections grow old: an agent makes a new one when nothing is under way, and nobody notices."""

import json
from pathlib import Path

from harness import Typist, wait_until


def test_an_agent_makes_new_connections_and_nothing_is_lost_doubled_or_refused(make_suite):
    # Each acknowledges: a slow machine must not outsleep a lease between two connections.
    suite = make_suite(lease_ms=6000)
    young, lasting = suite.agent("young"), suite.agent("lasting")
    for agent, seconds in ((young, 1), (lasting, 86_400)):
        path = agent.home / "agent.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"connectionSeconds": seconds}))
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


def test_ingest_alone_has_the_memory_that_gives_back_what_a_connection_leaves(make_suite):
    suite = make_suite()
    maps = {name: Path(f"/proc/{suite.services[name].id}/maps").read_text() for name in ("ingest", "policy", "control")}
    assert {name: "libjemalloc" in text for name, text in maps.items()} == {"ingest": True, "policy": False, "control": False}
