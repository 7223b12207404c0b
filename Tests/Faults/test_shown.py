"""Whatever is tried and refused is counted, logged once without flooding, and shown by `sluice status`: one claim, made of each attack."""

import contextlib
import re
import threading
import time

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from harness.signing import Operator
from hostile import Refusal, Suite, batch, body, new_keys, new_stream, nonce, wait_until
from test_commands import pause, propose, refused
from test_joining import ADDRESSES, enrol, join_peer, tries

TIMES = 20


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    suite = Suite(tmp_path_factory.mktemp("shown"))
    yield suite
    suite.close()


class Attack:
    """What is expected of one: where it is counted, which words its line in the log has, and which the status."""

    def __init__(self, service, counter, log, status, times=TIMES):
        self.service, self.counter, self.log, self.status, self.times = service, counter, log, status, times


def paused(suite):
    """A closure, and a resume of it on the table."""
    peers = []

    def operator(name="ops-1"):
        peers.append(suite.peer("control", suite.keys_of(name)).greet())
        return peers[-1]

    # Of a reader of its own: to lift what another closure covers as well gains nothing, and takes one.
    deed = pause()
    deed["pause"]["selector"] = {"readers": [f"nobody-{suite.newest()}"]}
    epoch = operator().ask("command", suite.sign(**deed)).body.epoch
    return operator, propose(suite, operator, [epoch])


def replayed_resume(suite):
    operator, proposal = paused(suite)
    approval = suite.approve(proposal, suite.newest())
    assert operator("ops-2").ask("command", approval).kind == "outcome", "the control: once it counts"
    thief = operator("ops-1")
    return lambda: [refused(thief, approval, "replayed") for _ in range(TIMES)]


def approval_by_the_proposer(suite):
    operator, proposal = paused(suite)
    approvals = [suite.approve(proposal, suite.newest(), by="ops-1") for _ in range(TIMES)]
    peer = operator("ops-1")
    return lambda: [refused(peer, approval, "notApproved") for approval in approvals]


def approval_of_a_changed_proposal(suite):
    operator, proposal = paused(suite)
    changed = type(proposal)()
    changed.CopyFrom(proposal)
    changed.signed.statement = proposal.signed.statement + b" "
    approvals = [suite.approve(changed, suite.newest()) for _ in range(TIMES)]
    peer = operator("ops-2")
    return lambda: [refused(peer, approval, "notApproved") for approval in approvals]


def two_keys_of_one_person(suite):
    operator, proposal = paused(suite)
    passphrase = suite.folder / "passphrase"
    passphrase.write_text("long enough\n")
    passphrase.chmod(0o600)
    suite.cli("key", "new", "ops-1b", "--passphrase-file", passphrase)
    suite.approved("operator", "add", "ops-1b", "--key", suite.home / "keys" / "ops-1b.pub", "--person", "ops-1")
    # A key with a passphrase, opened here.
    second = Operator.__new__(Operator)
    second.__dict__.update(Operator(suite.home).__dict__)
    text = (suite.home / "keys" / "ops-1b.key").read_bytes()
    second.name, second.key = "ops-1b", load_pem_private_key(text[text.index(b"-----BEGIN"):], b"long enough")
    second.id = key_id((suite.home / "keys" / "ops-1b.pub").read_text())
    index = suite.newest()
    # The operators have changed: the proposal is made again.
    proposal = propose(suite, operator, [c["epoch"] for c in suite.status()["gate"]["closures"]][-1:])
    approvals = [body("command", **second.approval(proposal.proposal, proposal.signed.statement, index=max(index, suite.newest()))) for _ in range(TIMES)]
    peer = operator("ops-2")
    return lambda: [refused(peer, approval, "notApproved") for approval in approvals]


def key_id(line):
    import base64
    import hashlib

    return hashlib.sha256(base64.b64decode(line.split()[1])).digest()


def expired_token(suite):
    token, _ = enrol(suite, "--valid", "1s")
    end = time.time() + 1
    wait_until(lambda: time.time() > end, "its second is over")
    return lambda: [refusal(suite, token, "tokenExpired") for _ in range(TIMES)]


def refusal(suite, token, name):
    heard = tries(suite, token.secret)
    assert heard.code == Refusal[name], heard


def token_used_twice(suite):
    token, _ = enrol(suite)
    assert tries(suite, token.secret).kind == "joined", "the control"
    return lambda: [refusal(suite, token, "tokenUsed") for _ in range(TIMES)]


def token_used_by_two_at_once(suite):
    token, _ = enrol(suite)
    heard = []

    def attack():
        machines = [threading.Thread(target=lambda: heard.append(tries(suite, token.secret))) for _ in range(2)]
        for machine in machines:
            machine.start()
        for machine in machines:
            machine.join()
        assert sorted(h.kind for h in heard) == ["joined", "refused"] and {h.code for h in heard} == {0, Refusal.tokenUsed}, heard

    return attack


def join_flood(suite):
    peer = join_peer(suite, new_keys(), next(ADDRESSES))

    def attack():
        codes = [peer.ask("join", body("join", secret=bytes(32))).code for _ in range(60)]
        assert codes.count(Refusal.tooMany) >= 20, codes

    return attack


def another_agents_id(suite):
    guest = suite.agent_peer(suite.enrol("pretender"))
    victim = suite.agent_peer(suite.enrol("victim"))
    header, packed = batch(new_stream(), 1)

    def attack():
        for _ in range(TIMES):
            assert guest.ask("relay", body("relay", agent=victim.welcome.ordinal, header=header.bytes), packed).code == Refusal.notAllowed

    return attack


def another_subjects_header(suite):
    thief, victim = suite.agent_peer(suite.enrol("header-thief")), suite.agent_peer(suite.enrol("header-victim"))
    header, packed = batch(new_stream(), 1)
    sealed = victim.seal(header, packed)

    def attack():
        # Fewer than would put it in quarantine.
        for _ in range(5):
            assert thief.ask_sealed(header, sealed).code == Refusal.unreadable

    return attack


def pushes_of_a_hostile_ingest(words):
    """As an agent reports them once it speaks with an honest one. That it counts them, and what it does: test_sealed."""

    def prepare(suite):
        agent = suite.agent_peer(suite.enrol("pushed-" + words))

        def attack():
            agent.send("renew", body("renew", nonce=nonce(), wall_us=time.time_ns() // 1000, agent={"pushes_refused": {words: TIMES}}))
            assert agent.expect("grant").kind == "grant"
            suite.pushed = agent

        return attack

    return prepare


def unknown_key(suite):
    def attack():
        for _ in range(3):
            assert suite.shuts_out("control", new_keys())

    return attack


ATTACKS = {
    replayed_resume: Attack("control", "commands.refused.replayed", "it was taken once already", r"\d+ commands \(.*replayed"),
    approval_by_the_proposer: Attack("control", "commands.refused.not-approved", "who proposes does not approve", r"\d+ commands \(.*not-approved"),
    approval_of_a_changed_proposal: Attack("control", "commands.refused.not-approved", "what was signed is not what stands", r"\d+ commands \(.*not-approved"),
    two_keys_of_one_person: Attack("control", "commands.refused.not-approved", "is the same person", r"\d+ commands \(.*not-approved"),
    expired_token: Attack("control", "joins.refused.token-expired", "this token counted until", r"\d+ joins \(.*token-expired"),
    token_used_twice: Attack("control", "joins.refused.token-used", "used by another machine", r"\d+ joins \(.*token-used"),
    token_used_by_two_at_once: Attack("control", "joins.refused.token-used", "used by another machine", r"\d+ joins \(.*token-used", 1),
    join_flood: Attack("control", "joins.limited", "asked to wait", r"\d+ joins \(.*asked to wait"),
    another_agents_id: Attack("ingest", "refused.not-allowed", "agent pretender sent what no agent sends", r"\d+ messages"),
    another_subjects_header: Attack("policy", "unsealable", "a batch of agent header-thief could not be opened", r"\d+ batches not as sealed", 5),
    pushes_of_a_hostile_ingest("older"): Attack("ingest", "agents.pushes.refused.older", None, r"\d+ pushes that agents did not take"),
    pushes_of_a_hostile_ingest("opening"): Attack("ingest", "agents.pushes.refused.opening", None, r"\d+ pushes that agents did not take"),
    pushes_of_a_hostile_ingest("unasked"): Attack("ingest", "agents.pushes.refused.unasked", None, r"\d+ pushes that agents did not take"),
    unknown_key: Attack("control", "handshakes.refused", "a handshake was refused", r"\d+ handshakes", 3),
}
LOGS = {join_flood: "join"}
NAMES = [attack.__name__ if attack.__name__ != "prepare" else f"{expected.counter.rsplit('.', 1)[1]}_push" for attack, expected in ATTACKS.items()]


def test_a_suite_in_peace_shows_no_refusal(make_suite):
    suite = make_suite()
    shown = suite.cli("status").stdout
    assert "GATE" in shown and "REFUSED" not in shown, shown


@contextlib.contextmanager
def counted_logged_and_shown(suite, expected, log=None, at_least=False, is_lasting=False, senders=1):
    """What happens inside is counted, logged once, and shown by `sluice status`.

    - at_least: A flood, and strangers who try again by themselves, are counted at their own pace.
    - is_lasting: The line may be there already, in the same minute.
    - senders: Each has a line of its own.
    """
    log = log or expected.service
    before, lines = suite.counters(expected.service), suite.log(log).count(expected.log) if expected.log else 0
    begun = time.monotonic()
    yield
    suite.expect_counted(expected.service, expected.counter, before, expected.times)
    counted = suite.counters(expected.service)[expected.counter] - before.get(expected.counter, 0)
    assert counted == expected.times or at_least and counted >= expected.times, counted
    if expected.log:
        wait_until(lambda: suite.log(log).count(expected.log) > lines or is_lasting, "its line in the log")
        said = suite.log(log).count(expected.log) - lines
        minutes = 1 + int((time.monotonic() - begun) // 60) + (1 if lines else 0)
        assert said <= (minutes * senders if log != "join" else 6 * minutes), said
    shown = suite.cli("status").stdout
    line = next(line for line in shown.splitlines() if line.startswith("REFUSED"))
    assert re.search(expected.status, line), shown


@pytest.mark.parametrize("attack", list(ATTACKS), ids=NAMES)
def test_an_attack_is_refused_counted_logged_once_and_shown(suite, attack):
    expected = ATTACKS[attack]
    act = attack(suite)
    with counted_logged_and_shown(
        suite, expected, LOGS.get(attack), at_least=attack in (join_flood, unknown_key), is_lasting=attack is token_used_by_two_at_once
    ):
        act()
    suite.expect_alive()


def test_an_agent_that_leaves_out_every_other_batch_is_counted_logged_once_and_shown(suite):
    """Not refused: what it says that it does not have, nobody can have."""
    agent = suite.agent_peer(suite.enrol("leaves-out"))
    stream, begun = new_stream(), time.monotonic()
    before = suite.counters("policy").get("batches.lost", 0)
    for sequence in range(1, 40, 2):
        assert agent.ask("batch", *batch(stream, sequence, oldest=sequence)).kind == "stored"
    wait_until(lambda: suite.counters("policy").get("batches.lost", 0) == before + 19, "each is counted")
    said = wait_until(lambda: suite.log("policy").count("of agent leaves-out"), "its line in the log")
    assert said <= 1 + (time.monotonic() - begun) // 60, said
    assert re.search(f"^LOST +{before + 19} batches", suite.cli("status").stdout, re.M)
    # The control: one that leaves out nothing adds nothing.
    for sequence in (40, 41):
        assert agent.ask("batch", *batch(stream, sequence, oldest=40)).kind == "stored"
    agent.close()
    assert suite.counters("policy")["batches.lost"] == before + 19
    suite.expect_alive()
