"""What is in too much is pushed back as `busy`, at each bound that SPEC.md names, and nothing of it is lost (section 1)."""

import base64
import contextlib
import os
import random
import signal
import time

import pytest
from hostile import MiB, SERVICES, Refusal, batch, body, keys_event, new_keys, new_stream, nonce, wait_until, wire

LEASE_MS = 30_000 if os.environ.get("SLUICE_LONG") else 15_000
# A hundred mebibytes of the largest batches take a debug build up to a minute each.
LONG = pytest.mark.skipif(not os.environ.get("SLUICE_LONG"), reason="takes a minute: SLUICE_LONG=1 runs it")
SESSION_MAX, RELAYED_MAX, BYTES_MAX = 256, 8_192, 96 * MiB


@pytest.fixture
def suite(make_suite):
    # Policy's lease lasts while it stands still: it is to find what waits, and not to refuse it.
    return make_suite(lease_ms=LEASE_MS)


@contextlib.contextmanager
def standing_still(suite, name):
    os.kill(suite.started[name], signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(suite.started[name], signal.SIGCONT)


def registered(suite, number):
    """So many agents by one command, with their sessions."""
    keys = {f"desk-{n}": new_keys() for n in range(number)}
    nodes = [{"name": name, "key": wire_key(pair), "role": wire().ROLE_AGENT, "subject": name.upper(), "site": "berlin", "team": "search"} for name, pair in keys.items()]
    index = suite.newest()
    first, second = (suite.peer("control", suite.operator(name)).greet() for name in ("ops-1", "ops-2"))
    proposal = first.ask("command", suite.sign(index=index, register={"nodes": nodes})).body.proposal
    done = second.ask("command", suite.approve(proposal, index))
    assert done.kind == "outcome" and len(done.body.nodes) == number, done
    for peer in (first, second):
        peer.close()
    return [suite.agent_peer(pair) for pair in keys.values()]


def wire_key(pair):
    import zmq.utils.z85 as z85

    return z85.decode(pair[0])


def large(stream, sequence, chance):
    """Near the largest batch that there is, of what does not compress: more than 3 MiB."""
    names = [base64.b64encode(chance.randbytes(48_000)).decode() for _ in range(64)]
    now = time.time_ns() - 2_000_000
    times = [now - 1_000 + n for n in range(len(names))]
    return batch(stream, sequence, times=times, columns=keys_event(times, names)[0])


def pushed_back(peer, stream):
    """The first that is said of a stream is `busy`: of which sequence."""
    heard = peer.expect("busy", "stored", where=lambda h: h.body.stream == stream)
    assert heard.kind == "busy" and heard.body.retry_ms > 0, heard
    return heard.body.sequence


def drained(peer, stream, last, again=None, fits=0, within=60):
    """Waits until all is acknowledged. What was pushed back is sent again when what fitted is stored."""
    deadline = time.monotonic() + within
    if not fits and again is not None:
        again()
    renewed = 0
    while time.monotonic() < deadline:
        # Its lease is to last.
        if time.monotonic() > renewed + LEASE_MS / 6_000:
            renewed = time.monotonic()
            peer.send("renew", body("renew", nonce=nonce(), wall_us=time.time_ns() // 1000))
        heard = peer.receive(1)
        # Whoever asks for what was never in is told by `busy` where to go on.
        if heard is None or heard.kind == "busy" or getattr(heard.body, "stream", stream) != stream:
            continue
        assert heard.kind in ("stored", "grant"), heard
        if heard.kind == "stored" and heard.body.sequence >= last:
            return
        if heard.kind == "stored" and heard.body.sequence == fits:
            again()
    raise AssertionError(f"not all {last} were stored within {within} s")


def stored_batches(suite, before, number, events):
    """Each once, as policy counts: no more batches than were sent, nothing lost."""

    def counted():
        now = suite.counters("policy")
        found = {name: now.get(name, 0) - before.get(name, 0) for name in ("batches", "events", "batches.lost", "unsealable")}
        assert found == {"batches": number, "events": events, "batches.lost": 0, "unsealable": 0}, found
        return True

    wait_until(counted, "policy has counted them")


def test_a_session_has_256_unanswered_and_the_next_is_pushed_back_alone(suite):
    keys, other_keys = suite.enrol("desk"), suite.enrol("other")
    peer, other = suite.agent_peer(keys), suite.agent_peer(other_keys)
    before, stream = suite.counters("policy"), new_stream()
    made = [batch(stream, n) for n in range(1, SESSION_MAX + 3)]
    with standing_still(suite, "policy"):
        for header, payload in made:
            peer.send("batch", header, payload)
        assert [pushed_back(peer, stream) for _ in range(2)] == [SESSION_MAX + 1, SESSION_MAX + 2], "the first that does not fit, and what follows it"
        # The control: what fits is not pushed back, and another session has room of its own.
        elsewhere = new_stream()
        other.send("batch", *batch(elsewhere, 1))
        assert peer.receive(1) is None and other.receive(1) is None
    drained(peer, stream, len(made), lambda: [peer.send("batch", *one) for one in made[SESSION_MAX:]], SESSION_MAX)
    assert other.expect("stored", "busy").kind == "stored"
    stored_batches(suite, before, len(made) + 1, 3 * (len(made) + 1))


def test_ingest_has_8192_unanswered_at_policy_and_the_next_is_pushed_back_whoever_sends_it(suite):
    *full, last = registered(suite, RELAYED_MAX // SESSION_MAX + 1)
    before = suite.counters("policy")
    streams = [(peer, new_stream()) for peer in full]
    with standing_still(suite, "policy"):
        for peer, stream in streams:
            for number in range(1, SESSION_MAX + 1):
                peer.send("batch", *batch(stream, number))
        # Ingest has taken them all in when it answers what was sent after them.
        for peer, stream in streams:
            asked = nonce()
            peer.send("renew", body("renew", nonce=asked, wall_us=time.time_ns() // 1000))
            heard = peer.expect("grant", "busy", "stored", where=lambda h, asked=asked: h.kind != "grant" or h.body.nonce == asked)
            assert heard.kind == "grant", (heard, "the control: as many as fit are not pushed back")
        stream = new_stream()
        header, payload = batch(stream, 1)
        last.send("batch", header, payload)
        assert pushed_back(last, stream) == 1
    for peer, one in streams:
        drained(peer, one, SESSION_MAX)
    drained(last, stream, 1, lambda: last.send("batch", header, payload))
    stored_batches(suite, before, RELAYED_MAX + 1, 3 * (RELAYED_MAX + 1))


@LONG
@pytest.mark.limit(240)
def test_96_mib_wait_at_ingest_for_policy_and_more_is_pushed_back(suite):
    chance = random.Random(7)
    keys = suite.enrol("desk")
    peer = suite.agent_peer(keys)
    before, stream = suite.counters("policy"), new_stream()
    made = [large(stream, n, chance) for n in range(1, 36)]
    sizes = [header.payload_bytes for header, _ in made]
    fits = next(n for n in range(len(made)) if sum(sizes[: n + 1]) > BYTES_MAX)
    assert min(sizes) > 2 * MiB and fits < len(made) - 2 < SESSION_MAX
    with standing_still(suite, "policy"):
        for one in made:
            peer.send("batch", *one)
        # At the bound itself a smaller one that comes later may still fit; the first that does not is known.
        assert pushed_back(peer, stream) == fits + 1

    def again():
        for one in made[fits:]:
            peer.send("batch", *one)

    drained(peer, stream, len(made), again, fits, within=100)
    stored_batches(suite, before, len(made), 64 * len(made))


@LONG
@pytest.mark.limit(240)
def test_policy_pushes_back_more_than_96_mib_from_who_does_not_keep_ingests_bound(suite):
    chance = random.Random(9)
    agent = suite.agent_peer(suite.enrol("desk"))
    ordinal, stream = agent.welcome.ordinal, new_stream()
    before = suite.counters("policy")
    made = [large(stream, n, chance) for n in range(1, 41)]
    frames = [(header, agent.seal(header, payload)) for header, payload in made]
    relays = [(body("relay", agent=ordinal, header=header.bytes, oldest=1), sealed) for header, sealed in frames]
    # By ingest's key: it keeps a bound of its own, that is passed by here.
    with standing_still(suite, "ingest"):
        peer = suite.peer("policy", suite.keys_of("ingest")).greet()
        with standing_still(suite, "policy"):
            for relay in relays:
                peer.send("relay", *relay)
        done, busy, asked = set(), set(), time.monotonic()
        while len(done) < len(made):
            assert time.monotonic() < asked + 120, f"{len(done)} of {len(made)} are stored"
            heard = peer.receive(5)
            if heard is None:
                for number in sorted(set(range(1, len(made) + 1)) - done):
                    peer.send("relay", *relays[number - 1])
            elif heard.kind == "storedGroup":
                done.update(range(1, max([n for n, one in zip(heard.body.sequences, heard.body.streams) if one == stream], default=0) + 1))
            elif heard.kind == "busy":
                assert (heard.body.kind, heard.body.agent, heard.body.stream) == (17, ordinal, stream), heard
                busy.add(heard.body.sequence)
            else:
                # What follows on one that was pushed back comes out of its order.
                assert heard.kind == "refused" and heard.code == Refusal.outOfOrder, heard
        peer.close()
    assert busy, "policy pushed some back"
    assert min(busy) > BYTES_MAX // frames[0][0].payload_bytes, "the control: as many as fit it has taken"
    stored_batches(suite, before, len(made), 64 * len(made))
    assert set(SERVICES) <= set(suite.expect_alive().started)
