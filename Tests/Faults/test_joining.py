"""Tokens, and the port that strangers are meant for (FAULTS: A02, A04, A09, N12, N13)."""

import base64
import contextlib
import hashlib
import json
import os
import re
import subprocess
import threading
import time
from pathlib import Path

import pytest
import zmq
from curve import Connection
from hostile import (
    FACTOR, Agent, MiB, Peer, Refusal, batch, binaries, body, dial, frame, greeting, is_closed, key, memory, new_keys, new_stream, nonce, open_files, record_hello, seeded, wait_until,
    with_our_death)
from test_reconnection import Line
from test_strangers import GREETINGS, mutated
from zmq.utils import z85

PREFIX = "sluice-join-"
MEMORY_MAX, FILES_MAX, FILES_CROWDED, BURST = 256 * MiB, 1_024, 900, 20


class Token:
    """As SPEC.md, section 15, has it."""

    def __init__(self, text):
        self.text = text
        raw = text.removeprefix(PREFIX)
        data = base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4))
        assert hashlib.sha256(b"sluice join token v1\n" + data[:-4]).digest()[:4] == data[-4:]
        self.server, self.secret, self.anchor, self.endpoint = data[1:33], data[33:65], data[65:81], data[81:-4].decode()

    def changed(self, **more):
        """Another token, whole, that says something else."""
        parts = {**vars(self), **more}
        data = b"\x01" + parts["server"] + parts["secret"] + parts["anchor"] + parts["endpoint"].encode()
        data += hashlib.sha256(b"sluice join token v1\n" + data).digest()[:4]
        return PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")


def enrol(suite, *more, subject="E1042", approve=True):
    """A token, and its proposal's number."""
    said = json.loads(suite.cli("enrol", "--subject", subject, "--site", "berlin", "--team", "search", *more, "--json").stdout)
    if approve:
        approved(suite, said["proposal"]["proposal"])
    return Token(said["token"]), said["proposal"]["proposal"]


def approved(suite, number):
    suite.cli("approve", number, "--as", "ops-2")


def join_peer(suite, keys=None, source=None):
    """A machine at the port. `source`: the loopback address that it comes from, so that one test uses up no other's attempts."""
    at = f"127.0.0.1:{suite.port('join')}"
    return Peer(f"tcp://{source}:0;{at}" if source else f"tcp://{at}", suite.public["join"], keys or new_keys())


ADDRESSES = iter(f"127.{a}.{b}.1" for a in range(10, 250) for b in range(250))


def ask(peer, secret):
    """The answer. Sends it again when the port has wanted to be left alone, or has begun anew.

    Later than machines do, which wait for two seconds: what is only late would be counted twice.
    """
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        peer.send("join", body("join", secret=secret, software="test"))
        heard = peer.receive(20)
        if heard is not None and heard.kind != "busy":
            return heard
        if heard is not None:
            time.sleep(heard.body.retry_ms / 1000)
    raise AssertionError("no answer came")


def tries(suite, secret, keys=None):
    """One attempt, of a machine that nobody has seen."""
    peer = join_peer(suite, keys, next(ADDRESSES))
    try:
        return ask(peer, secret)
    finally:
        peer.close()


def joins(suite, token, home, *more, as_argument=False):
    """`sluice-agent join`."""
    words = [binaries() / "sluice-agent", "join", token if as_argument else "-", "--home", home, *more]
    return subprocess.run(with_our_death(words), input="" if as_argument else token + "\n", capture_output=True, text=True, timeout=60)


def agents(suite):
    return {a["node"]["name"]: a for a in json.loads(suite.cli("agents", "--json").stdout).get("agents", [])}


def refused_in_one_line(done, *words):
    assert done.returncode == 1, done
    assert len(done.stderr.strip().splitlines()) == 1 and done.stdout == "", done
    for word in words:
        assert word in done.stderr, done
    return done.stderr


# A09: tokens


def test_a_machine_joins_with_a_token_and_captures_and_another_with_the_same_token_does_not(suite, tmp_path):
    token, _ = enrol(suite)
    done = joins(suite, token.text, tmp_path / "desk")
    assert done.returncode == 0, done
    name = re.match(r"joined as ([0-9a-f]{16})\n", done.stdout)[1]
    settings = json.loads((tmp_path / "desk" / "agent.json").read_text())
    anchors = json.loads((suite.home / "registry.json").read_text())["anchors"]
    assert settings["name"] == name and settings["ledgerKey"] == anchors["control"] and settings["serverKey"].encode() == suite.public["ingest"]
    assert settings["leaseMilliseconds"] == suite.lease_ms and settings["ingest"] == suite.settings["ingest"]
    assert os.stat(tmp_path / "desk" / "agent.secret").st_mode & 0o777 == 0o600
    secret = (tmp_path / "desk" / "agent.secret").read_text().strip().encode()
    assert name == hashlib.sha256(z85.decode(zmq.curve_public(secret))).hexdigest()[:16]
    node = agents(suite)[name]["node"]
    assert (node["subject"], node["site"], node["team"]) == ("E1042", "berlin", "search")
    # It works at once: the key is known to ingest a moment later.
    agent = subprocess.Popen(
        with_our_death([binaries() / "sluice-agent", "run", "--home", tmp_path / "desk"]), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        status = tmp_path / "desk" / "status.json"
        wait_until(lambda: status.exists() and json.loads(status.read_text())["classes"], "it may capture")
        agent.stdin.write(json.dumps(key("joined")).encode() + b"\n")
        agent.stdin.close()
        assert agent.wait(60) == 0
    finally:
        agent.kill()
        agent.wait()
    assert [line for line in suite.read("activity") if line["event"].get("key") == "joined"]
    # Reuse.
    refused_in_one_line(joins(suite, token.text, tmp_path / "thief"), "used", "revoke")
    assert not (tmp_path / "thief" / "agent.json").exists()
    # The same machine again, whose answer was lost: the same.
    (tmp_path / "desk" / "agent.json").unlink()
    assert joins(suite, token.text, tmp_path / "desk").stdout == done.stdout
    assert json.loads((tmp_path / "desk" / "agent.json").read_text()) == settings
    refused_in_one_line(joins(suite, token.text, tmp_path / "desk"), "already", "agent.json")


def test_a_token_is_dead_until_a_second_operator_has_approved_it(suite):
    token, number = enrol(suite, approve=False)
    keys = new_keys()
    assert tries(suite, token.secret, keys).code == Refusal.tokenUnknown
    assert suite.cli("approve", number, "--as", "ops-1", check=False).returncode == 1
    assert tries(suite, token.secret, keys).code == Refusal.tokenUnknown
    approved(suite, number)
    heard = tries(suite, token.secret, keys)
    assert heard.kind == "joined", heard
    assert heard.body.ingest_key and heard.body.control_key and heard.body.lease_ms == suite.lease_ms


def test_a_token_that_was_withdrawn_never_lives(suite):
    token, number = enrol(suite, approve=False)
    suite.cli("withdraw", number)
    assert suite.cli("approve", number, "--as", "ops-2", check=False).returncode == 1
    assert tries(suite, token.secret).code == Refusal.tokenUnknown


def test_a_token_expires_and_says_so(suite):
    token, _ = enrol(suite, "--valid", "1s")
    longer, _ = enrol(suite, "--valid", "15m")
    end = time.time() + 1
    wait_until(lambda: time.time() > end, "its second is over", every=0.05)
    assert tries(suite, token.secret).code == Refusal.tokenExpired
    # Another enrolment clears it away; it is told from one that never was all the same.
    enrol(suite)
    assert tries(suite, token.secret).code == Refusal.tokenExpired
    assert tries(suite, longer.secret).kind == "joined", "the control"


@pytest.mark.parametrize("valid", ["0", "0s", "25h", "1d", "-1", "x", "99999999999h"])
def test_a_validity_that_makes_no_sense_is_refused(suite, valid):
    assert suite.cli("enrol", "--subject", "E1", f"--valid={valid}", check=False).returncode == 64


def test_guesses_are_unknown_are_slowed_and_keep_no_honest_machine_out(suite):
    token, _ = enrol(suite)
    chance = seeded("guesses")
    with suite.undisturbed():
        guesser, source = new_keys(), next(ADDRESSES)
        peer = join_peer(suite, guesser, source)
        codes, waits, begun = [], [], time.monotonic()
        for number in range(100):
            # Near misses as well: one bit is as wrong as all.
            guess = bytearray(token.secret) if number % 2 else bytearray(chance.randbytes(32))
            if number % 2:
                guess[chance.randrange(32)] ^= 1 << chance.randrange(8)
            heard = peer.ask("join", body("join", secret=bytes(guess)))
            codes.append(heard.code)
            waits.append(heard.body.retry_ms)
        assert codes[:BURST] == [Refusal.tokenUnknown] * BURST
        # Two a second are let through.
        assert codes.count(Refusal.tooMany) >= 99 - BURST - 2 * (time.monotonic() - begun) and set(codes) <= {Refusal.tokenUnknown, Refusal.tooMany}
        assert all(0 < wait <= 600 for code, wait in zip(codes, waits) if code == Refusal.tooMany), waits
        # Another key from the same address is in the same bound; the machine next door is not.
        again = join_peer(suite, None, source)
        assert Refusal.tooMany in {again.ask("join", body("join", secret=bytes(32))).code for _ in range(BURST // 2)}
        assert tries(suite, token.secret).kind == "joined"
        peer.close()
        again.close()


def test_of_many_machines_at_once_with_one_token_exactly_one_joins(suite):
    token, _ = enrol(suite, subject="E-RACE")
    peers = [join_peer(suite, None, next(ADDRESSES)) for _ in range(20)]
    ready = [ask(peer, bytes(32)).code for peer in peers]  # The handshakes are over.
    assert ready == [Refusal.tokenUnknown] * len(peers)
    for peer in peers:
        peer.send("join", body("join", secret=token.secret))
    heard = [peer.answer() for peer in peers]
    for peer in peers:
        peer.close()
    assert sorted(h.kind for h in heard) == ["joined"] + ["refused"] * (len(peers) - 1)
    assert {h.code for h in heard if h.kind == "refused"} == {Refusal.tokenUsed}
    assert len([a for a in agents(suite).values() if a["node"]["subject"] == "E-RACE"]) == 1


def test_a_machine_that_went_away_before_its_answer_is_registered_once(suite):
    token, _ = enrol(suite, subject="E-LOST")
    keys = new_keys()
    ordinals = set()
    for _ in range(5):
        peer = join_peer(suite, keys, next(ADDRESSES))
        assert ask(peer, bytes(32)).code == Refusal.tokenUnknown
        peer.send("join", body("join", secret=token.secret))
        peer.send("join", body("join", secret=token.secret))
        heard = [peer.answer(), peer.answer()]
        assert [h.kind for h in heard] == ["joined"] * 2, heard
        ordinals |= {h.body.ordinal for h in heard}
        peer.close()
    assert len(ordinals) == 1
    assert len([a for a in agents(suite).values() if a["node"]["subject"] == "E-LOST"]) == 1


@pytest.mark.parametrize("spoil, word", [
    (lambda t: t.text[:-1], "damaged"), (lambda t: t.text[:30] + t.text[31:], "damaged"), (lambda t: "hello", "no token"), (lambda t: "", "no token"),
    (lambda t: t.changed(endpoint="tcp://127.0.0.1:1"), "not joined after"),
    (lambda t: t.changed(server=os.urandom(32)), "nobody answers there who has the key"),
    (lambda t: t.changed(secret=os.urandom(32)), "not joined"),
    (lambda t: t.changed(anchor=os.urandom(16)), "another ledger"),
], ids=["cut", "a character lost", "another word", "nothing", "nobody there", "another key", "another secret", "another ledger"])
def test_each_way_to_fail_has_its_line_and_none_holds_the_token(suite, tmp_path, spoil, word):
    token, _ = enrol(suite)
    text = spoil(token)
    said = refused_in_one_line(joins(suite, text, tmp_path / "desk", "--wait", "2"), word)
    assert PREFIX not in said.replace(f"'{PREFIX}'", "") and token.text[30:50] not in said
    assert not (tmp_path / "desk" / "agent.json").exists()


def test_a_secret_is_in_no_log_no_ledger_and_no_database(suite, tmp_path):
    token, _ = enrol(suite)
    refused = joins(suite, token.text[:-3], tmp_path / "damaged")
    assert joins(suite, token.text, tmp_path / "desk").returncode == 0
    assert joins(suite, token.text, tmp_path / "other").returncode == 1

    def holders(needle):
        files = [p for folder in (suite.folder, tmp_path) for p in folder.rglob("*") if p.is_file()]
        return [p for p in files if needle in p.read_bytes()]

    for form in (token.secret, base64.b64encode(token.secret)[:-4], token.secret.hex().encode(), token.text[30:90].encode()):
        assert not holders(form), holders(form)
    assert token.text[30:50] not in refused.stderr
    # The search finds what is there: the hash, in control's ledger.
    assert any("control" in p.parts for p in holders(hashlib.sha256(token.secret).digest())), "the control"


# Machines that come again


def test_a_second_machine_of_one_person_and_a_machine_set_up_anew(suite, tmp_path):
    first, second = new_keys(), new_keys()
    token, _ = enrol(suite, "--name", "laptop-a", subject="E-TWO")
    assert tries(suite, token.secret, first).body.name == "laptop-a"
    token, _ = enrol(suite, "--name", "laptop-b", subject="E-TWO")
    assert tries(suite, token.secret, second).body.name == "laptop-b"
    old = suite.agent_peer(first)
    also = suite.agent_peer(second)
    # Set up anew: the same name, another key.
    token, _ = enrol(suite, "--name", "laptop-a", subject="E-TWO")
    anew = new_keys()
    assert tries(suite, token.secret, anew).body.name == "laptop-a"
    new = suite.agent_peer(anew)
    mine = {n: a for n, a in agents(suite).items() if a["node"]["subject"] == "E-TWO"}
    assert sorted(mine) == ["laptop-a", "laptop-b"]
    assert base64.b64decode(mine["laptop-a"]["node"]["key"]) == z85.decode(anew[0])
    # The old key is over: on its connection, in its handshake, and with a token.
    expect_no_session(old)
    assert suite.shuts_out("ingest", first)
    token, _ = enrol(suite)
    assert tries(suite, token.secret, first).code == Refusal.revokedKey
    assert tries(suite, token.secret).kind == "joined", "the control: the token was good"
    for peer in (also, new):
        assert renews(peer).lease_ms > 0, "the others are not disturbed"
        peer.close()
    old.close()


def renews(peer):
    asked = nonce()
    peer.send("renew", body("renew", nonce=asked, wall_us=time.time_ns() // 1000))
    heard = peer.expect("grant", where=lambda h: h.kind == "refused" or h.body.nonce == asked)
    assert heard.kind == "grant", heard
    return heard.body


def expect_no_session(peer):
    """Whatever it sends on the connection that it had, it is refused, and a Hello as well."""
    header, payload = batch(new_stream(), 1)
    for kind, message, more in (("renew", body("renew", nonce=nonce()), None), ("batch", header, payload), ("stopped", body("stopped", epoch=1), None)):
        heard = peer.ask(kind, message, more)
        assert heard.code == Refusal.helloFirst, (kind, heard)
        assert peer.ask("hello", body("hello", protocol=1, start=nonce())).code == Refusal.unknownNode


# A02, A04: revoking


def test_a_revoked_agent_is_refused_on_its_live_connection_and_cannot_come_back(suite):
    token, _ = enrol(suite, subject="E-GONE")
    keys = new_keys()
    name = tries(suite, token.secret, keys).body.name
    peer = suite.agent_peer(keys)
    assert renews(peer).permit.classes
    done = suite.cli("revoke", "agent", name[:8])
    assert name in done.stdout
    # It has asked for nothing since: this is pushed, and it would be over with its lease. Ten of them, for a slow machine.
    narrowed = peer.expect("narrow", within=10 * suite.lease_ms / 1_000)
    assert not narrowed.body.permit.classes, "it is told at once"
    expect_no_session(peer)
    peer.close()
    assert suite.shuts_out("ingest", keys)
    assert name not in agents(suite)
    assert suite.cli("revoke", "agent", name, check=False).returncode == 1
    assert tries(suite, token.secret, keys).code == Refusal.revokedKey, "its own token does not bring it back"


def typing_until(agent, typed, condition, what):
    """Somebody types meanwhile. Notes when each key was hit."""

    def seen():
        typed.append(time.time_ns())
        agent.write(json.dumps(key(f"key-{len(typed)}", typed[-1])) + "\n")
        return condition()

    wait_until(seen, what, every=0.02)


def is_kept(revoked_us, lease_ms, typed, accepted):
    """Whether nothing that happened later than a lease after the command was accepted; the lease as a slow clock has it, and a tenth of a second.

    By the times of the keys and of the ledger's entry: however slow the machine, what was hit later must have been refused.
    """
    until = revoked_us * 1_000 + lease_ms * 1_002_000 + 100_000_000
    return accepted <= sum(at <= until for at in typed)


def test_what_is_accepted_later_than_a_lease_after_the_command_is_seen():
    second = 1_000_000_000
    typed = [number * second for number in range(1, 11)]
    # Commanded after 4 s, with a lease of 3 s: what was hit after 7 s and a little is refused.
    assert is_kept(4_000_000, 3_000, typed, accepted=7) and is_kept(4_000_000, 3_000, typed, accepted=0)
    assert not is_kept(4_000_000, 3_000, typed, accepted=8)


@pytest.mark.parametrize("is_cut_off", [False, True], ids=["told", "cut off"])
def test_a_revoked_agent_stops_capturing_within_its_lease(suite, is_cut_off):
    line = Line(suite.port("ingest"))
    agent = Agent(suite, f"stops-{is_cut_off:d}").configure(ingest=line.endpoint).run().expect_capturing()
    operator = suite.peer("control", suite.operator("ops-1")).greet()
    try:
        typed = []
        typing_until(agent, typed, lambda: len(typed) >= 20, "some keys")
        # What was accepted before counts no more. A third of a lease is always left: ingest's own, a third old, goes no further, and the agent's is a third old as well.
        judged = agent.expect(lambda s: s["accepted"] + sum(s["refused"].values()) == len(typed) and s["leaseLeftMilliseconds"] > suite.lease_ms * 0.45, "all is judged, and it has a lease")
        assert judged["accepted"] > 0
        before, typed = judged, []
        if is_cut_off:
            # Nobody can tell it: not ingest, and on no new connection either.
            line.dead = float("inf")
        command = suite.sign(remove={"names": [agent.name]})
        heard = []
        asking = threading.Thread(target=lambda: heard.append(operator.ask("command", command)))
        asking.start()
        # Keys come while the command is under way as well: the rest of a lease is short.
        typing_until(agent, typed, lambda: heard, "the command is carried out")
        asking.join()
        (done,) = heard
        assert done.kind == "outcome" and len(done.body.nodes) == 1, done
        typing_until(agent, typed, lambda: not agent.status["classes"] and agent.status["atMicroseconds"] * 1_000 > typed[0] and len(typed) >= 50, "it captures nothing")
        refused = sum(before["refused"].values())
        typing_until(agent, typed, lambda: sum(agent.status["refused"].values()) >= refused + 10, "what comes later is refused, and counted")
        given = len(typed) + before["accepted"] + refused
        judged = agent.expect(lambda s: s["accepted"] + sum(s["refused"].values()) == given, "all is judged")
        accepted = judged["accepted"] - before["accepted"]
        entry = next(e for e in reversed([json.loads(line) for line in suite.cli("ledger", "show", "1..", "--json").stdout.splitlines()]) if "removed" in e)
        revoked = int(entry["at_us"])
        assert is_kept(revoked, suite.lease_ms, typed, accepted), (revoked, typed, accepted)
        if is_cut_off:
            # It is the lease that ended it: nobody could tell it anything, and it went on for a while. The controls of `is_kept` stand by themselves.
            assert accepted > 0, (revoked, typed)
    finally:
        operator.close()
        agent.process.kill()
        line.close()


def test_revoking_needs_one_name_and_names_those_it_may_be(suite):
    for name in ("fleet-1", "fleet-2"):
        suite.enrol(name)
    done = suite.cli("revoke", "agent", "fleet", check=False)
    assert done.returncode == 1 and "fleet-1, fleet-2" in done.stderr and "nobody was revoked" in done.stderr
    for text, word in (("fle", "too short"), ("atlantis", "no agent")):
        done = suite.cli("revoke", "agent", text, check=False)
        assert done.returncode == 1 and word in done.stderr, done
    assert {"fleet-1", "fleet-2"} <= set(agents(suite))
    suite.cli("revoke", "agent", "fleet-1")
    assert "fleet-2" in agents(suite) and "fleet-1" not in agents(suite)


def test_two_machines_with_one_key_are_both_served_and_both_revoked(suite):
    token, _ = enrol(suite, "--name", "shared-key")
    keys = new_keys()
    assert tries(suite, token.secret, keys).kind == "joined"
    peers = [suite.agent_peer(keys), suite.agent_peer(keys)]
    asked = [nonce(), nonce()]
    for peer, mine in zip(peers, asked):
        peer.send("renew", body("renew", nonce=mine, wall_us=time.time_ns() // 1000))
    for peer, mine in zip(peers, asked):
        heard = peer.expect("grant")
        assert heard.body.nonce == mine, "each has its own answer"
    suite.cli("revoke", "agent", "shared-key")
    for peer in peers:
        peer.expect("narrow")
        expect_no_session(peer)
        peer.close()


# The port


def test_the_joining_process_is_bounded_by_the_kernel(suite):
    limits = Path(f"/proc/{suite.started['join']}/limits").read_text()
    for what, most in (("Max data size", MEMORY_MAX), ("Max open files", FILES_MAX), ("Max core file size", 0)):
        soft, hard = re.search(rf"{what}\s+(\d+)\s+(\d+)", limits).groups()
        assert int(soft) == int(hard) == most, limits
    other = Path(f"/proc/{suite.started['ingest']}/limits").read_text()
    assert not re.search(rf"Max data size\s+{MEMORY_MAX}\s", other), "the control: nobody else is"


def test_its_key_opens_controls_port_for_one_question_and_no_other_port(suite):
    with suite.undisturbed():
        mine = suite.keys_of("join")
        for port in ("ingest", "policy", "notify"):
            assert suite.shuts_out(port, mine), port
        peer = suite.peer("control", mine)
        assert peer.ask("hello", body("hello", protocol=1, start=nonce())).kind == "welcome"
        for kind in ("command", "query", "stopped", "relay", "batch", "releaseRequest", "join"):
            heard = peer.ask(kind, b"", b"x" if kind in ("batch", "relay") else None)
            assert heard.code == Refusal.notAllowed, (kind, heard)
        asked = nonce()
        heard = peer.ask("renew", body("renew", nonce=asked))
        assert heard.kind == "grant" and heard.body.nonce == asked and not heard.body.lease_ms and not heard.body.HasField("gate"), "it holds no lease"
        # Without a token it registers nobody.
        for fields in ({}, {"token": bytes(32)}, {"token": bytes(32), "key": bytes(32)}, {"token": bytes(31), "key": bytes(32)}):
            heard = peer.ask("joinRequest", body("joinRequest", id=nonce(), **fields))
            assert heard.code in (Refusal.tokenUnknown, Refusal.invalid, Refusal.malformed), heard
        peer.close()
        assert "join" not in {s["name"] for s in suite.status()["services"]}, "it is no service that a pause would wait for"


def test_the_key_of_the_doors_for_reports_tells_control_of_reports_and_of_nothing_else(suite):
    with suite.undisturbed():
        mine = suite.keys_of("hooks")
        for port in ("ingest", "policy", "notify"):
            peer = suite.peer(port, mine)
            peer.socket.sndtimeo = 2_000
            try:
                assert peer.send("hello", body("hello", protocol=1)).receive(2) is None, port
            except zmq.Again:
                pass
            peer.close()
        peer = suite.peer("control", mine)
        assert peer.ask("hello", body("hello", protocol=1, start=nonce())).kind == "welcome"
        for kind in ("command", "query", "stopped", "relay", "batch", "releaseRequest", "join", "joinRequest"):
            heard = peer.ask(kind, b"", b"x" if kind in ("batch", "relay") else None)
            assert heard.code == Refusal.notAllowed, (kind, heard)
        asked = nonce()
        heard = peer.ask("renew", body("renew", nonce=asked))
        assert heard.kind == "grant" and heard.body.nonce == asked and not heard.body.lease_ms and not heard.body.HasField("gate"), "it holds no lease"
        assert {key.service for key in heard.body.keys} == {"hooks", "control"}
        # What policy's detectors find, it cannot say; nor what is no finding.
        known = suite.cli("incidents", "--json").stdout
        some = {"id": os.urandom(16), "detector": "report", "sentence": "a test", "direction": 2, "selector": {"classes": ["nothing-has-it"]}}
        for fields in ({"detector": "outsider"}, {"detector": ""}, {"id": b"short"}, {"sentence": "x" * 2_001}, {"selector": {"classes": ["x"] * 1_001}}):
            heard = peer.ask("finding", body("finding", **{**some, **fields}))
            assert heard.code == Refusal.invalid, (fields, heard)
        assert suite.cli("incidents", "--json").stdout == known
        heard = peer.ask("finding", body("finding", **some))
        assert heard.kind == "outcome" and heard.body.id == some["id"] and heard.body.incident, heard
        again = peer.ask("finding", body("finding", **{**some, "selector": {}}))
        assert (again.body.incident, again.body.entry) == (heard.body.incident, heard.body.entry), "taken once, whatever it says the second time"
        peer.close()
        assert "hooks" not in {s["name"] for s in suite.status()["services"]}, "it is no service that a pause would wait for"


def test_who_is_no_joining_process_may_not_ask_in_its_place(suite):
    for port, keys in (("control", suite.operator("ops-1")), ("control", suite.keys_of("notify")), ("control", suite.keys_of("hooks"))):
        peer = suite.peer(port, keys)
        assert peer.ask("hello", body("hello", protocol=1)).kind == "welcome"
        assert peer.ask("joinRequest", body("joinRequest", id=nonce(), key=bytes(32), token=bytes(32))).code == Refusal.notAllowed
        peer.close()


def test_what_is_no_join_is_refused_and_garbage_is_closed(suite):
    """Every kind, broken bodies, and what is not our protocol at all; an honest machine joins meanwhile."""
    token, _ = enrol(suite)
    with suite.undisturbed():
        files = open_files(suite.started["join"])
        peer = join_peer(suite, None, next(ADDRESSES))
        for kind in ("hello", "renew", "batch", "command", "query", "joinRequest", "joined"):
            heard = peer.ask(kind, b"", b"x" if kind == "batch" else None)
            assert heard.code == Refusal.notAllowed, (kind, heard)
        for bad in (b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f", body("join"), body("join", secret=bytes(31)), body("join", secret=bytes(33))):
            assert peer.ask("join", bad).code == Refusal.malformed, bad
        for frames in ([b""], [b"SL"], [frame("join"), b"more"], [frame("join")] + [b"x"] * 50):
            assert peer.send_frames(*frames).answer().code == Refusal.malformed, frames
        opened = [dial(suite.port("join")) for _ in GREETINGS]
        for raw, said in zip(opened, GREETINGS.values()):
            with contextlib.suppress(OSError):
                raw.sendall(said)
        assert tries(suite, token.secret).kind == "joined"
        assert all(is_closed(raw, 30) for raw in opened)
        peer.close()
        wait_until(lambda: open_files(suite.started["join"]) <= files + 4, "descriptors are given back")


def test_mutated_openings_kill_nothing(suite):
    chance = seeded("openings at the joining port")
    hello = record_hello(suite.public["join"])
    with suite.undisturbed():
        files = open_files(suite.started["join"])
        for _ in range(int(1_000 * FACTOR)):
            said = [lambda: chance.randbytes(chance.choice((1, 64, 300, 5_000))), lambda: mutated(chance, greeting()), lambda: greeting() + mutated(chance, hello)][
                chance.randrange(3)]()
            with contextlib.suppress(ConnectionError):
                raw = dial(suite.port("join"), 20)
                raw.sendall(said)
                raw.close()
        wait_until(lambda: open_files(suite.started["join"]) <= files + 4, "descriptors are given back")


def test_a_flood_of_attempts_is_bounded_in_memory_and_disturbs_no_session(suite):
    """A hundred machines that send as fast as the line takes it and never read an answer."""
    with suite.undisturbed(grows=64 * MiB):
        before = memory(suite.started["join"])
        attempt = frame("join", body("join", secret=os.urandom(32), software="x" * 500))
        crowd = [Connection(suite.port("join"), suite.public["join"], new_keys(), source=f"127.77.0.{n}") for n in range(1, 101)]
        peak, sent, wanted = before, 0, int(100_000 * max(FACTOR, 0.2))
        while sent < wanted:
            for one in crowd:
                one.raw.sendall(b"".join(one.frame(attempt, more=False) for _ in range(50)))
                sent += 50
            peak = max(peak, memory(suite.started["join"]))
        # All of it was read: what the port answers now it answers behind it.
        assert tries(suite, os.urandom(32)).code in (Refusal.tokenUnknown, Refusal.tooMany)
        for one in crowd:
            one.close()
    assert peak - before < 64 * MiB, (before, peak)


def test_a_message_without_an_end_costs_the_joining_process_at_most_its_life(make_suite):
    """What libzmq holds of it the kernel bounds: the process ends and is started again, and no session feels it."""
    suite = make_suite()
    token, _ = enrol(suite)
    with suite.undisturbed_but("join"):
        first, poured = suite.started["join"], 0
        endless = Connection(suite.port("join"), suite.public["join"], new_keys())
        with contextlib.suppress(OSError):
            while poured < 4 * MEMORY_MAX:
                endless.send(*[bytes(1_000)] * 200, ends=False)
                poured += 200_000
        endless.close()
        assert 16 * MiB < poured < MEMORY_MAX, "the limit ended it: without one it would have taken all of it"
        wait_until(lambda: suite.service_ids().get("join", first) != first, "it is started again")
        assert tries(suite, token.secret).kind == "joined"


def test_a_crowd_that_never_leaves_keeps_nobody_out_for_good(make_suite):
    """More connections than there may be files, all with good handshakes: the process begins anew, and an honest machine gets in."""
    suite = make_suite()
    token, _ = enrol(suite)
    with suite.undisturbed_but("join"):
        first = suite.started["join"]
        context = zmq.Context()
        context.max_sockets = 4_096
        peers = []
        try:
            for _ in range(FILES_CROWDED + 50):
                peers.append(Peer(suite.endpoint("join"), suite.public["join"], new_keys(), context=context))
            wait_until(lambda: suite.service_ids().get("join", first) != first, "it has begun anew")
            assert "connections" in suite.log("join")
        finally:
            for peer in peers:
                peer.close()
            context.term()
        assert tries(suite, token.secret).kind == "joined"


def test_control_that_is_away_is_said_and_the_token_stays_good(make_suite):
    suite = make_suite()
    token, _ = enrol(suite)
    os.kill(suite.started["control"], 9)
    done = tries(suite, token.secret)  # Busy until control is back; `ask` waits as it is told.
    assert done.kind == "joined", done
    assert suite.service_ids()["control"] != suite.started["control"]
