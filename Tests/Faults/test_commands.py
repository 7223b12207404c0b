"""FAULTS A05 to A08: signed commands as an attacker with an operator's connection, or with an operator's key, would send them."""

import hashlib
import json
import os
import signal
import threading
from collections import Counter

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from harness.signing import Operator
from hostile import Refusal, Suite, at_once, body, new_keys, wait_until, wire
from zmq.utils import z85


# Of what is done at the same moment: each time it falls otherwise.
ROUNDS = int(os.environ.get("SLUICE_ROUNDS", "4"))


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    suite = Suite(tmp_path_factory.mktemp("commands"))
    yield suite
    suite.close()


@pytest.fixture
def operator(suite):
    peers = []

    def make(name="ops-1"):
        peer = suite.peer("control", suite.keys_of(name)).greet()
        peers.append(peer)
        return peer

    yield make
    for peer in peers:
        peer.close()
    if suite.status()["gate"].get("closures"):
        suite.resume()


def raw(deed):
    return getattr(wire(), "Command")(**deed).SerializeToString()


def pause(reason="a test", reader="nobody-reads"):
    return {"pause": {"reason": reason, "direction": 2, "selector": {"readers": [reader]}}}


def closures(suite):
    return [c["epoch"] for c in suite.status()["gate"].get("closures", [])]


def is_certified(suite, epoch):
    shown = suite.cli("certificate", epoch, "--json", check=False).stdout
    certificate = json.loads(shown) if shown else {"epoch": epoch, "complete": False}
    assert int(certificate["epoch"]) == epoch, certificate
    return certificate["complete"]


def propose(suite, operator, epochs, by="ops-1"):
    """A resume on the table, as control shows it."""
    heard = operator(by).ask("command", suite.sign(by=by, index=suite.newest(), resume={"reason": "x", "closures": epochs}))
    assert heard.kind == "outcome" and heard.body.proposal.state == "open", heard
    return heard.body.proposal


def operators_key(suite, name, passphrase=b"long enough"):
    """Who signs with a key that has a passphrase."""
    clear = suite.home / "keys" / f"{name}.key"
    kept = clear.read_bytes()
    key = load_pem_private_key(kept[kept.index(b"-----BEGIN"):], passphrase)
    try:
        clear.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return Operator(suite.home, name)
    finally:
        clear.write_bytes(kept)


def refused(peer, message, refusal):
    heard = peer.ask("command", message)
    assert heard.kind == "refused" and heard.body.code == Refusal[refusal], (refusal, heard)


# A06


def test_each_thing_that_is_wrong_with_a_command_has_an_answer_of_its_own(suite, operator):
    peer, me = operator(), Operator(suite.home)
    good = me.statement(raw(pause()))
    signed = me.signed(good)
    before, gate = suite.counters("control"), suite.status()["gate"]
    other = Operator(suite.home, "ops-2")
    stranger = Operator(suite.home)
    stranger.id = bytes(32)
    wrong = {
        "unknownKey": [stranger.signed(good)],
        "badSignature": [
            {**signed, "statement": good[:-1] + bytes([good[-1] ^ 1])}, {**signed, "statement": good + b" "}, {**signed, "statement": good[:-1]},
            {**signed, "signature": bytes([signed["signature"][0] ^ 1]) + signed["signature"][1:]}, {**signed, "signature": b""},
            {**signed, "key": other.id}],
        "malformed": [me.signed(good.replace(b"index 0", b"index 00")), me.signed(b"\xef\xbb\xbf" + good), me.signed(b""), {**signed, "key": b"x"}],
        "notTheAuthor": [me.command(raw(pause()), author="ops-2")],
        "otherLedger": [me.command(raw(pause()), origin="sluice/0000000000000000/governance")],
        "expired": [me.command(raw(pause()), start=1_000_000_000)],
        "notYetValid": [me.command(raw(pause()), start=4_000_000_000)],
        "invalid": [me.command(raw(pause()), seconds=3_600), me.command(b"\xff\xff\xff"), me.command(raw({}))],
        "staleIndex": [me.command(raw({"register": {"nodes": [{"name": "n", "subject": "s", "key": b"k" * 32, "role": 1}]}}), index=1)],
        "indexAhead": [me.command(raw({"register": {"nodes": [{"name": "n", "subject": "s", "key": b"k" * 32, "role": 1}]}}), index=1 << 40)],
    }
    for refusal, commands in wrong.items():
        for fields in commands:
            refused(peer, body("command", **fields), refusal)
    assert suite.status()["gate"] == gate
    now = suite.counters("control")
    for word in ("bad-signature", "unknown-key", "expired", "stale-index", "not-the-author"):
        name = f"commands.refused.{word}"
        assert now.get(name, 0) > before.get(name, 0), name
    # The control: unchanged it is taken, and a stale index holds up nobody who stops something.
    assert peer.ask("command", body("command", **signed)).kind == "outcome"


def test_a_thousand_refused_commands_are_counted_and_logged_once(suite, operator):
    peer, me = operator(), Operator(suite.home)
    before, logged = suite.counters("control"), suite.log("control").count("for the suite")
    fields = me.command(raw(pause()), origin="another/suite")
    for _ in range(1_000):
        refused(peer, body("command", **fields), "otherLedger")
    assert suite.counters("control")["commands.refused.other-ledger"] >= before.get("commands.refused.other-ledger", 0) + 1_000
    assert suite.log("control").count("for the suite") - logged <= 3


def test_one_reason_does_not_hide_another_in_the_log(suite, operator):
    """Both are `notApproved`, by the same operator, within the same minute."""
    epoch = operator().ask("command", suite.sign(**pause())).body.epoch
    proposal = propose(suite, operator, [epoch])
    index = suite.newest()
    lines = {"who proposes does not approve": 0, "what was signed is not what stands": 0}
    before = {words: suite.log("control").count(words) for words in lines}
    changed = type(proposal)()
    changed.CopyFrom(proposal)
    changed.signed.statement = proposal.signed.statement + b" "
    for _ in range(20):
        refused(operator("ops-1"), suite.approve(proposal, index, by="ops-1"), "notApproved")
        refused(operator("ops-1"), suite.approve(changed, index, by="ops-1"), "notApproved")
    for words in lines:
        lines[words] = suite.log("control").count(words) - before[words]
    # A minute may end in between.
    assert all(1 <= count <= 2 for count in lines.values()), lines
    # The sender's own words are no reason of their own: a log full of made-up names would be a flood too.
    me, logged = Operator(suite.home), suite.log("control").count("and ops-1 signed it")
    for number in range(50):
        refused(operator("ops-1"), body("command", **me.command(raw(pause()), author=f"nobody-{'abcdefghij'[number % 10] * (number // 10 + 1)}")), "notTheAuthor")
    assert suite.log("control").count("and ops-1 signed it") - logged <= 2
    suite.cli("withdraw", proposal.proposal)


# A05


def test_a_captured_command_counts_once_also_elsewhere_and_after_a_restart(suite, operator):
    paused = suite.sign(**pause("to be replayed"))
    first = operator().ask("command", paused)
    assert first.kind == "outcome"
    proposal = propose(suite, operator, [first.body.epoch])
    approval = suite.approve(proposal, suite.newest())
    lifted = operator("ops-2").ask("command", approval)
    assert lifted.kind == "outcome" and len(lifted.body.lifted) == 1, lifted
    assert not closures(suite)
    # Another session with the same bytes: whoever captured them has a key of their own at most.
    for captured in (paused, body("command", **{"statement": proposal.signed.statement, "signature": proposal.signed.signature, "key": proposal.signed.key})):
        refused(operator("ops-2"), captured, "replayed")
    refused(operator("ops-1"), approval, "replayed")
    os.kill(suite.started["control"], signal.SIGKILL)
    wait_until(lambda: suite.service_ids().get("control") not in (None, suite.started["control"]), "control is started again")
    suite.started = suite.service_ids()
    wait_until(lambda: not suite.status()["gate"].get("sealed"), "control serves again", within=30)
    for by, captured in (("ops-1", paused), ("ops-2", approval), ("ops-1", approval)):
        heard = operator(by).ask("command", captured)
        assert heard.kind == "refused", heard
        assert heard.body.code in (Refusal.replayed, Refusal.notApproved, Refusal.staleIndex), heard
    assert not closures(suite), "what is replayed changes nothing"


# A07


def test_more_takes_two_persons_whoever_asks_and_however_often(suite, operator):
    epoch = operator().ask("command", suite.sign(**pause())).body.epoch
    proposal = propose(suite, operator, [epoch])
    index = suite.newest()
    refused(operator("ops-1"), suite.approve(proposal, index, by="ops-1"), "notApproved")
    # Of something else than was proposed.
    changed = type(proposal)()
    changed.CopyFrom(proposal)
    changed.signed.statement = proposal.signed.statement + b" "
    refused(operator("ops-2"), suite.approve(changed, index), "notApproved")
    unknown = type(proposal)()
    unknown.CopyFrom(proposal)
    unknown.proposal = 4_000
    refused(operator("ops-2"), suite.approve(unknown, index), "notFound")
    assert closures(suite) == [epoch]
    # The control: another person, and what was shown.
    assert len(operator("ops-2").ask("command", suite.approve(proposal, index)).body.lifted) == 1
    assert not closures(suite)
    refused(operator("ops-2"), suite.approve(proposal, suite.newest()), "notApproved")


def test_two_keys_of_one_person_are_one_person(suite, operator, tmp_path):
    (tmp_path / "pass").write_text("long enough\n")
    (tmp_path / "pass").chmod(0o600)
    keys = suite.home / "keys"
    suite.cli("key", "new", "ops-1b", "--passphrase-file", tmp_path / "pass")
    suite.approved("operator", "add", "ops-1b", "--key", keys / "ops-1b.pub", "--person", "ops-1")
    epoch = operator().ask("command", suite.sign(**pause())).body.epoch
    proposal = propose(suite, operator, [epoch])
    done = suite.cli("approve", proposal.proposal, "--as", "ops-1b", "--passphrase-file", tmp_path / "pass", check=False)
    assert done.returncode == 1 and "same person" in done.stderr, done
    wrong = suite.cli("approve", proposal.proposal, "--as", "ops-1b", "--passphrase-file", suite.home / "keys" / "ops-1.secret", check=False)
    assert wrong.returncode == 1 and "passphrase" in wrong.stderr, wrong
    assert closures(suite) == [epoch]
    # Taken away: refused by its own name, and its connection too.
    suite.cli("operator", "remove", "ops-1b")
    gone = suite.cli("status", "--as", "ops-1b", check=False)
    assert gone.returncode == 77 and "the key of ops-1b is not registered with control, or not any more" in gone.stderr, gone
    assert "sluice up" not in gone.stderr, "it is told from a suite that does not run"
    # Its connection is shut, and its signature counts for nothing in another's session.
    late = body("command", **operators_key(suite, "ops-1b").command(raw(pause())))
    before = suite.counters("control")
    refused(operator("ops-1"), late, "revokedKey")
    assert suite.counters("control")["commands.refused.revoked-key"] == before.get("commands.refused.revoked-key", 0) + 1
    refused(operator("ops-1"), body("command", **operators_key(suite, "ops-1b").approval(proposal.proposal, proposal.signed.statement)), "revokedKey")
    # Nor is it the key of nobody.
    back = suite.cli("operator", "add", "ops-1b", "--key", keys / "ops-1b.pub", check=False)
    assert back.returncode == 1 and "never comes back" in back.stderr, back
    suite.cli("withdraw", proposal.proposal)
    refused(operator("ops-2"), suite.approve(proposal, suite.newest()), "notApproved")


def test_a_proposal_whose_author_is_removed_is_nobodys(suite, operator, tmp_path):
    (tmp_path / "pass").write_text("long enough\n")
    (tmp_path / "pass").chmod(0o600)
    suite.cli("key", "new", "ops-9", "--passphrase-file", tmp_path / "pass")
    suite.approved("operator", "add", "ops-9", "--key", suite.home / "keys" / "ops-9.pub")
    epoch = operator().ask("command", suite.sign(**pause())).body.epoch
    number = int(json.loads(suite.cli(
        "resume", epoch, "--reason", "x", "--as", "ops-9", "--passphrase-file", tmp_path / "pass", "--json").stdout)["proposal"]["proposal"])
    suite.cli("operator", "remove", "ops-9")
    done = suite.cli("approve", number, "--as", "ops-2", check=False)
    assert done.returncode == 1 and "ops-9" in done.stderr, done
    assert closures(suite) == [epoch]


def test_the_last_two_operators_stay(suite):
    done = suite.cli("operator", "remove", "ops-2", check=False)
    assert done.returncode == 1 and "two persons" in done.stderr, done
    assert {o["name"] for o in json.loads(suite.cli("operator", "list", "--json").stdout)["operators"]} >= {"ops-1", "ops-2"}


def test_a_hundred_approvals_at_once_lift_it_once(suite, operator):
    epoch = operator().ask("command", suite.sign(**pause())).body.epoch
    proposal = propose(suite, operator, [epoch])
    index = suite.newest()
    approvals = [suite.approve(proposal, index) for _ in range(100)]
    peers = [operator("ops-2") for _ in range(10)]
    for number, approval in enumerate(approvals):
        peers[number % 10].send("command", approval)
    kinds = [peers[number % 10].answer() for number in range(100)]
    assert sum(len(heard.body.lifted) for heard in kinds if heard.kind == "outcome") == 1
    assert all(heard.kind == "outcome" or heard.body.code in (Refusal.notApproved, Refusal.staleIndex) for heard in kinds)
    assert not closures(suite)


def add_operator(suite, name, person=None):
    """One more who may sign, with a key and connections of their own. `person`: whose second key it is."""
    key, (public, secret) = Ed25519PrivateKey.generate(), new_keys()
    added = {"name": name, "person": person or name, "key": key.public_key().public_bytes_raw(), "session": z85.decode(public)}
    proposal = suite.peer("control", suite.keys_of("ops-1")).greet().ask(
        "command", suite.sign(index=suite.newest(), change_operators={"add": [added]})).body.proposal
    done = suite.peer("control", suite.keys_of("ops-2")).greet().ask("command", suite.approve(proposal, suite.newest()))
    assert done.kind == "outcome" and done.body.proposal.state == "applied", done
    signer = Operator(suite.home)
    signer.name, signer.key = name, key
    line = public_line(added["key"])
    signer.id = hashlib.sha256(line).digest()
    return signer, (public, secret)


def public_line(key):
    """A public key in OpenSSH's form, of which the SHA-256 is its id."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-ed25519", key))


def approval_by(signer, proposal, index):
    return body("command", **signer.approval(proposal.proposal, proposal.signed.statement, index=index))


@pytest.fixture(scope="module")
def third(suite):
    """A third person."""
    return add_operator(suite, "ops-3")


@pytest.mark.parametrize("first, second", [("ops-1", "ops-2"), ("ops-2", "ops-1")])
def test_whoever_proposes_the_other_approves(suite, operator, first, second):
    epoch = operator().ask("command", suite.sign(**pause())).body.epoch
    proposal = propose(suite, operator, [epoch], by=first)
    refused(operator(first), suite.approve(proposal, suite.newest(), by=first), "notApproved")
    assert closures(suite) == [epoch]
    lifted = operator(second).ask("command", suite.approve(proposal, suite.newest(), by=second)).body
    assert [closure.epoch for closure in lifted.lifted] == [epoch] and not closures(suite)


@pytest.mark.parametrize("order", [("ops-2", "ops-3"), ("ops-3", "ops-2")], ids=" then ".join)
def test_approvals_in_either_order_lift_it_once(suite, operator, third, order):
    signer, keys = third
    epoch = operator().ask("command", suite.sign(**pause())).body.epoch
    proposal = propose(suite, operator, [epoch])
    index = suite.newest()
    signed = {"ops-2": suite.approve(proposal, index), "ops-3": approval_by(signer, proposal, index)}
    peers = {"ops-2": operator("ops-2"), "ops-3": suite.peer("control", keys).greet()}
    done = peers[order[0]].ask("command", signed[order[0]])
    assert done.kind == "outcome" and len(done.body.lifted) == 1, done
    entries = suite.newest()
    # As it was signed, and signed anew by who has looked again.
    refused(peers[order[1]], signed[order[1]], "staleIndex")
    again = {"ops-2": suite.approve(proposal, entries), "ops-3": approval_by(signer, proposal, entries)}
    refused(peers[order[1]], again[order[1]], "notApproved")
    assert suite.newest() == entries and not closures(suite)
    peers["ops-3"].close()


def test_two_who_propose_the_same_at_once_and_approve_each_others_lift_it_once(suite, operator):
    for _ in range(ROUNDS):
        epoch = operator().ask("command", suite.sign(**pause())).body.epoch
        proposals = {by: propose(suite, operator, [epoch], by=by) for by in ("ops-1", "ops-2")}
        index = suite.newest()
        peers = {by: operator(by) for by in proposals}
        for by, other in (("ops-1", "ops-2"), ("ops-2", "ops-1")):
            peers[by].send("command", suite.approve(proposals[other], index, by=by))
        heard = [peer.answer() for peer in peers.values()]
        assert sorted(h.kind for h in heard) == ["outcome", "refused"], heard
        assert sum(len(h.body.lifted) for h in heard if h.kind == "outcome") == 1
        assert {h.code for h in heard if h.kind == "refused"} <= {Refusal.staleIndex, Refusal.notApproved, Refusal.notFound}, heard
        assert not closures(suite)


def test_an_approval_for_an_older_pause_lifts_no_later_one(suite, operator):
    first = operator().ask("command", suite.sign(**pause("first"))).body.epoch
    old = propose(suite, operator, [first])
    kept = suite.approve(old, suite.newest())
    # Lifted by another proposal, and paused again: the same scope, another epoch.
    proposal = propose(suite, operator, [first], by="ops-2")
    assert operator("ops-1").ask("command", suite.approve(proposal, suite.newest(), by="ops-1")).kind == "outcome"
    second = operator().ask("command", suite.sign(**pause("first"))).body.epoch
    for approval in (kept, suite.approve(old, suite.newest())):
        heard = operator("ops-2").ask("command", approval)
        assert heard.kind == "refused" and heard.code in (Refusal.staleIndex, Refusal.notApproved, Refusal.notFound), heard
    assert closures(suite) == [second]
    # The control: a proposal of the later one.
    proposal = propose(suite, operator, [second])
    assert operator("ops-2").ask("command", suite.approve(proposal, suite.newest())).kind == "outcome"
    assert not closures(suite)


def test_a_thousand_approvals_at_once_of_all_who_may_and_may_not_lift_it_once(suite, operator, third):
    """Of the proposer, of their second key, of two others, of something else than was proposed: as fast as they can be sent."""
    signer, keys = third
    second, second_keys = add_operator(suite, "ops-1-again", person="ops-1")
    epoch = operator().ask("command", suite.sign(**pause())).body.epoch
    proposal = propose(suite, operator, [epoch])
    changed = type(proposal)()
    changed.CopyFrom(proposal)
    changed.signed.statement = proposal.signed.statement + b" "
    index = suite.newest()
    made = [
        [suite.approve(proposal, index, by="ops-1") for _ in range(200)], [approval_by(second, proposal, index) for _ in range(200)],
        [suite.approve(changed, index) for _ in range(200)], [suite.approve(proposal, index) for _ in range(200)],
        [approval_by(signer, proposal, index) for _ in range(200)],
    ]
    peers = [operator("ops-1"), suite.peer("control", second_keys).greet(), operator("ops-2"), operator("ops-2"), suite.peer("control", keys).greet()]
    before, entries = suite.counters("control"), suite.newest()
    for number in range(200):
        for peer, approvals in zip(peers, made):
            peer.send("command", approvals[number])
    heard = [[peer.answer() for _ in range(200)] for peer in peers]
    assert all(h.code in (Refusal.notApproved, Refusal.staleIndex) for answers in heard[:3] for h in answers)
    done = [h for answers in heard[3:] for h in answers if h.kind == "outcome"]
    assert len(done) == 1 and [c.epoch for c in done[0].body.lifted] == [epoch], done
    assert not closures(suite)
    # The approval and the resume; nothing of the others.
    assert suite.newest() == entries + 2
    now = suite.counters("control")
    assert sum(now.get(f"commands.refused.{word}", 0) - before.get(f"commands.refused.{word}", 0) for word in ("not-approved", "stale-index")) == 999
    for peer in (peers[1], peers[4]):
        peer.close()
    suite.cli("operator", "remove", "ops-1-again")
    suite.expect_alive()


# A08


def together(suite, messages):
    """Sends each by its operator at the same moment, from a thread and a connection of its own; the answers in the same order."""
    peers = [suite.peer("control", suite.keys_of(by)).greet() for by, _ in messages]
    gate, heard = threading.Barrier(len(messages)), [None] * len(messages)

    def send(number):
        gate.wait()
        heard[number] = peers[number].ask("command", messages[number][1])

    at_once(send, range(len(messages)))
    for peer in peers:
        peer.close()
    return heard


def test_pauses_at_the_same_moment_have_epochs_of_their_own_and_all_are_in_force(suite, operator):
    seen = [int(suite.status()["gate"]["epoch"])]
    for _ in range(ROUNDS):
        names = ["ops-1", "ops-2"] * 4
        heard = together(suite, [(by, suite.sign(by=by, **pause(f"pause {number}"))) for number, by in enumerate(names)])
        epochs = [h.body.epoch for h in heard]
        assert len(set(epochs)) == 8 and min(epochs) > seen[-1], (seen[-1], epochs)
        assert [h.body.closure.epoch for h in heard] == epochs
        assert sorted(closures(suite)) == sorted(epochs), "none took another's place"
        for epoch in epochs:
            # While it is under way it is shown as far as it has come.
            wait_until(lambda epoch=epoch: is_certified(suite, epoch), f"certificate {epoch} is complete")
        suite.resume()
        seen += [max(epochs), int(suite.status()["gate"]["epoch"])]
    assert seen == sorted(set(seen)), "the epoch grows with each, and never goes back"
    suite.expect_alive()


def test_resumes_at_the_same_moment_lift_each_closure_once(suite, operator):
    """Of different closures, of the same ones, and of all of them: whatever is first, nothing is lifted twice and nothing stays."""
    seen = [int(suite.status()["gate"]["epoch"])]
    refusals = Counter()
    for _ in range(ROUNDS):
        # Of three readers: to lift what another closure covers gains nothing, and takes one.
        epochs = [operator().ask("command", suite.sign(**pause(reader=f"reader {number}"))).body.epoch for number in range(3)]
        proposals = [propose(suite, operator, wanted) for wanted in (epochs[:1], epochs[1:2], epochs[:2], epochs)]
        index = suite.newest()
        heard = together(suite, [("ops-2", suite.approve(proposal, index)) for proposal in proposals])
        lifted = [closure.epoch for h in heard if h.kind == "outcome" for closure in h.body.lifted]
        assert lifted and len(lifted) == len(set(lifted)), "once each"
        assert sorted(lifted + closures(suite)) == sorted(epochs), "what was not lifted is in force"
        for h in heard:
            assert h.kind == "outcome" or h.code in (Refusal.staleIndex, Refusal.notApproved, Refusal.notFound), h
            refusals[h.kind if h.kind == "outcome" else h.code] += 1
        given = [h.body.epoch for h in heard if h.kind == "outcome"]
        assert len(set(given)) == len(given) and min(given) > max(epochs), (given, epochs)
        if closures(suite):
            suite.resume()
        seen += [max(epochs), max(given), int(suite.status()["gate"]["epoch"])]
    print(refusals)
    assert seen == sorted(seen), "no epoch goes back"
    assert not closures(suite)
    suite.expect_alive()


def test_a_pause_while_a_resume_is_being_made_durable_wins(suite, operator):
    ops, other = operator("ops-1"), operator("ops-2")
    epochs = []
    for _ in range(2 * ROUNDS):
        first = ops.ask("command", suite.sign(**pause("first"))).body.epoch
        proposal = propose(suite, operator, [first])
        approval = suite.approve(proposal, suite.newest())
        again = suite.sign(**pause("second"))
        other.send("command", approval)
        ops.send("command", again)
        second = ops.expect("outcome", where=lambda heard: heard.body.HasField("closure")).body
        lifted = other.answer()
        assert second.epoch > first
        # Whether the approval was before the pause, or stale after it: what the pause closed stays closed.
        assert second.closure.epoch in closures(suite)
        assert lifted.kind == "outcome" or lifted.body.code == Refusal.staleIndex, lifted
        epochs += [first, second.epoch, int(suite.status()["gate"]["epoch"])]
        suite.resume()
    assert epochs == sorted(epochs), "G3: no epoch goes back"
    suite.expect_alive()
