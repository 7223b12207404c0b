"""An agent that joins by a token, both written from Shared/Wire/SPEC.md alone."""

import hashlib
import json
import random
import subprocess

import joining
import ops
import pytest
import reader
import wire
import zmq
from agent import Agent
from zmq.utils import z85

VECTOR = ("sluice-join-AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CB"
          "goMpjtFcf4tjGa8tcy64HifgdGNwOi8vMTAuMS4yLjM6NzcwNUr3MHI")
LEDGER = "sluice.example/governance+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    s = ops.Suite(tmp_path_factory.mktemp("suite") / "home")
    try:
        s.until_ready()
        yield s
    finally:
        s.stop()


def enrol(suite, *more):
    made = json.loads(suite.run("enrol", "--subject", "S-join", "--site", "oslo", "--team", "reef", *more, "--json").stdout)
    suite.run("approve", str(made["proposal"]["proposal"]), "--as", "ops-2")
    return made["token"]


def test_the_contracts_vector_is_met():
    key, secret, anchor, endpoint = joining.parse(VECTOR)
    assert key == bytes(range(32)) and secret == bytes(range(100, 132)) and endpoint == "tcp://10.1.2.3:7705"
    assert anchor == hashlib.sha256(LEDGER.encode()).digest()[:16]


def test_a_token_with_one_character_changed_is_damaged():
    chance = random.Random(5)
    for place in range(len("sluice-join-"), len(VECTOR)):
        changed = VECTOR[:place] + chance.choice([c for c in "AZaz09-_" if c != VECTOR[place]]) + VECTOR[place + 1:]
        with pytest.raises(joining.Damaged):
            joining.parse(changed)


def test_an_agent_joins_from_the_contract_alone_and_may_capture(suite, tmp_path):
    token = enrol(suite)
    told = joining.join(token, tmp_path)
    secret = wire.read_secret(tmp_path / "agent.secret")
    assert told["name"] == hashlib.sha256(z85.decode(zmq.curve_public(secret))).hexdigest()[:16]
    assert told["serverKey"].encode() == suite.key("ingest")
    # The vault's key came with it: an entry of the ledger, and its proof.
    entry = wire.governance.Entry.FromString(told["vault"].entry.body)
    assert len(entry.vault_key_announced.key) == 32 and told["vault"].proof.startswith(b"c2sp.org/tlog-proof@v1\n")
    a = Agent(tmp_path, told["ingest"], told["serverKey"].encode(), told["name"], told["ledgerKey"])
    a.start()
    try:
        assert a.wait(lambda: a.may_capture("activity"), 30), a.seen
        # Joined, it seals to the key that it was shown, and publishes.
        opened = wire.wall()
        assert a.wait(lambda: wire.wall() > opened + 200_000_000, 10)
        events = [{"at": opened + n * 1_000_000, "kind": "key", "action": "down", "key": f"joined-{n}"} for n in range(50)]
        assert a.publish(*events) == len(events), a.refused
        assert a.wait(a.is_drained, 30), a.seen
        with suite.govern().peer("policy") as peer:
            keys = [e["key"] for _, e in reader.read(peer, ["activity"], subjects=["S-join"])]
        assert keys == [e["key"] for e in events]
    finally:
        a.stop()
    # Again: the same, of the same key; and nothing for another.
    assert {k: v for k, v in joining.join(token, tmp_path).items() if k != "vault"} == {k: v for k, v in told.items() if k != "vault"}
    with pytest.raises(joining.NotJoined) as refused:
        joining.join(token, tmp_path / "other")
    assert refused.value.code == 39


def test_who_names_another_ledger_than_the_token_is_not_believed(suite, tmp_path, monkeypatch):
    token = enrol(suite)
    honest = joining.parse(token)
    monkeypatch.setattr(joining, "parse", lambda _: (*honest[:2], bytes(16), honest[3]))
    with pytest.raises(joining.NotJoined, match="another ledger"):
        joining.join(token, tmp_path)
    assert not (tmp_path / "agent.json").exists()


def exchange_the_ledgers_key(suite):
    """The key of control's own ledger, with a step between each two that it takes. Gives the keys before and after."""
    def run(*words):
        done = subprocess.run([ops.BIN / "sluice", "ledger-key", *words, "--home", suite.home], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def counting():
        return [k for k in json.loads(run("list", "--json"))["keys"] if k["key"].split("+")[0].endswith("/governance")]

    [old] = counting()
    made = json.loads(run("new", "control.ledger", "--json"))
    suite.run("approve", str(made["proposal"]["proposal"]), "--as", "ops-2")
    ops.until(lambda: len(counting()) == 2, 30, "both count")
    run("use", "control.ledger")
    ops.until(lambda: all(k["used"] for k in counting()), 30, "control signs with both")
    run("retire", "control.ledger")
    [new] = counting()
    return old["key"], new["key"]


def test_the_key_of_controls_ledger_is_exchanged_and_who_joined_before_sleeps_or_comes_with_an_old_token_follows(suite, tmp_path):
    told = {name: joining.join(enrol(suite), tmp_path / name) for name in ("runs", "sleeps")}
    token = enrol(suite)

    def agent(name):
        t = told[name]
        return Agent(tmp_path / name, t["ingest"], t["serverKey"].encode(), t["name"], t["ledgerKeys"])

    a, b = agent("runs"), None
    a.start()
    try:
        assert a.wait(lambda: a.may_capture("activity"), 30), a.seen
        for _ in range(2):
            old, new = exchange_the_ledgers_key(suite)
            assert a.wait(lambda: a.trust.keys == [new] and old in a.trust.retired, 30), (a.trust.keys, a.seen)
        assert a.may_capture("activity") and not any("refused" in words for words in a.seen), a.seen
        b = agent("sleeps")
        first = b.trust.keys
        b.start()
        assert b.wait(lambda: b.may_capture("activity"), 30), b.seen
        assert b.trust.keys == [new] and first != [new]
        b.stop()
        # What it has come to is what it begins with.
        b = agent("sleeps")
        assert b.trust.keys == [new]
        late = joining.join(token, tmp_path / "late")
        assert late["ledgerKeys"] == [new]
    finally:
        a.stop()
        if b:
            b.stop()
