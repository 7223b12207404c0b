"""Whoever holds a service's key that was retired, or ingest's with a key that control did not announce."""

import base64
import json

import pytest
from hostile import Agent, Refusal, body, new_keys, wait_until, wire
from test_sealed import FalseIngest
from zmq.utils import z85


def keys_of(suite, service):
    return [k for k in json.loads(suite.cli("service-key", "list", "--json").stdout)["keys"] if k["service"] == service]


def test_a_retired_key_is_refused_on_its_living_connection_and_at_the_next_handshake(suite):
    old = suite.keys_of("notify")
    living = {port: suite.peer(port, old).greet() for port in ("control", "policy")}
    before = {port: suite.counters(port) for port in ("control", "policy")}
    suite.approved("service-key", "new", "notify")
    assert [k["used"] for k in keys_of(suite, "notify")] == [True, False]
    assert living["control"].ask("query", body("query", status={})).kind == "answer", "until then it counts"
    suite.cli("service-key", "use", "notify")
    wait_until(lambda: keys_of(suite, "notify")[1]["used"], "notify goes by its next key")
    suite.cli("service-key", "retire", "notify")
    # A connection cannot be cut; what comes by it is asked about.
    assert living["control"].ask("query", body("query", status={})).code == Refusal.unknownNode
    assert living["control"].ask("hello", body("hello", protocol=1)).code == Refusal.unknownNode
    wait_until(lambda: living["policy"].ask("hello", body("hello", protocol=1)).code == Refusal.unknownNode, "policy has heard of it")
    for port, peer in living.items():
        suite.expect_counted(port, "refused.retired-key", before[port])
        peer.close()
        assert suite.shuts_out(port, old), "its handshake is refused"
        suite.expect_counted(port, "handshakes.refused", before[port])
    # The control: the key that took its place is served.
    [now] = keys_of(suite, "notify")
    secret = (suite.home / "notify" / "key.secret").read_text().strip().encode()
    peer = suite.peer("control", (now["key"].encode(), secret)).greet()
    assert peer.ask("query", body("query", status={})).kind == "answer"
    peer.close()


@pytest.fixture
def announced(suite):
    """The proof of a key of ingest's that counts, and of the entry before it."""
    operator = suite.peer("control", suite.operator("ops-1")).greet()
    if len(keys_of(suite, "ingest")) == 1:
        suite.approved("service-key", "new", "ingest")
    entry = keys_of(suite, "ingest")[1]["entry"]
    true, other = (operator.ask("query", body("query", proof={"index": index})).body.proof for index in (entry, entry - 1))
    operator.close()
    return true, other


def test_a_key_of_ingest_that_control_did_not_announce_is_not_taken_and_one_that_it_announced_is(suite, announced):
    true, other = announced
    vault = suite.peer("control", suite.keys_of("ingest")).greet().ask("query", body("query", vault_key={})).body.proof
    forged = type(true)()
    forged.CopyFrom(true)
    entry = wire().Entry.FromString(true.entry.body)
    own, _ = new_keys()
    entry.service_key_announced.key = z85.decode(own)
    forged.entry.body = entry.SerializeToString()
    agent = Agent(suite, "keyed")
    false = FalseIngest(suite.keys_of("ingest"), "keyed", vault)
    try:
        agent.configure(ingest=false.endpoint).run()
        agent.expect_capturing()
        pinned = json.loads((agent.home / "agent.json").read_text())["serverKey"]
        for number, proof in enumerate((forged, other, vault), 1):
            false.push("serverKey", server=proof, use=z85.decode(own))
            wait_until(lambda number=number: agent.status["keysRefused"] == number, "it is refused, and counted")
        # Nor does it look for a key that nobody has announced.
        false.push("serverKey", use=z85.decode(own), after_ms=0)
        hellos = false.heard.count("hello")
        renewals = false.heard.count("renew")
        wait_until(lambda: false.heard.count("renew") > renewals + 3, "the session goes on")
        assert false.heard.count("hello") == hellos and not (agent.home / "server.proof").exists()
        # The control: the true one is kept; ingest has not been met under it.
        false.push("serverKey", server=true)
        wait_until(lambda: (agent.home / "server.proof").exists(), "it is kept")
        assert b"extra " in (agent.home / "server.proof").read_bytes() and base64.b64encode(true.entry.salt)[:8] in (agent.home / "server.proof").read_bytes()
        assert json.loads((agent.home / "agent.json").read_text())["serverKey"] == pinned and agent.status["keysRefused"] == 3
    finally:
        agent.process.end()
        false.close()
