"""FAULTS A05: every kind of signed command and its approval, captured and sent again: on its own connection, on others, after an epoch change, after a restart."""

import hashlib
import json
import os
import signal

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from harness.signing import Operator
from hostile import Refusal, Suite, body, new_keys, wait_until
from test_commands import closures, pause, raw
from test_joining import tries
from test_shown import Attack, counted_logged_and_shown
from zmq.utils import z85

REPLAYED = "it was taken once already"


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    suite = Suite(tmp_path_factory.mktemp("replays"))
    yield suite
    suite.close()


class Recorder:
    """Commands as they go over the operators' connections, with the answer to each; the connections stay open."""

    def __init__(self, suite):
        self.suite, self.captured = suite, {}
        self.peers = {}
        self.connect()

    def connect(self):
        for peer in self.peers.values():
            peer.close()
        self.peers = {by: self.suite.peer("control", self.suite.keys_of(by)).greet() for by in ("ops-1", "ops-2")}

    def send(self, what, message, by="ops-1"):
        heard = self.peers[by].ask("command", message)
        assert heard.kind == "outcome", (what, heard)
        self.captured[what] = (by, message, heard.body)
        return heard.body

    def narrows(self, what, **deed):
        return self.send(what, self.suite.sign(**deed))

    def widens(self, what, **deed):
        """Proposed by one, approved by the other."""
        proposal = self.send(what, self.suite.sign(index=self.suite.newest(), **deed)).proposal
        assert proposal.state == "open", proposal
        done = self.send(f"approval of {what}", self.suite.approve(proposal, self.suite.newest()), by="ops-2")
        assert done.proposal.state == "applied", done
        return done

    def close(self):
        for peer in self.peers.values():
            peer.close()


def state(suite):
    """Everything that a command can change."""
    return {
        "entries": suite.newest(), "gate": suite.status()["gate"],
        **{what: suite.cli(*words, "--json").stdout for what, words in {
            "operators": ("operator", "list"), "agents": ("ledger", "show", "1.."), "proposals": ("proposals", "--all"), "incidents": ("incidents",),
            "closures": ("closures",)}.items()},
    }


def settled(suite):
    """Waits until each pause has its certificate in the ledger: it comes when it comes."""
    incidents = lambda: json.loads(suite.cli("incidents", "--json").stdout)["incidents"]
    wait_until(lambda: all(i.get("certificates") and i["state"] != "open" for i in incidents()), "every pause is certified")


def operator_of(name):
    return {
        "name": name, "person": name, "key": Ed25519PrivateKey.generate().public_key().public_bytes_raw(), "session": z85.decode(new_keys()[0])}


@pytest.fixture(scope="module")
def captured(suite):
    """One of each kind, in an order in which each of them, done again, would change something."""
    record = Recorder(suite)
    secret, machine = os.urandom(32), new_keys()
    scope = {"name": "desk", "subject": "E1", "site": "berlin", "team": "search"}
    record.widens("enrol", enrol={**scope, "token": hashlib.sha256(secret).digest(), "valid_s": 900})
    assert tries(suite, secret, machine).kind == "joined"
    record.widens("register", register={"nodes": [{"name": "lamp", "subject": "E2", "site": "berlin", "team": "search", "key": z85.decode(new_keys()[0]), "role": 1}]})
    record.narrows("revoke", remove={"names": ["desk"]})
    record.narrows("revoke another", remove={"names": ["lamp"]})
    record.widens("operator add", change_operators={"add": [operator_of("ops-3")]})
    record.narrows("operator remove", change_operators={"remove": ["ops-3"]})
    epoch = record.narrows("pause", **pause("to be lifted")).epoch
    record.widens("resume", resume={"reason": "x", "closures": [epoch]})
    kept = record.narrows("leak report", leak={"class": "conversation", "reason": "a test", "source": "a test"})
    record.widens("resume of a leak", resume={"reason": "x", "closures": [kept.closure.epoch]})
    record.narrows("close incident", close_incident={"incident": kept.incident})
    proposal = record.send("proposal", suite.sign(index=suite.newest(), register={"nodes": [
        {"name": "chair", "subject": "E3", "site": "berlin", "team": "search", "key": z85.decode(new_keys()[0]), "role": 1}]})).proposal
    record.narrows("withdraw", withdraw={"proposal": proposal.proposal})
    # Whoever they were about is there again, under other keys: a replay would hit them.
    for name in ("desk", "lamp"):
        suite.enrol(name, "E9")
    suite.cli("key", "new", "ops-3", "--passphrase-file", passphrase(suite))
    suite.approved("operator", "add", "ops-3", "--key", suite.home / "keys" / "ops-3.pub")
    # Something is closed, of which a replayed resume might be thought to speak.
    assert suite.peer("control", suite.keys_of("ops-1")).greet().ask("command", suite.sign(**pause("stays"))).kind == "outcome"
    yield record
    record.close()


def passphrase(suite):
    path = suite.folder / "passphrase"
    path.write_text("long enough\n")
    path.chmod(0o600)
    return path


def replay(suite, captured, to, expects):
    """Sends all of them to the connections that `to` names; `expects` judges each answer. Nothing changes. Returns the refusals by name."""
    settled(suite)
    before, refusals = state(suite), {}
    for what, (by, message, first) in captured.captured.items():
        heard = to(by).ask("command", message)
        expects(what, heard, first)
        if heard.kind == "refused":
            refusals[what] = next(name for name, number in Refusal.items() if number == heard.code)
            assert heard.body.text, what
    assert state(suite) == before, "nothing has changed"
    return refusals


def answered_again(what, heard, first):
    assert heard.kind == "outcome" and heard.body.id == first.id and heard.body.entry == first.entry, (what, heard)


def refused_replayed(what, heard, first):
    assert heard.code == Refusal.replayed, (what, heard)


def refused_somehow(what, heard, first):
    assert heard.kind == "refused", (what, heard)


def fresh(suite, swap=False):
    """New connections, of the operator who sent it or of the other one."""
    other = {"ops-1": "ops-2", "ops-2": "ops-1"}
    made = {}

    def to(by):
        name = other[by] if swap else by
        if name not in made:
            made[name] = suite.peer("control", suite.keys_of(name)).greet()
        return made[name]

    return to


def test_what_its_own_sender_sends_again_is_answered_again_and_done_once(suite, captured):
    """On the same connection and on a new one: an answer that was lost must be had again."""
    for to in (captured.peers.__getitem__, fresh(suite)):
        assert replay(suite, captured, to, answered_again) == {}


def test_what_somebody_else_sends_again_is_refused_counted_logged_once_and_shown(suite, captured):
    expected = Attack("control", "commands.refused.replayed", REPLAYED, r"\d+ commands \(.*replayed", len(captured.captured))
    with counted_logged_and_shown(suite, expected, senders=2):
        refusals = replay(suite, captured, fresh(suite, swap=True), refused_replayed)
    assert len(refusals) == len(captured.captured) >= 17


def test_after_an_epoch_change_it_is_the_same(suite, captured):
    epoch = int(suite.status()["gate"]["epoch"])
    suite.cli("pause", "--reads-only", "--reader", "nobody", "--reason", "a test")
    assert int(suite.status()["gate"]["epoch"]) > epoch
    replay(suite, captured, fresh(suite), answered_again)
    replay(suite, captured, fresh(suite, swap=True), refused_replayed)


def test_after_a_restart_everybody_is_refused_and_nothing_changes(suite, captured):
    closed = closures(suite)
    os.kill(suite.started["control"], signal.SIGKILL)
    wait_until(lambda: suite.service_ids().get("control") not in (None, suite.started["control"]), "control is started again")
    suite.started = suite.service_ids()
    wait_until(lambda: not suite.status()["gate"].get("sealed"), "control serves again")
    captured.connect()
    for to in (captured.peers.__getitem__, fresh(suite), fresh(suite, swap=True)):
        refusals = replay(suite, captured, to, refused_somehow)
        print(refusals)
        # What narrows is taken at any index: it is known by its nonce alone. What widens may be stale before that is looked at.
        for what in ("pause", "revoke", "revoke another", "operator remove", "leak report"):
            assert refusals[what] in ("replayed", "notFound", "invalid"), (what, refusals)
    assert closures(suite) == closed, "a pause that was replayed paused nothing"
    assert {"desk", "lamp"} <= {a["node"]["name"] for a in json.loads(suite.cli("agents", "--json").stdout)["agents"]}
    # The control: the same deeds, signed anew, are done.
    me = Operator(suite.home)
    heard = captured.peers["ops-1"].ask("command", body("command", **me.command(raw({"remove": {"names": ["desk"]}}))))
    assert heard.kind == "outcome" and [node.name for node in heard.body.nodes] == ["desk"], heard
    heard = captured.peers["ops-1"].ask("command", body("command", **me.command(raw({"change_operators": {"remove": ["ops-3"]}}))))
    assert heard.kind == "outcome", heard
