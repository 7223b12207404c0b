"""A stranger folds governance from the contract alone, and comes to what control says."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import joining
import ops
import pytest
import reader
import wire
from fold import Fold

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.signing import Operator  # noqa: E402


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    s = ops.Suite(tmp_path_factory.mktemp("suite") / "home")
    try:
        s.until_ready()
        happen(s, tmp_path_factory.mktemp("machine"))
        yield s
    finally:
        s.stop()


def run(suite, *words):
    done = subprocess.run([ops.BIN / "sluice", *map(str, words), "--home", suite.home], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done
    return done.stdout


def proposed(suite, *words):
    made = json.loads(run(suite, *words, "--json"))
    return made["proposal"]["proposal"], made


def approved(suite, *words):
    number, made = proposed(suite, *words)
    run(suite, "approve", number, "--as", "ops-2")
    return made


def newer(suite, what, words):
    """The key that counts beside another, of those of which `words` holds."""
    found = [k["key"] for k in json.loads(run(suite, what, "list", "--json"))["keys"] if words(k)]
    assert len(found) == 2, found
    return found[1]


def sealed_and_opened(suite):
    """Somebody who has a service's key claims an epoch that is to come; two operators look, and open again."""
    with reader.Peer(suite.endpoint("control"), suite.key("control"), wire.read_secret(suite.home / "keys" / "notify.secret"), wire.LARGEST_CONTROL_FRAME) as thief:
        thief.send("renew", nonce=os.urandom(16), epoch=1 << 20)
        assert thief.expect("grant", of="renew")[1].lease_ms == 0
    assert json.loads(run(suite, "status", "--json"))["gate"]["sealed"]
    approved(suite, "resume", "--unseal", "--reason", "no service of ours")


def read(suite):
    """Granted or denied: it is on the record."""
    subprocess.run(
        [ops.BIN / "sluice", "read", "--purpose", "training", "--why", "a test", "--class", "activity", "--home", suite.home],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=30)


def reads(suite, condition, what):
    """The ledger of reads, as control knows it, when the condition holds."""

    def known():
        one = next(one for one in json.loads(run(suite, "status", "--json"))["ledgers"] if one["origin"].endswith("/reads"))
        return condition(one) and one

    return ops.until(known, 30, what)


def put_back_and_restored(suite, backup):
    """Policy's disk fails, and yesterday's vault comes back, with fewer reads on its record than were cosigned; two operators give the others up."""
    had = reads(suite, lambda one: one.get("size", 0) == one.get("witnessed", 0), "control has cosigned the reads")["size"]
    read(suite)
    reads(suite, lambda one: one.get("witnessed", 0) > had and one["size"] == one["witnessed"], "control has cosigned another one")
    # Whoever would start it again waits.
    suite.up.send_signal(signal.SIGSTOP)
    try:
        suite.kill("policy")
        for file in (suite.home / "policy").glob("vault.sqlite*"):
            file.unlink()
        shutil.copy(backup, suite.home / "policy" / "vault.sqlite")
    finally:
        suite.up.send_signal(signal.SIGCONT)
    reads(suite, lambda one: one.get("trouble"), "control does not believe it")
    approved(suite, "ledger", "restore", "reads", "--reason", "the disk failed")
    suite.until_ready()


def found_and_assessed(suite, machine):
    """Policy notices that somebody is denied who asks again and again, control closes reading for them, and an operator says what it was."""
    policy = machine / "leaks.json"
    policy.write_text(json.dumps({**POLICY, "leaks": [{"detector": "denied", "close": "reading", "of": "reader", "limit": {"reads": 0, "per": "hour"}}]}))
    # It gives nobody anything.
    run(suite, "policy", "apply", policy)

    def is_found():
        read(suite)
        return next((i for i in json.loads(run(suite, "incidents", "--json"))["incidents"] if i["author"].startswith("detector ")), None)

    incident = ops.until(is_found, 30, "somebody who is denied is found", every=0.3)["incident"]
    run(suite, "incident", "note", incident, "--text", "it was a test")
    command = wire.governance.Command(assess_incident=wire.governance.IncidentAssessment(incident=incident, exposure=os.urandom(32), summary="nobody read anything"))
    with suite.peer("control") as peer:
        peer.send("command", **Operator(suite.home).command(command.SerializeToString()))
        assert peer.expect("outcome", of="command")
    return incident


def told(suite, incident):
    """Two operators decide what its people are told, and one answers for it that they were: notify is not asked here."""
    decided = wire.governance.NoticesDecided(incident=incident, count=3, digest=os.urandom(32))
    with suite.peer("control") as peer:
        index = ask(suite, "operators", wire.governance.OperatorsQuery()).last
        peer.send("command", **Operator(suite.home).command(wire.governance.Command(send_notices=decided).SerializeToString(), index=index))
        proposal = peer.expect("outcome", of="command")[1].proposal.proposal
    run(suite, "approve", proposal, "--as", "ops-2")
    index = next(e.index for one in entries(suite) if (e := wire.governance.Entry.FromString(one.body)).WhichOneof("deed") == "notices_decided")
    notified = wire.governance.IncidentNotified(incident=incident, decision=index, delivered=2, unreachable=1)
    with suite.peer("control") as peer:
        peer.send("command", **Operator(suite.home).command(wire.governance.Command(incident_notified=notified).SerializeToString()))
        assert peer.expect("outcome", of="command")


def happen(suite, machine):
    """Every deed that there is."""
    read(suite)
    with contextlib.closing(sqlite3.connect(f"file:{suite.home / 'policy' / 'vault.sqlite'}?mode=ro", uri=True)) as vault:
        vault.execute("VACUUM INTO ?", (str(machine / "vault.sqlite"),))
    scope = ("--subject", "S-1", "--site", "oslo", "--team", "reef")
    for name in ("desk-1", "desk-2"):
        approved(suite, "register", name, *scope)
    (machine / "joined").mkdir()
    joining.join(approved(suite, "enrol", *scope)["token"], machine / "joined")
    approved(suite, "enrol", *scope)
    # Another key under a known name.
    approved(suite, "register", "desk-1", *scope, "--key=" + wire.zmq.curve_keypair()[0].decode())
    run(suite, "revoke", "agent", "desk-2")
    run(suite, "pause", "--all", "--reason", "a test")
    run(suite, "pause", "--site", "oslo", "--reason", "another")
    run(suite, "leak", "report", "--class", "review", "--reason", "a test")
    number, _ = proposed(suite, "resume", "--all", "--reason", "too early")
    run(suite, "withdraw", number)
    closures = json.loads(run(suite, "closures", "--json"))
    assert len(closures["closures"]) == 3
    approved(suite, "resume", closures["closures"][0]["epoch"], "--reason", "over")
    run(suite, "incidents", "--close", "1")
    for name in ("ops-3", "ops-4"):
        run(suite, "key", "new", name, "--passphrase-file", passphrase(machine))
        approved(suite, "operator", "add", name, "--key", suite.home / "keys" / f"{name}.pub")
    run(suite, "operator", "remove", "ops-3")
    run(suite, "vault-key", "new")
    approved(suite, "vault-key", "announce")
    approved(suite, "service-key", "new", "notify")
    run(suite, "service-key", "use", "notify")
    approved(suite, "ledger-key", "new", "policy.witness")
    # Given up before they were used.
    approved(suite, "service-key", "new", "join")
    run(suite, "service-key", "retire", "join", "--key=" + newer(suite, "service-key", lambda k: k["service"] == "join"))
    approved(suite, "ledger-key", "new", "control.witness")
    run(suite, "ledger-key", "retire", "control.witness", "--key=" + newer(suite, "ledger-key", lambda k: k["key"].split("+")[0].endswith("/control")))
    policy = machine / "policy.json"
    policy.write_text(json.dumps(POLICY))
    approved(suite, "policy", "apply", policy)
    approved(suite, "consent", "grant", "S-1", "S-2", "S-3", "--purpose", "training")
    approved(suite, "consent", "grant", "S-1", "S-2", "--purpose", "security", "--notice")
    run(suite, "consent", "withdraw", "S-2", "--purpose", "training")
    approved(suite, "hold", "place", "S-3", "S-4", "--incident", "2")
    for subject in ("S-1", "S-3", "S-4"):
        run(suite, "forget", subject, "--yes", "--wait", "0")
    approved(suite, "readmit", "S-1")
    run(suite, "hold", "lift", "S-4", "--incident", "2")
    drilled(suite)
    put_back_and_restored(suite, machine / "vault.sqlite")
    told(suite, found_and_assessed(suite, machine))
    # The last of those that move the epoch.
    sealed_and_opened(suite)
    proposed(suite, "resume", "--all", "--reason", "is left open")


def drilled(suite):
    """Its agent does not run: the drill misses that, which is an incident."""
    approved(suite, "register", "drill-oslo", "--subject", "planted/oslo", "--site", "oslo")
    while json.loads(run(suite, "closures", "--json"))["closures"]:
        approved(suite, "resume", "--all", "--reason", "before a drill")
    done = subprocess.run([ops.BIN / "sluice", "drill", "--site", "oslo", "--home", suite.home], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90)
    assert done.returncode == 1 and "MISSED" in done.stdout, done


SUBJECTS = ("S-1", "S-2", "S-3", "S-4", "S-5")
POLICY = {
    "version": 1,
    "classes": [{"name": "activity", "retention": "30 days", "audience": 2}],
    "rules": [{"class": "activity", "kind": ["key", "pointer"]}],
    "capture": [{"for": "everyone", "as": "keep"}],
    "purposes": [{"name": "training", "basis": "consent", "classes": ["activity"]}, {"name": "security", "basis": "legitimate-interests", "classes": ["activity"]}],
    "roles": [{"name": "ml", "members": ["ada", "ben"]}],
    "access": [{"name": "ml", "role": "ml", "purpose": "training", "classes": ["activity"], "for": "everyone", "expires": "never", "rate": "unlimited"}],
}


def passphrase(machine):
    path = machine / "passphrase"
    path.write_text("correct horse\n")
    path.chmod(0o600)
    return path


def ask(suite, about, question, of="answer"):
    with suite.peer("control") as peer:
        peer.send("query", **{about: question})
        answer = peer.expect(of, of="query")[1]
    return getattr(answer, about) if of == "answer" else answer


def entries(suite):
    """Page by page, until there are no more."""
    found = []
    while True:
        page = ask(suite, "journal", wire.governance.JournalQuery(after=len(found)), of="entries")
        found += page.recorded
        if len(found) >= page.last:
            return found


def said(suite):
    """What control says, in the fold's words."""
    status = ask(suite, "status", wire.governance.StatusQuery())
    operators = ask(suite, "operators", wire.governance.OperatorsQuery())
    in_force = ask(suite, "policy", wire.governance.PolicyQuery())
    with suite.peer("control") as peer:
        peer.send("query", vault_key=wire.governance.VaultKeyQuery())
        announced = wire.governance.Entry.FromString(peer.expect("answer", of="query")[1].proof.entry.body)
    return {
        "index": status.entries, "epoch": status.gate.epoch, "powers": operators.current_from,
        "closures": {c.epoch: c for c in status.gate.closures},
        "nodes": {a.node.name: a.node for a in ask(suite, "agents", wire.governance.AgentsQuery()).agents},
        "operators": {o.name: o for o in operators.operators},
        "incidents": {i.incident: (i.state, i.opened_us, i.moved_us, i.closure, i.leak) for i in ask(suite, "incidents", wire.governance.IncidentsQuery()).incidents},
        "certified": {e for i in ask(suite, "incidents", wire.governance.IncidentsQuery()).incidents for e in i.certificates}
        | {d.closure.epoch for d in ask(suite, "drills", wire.governance.DrillsQuery()).drills if d.ended.certificate_us},
        "proposals": {p.proposal: (p.state, p.until_us, p.hash, p.proposer, [*p.approved_by]) for p in ask(suite, "proposals", wire.governance.ProposalsQuery(all=True)).proposals},
        "vault": (announced.vault_key_announced.key, announced.index),
        "policy": (in_force.document, [*in_force.over], in_force.entry),
        "records": {r.subject: ([*r.notices], [*r.consents], r.erased, r.waiting, [*r.holds]) for r in ask(suite, "records", wire.governance.Subjects(subjects=SUBJECTS)).records},
        "holds": {h.incident: [*h.subjects] for h in ask(suite, "holds", wire.governance.HoldsQuery()).holds},
        "drills": {d.began.drill: ([*d.began.subjects], d.at_us, d.closure.epoch, d.ended_us, [*d.ended.missed]) for d in ask(suite, "drills", wire.governance.DrillsQuery()).drills},
        "ledgers": sorted(k.key for k in ask(suite, "service_keys", wire.governance.ServiceKeysQuery()).ledgers),
        **{name: [k.key for k in ask(suite, "service_keys", wire.governance.ServiceKeysQuery()).keys if k.service == name] for name in ("notify", "join")},
    }


def folded(recorded):
    fold = Fold()
    for one in recorded:
        fold.take(one)
    return {
        "index": fold.index, "epoch": fold.epoch, "powers": fold.powers, "closures": fold.closures,
        "nodes": {node.name: node for node in fold.nodes.values()}, "operators": fold.operators,
        "incidents": {n: (i["state"], i["opened"], i["moved"], i["closure"], i["leak"]) for n, i in fold.incidents.items()},
        "certified": set(fold.certified),
        "proposals": {n: (p["state"], p["until"], p["hash"], p["proposer"].name, [o.name for o in p["approvals"]]) for n, p in fold.proposals.items()},
        "policy": fold.policy, "records": {subject: record(fold, subject) for subject in SUBJECTS},
        "holds": {incident: sorted(subjects) for incident, subjects in fold.holds.items() if subjects},
        "drills": {n: (d["subjects"], d["at"], d["epoch"], d["ended"], d["missed"]) for n, d in fold.drills.items()},
        "vault": (fold.vault_key, fold.vault_entry), "notify": fold.service_keys["notify"], "join": fold.service_keys["join"],
        "ledgers": sorted(key for keys in fold.ledger_keys.values() for key in keys),
    }, fold


def record(fold, subject):
    erased = fold.erased.get(subject)
    gone = erased is not None and erased["readmitted"] is None
    holds = sorted(incident for incident, subjects in fold.holds.items() if subject in subjects)
    return (sorted(fold.told.get(subject, ())), sorted(fold.agreed.get(subject, ())), erased["entry"] if gone else 0, gone and erased["waiting"], holds)


def test_the_fold_that_the_contract_describes_is_what_control_says(suite):
    expected = ops.until(lambda: (now := said(suite))["index"] == said(suite)["index"] and now, 30, "the ledger stands still")
    recorded = entries(suite)
    state, fold = folded(recorded)
    assert state == expected
    deeds = {wire.governance.Entry.FromString(one.body).WhichOneof("deed") for one in recorded}
    every = {field.name for field in wire.governance.Entry.DESCRIPTOR.oneofs_by_name["deed"].fields}
    assert deeds == every
    # What no query shows.
    assert len(fold.revoked) == 2 and len(fold.revoked_operators) == 1 and len(fold.spent) == 1 and len(fold.enrolments) == 1
    assert {p[0] for p in state["proposals"].values()} == {"applied", "withdrawn", "open"} and len(fold.asked) == 1
    assert len(fold.retired) == 1 and len(fold.restored) == 1 and state["epoch"] > 1 << 20


@pytest.mark.parametrize("deed", ["paused", "resumed", "registered", "removed", "approved", "incident_moved", "certified", "vault_key_announced", "operators_changed", "policy_applied", "records_changed", "erased", "readmitted", "held", "hold_lifted", "unsealed", "service_key_retired", "ledger_key_retired", "found", "incident_assessed", "notices_decided", "incident_notified", "drill_ended"])
def test_a_fold_that_passes_one_kind_of_entry_over_comes_to_something_else(suite, deed, monkeypatch):
    monkeypatch.setattr(Fold, deed + "_", lambda self, entry, body, now: None)
    with pytest.raises((AssertionError, KeyError)):
        assert folded(entries(suite))[0] == said(suite)
