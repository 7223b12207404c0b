"""FAULTS A05: every kind of signed command and its approval, captured and sent again: on its own connection, on others, after an epoch change, after a restart."""

import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from harness.signing import Operator
from hostile import Refusal, Suite, binaries, body, new_keys, nonce, wait_until, wire
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

    def signed(self, at_any=False, **deed):
        """Good for as long as may be: what has expired is refused for that."""
        index = 0 if at_any else self.suite.newest()
        return body("command", **Operator(self.suite.home).command(raw(deed), index=index, seconds=900))

    def approved(self, proposal):
        return body("command", **Operator(self.suite.home, "ops-2").approval(
            proposal.proposal, proposal.signed.statement, index=self.suite.newest(), seconds=900))

    def narrows(self, what, **deed):
        done = self.send(what, self.signed(at_any=True, **deed))
        assert not done.HasField("proposal") or "withdraw" in deed, (what, done)
        return done

    def widens(self, what, **deed):
        """Proposed by one, approved by the other."""
        proposal = self.send(what, self.signed(**deed)).proposal
        assert proposal.state == "open", proposal
        done = self.send(f"approval of {what}", self.approved(proposal), by="ops-2")
        assert done.proposal.state == "applied", done
        return done

    def done_anew(self, **deed):
        """Signed and done, and not captured: so that what was captured would change something again."""
        # Whoever says nothing for four leases is forgotten.
        self.connect()
        heard = self.peers["ops-1"].ask("command", self.signed(**deed))
        assert heard.kind == "outcome", (deed, heard)
        if heard.body.proposal.state != "open":
            return heard.body
        heard = self.peers["ops-2"].ask("command", self.approved(heard.body.proposal))
        assert heard.kind == "outcome" and heard.body.proposal.state == "applied", (deed, heard)
        return heard.body

    def ask(self, what, **question):
        return getattr(self.peers["ops-1"].ask("query", body("query", **question)).body, what)

    def missing(self, without=()):
        """What `Command` can be and nobody has captured; a resume is two things."""
        kinds = {field.name for one in wire().Command.DESCRIPTOR.oneofs for field in one.fields} | {"resume with unseal"}
        return kinds - {kind for what, (_, message, _) in self.captured.items() if what not in without for kind in kinds_of(message)}

    def close(self):
        for peer in self.peers.values():
            peer.close()


def kinds_of(message):
    """Of a signed command, as the contract's own descriptor names it; an approval is none."""
    head, _, deed = message.statement.partition(b"\n\n")
    if not head.startswith(b"sluice command v1\n"):
        return set()
    command = wire().Command.FromString(deed)
    return {"resume with unseal" if command.resume.unseal else command.WhichOneof("deed")}


SUBJECTS = ("S-1", "S-2", "S-3", "S-4", "S-5")


@contextlib.contextmanager
def asking(suite, *services):
    """What asks them, as ops-1."""
    peers = {service: suite.peer(service, suite.keys_of("ops-1")).greet() for service in services}

    def ask(service, about, question, what=str):
        heard = peers[service].ask("query", body("query", **{about: question}))
        assert heard.kind == "answer", (about, heard)
        return what(getattr(heard.body, about))

    ask.peers = peers
    try:
        yield ask
    finally:
        for peer in peers.values():
            peer.close()


def state(suite):
    """Everything that a command can change, as control and policy answer."""

    def announced(proof):
        entry = wire().Entry.FromString(proof.entry.body)
        return entry.index, entry.vault_key_announced.key

    with asking(suite, "control", "policy") as ask:
        return {
            "policy": ask("control", "policy", {}), "records": ask("control", "records", subjects(*SUBJECTS)), "holds": ask("control", "holds", {}),
            # An erasure that is under way is no replay's doing: `settled` has waited for it.
            "erasures": ask("policy", "erasures", subjects(*SUBJECTS), erasures_of),
            "vault key": announced(ask.peers["control"].ask("query", body("query", vault_key={})).body.proof),
            "service keys": ask("control", "service_keys", {}, lambda all: [(one.service, one.key, one.entry) for one in all.keys]),
            "ledger keys": ask("control", "service_keys", {}, lambda all: [one.key for one in all.ledgers]),
            "operators": ask("control", "operators", {}), "proposals": ask("control", "proposals", {"all": True}), "incidents": ask("control", "incidents", {}),
            "closures": ask("control", "closures", {}), "agents": ask("control", "agents", {}, lambda all: sorted(one.node.name for one in all.agents)),
            "entries": suite.newest(), "gate": suite.status()["gate"], "ledger": journal(ask.peers["control"]),
        }


def erasures_of(answer):
    return {one.subject: (one.state, [*one.holds]) for one in answer.erasures}


def journal(control):
    """Every entry of its ledger, page by page."""
    found = []
    while True:
        control.send("query", body("query", journal={"after": len(found)}))
        page = control.expect("entries").body
        found += [entry.body for entry in page.recorded]
        if len(found) >= page.last:
            return found


def settled(suite):
    """Waits until each pause has its certificate in the ledger, and each erasure is done or waits: they come when they come."""

    def certified():
        with asking(suite, "control") as ask:
            return ask("control", "incidents", {}, lambda found: all(one.state == "closed" or one.certificates and one.state != "open" for one in found.incidents))

    def erased():
        with asking(suite, "control", "policy") as ask:
            with_policy = ask("policy", "erasures", subjects(*SUBJECTS), erasures_of)
            gone = ask("control", "records", subjects(*SUBJECTS), lambda all: {one.subject for one in all.records if one.erased})
            return gone <= with_policy.keys() and all(how in ("done", "waiting") for how, _ in with_policy.values())

    wait_until(certified, "every pause is certified")
    wait_until(erased, "every erasure is done")


# What nobody could do again, also signed anew, is refused for that after a restart, before anybody looks whether it was taken once: of what is over
# there is nothing left to do, and a key that was taken away never comes back.
IMPOSSIBLE = {
    "restore reads": "notFound", "resume that unseals": "notFound", "resume": "notFound", "resume of a leak": "notFound", "withdraw": "notApproved",
    "register": "revokedKey", "operator add": "revokedKey", "announce service key": "revokedKey", "announce ledger key": "revokedKey",
    "retire service key": "notFound", "retire ledger key": "notFound", "assess incident": "invalid", "send notices": "invalid", "incident notified": "invalid"}


def operator_of(name):
    return {
        "name": name, "person": name, "key": Ed25519PrivateKey.generate().public_key().public_bytes_raw(), "session": z85.decode(new_keys()[0])}


def put_back(suite):
    """Policy's ledger as it was before something was read: what control has cosigned of it is longer. Returns the pair that operators decide about."""
    vault, copied = suite.home / "policy" / "vault.sqlite", suite.folder / "vault-before"
    with contextlib.closing(sqlite3.connect(vault)) as source, contextlib.closing(sqlite3.connect(copied)) as sink:
        source.backup(sink)
    reads = lambda: next(one for one in suite.status()["ledgers"] if one["origin"].endswith("/reads"))
    before = int(reads().get("witnessed", 0))
    suite.read("activity")
    wait_until(lambda: int(reads().get("witnessed", 0)) > before, "control has cosigned that it was read")
    # Held, so that it is not started again before the file is there.
    suite.up.signal(signal.SIGSTOP)
    try:
        os.kill(suite.started["policy"], signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{suite.started['policy']}/cmdline").read_bytes(), "policy has ended, and is not asked after yet")
        for path in vault.parent.glob("vault.sqlite-*"):
            path.unlink()
        copied.replace(vault)
    finally:
        suite.up.signal(signal.SIGCONT)
    wait_until(lambda: reads().get("adopts"), "control does not believe policy's ledger")
    suite.started = suite.service_ids()
    me = suite.peer("control", suite.keys_of("ops-1")).greet()
    found = next(one for one in me.ask("query", body("query", status={})).body.status.ledgers if one.adopts)
    me.close()
    return {"abandons": found.abandons, "adopts": found.adopts}


def leased(suite, *names):
    connected = lambda: {one["name"] for one in suite.status()["services"] if one.get("connected") and int(one.get("lease_left_ms", 0))}
    wait_until(lambda: connected() >= set(names), f"{names} hold leases")


def sealed(suite):
    """Seals control, by the word of who has a service's key: it knows of an epoch that the ledger does not."""
    service = suite.peer("control", suite.keys_of("notify")).greet()
    epoch = int(suite.status()["gate"].get("epoch", 0)) + 1_000
    assert service.ask("renew", body("renew", nonce=nonce(), epoch=epoch)).body.lease_ms == 0
    service.close()
    assert suite.status()["gate"].get("sealed")


def document(suite, days):
    """A policy in its canonical form, for `days` of retention."""
    given = {**POLICY, "classes": [{"name": "activity", "retention": f"{days} days", "audience": 2}]}
    path = suite.folder / f"policy-{days}.json"
    path.write_text(json.dumps(given))
    return subprocess.run([binaries() / "sluice", "policy", "check", path, "--canonical"], capture_output=True, check=True, timeout=60).stdout.strip()


POLICY = {
    "version": 1,
    "rules": [{"class": "activity", "kind": ["key", "pointer"]}],
    "capture": [{"for": "everyone", "as": "keep"}],
    "purposes": [{"name": "training", "basis": "consent", "classes": ["activity"]}],
    "roles": [{"name": "ml", "members": ["ada", "ben"]}],
    "access": [{"name": "ml", "role": "ml", "purpose": "training", "classes": ["activity"], "for": "everyone", "expires": "never", "rate": "unlimited"}],
}


def consent(*subjects, given=True):
    return {"change_records": {"subjects": subjects, "purpose": "training", "kind": 2, "given": given}}


def subjects(*names):
    return {"subjects": names}


def next_ledger_key(suite):
    """Policy's next cosigner, and the one that counts."""
    key = suite.cli("ledger-key", "new", "policy.witness", "--only-make").stdout.strip()
    return key, json.loads((suite.home / "registry.json").read_text())["anchors"]["policyWitness"]


def drilled(suite, record):
    """A drill whose planted agent is nowhere: it misses its bounds, which is an incident, and is over."""
    record.widens("register planted", register={"nodes": [
        {"name": "drill-berlin", "subject": "planted/berlin", "site": "berlin", "team": "", "key": z85.decode(new_keys()[0]), "role": 1}]})
    record.narrows("drill", drill={"sites": ["berlin"], "bounds": {"reads_closed_us": 100_000, "certificate_us": 1_000_000, "notice_us": 1_000_000}})
    with asking(suite, "control") as ask:
        missed = wait_until(lambda: ask("control", "incidents", {}, lambda found: [one.incident for one in found.incidents if one.title.startswith("drill")]), "it is over", within=60)
    suite.cli("incidents", "--close", missed[0])


@pytest.fixture(scope="module")
def captured(suite):
    """One of each kind, in an order in which each of them, done again, would change something."""
    record = Recorder(suite)
    record.widens("restore reads", restore_reads={**put_back(suite), "reason": "x"})
    leased(suite, "policy")
    sealed(suite)
    record.widens("resume that unseals", resume={"reason": "x", "unseal": True})
    leased(suite, "policy", "ingest")
    secret, machine = os.urandom(32), new_keys()
    scope = {"name": "desk", "subject": "E1", "site": "berlin", "team": "search"}
    record.widens("enrol", enrol={**scope, "token": hashlib.sha256(secret).digest(), "valid_s": 900})
    assert tries(suite, secret, machine).kind == "joined"
    record.widens("register", register={"nodes": [{"name": "lamp", "subject": "E2", "site": "berlin", "team": "search", "key": z85.decode(new_keys()[0]), "role": 1}]})
    record.narrows("revoke", remove={"names": ["desk"]})
    record.narrows("revoke another", remove={"names": ["lamp"]})
    record.widens("operator add", change_operators={"add": [operator_of("ops-3")]})
    record.narrows("operator remove", change_operators={"remove": ["ops-3"]})
    paused = record.narrows("pause", **pause("to be lifted"))
    record.widens("resume", resume={"reason": "x", "closures": [paused.epoch]})
    kept = record.narrows("leak report", leak={"class": "conversation", "reason": "a test", "source": "a test"})
    record.widens("resume of a leak", resume={"reason": "x", "closures": [kept.closure.epoch]})
    record.narrows("note incident", note_incident={"incident": kept.incident, "text": "a test"})
    record.narrows("assess incident", assess_incident={"incident": kept.incident, "exposure": bytes(32), "summary": "a test"})
    record.widens("send notices", send_notices={"incident": kept.incident, "count": 3, "digest": os.urandom(32)})
    (incident,) = record.ask("incidents", incidents={"incident": kept.incident}).incidents
    (decided,) = [step.entry for step in incident.steps if step.what == "decided"]
    record.narrows("incident notified", incident_notified={"incident": kept.incident, "decision": decided, "delivered": 2, "unreachable": 1})
    record.narrows("close incident", close_incident={"incident": kept.incident})
    record.narrows("reopen incident", reopen_incident={"incident": kept.incident})
    record.narrows("close incident again", close_incident={"incident": kept.incident})
    proposal = record.send("proposal", record.signed(register={"nodes": [
        {"name": "chair", "subject": "E3", "site": "berlin", "team": "search", "key": z85.decode(new_keys()[0]), "role": 1}]})).proposal
    record.narrows("withdraw", withdraw={"proposal": proposal.proposal})
    drilled(suite, record)
    capture_policy_and_people(suite, record, paused.incident)
    capture_keys(suite, record)
    # Whoever they were about is there again, under other keys: a replay would hit them.
    for name in ("desk", "lamp"):
        suite.enrol(name, "E9")
    suite.cli("key", "new", "ops-3", "--passphrase-file", passphrase(suite))
    suite.approved("operator", "add", "ops-3", "--key", suite.home / "keys" / "ops-3.pub")
    # Something is closed, of which a replayed resume might be thought to speak.
    assert suite.peer("control", suite.keys_of("ops-1")).greet().ask("command", suite.sign(**pause("stays"))).kind == "outcome"
    yield record
    record.close()


def capture_policy_and_people(suite, record, incident):
    """Each is undone, or done to somebody, so that it would be done again."""
    record.widens("apply policy", apply_policy={"document": document(suite, 30)})
    record.narrows("apply narrower policy", apply_policy={"document": document(suite, 20)})
    record.done_anew(apply_policy={"document": document(suite, 40)})
    record.widens("consent", **consent("S-1", "S-2"))
    record.narrows("consent withdrawn", **consent("S-1", given=False))
    record.done_anew(**consent("S-1"))
    record.done_anew(**consent("S-2", given=False))
    record.narrows("erase", erase=subjects("S-3"))
    record.done_anew(readmit=subjects("S-3"))
    record.done_anew(erase=subjects("S-4"))
    record.widens("readmit", readmit=subjects("S-4"))
    record.done_anew(erase=subjects("S-4"))
    record.widens("hold", hold={"incident": incident, "subjects": ["S-2", "S-5"]})
    record.narrows("lift hold", lift_hold={"incident": incident, "subjects": ["S-5"]})
    record.done_anew(hold={"incident": incident, "subjects": ["S-5"]})
    record.done_anew(lift_hold={"incident": incident, "subjects": ["S-2"]})


def capture_keys(suite, record):
    """The vault's first key is announced again; of a service's and a ledger's none that was retired ever comes back."""
    record.widens("announce vault key", announce_vault_key={"key": X25519PrivateKey.generate().public_key().public_bytes_raw()})
    record.done_anew(announce_vault_key={"key": suite.vault_public})
    key, [before] = z85.decode(new_keys()[0]), [one.key for one in record.ask("service_keys", service_keys={}).keys if one.service == "notify"]
    record.widens("announce service key", announce_service_key={"service": "notify", "key": key, "beside": before})
    record.narrows("retire service key", retire_service_key={"service": "notify", "key": key})
    key, before = next_ledger_key(suite)
    record.widens("announce ledger key", announce_ledger_key={"key": key, "beside": before})
    record.narrows("retire ledger key", retire_ledger_key={"key": key})
    (suite.home / "policy" / "witness.next").unlink()


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


@pytest.mark.limit(300)
def test_each_kind_of_command_that_the_contract_has_was_captured(captured):
    assert not captured.missing()
    # The control: each that nobody had captured would be missed.
    for kind in wire().Command.DESCRIPTOR.fields_by_name:
        assert kind in captured.missing({what for what, (_, message, _) in captured.captured.items() if kind in kinds_of(message)}), kind
    # What widens was approved, and its approval captured.
    assert {what for what, (_, _, first) in captured.captured.items() if first.proposal.state == "open"} - {"proposal"} == {
        what.removeprefix("approval of ") for what in captured.captured if what.startswith("approval of ")}


@pytest.mark.limit(300)
def test_what_its_own_sender_sends_again_is_answered_again_and_done_once(suite, captured):
    """On the same connection and on a new one: an answer that was lost must be had again."""
    for to in (captured.peers.__getitem__, fresh(suite)):
        assert replay(suite, captured, to, answered_again) == {}


@pytest.mark.limit(300)
def test_what_somebody_else_sends_again_is_refused_counted_logged_once_and_shown(suite, captured):
    expected = Attack("control", "commands.refused.replayed", REPLAYED, r"\d+ commands \(.*replayed", len(captured.captured))
    with counted_logged_and_shown(suite, expected, senders=2):
        refusals = replay(suite, captured, fresh(suite, swap=True), refused_replayed)
    assert len(refusals) == len(captured.captured)


@pytest.mark.limit(300)
def test_it_gets_nowhere_on_a_connection_that_is_no_operators_or_elsewhere(suite, captured):
    """Of a service's key, at control; of the sender's own, where nobody takes commands."""
    for service, name in (("control", "notify"), ("control", "ingest"), ("policy", "ops-1"), ("notify", "ops-1")):
        peer = suite.peer(service, suite.keys_of(name)).greet()
        refusals = replay(suite, captured, lambda by: peer, refused_somehow)
        assert set(refusals.values()) == {"notAllowed"}, (service, name, refusals)
        peer.close()


@pytest.mark.limit(300)
def test_after_an_epoch_change_it_is_the_same(suite, captured):
    epoch = int(suite.status()["gate"]["epoch"])
    suite.cli("pause", "--reads-only", "--reader", "nobody", "--reason", "a test")
    assert int(suite.status()["gate"]["epoch"]) > epoch
    replay(suite, captured, fresh(suite), answered_again)
    replay(suite, captured, fresh(suite, swap=True), refused_replayed)


def restart_control(suite, captured):
    """As after a crash; and what it had answered it remembers no more."""
    os.kill(suite.started["control"], signal.SIGKILL)
    wait_until(lambda: suite.service_ids().get("control") not in (None, suite.started["control"]), "control is started again")
    suite.started = suite.service_ids()
    wait_until(lambda: not suite.status()["gate"].get("sealed"), "control serves again")
    captured.connect()


@pytest.mark.limit(300)
def test_after_a_restart_everybody_is_refused_and_nothing_changes(suite, captured):
    closed = closures(suite)
    restart_control(suite, captured)
    for to in (captured.peers.__getitem__, fresh(suite), fresh(suite, swap=True)):
        refusals = replay(suite, captured, to, refused_somehow)
        # It is known by its nonce, also what narrows and counts at any index.
        assert refusals == {what: IMPOSSIBLE.get(what, "replayed") for what in captured.captured}
    assert closures(suite) == closed, "a pause that was replayed paused nothing"
    assert {"desk", "lamp"} <= {a["node"]["name"] for a in json.loads(suite.cli("agents", "--json").stdout)["agents"]}


@pytest.mark.limit(300)
def test_an_unsealing_that_was_captured_lifts_no_later_seal(suite, captured):
    restart_control(suite, captured)
    sealed(suite)
    before = state(suite)
    for to in (captured.peers.__getitem__, fresh(suite), fresh(suite, swap=True)):
        for what in ("resume that unseals", "approval of resume that unseals"):
            by, message, _ = captured.captured[what]
            assert to(by).ask("command", message).code == Refusal.replayed, what
    assert state(suite) == before and before["gate"].get("sealed"), "it stays sealed"
    # The control: signed anew it is done.
    captured.done_anew(resume={"reason": "x", "unseal": True})
    assert not suite.status()["gate"].get("sealed")


@pytest.mark.limit(300)
def test_what_a_replay_could_have_done_is_looked_at(suite, captured):
    """The control of all above: the same deeds, signed anew, are done, and seen where each of them would be seen."""
    leased(suite, "policy", "ingest")
    settled(suite)
    [before] = [one.key for one in captured.ask("service_keys", service_keys={}).keys if one.service == "notify"]
    key, beside = next_ledger_key(suite)
    deeds = {
        "gate": pause("another"), "closures": pause("a third"), "incidents": pause("a fourth"),
        "operators": {"change_operators": {"remove": ["ops-3"]}}, "agents": {"remove": {"names": ["desk"]}},
        "policy": {"apply_policy": {"document": document(suite, 20)}}, "records": consent("S-1", given=False), "erasures": {"erase": subjects("S-1")},
        "holds": {"lift_hold": {"incident": captured.captured["pause"][2].incident, "subjects": ["S-5"]}},
        "vault key": {"announce_vault_key": {"key": X25519PrivateKey.generate().public_key().public_bytes_raw()}},
        "service keys": {"announce_service_key": {"service": "notify", "key": z85.decode(new_keys()[0]), "beside": before}},
        "ledger keys": {"announce_ledger_key": {"key": key, "beside": beside}}, "proposals": consent("S-2")}
    seen = state(suite)
    assert deeds.keys() == seen.keys() - {"entries", "ledger"}, "each has its control"
    for what, deed in deeds.items():
        captured.done_anew(**deed)
        settled(suite)
        now = state(suite)
        assert all(now[part] != seen[part] for part in (what, "entries", "ledger")), what
        seen = now
