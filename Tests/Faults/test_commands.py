"""FAULTS A05 to A08: signed commands as an attacker with an operator's connection, or with an operator's key, would send them."""

import json
import os
import signal

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from harness.signing import Operator
from hostile import Refusal, Suite, body, wait_until, wire


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


def pause(reason="a test"):
    return {"pause": {"reason": reason, "direction": 2, "selector": {"readers": ["nobody-reads"]}}}


def closures(suite):
    return [c["epoch"] for c in suite.status()["gate"].get("closures", [])]


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


# A08


def test_a_pause_while_a_resume_is_being_made_durable_wins(suite, operator):
    ops, other = operator("ops-1"), operator("ops-2")
    epochs = []
    for _ in range(20):
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
