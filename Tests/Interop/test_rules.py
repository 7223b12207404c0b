"""Agents of somebody else under a policy document: one that keeps to it, and one that does not."""

import json
import subprocess

import pytest

import columns
import ops
import wire
from agent import Agent

POLICY = {
    "version": 1,
    "classes": [{"name": name, "retention": "30 days", "audience": "unlimited"} for name in ("activity", "content", "conversation")]
    + [{"name": "credential", "retention": "never"}],
    "rules": [
        {"class": "activity", "kind": ["key", "pointer", "presence", "window"]}, {"class": "content", "source": ["document", "prompt"]},
        {"class": "conversation", "source": ["chat", "mail"]}],
    "capture": [{"for": "everyone", "as": "redact", "kind": ["key", "text"]}, {"for": "everyone", "as": "keep", "kind": "pointer"}],
    "purposes": [
        {"name": "test", "basis": "legal-obligation", "classes": ["activity", "content"]}, {"name": "training", "basis": "consent", "classes": ["conversation"]}],
    "roles": [{"name": "testers", "members": ["job"]}],
    "access": [{"name": "testers", "role": "testers", "purpose": "test", "classes": ["activity", "content"], "for": "everyone", "expires": "never", "rate": "unlimited"}],
}
CARD = "4532 0151 1283 0366"


class Careless(Agent):
    """Holds the rules, and sends everything as it is under the permit that it got."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.permits.class_of = columns.class_of


def sluice(suite, *words):
    done = subprocess.run([ops.BIN / "sluice", *map(str, words), "--home", suite.home], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def approved(suite, *words):
    outcome = json.loads(sluice(suite, *words, "--json"))
    if "proposal" in outcome:
        sluice(suite, "approve", outcome["proposal"]["proposal"], "--as", "ops-2")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    s = ops.Suite(folder / "home")
    try:
        s.until_ready()
        (folder / "policy.json").write_text(json.dumps(POLICY))
        approved(s, "policy", "apply", folder / "policy.json", "--yes")
        approved(s, "register", "job", "--reader")
        yield s
    finally:
        s.stop()


@pytest.fixture
def agent(suite, tmp_path):
    made = []

    def make(name, kind=Agent):
        anchors = json.loads((suite.home / "registry.json").read_text())["anchors"]
        a = kind(tmp_path / name, suite.endpoint("ingest"), suite.key("ingest"), name, anchors["control"])
        made.append(a)
        suite.approved("register", name, "--subject", "S-" + name, "--site", "oslo", "--team", "reef", f"--key={a.public_key}")
        a.start()
        assert a.wait(lambda: a.may_capture("activity"), 30), f"{name} may not capture: {a.seen}"
        return a

    yield make
    for a in made:
        a.stop()


def text(words, source):
    return {"at": wire.wall(), "kind": "text", "text": words, "source": source}


def pointer(x):
    return {"at": wire.wall(), "kind": "pointer", "action": "move", "x": x, "y": 1}


def counters(suite):
    services = json.loads(sluice(suite, "status", "--json"))["services"]
    return {k: int(v) for k, v in next(s for s in services if s["name"] == "policy")["counters"].items()}


def stored(suite, subject):
    lines = sluice(suite, "read", "--as", "job", "--origin", "--purpose", "test", "--why", "a test", "--class", "activity", "--class", "content", "--subject", subject).splitlines()
    return [json.loads(line)["event"] for line in lines]


def test_an_agent_written_from_the_contract_keeps_to_the_rules_that_its_permit_names(suite, agent):
    a = agent("ann")
    assert a.seen["rules"] == 1, "once: it says what it has with each renewal"
    assert a.permits.classes == {"activity", "content"}, "nobody has agreed to the rest"
    assert a.permits.rules.recorded == {"test"}
    assert a.publish(pointer(5), text("see you", "prompt"), text("hello", "chat")) == 1, "it redacts nothing, and so takes nothing that might have to be"
    assert a.refused == {"by-rule": 2}
    a.seal()
    assert a.wait(a.is_drained, 20)
    assert [e["x"] for e in stored(suite, "S-ann")] == [5]
    assert "events.differing.ann" not in counters(suite)


def test_an_agent_that_minimises_nothing_is_minimised_by_policy_which_counts_it(suite, agent):
    a = agent("eve", Careless)
    keys = [{"at": wire.wall(), "kind": "key", "action": "down", "key": c} for c in CARD]
    assert a.publish(text(f"pay with {CARD} today", "prompt"), *keys, pointer(7)) == len(keys) + 2
    a.seal()
    assert a.wait(a.is_drained, 20)
    events = stored(suite, "S-eve")
    assert [e["text"] for e in events if e["kind"] == "text"] == ["pay with [card] today"]
    assert {e["key"] for e in events if e["kind"] == "key"} == {""}
    assert [e["x"] for e in events if e["kind"] == "pointer"] == [7], "the control: what may be kept is"
    ops.until(lambda: counters(suite).get("events.differing.eve") == len(keys) + 1, 20, "each is counted by the agent's name")


def test_rules_that_an_agent_cannot_keep_to_permit_it_nothing(suite, agent):
    a = agent("una")
    with a.lock:
        a.permits.rules = a.permits.next_rules = None
        permit = wire.gate.Permit(epoch=a.permits.epoch, classes=["activity"], rules=b"x" * 32)
        assert a.permits.bound(permit) == frozenset()
    assert a.wait(lambda: a.may_capture("activity") and a.permits.rules, 20), "they come again, because it says that it has none"
    assert a.seen["rules"] >= 2
