"""Peers that hold a key and say what nobody should (FAULTS: A03, A04, N13, I01, I05; SPEC sections 3 to 11).

What ends a service is in `test_poison.py`, each with a suite of its own.
"""

import json
import os
import time

import pytest
import zmq
from hostile import (
    FACTOR, Kind, MiB, Process, Refusal, Suite, at_each_port, batch, body, compress, frame, keys_event, memory, new_stream, nonce, seeded, wait_until)

# What each port takes from the peer of `guest` below; the rest is `notAllowed`.
TAKEN = {
    "ingest": {"hello", "batch", "renew", "stopped", "goodbye"},
    "policy": {"hello", "renew", "releaseRequest", "credit", "directory", "query"},
    "control": {"hello", "command", "query"},
    "notify": {"hello", "query", "notices"},
}
# Where `sluice status --json` shows what was refused.
COUNTER = {"ingest": "refused.", "policy": "refused.message.", "control": "refused.", "notify": "refused."}


@pytest.fixture
def guest(suite):
    """A peer at a port with a key that it admits: an agent's at ingest, an operator's elsewhere. Greeted unless told otherwise."""
    made = []

    def make(port, greets=True, **more):
        if port == "ingest":
            with suite.lock:
                if "guest" not in suite.__dict__:
                    suite.guest = suite.enrol("guest")
                    # From here on ingest knows the key: who comes with it gets in at once.
                    suite.agent_peer(suite.guest).close()
        if port == "ingest" and greets:
            peer = suite.agent_peer(suite.guest, **more)
        else:
            # Not the healthy agent's key: to the suite two with one key are one, and hear the same.
            peer = suite.peer(port, suite.guest if port == "ingest" else suite.operator("ops-1"), **more)
            if greets:
                peer.greet()
        made.append(peer)
        return peer

    yield make
    for peer in made:
        peer.close()


def works(port, peer):
    """The session goes on: an honest question is answered."""
    if port in ("ingest", "policy"):
        asked = nonce()
        heard = peer.ask("renew", body("renew", nonce=asked, wall_us=time.time_ns() // 1000))
        return heard.kind == "grant" and heard.body.nonce == asked
    return peer.ask("query", body("query", status={}) if port == "control" else body("query", deliveries={})).kind == "answer"


def counted(suite, port, word, before):
    suite.expect_counted(port, COUNTER[port] + word, before)


# Frames


BROKEN = [
    # what, frames, refusal, kind named
    ("an unknown kind", [frame(200)], "unknownKind", 200),
    ("kind 0", [frame(0)], "unknownKind", 0),
    ("kind 255", [frame(255)], "unknownKind", 255),
    ("a retired gap between kinds", [frame(11)], "unknownKind", 11),
    ("version 2", [frame("hello", version=2)], "unsupportedVersion", Kind.hello),
    ("version 0", [frame("query", version=0)], "unsupportedVersion", Kind.query),
    ("an empty frame", [b""], "malformed", 0),
    ("one byte", [b"S"], "malformed", 0),
    ("three bytes", [b"SL\x01"], "malformed", 0),
    ("other magic", [b"SQ\x01\x01"], "malformed", 0),
    ("lower case", [b"sl\x01\x01"], "malformed", 0),
    ("text", [b'{"kind":"hello"}'], "malformed", 0),
    ("a frame too many for a hello", [frame("hello", body("hello", protocol=1)), b"payload"], "malformed", Kind.hello),
    ("an empty frame too many", [frame("renew"), b""], "malformed", Kind.renew),
    ("a third frame of a batch", [frame("batch"), b"payload", b"more"], "malformed", Kind.batch),
    ("five frames", [frame("batch")] + [b"x"] * 4, "malformed", Kind.batch),
    ("an empty message of two frames", [b"", b""], "malformed", 0),
    ("a routing envelope", [b"", frame("hello", body("hello", protocol=1))], "malformed", 0),
]


@pytest.mark.parametrize("greets", [True, False], ids=["greeted", "a stranger to the session"])
@at_each_port
def test_a_broken_frame_is_refused_by_its_right_name_and_the_session_goes_on(suite, guest, port, greets):
    with suite.undisturbed():
        before = suite.counters(port)
        peer = guest(port, greets=greets)
        for what, frames, refusal, kind in BROKEN:
            peer.send_frames(*frames)
            heard = peer.answer()
            assert (heard.code, heard.body.kind) == (Refusal[refusal], kind), f"{what}: {heard}"
        if greets:
            assert works(port, peer), "the control: the same peer is served when it speaks properly"
        for word in ("unknown-kind", "unsupported-version", "malformed"):
            counted(suite, port, word, before)


@at_each_port
def test_every_kind_before_hello_is_answered_hello_first(suite, guest, port):
    with suite.undisturbed():
        before = suite.counters(port)
        peer = guest(port, greets=False)
        for kind in Kind:
            if kind != "hello":
                heard = peer.ask(kind, b"", b"payload" if kind in ("batch", "relay", "chunk") else None)
                assert (heard.code, heard.body.kind) == (Refusal.helloFirst, Kind[kind]), (kind, heard)
        peer.greet()
        assert works(port, peer), "the control: after its Hello it is served"
        counted(suite, port, "hello-first", before)


@at_each_port
def test_a_body_that_cannot_be_parsed_is_refused_as_malformed(suite, guest, port):
    with suite.undisturbed():
        before = suite.counters(port)
        peer = guest(port)
        garbage = [b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f", b"\x0b", b"\x07", b"\x0a\x05abc", b"\x80" * 30]
        for kind in TAKEN[port] - {"goodbye", "credit"}:
            for bad in garbage:
                heard = peer.ask(kind, bad, b"payload" if kind == "batch" else None)
                assert heard.code == Refusal.malformed, (kind, bad, heard)
        if port == "policy":
            assert peer.ask("credit", b"\xff" * 9).code == Refusal.malformed
        assert works(port, peer)
        counted(suite, port, "malformed", before)


@at_each_port
def test_kinds_that_this_role_may_not_send_are_refused_and_do_nothing(suite, guest, port):
    with suite.undisturbed():
        before = suite.counters(port)
        epoch = suite.status()["gate"].get("epoch", 0)
        peer = guest(port)
        filled = {
            "command": suite.sign(pause={"reason": "not mine to say"}),
            "stopped": body("stopped", epoch=1 << 40, durable=True, agents=[1], first=True),
            "narrow": body("narrow", gate={"epoch": 99, "sealed": "so I say"}),
            "grant": body("grant", nonce=nonce(), lease_ms=100_000, gate={"epoch": 99}),
            "relay": body("relay", agent=1, header=batch(1, 1)[0].bytes),
            "entries": body("entries", last=1 << 50),
        }
        for kind in sorted(set(Kind) - TAKEN[port]):
            heard = peer.ask(kind, filled.get(kind, b""), b"payload" if kind in ("batch", "relay", "chunk") else None)
            assert (heard.code, heard.body.kind) == (Refusal.notAllowed, Kind[kind]), (kind, heard)
        assert works(port, peer)
        assert suite.status()["gate"].get("epoch", 0) == epoch, "the gate has not moved"
        counted(suite, port, "not-allowed", before)


@at_each_port
def test_a_service_may_not_say_what_only_an_operator_may(suite, port):
    if port == "ingest":
        return  # Services do not connect to it.
    with suite.undisturbed():
        peer = suite.peer(port, suite.keys_of("notify"))
        peer.send("hello", body("hello", protocol=1))
        assert peer.answer().kind == "welcome"
        allowed = {"policy": {"hello", "renew"}, "control": {"hello", "renew", "stopped", "query"}, "notify": {"hello"}}[port]
        for kind in sorted(set(Kind) - allowed):
            heard = peer.ask(kind, b"", b"x" if kind in ("batch", "relay", "chunk") else None)
            assert heard.code == Refusal.notAllowed, (kind, heard)
        peer.close()
        # To control the newest session of a service is the service. The true one goes on renewing, and is seen again.
        wait_until(lambda: suite.counters("notify"), "notify's own reports are shown again", every=0.2)


@at_each_port
def test_a_hello_of_another_protocol_is_refused_and_begins_no_session(suite, guest, port):
    with suite.undisturbed():
        before = suite.counters(port)
        peer = guest(port, greets=False)
        for protocol in (0, 2, 99, (1 << 32) - 1):
            assert peer.ask("hello", body("hello", protocol=protocol)).code == Refusal.unsupportedVersion
        assert peer.ask("query").code == Refusal.helloFirst
        peer.greet()
        assert works(port, peer), "the control"
        counted(suite, port, "unsupported-version", before)


@at_each_port
def test_a_second_hello_takes_the_place_of_the_first(suite, guest, port):
    with suite.undisturbed():
        peer = guest(port)
        for _ in range(50):
            peer.greet()
        assert works(port, peer)
        # The most that a Hello can claim begins a session and nothing else.
        peer.greet(epoch=(1 << 64) - 1, entries=(1 << 64) - 1, closures=[(1 << 64) - 1] * 1_000)
        assert works(port, peer)
    assert not suite.status()["gate"].get("sealed"), "an operator's or an agent's word about epochs seals nothing"


# Routing ids, two of one key (A04)


ROUTING_IDS = [b"a", b"agent-1", b"x" * 5, b"x" * 255, b"\x01" * 5, b"\xff\x00\x00\x00\x01", b"\x00", b"\x00abc", b"\x00abcde"]


@at_each_port
def test_a_routing_id_of_its_own_is_refused(suite, guest, port):
    with suite.undisturbed():
        before = suite.counters(port)
        for routing_id in ROUTING_IDS:
            peer = guest(port, greets=False, routing_id=routing_id)
            heard = peer.ask("hello", body("hello", protocol=1))
            assert heard.code == Refusal.routingID, (routing_id, heard)
            assert peer.ask("query").code == Refusal.routingID, routing_id
        suite.expect_counted(port, COUNTER[port] + "routing-id", before, 2 * len(ROUTING_IDS))


@at_each_port
def test_a_routing_id_like_libzmqs_own_takes_nobody_elses_replies(suite, guest, port):
    """A zero and four bytes look like an id that libzmq made; whose id it is is a guess among 2^32. The healthy peers keep theirs."""
    with suite.undisturbed():
        peers = [guest(port, greets=False, routing_id=b"\x00" + number.to_bytes(4, "big")) for number in range(20)]
        for peer in peers:
            heard = peer.ask("hello", body("hello", protocol=1))
            assert heard.kind == "welcome" or heard.code == Refusal.routingID, heard
            peer.silence(0.01)


@at_each_port
def test_two_peers_with_one_routing_id_disturb_nobody_but_themselves(suite, guest, port):
    with suite.undisturbed():
        one = guest(port, greets=False, routing_id=b"twin")
        assert one.ask("hello", body("hello", protocol=1)).code == Refusal.routingID
        two = guest(port, greets=False, routing_id=b"twin")
        two.send("hello", body("hello", protocol=1))
        assert one.ask("hello", body("hello", protocol=1)).code == Refusal.routingID


@at_each_port
def test_two_peers_with_one_key_are_both_served_and_replies_are_not_crossed(suite, guest, port):
    """A04."""
    with suite.undisturbed():
        peers = [guest(port), guest(port)]
        for _ in range(20):
            if port in ("ingest", "policy"):
                asked = [nonce(), nonce()]
                for peer, mine in zip(peers, asked):
                    peer.send("renew", body("renew", nonce=mine, wall_us=time.time_ns() // 1000))
                for peer, mine in zip(peers, asked):
                    assert peer.expect("grant").body.nonce == mine
            else:
                assert all(works(port, peer) for peer in peers)
        if port == "ingest":
            assert peers[0].ask("batch", *batch(new_stream(), 1)).kind == "stored", "policy knows of them too"
            streams = [new_stream(), new_stream()]
            for number in range(1, 11):
                for peer, stream in zip(peers, streams):
                    peer.send("batch", *batch(stream, number))
            for peer, stream in zip(peers, streams):
                # Both hear of both streams: to the suite they are one agent. Each hears of its own to the last.
                peer.expect("stored", where=lambda h, s=stream: h.code or (h.body.stream == s and h.body.sequence == 10))


# Size (N13, I05)


@at_each_port
def test_a_message_of_a_hundred_thousand_frames_is_refused_once(suite, guest, port):
    with suite.undisturbed(grows=160 * MiB):
        before = suite.counters(port)
        peer = guest(port)
        peer.send_frames(frame("batch"), *[b"x"] * 100_000)
        assert peer.answer().code == Refusal.malformed
        peer.send_frames(*[b""] * 100_000)
        assert peer.answer().code == Refusal.malformed
        assert works(port, peer)
        counted(suite, port, "malformed", before)


@at_each_port
def test_a_message_that_never_ends_is_given_back_when_its_peer_goes(suite, guest, port):
    """What one key can hold is not bounded by libzmq (FACTS); 50 MB here. The others go on, and the memory comes back."""
    with suite.undisturbed(grows=200 * MiB):
        peer = guest(port)
        peer.socket.send(frame("batch"), zmq.SNDMORE)
        for _ in range(50 * 16):
            peer.socket.send(os.urandom(64 << 10), zmq.SNDMORE)
        grown = memory(suite.started[port])
        other = guest(port)
        assert works(port, other)
        peer.close()
        assert works(port, other)
    assert memory(suite.started[port]) <= grown + 16 * MiB


@at_each_port
def test_a_frame_over_the_limit_closes_its_connection_and_no_other(suite, guest, port):
    """100 MB. The control: a frame within the limit is answered."""
    with suite.undisturbed(grows=96 * MiB):
        peer = guest(port)
        heard = peer.ask("batch" if port == "ingest" else "chunk", b"", bytes(3 << 20))
        assert heard.code in (Refusal.malformed, Refusal.notAllowed, Refusal.noLease), heard
        monitor = peer.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        peer.send_frames(frame("batch"), bytes(100 << 20))
        assert monitor.poll(30_000), "the connection was not closed"
        peer.socket.disable_monitor()
        other = guest(port)
        assert works(port, other)


# Batches


@pytest.fixture
def agent(suite, guest):
    return guest("ingest")


def lie(what, refusal, **fields):
    return what, fields, refusal


def columns(**fields):
    """The columns of three keys, with other fields."""
    now = time.time_ns() - 5_000_000
    made, *_ = keys_event([now, now + 1_000, now + 2_000])
    for name, value in fields.items():
        if isinstance(value, list):
            del getattr(made, name)[:]
            getattr(made, name).extend(value)
        else:
            setattr(made, name, value)
    return made


BOMB = {"columns": b"\0" * (64 << 20)}


LIES = [
    lie("no payload bytes at all", "malformed", payload=b"", payload_bytes=1),
    lie("a payload longer than the header says", "malformed", payload=b"x" * 100, payload_bytes=99),
    lie("a payload shorter than the header says", "malformed", payload=b"x" * 100, payload_bytes=4_000_000_000),
    lie("an empty payload", "unreadable", payload=b""),
    lie("a payload that is not zstd", "unreadable", payload=os.urandom(500)),
    lie("a payload in the clear", "unreadable", payload=columns().SerializeToString()),
    lie("a zstd frame cut short", "unreadable", payload=compress(columns().SerializeToString())[:-3]),
    lie("two zstd frames", "unreadable", payload=compress(columns().SerializeToString()) * 2),
    lie("a skippable frame in front", "unreadable", payload=b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + compress(columns().SerializeToString())),
    lie("a zstd bomb that says its size", "unreadable", **BOMB),
    lie("a zstd bomb that does not", "unreadable", **BOMB, columns_bytes=100),
    lie("a zstd bomb of 4 GiB by the header", "unreadable", columns=b"\0" * 1_000, columns_bytes=4_294_967_295),
    lie("columns that are no protobuf", "unreadable", columns=b"\xff" * 300),
    lie("no columns", "unreadable", columns=b""),
    lie("columns of version 2", "unreadable", columns=columns(version=2)),
    lie("a unit that is none", "unreadable", columns=columns(unit_ns=7)),
    lie("a unit of nothing", "unreadable", columns=columns(unit_ns=0)),
    lie("a time too few", "unreadable", columns=columns(at=[0, 1_000])),
    lie("a time too many", "unreadable", columns=columns(at=[0, 1_000, 1_000, 0])),
    lie("times that run out of the range", "unreadable", columns=columns(at=[0, (1 << 63) - 1, (1 << 63) - 1])),
    lie("times before all time", "unreadable", columns=columns(at=[0, -(1 << 63), 1])),
    lie("an unknown kind of event", "unreadable", columns=columns(kind=[6])),
    lie("kind 0", "unreadable", columns=columns(kind=[0])),
    lie("pointer columns without a pointer", "unreadable", columns=columns(x=[1], y=[1], pointer_action=[1])),
    lie("a key that is in no string", "unreadable", columns=columns(key=[1, 2, 4_000_000_000])),
    lie("a key that is nothing", "unreadable", columns=columns(key=[1, 2, 0])),
    lie("a string that nothing uses", "unreadable", columns=columns(strings=["a", "b", "c", "d"])),
    lie("a string of a megabyte", "unreadable", columns=columns(strings=["a", "b", "c" * MiB])),
    lie("a duration of two days", "unreadable", columns=columns(duration=[172_800_000_000_001, 0, 0])),
    lie("a duration of all time", "unreadable", columns=columns(duration=[(1 << 64) - 1, 0, 0])),
    lie("a field that nobody knows", "unreadable", columns=columns().SerializeToString() + b"\xfa\x0f\x03abc"),
    lie("more events than there are", "unreadable", count=4),
    lie("fewer events than there are", "unreadable", count=2),
    lie("no events", "malformed", count=0),
    lie("more events than a batch holds", "malformed", count=4_097),
    lie("four thousand million events", "malformed", count=4_294_967_295),
    lie("sequence 0", "malformed", sequence=0),
    lie("an end after the present", "future", last_ns=time.time_ns() + 3_600_000_000_000),
    lie("an end at the end of time", "future", last_ns=(1 << 63) - 1),
    lie("a beginning before the first event", "unreadable", first_ns=1),
    lie("an end after the last event", "unreadable", last_ns=time.time_ns()),
    lie("a class that nobody knows", "wrongClass", **{"class": "gossip"}),
    lie("a class that is never stored", "wrongClass", **{"class": "credential"}),
    lie("no class", "wrongClass", **{"class": ""}),
    lie("a class of a megabyte", "wrongClass", **{"class": "x" * MiB}),
]
WORDS = {"malformed": "malformed", "unreadable": "unreadable", "future": "future", "wrongClass": "wrong-class"}


def test_a_batch_that_lies_is_refused_whole_and_by_name(suite, agent):
    with suite.undisturbed():
        before = {name: suite.counters(name) for name in ("ingest", "policy")}
        wrong = []
        for what, fields, refusal in LIES:
            stream = new_stream()
            arguments = {"sequence": 1, **fields}
            header, payload = batch(stream, arguments.pop("sequence"), **arguments)
            heard = agent.ask("batch", header, payload)
            if (heard.code, heard.body.stream, heard.body.sequence) != (Refusal[refusal], stream, header.sequence):
                wrong.append((what, refusal, heard))
            # The control: the honest batch in its place is stored.
            heard = agent.ask("batch", *batch(stream, 1))
            if heard.kind != "stored" or (heard.body.stream, heard.body.sequence) != (stream, 1):
                wrong.append((what, "the honest one", heard))
            suite.expect_alive()
        assert not wrong, wrong
        for refusal, word in WORDS.items():
            lies = sum(1 for _, _, named in LIES if named == refusal)

            def counts(word=word, lies=lies):
                now = {name: suite.counters(name).get(f"refused.{word}", 0) - before[name].get(f"refused.{word}", 0) for name in before}
                assert sum(now.values()) >= lies, now
                return True

            wait_until(counts, f"refused.{word} is counted {lies} times", every=0.2)


def test_a_batch_without_its_payload_frame_is_refused_with_its_stream_and_sequence(suite, agent):
    header, _ = batch(new_stream(), 7)
    heard = agent.ask("batch", header)
    assert (heard.code, heard.body.stream, heard.body.sequence) == (Refusal.malformed, header.stream, 7)


def test_a_batch_before_a_renewal_is_refused_for_want_of_a_lease(suite, guest):
    peer = guest("ingest")
    peer.close()
    fresh = suite.peer("ingest", suite.guest).greet()
    assert fresh.ask("batch", *batch(new_stream(), 1)).code == Refusal.noLease
    fresh.renew()
    assert fresh.ask("batch", *batch(new_stream(), 1)).kind == "stored", "the control"
    fresh.close()


def test_a_sequence_again_is_acknowledged_and_another_content_under_it_is_refused(suite, agent):
    before = suite.counters("policy")
    stream = new_stream()
    same = batch(stream, 1)
    for _ in range(3):
        heard = agent.ask("batch", *same)
        assert heard.kind == "stored" and heard.body.sequence == 1
    times = [same[0].first_ns, same[0].first_ns + 1_000, same[0].last_ns]
    other = batch(stream, 1, times=times, names=["other", "words", "here"])
    heard = agent.ask("batch", *other)
    assert (heard.code, heard.body.sequence) == (Refusal.differs, 1), heard
    # On another connection too, and with another header around it.
    again = suite.agent_peer(suite.guest)
    assert again.ask("batch", *batch(stream, 1, times=[t + 5 for t in times], names=["once", "more", "other"])).code == Refusal.differs
    again.close()
    suite.expect_counted("policy", "refused.differs", before, 2)
    suite.expect_counted("policy", "duplicates", before, 2)
    keys = [line["event"]["key"] for line in suite.read("activity") if int(line["stream"]) == stream]
    assert keys == ["k0", "k1", "k2"], "the vault holds the first, once"


def test_a_gap_in_the_sequence_is_sent_back_to_what_comes_next(suite, agent):
    before = suite.counters("policy")
    stream = new_stream()
    assert agent.ask("batch", *batch(stream, 1)).kind == "stored"
    for sequence in (3, 100, 1 << 40, (1 << 63) - 1):
        heard = agent.ask("batch", *batch(stream, sequence, oldest=1))
        assert (heard.code, heard.body.expected) == (Refusal.outOfOrder, 2), heard
    # Oldest beyond the sequence makes no sense, and does not open the gap either.
    assert agent.ask("batch", *batch(stream, 3, oldest=9)).code == Refusal.outOfOrder
    assert agent.ask("batch", *batch(stream, 2, oldest=1)).kind == "stored", "the control"
    suite.expect_counted("policy", "refused.out-of-order", before, 5)


def test_one_agent_cannot_speak_for_another(suite, agent):
    """A03: who speaks is the key. A relay from an agent is refused; what it stores is its own, whatever it writes."""
    with suite.undisturbed():
        victim = suite.enrol("victim", subject="VICTIM") if not hasattr(suite, "victim") else suite.victim
        suite.victim = victim
        there = suite.agent_peer(victim)
        ordinal = there.welcome.ordinal
        stream = new_stream()
        assert there.ask("batch", *batch(stream, 1)).kind == "stored"
        header, payload = batch(stream, 2)
        heard = agent.ask("relay", body("relay", agent=ordinal, header=header.bytes), payload)
        assert heard.code == Refusal.notAllowed
        # The same stream id under another key is another stream: it takes nothing from the victim's, and adds nothing.
        forged = batch(stream, 2, names=["forged", "by", "guest"], oldest=2)
        assert agent.ask("batch", *forged).kind == "stored"
        assert there.ask("batch", *batch(stream, 2)).kind == "stored"
        there.silence(0.3)
        there.close()
    lines = [line for line in suite.read("activity") if int(line["stream"]) == stream]
    assert {line["subject"] for line in lines if line["event"]["key"] in ("forged", "by", "guest")} == {"GUEST"}
    assert {line["subject"] for line in lines if line["event"]["key"].startswith("k")} == {"VICTIM"}


def test_an_agent_cannot_acknowledge_a_pause_that_was_not_asked_for(suite, agent):
    """A receipt for an epoch beyond the gate's counts for the gate's; the next pause still waits for the agent."""
    agent.send("stopped", body("stopped", epoch=(1 << 64) - 1))
    agent.renew(epoch=(1 << 63) + 5)
    done = suite.cli("pause", "--subject", "GUEST", "--reason", "a test", "--json", check=False)
    certificate = json.loads(done.stdout.splitlines()[-1])
    stop = next(a for a in certificate["agents"] if a["node"] == "guest")
    assert stop["how"] == "STOP_HOW_LEASE_ENDED" or "LEASE" in str(stop["how"]).upper(), stop
    suite.resume()


def test_while_a_pause_goes_out_renewals_of_who_has_not_stopped_are_answered_later_and_never_not_at_all(suite, agent):
    """Ten thousand have to be told: who was told already, and has nothing to extend, can wait a little for an answer that changes nothing."""

    def ask(epoch):
        asked = nonce()
        agent.send("renew", body("renew", nonce=asked, epoch=epoch, wall_us=time.time_ns() // 1000))
        return asked

    command = suite.adopt(Process(suite.command("pause", "--subject", "GUEST", "--reason", "a test"), suite.folder / "put-off.log"))
    epoch = agent.expect("narrow").body.permit.epoch
    before = ask(epoch - 1)
    agent.send("stopped", body("stopped", epoch=epoch))
    after = ask(epoch)
    # The receipt stands between them: the first was put off, and what is answered is the newest alone.
    assert agent.expect("grant").body.nonce == after, "the answer to who has stopped comes at once"
    assert before != after
    wait_until(lambda: not command.is_running, "the pause is certified")
    suite.resume()
    agent.renew()

    # Who never says that it has stopped is answered all the same, and is permitted nothing.
    command = suite.adopt(Process(suite.command("pause", "--subject", "GUEST", "--reason", "a test"), suite.folder / "put-off.log"))
    epoch = agent.expect("narrow").body.permit.epoch
    for _ in range(3):
        asked = ask(epoch - 1)
        grant = agent.expect("grant", where=lambda heard, asked=asked: heard.kind == "refused" or heard.body.nonce == asked).body
        assert grant.lease_ms > 0 and grant.permit.epoch == epoch and not grant.permit.classes
    wait_until(lambda: not command.is_running, "the pause is certified")
    suite.resume()


def test_goodbye_ends_the_session_and_only_this_one(suite, guest):
    with suite.undisturbed():
        one, two = guest("ingest"), guest("ingest")
        one.send("goodbye")
        assert one.ask("batch", *batch(new_stream(), 1)).code == Refusal.helloFirst
        assert two.ask("batch", *batch(new_stream(), 1)).kind == "stored"


def samples(suite):
    """Of each kind that some port takes one that it would carry out, and that changes nothing that stays."""
    return {
        "hello": body("hello", protocol=1, start=nonce()),
        "renew": body("renew", nonce=nonce(), epoch=3, agent={"events_accepted": 5}),
        "stopped": body("stopped", epoch=2, agents=[1, 2]),
        "batch": batch(5, 1)[0],
        "goodbye": body("goodbye"),
        "query": body("query", agents={"after": "a"}),
        "command": suite.sign(resume={"reason": "x", "closures": [1 << 40]}),
        "releaseRequest": body("releaseRequest", id=nonce(), purpose="p", justification="j", classes=["activity"], credit=4),
        "credit": body("credit", release=1, chunks=1),
        "directory": body("directory", id=nonce(), removed=["fuzzy-nobody"]),
        "notices": body("notices", decision=1 << 40, first=1, notices=[b"no notice"]),
        # Of services: nobody here may send it.
        "relay": body("relay", agent=1, header=b"abc"),
    }


@pytest.mark.limit(300 + int(60 * FACTOR))
@at_each_port
def test_random_bodies_of_every_kind_kill_nothing(suite, guest, port):
    """I01, over the wire: valid messages with mutated bytes, and messages of random fields."""
    chance = seeded(f"bodies-{port}")
    made = samples(suite)
    assert TAKEN[port] - made.keys() == set(), "a kind that this port takes has no sample: what it does with such bodies is not tried"
    taken, others = sorted(TAKEN[port]), sorted(made.keys() - TAKEN[port])
    payload, sent = batch(5, 1)[1], set()
    with suite.undisturbed():
        peer = guest(port)
        for _ in range(int(400 * FACTOR)):
            # Mostly what is looked into, and not refused for its sender.
            kind = chance.choice(taken if chance.random() < 0.8 else others)
            data = bytearray(made[kind].SerializeToString() or b"\0")
            for _ in range(chance.choice((1, 1, 2, 8))):
                place = chance.randrange(len(data))
                if chance.random() < 0.2:
                    del data[place:]
                    data.extend(chance.randbytes(3))
                else:
                    data[place] = chance.randrange(256)
            # What ends the process by its numbers alone is in test_poison; here bytes beyond 2^62 are left to chance.
            peer.send(kind, bytes(data), bytes(bytearray(payload)) if kind in ("batch", "relay") else None)
            sent.add(kind)
            if kind == "goodbye":
                # Whoever has taken leave would hear nothing but that, whatever comes.
                peer.send("hello", made["hello"])
            while peer.socket.poll(0):
                peer.socket.recv_multipart()
        assert sent >= TAKEN[port]
        while peer.receive(0.5):
            pass
        fresh = guest(port)
        assert works(port, fresh)


# Operators


@pytest.fixture
def operator(guest):
    return guest("control")


BEYOND = [
    ("an empty reason", {"pause": {"reason": ""}}, "invalid"),
    ("a reason a byte too long", {"pause": {"reason": "x" * 2_001}}, "invalid"),
    ("a reason too long in bytes, not in letters", {"pause": {"reason": "é" * 1_001}}, "invalid"),
    ("a reason of 3 MB", {"pause": {"reason": "x" * (3 << 20)}}, "tooLarge"),
    ("a reason of 10 MB", {"pause": {"reason": "x" * (10 << 20)}}, "tooLarge"),
    ("a thousand and one subjects", {"pause": {"reason": "x", "selector": {"subjects": [f"E{n}" for n in range(1_001)]}}}, "invalid"),
    ("a hundred thousand readers", {"pause": {"reason": "x", "selector": {"readers": [f"E{n}" for n in range(100_000)]}}}, "invalid"),
    ("a reader's name a byte too long", {"pause": {"reason": "x", "selector": {"readers": ["r" * 201]}}}, "invalid"),
    ("a purpose a byte too long", {"pause": {"reason": "x", "selector": {"purposes": ["é" * 101]}}}, "invalid"),
    ("a leak's source a byte too long", {"leak": {"reason": "x", "source": "s" * 201}}, "invalid"),
    ("a subject that is not there", {"pause": {"reason": "x", "selector": {"subjects": ["nobody"]}}}, "notFound"),
    ("a class that is not there", {"pause": {"reason": "x", "selector": {"classes": ["gossip"]}}}, "notFound"),
    ("the empty site", {"pause": {"reason": "x", "selector": {"sites": [""]}}}, "notFound"),
    ("a leak without a reason", {"leak": {"reason": ""}}, "invalid"),
    ("a leak of a class that is not there", {"leak": {"reason": "x", "class": "gossip"}}, "notFound"),
    ("a resume without a reason", {"resume": {"reason": ""}}, "invalid"),
    ("a resume of the last closure of all", {"resume": {"reason": "x", "closures": [(1 << 64) - 1]}}, "notFound"),
    ("an unsealing of what is not sealed", {"resume": {"reason": "x", "unseal": True}}, "notFound"),
    ("nobody to register", {"register": {}}, "invalid"),
    ("a key of 31 bytes", {"register": {"nodes": [{"name": "n", "subject": "s", "key": b"x" * 31, "role": 1}]}}, "invalid"),
    ("an operator registered as a node", {"register": {"nodes": [{"name": "n", "subject": "s", "key": b"x" * 32, "role": 3}]}}, "invalid"),
    ("a role that nobody knows", {"register": {"nodes": [{"name": "n", "subject": "s", "key": b"x" * 32, "role": 99}]}}, "invalid"),
    ("no name", {"register": {"nodes": [{"name": "", "subject": "s", "key": b"x" * 32, "role": 1}]}}, "invalid"),
    ("a long name", {"register": {"nodes": [{"name": "n" * 201, "subject": "s", "key": b"x" * 32, "role": 1}]}}, "invalid"),
    ("a thousand and one nodes", {"register": {"nodes": [{"name": f"n{n}", "subject": "s", "key": n.to_bytes(32, "big"), "role": 1} for n in range(1_001)]}}, "invalid"),
    ("an incident that is not there", {"close_incident": {"incident": (1 << 64) - 1}}, "notFound"),
    ("no deed", {}, "invalid"),
]


def test_a_command_beyond_its_bounds_is_refused_and_changes_nothing(suite, operator):
    with suite.undisturbed(grows=160 * MiB):
        before, gate = suite.counters("control"), suite.status()["gate"]
        for what, deed, refusal in BEYOND:
            heard = operator.ask("command", suite.sign(**deed))
            assert heard.code == Refusal[refusal], (what, heard)
            assert suite.status()["gate"] == gate, f"{what}: the gate has not moved"
        for length in (0, 1, 15, 31, 33, 100_000):
            heard = operator.ask("command", body("command", statement=b"sluice command v1\n", signature=bytes(64), key=bytes(length)))
            assert heard.code == Refusal.malformed, (f"a key id of {length} bytes", heard)
            assert suite.status()["gate"] == gate, f"a key id of {length} bytes: the gate has not moved"
        counted(suite, "control", "invalid", before)
        counted(suite, "control", "not-found", before)
        # The control: a command like them, within its bounds, is done, and seen in the gate.
        done = operator.ask("command", suite.sign(pause={"reason": "x" * 2_000, "direction": 2, "selector": {"readers": ["r" * 200]}}))
        assert done.kind == "outcome" and suite.status()["gate"] != gate, done
        suite.resume()


def test_a_command_sent_twice_is_done_once(suite, operator, guest):
    with suite.undisturbed(rounds=1):
        again = suite.sign(pause={"reason": "once", "selector": {"readers": ["nobody-reads"]}, "direction": 2})
        first = operator.ask("command", again)
        assert first.kind == "outcome", first
        second = operator.ask("command", again)
        newcomer = guest("control")
        third = newcomer.ask("command", again)
        assert first.body == second.body == third.body
        # What went to a connection that is gone is lost: who asks again is shown the pause to its end, too.
        certificate = newcomer.expect("certificate").body
        assert certificate.complete and certificate.epoch == first.body.epoch
        assert len(suite.status()["gate"]["closures"]) == 1
        lifting = suite.sign(resume={"reason": "once", "closures": [first.body.epoch]}, index=suite.newest())
        operator.send("command", lifting).send("command", lifting)
        proposed = operator.answer()
        assert proposed.kind == "outcome" and proposed.body.proposal.state == "open", proposed
        approval = suite.approve(proposed.body.proposal, suite.newest())
        operator.send("command", approval).send("command", approval)
        lifted = operator.expect("outcome", where=lambda heard: heard.body.proposal.state == "applied")
        assert len(lifted.body.lifted) == 1
        assert not suite.status()["gate"].get("closures")
        # The control: signed again it is another command.
        fresh = guest("control")
        assert fresh.ask("command", suite.sign(resume={"reason": "once", "closures": [first.body.epoch]}, index=suite.newest())).code == Refusal.notFound


def test_a_question_that_control_cannot_answer_is_refused(suite, operator):
    for question, refusal in (({}, "invalid"), ({"deliveries": {}}, "invalid"), ({"certificate": 0}, "notFound"), ({"certificate": 1 << 40}, "notFound")):
        assert operator.ask("query", body("query", **question)).code == Refusal[refusal], question
        assert works("control", operator), question


# Readers


REQUESTS = [
    ("a class that is not there", {"classes": ["gossip"]}, "denied"),
    ("the class that is never stored", {"classes": ["credential"]}, "denied"),
    ("no class", {"classes": []}, "invalid"),
    ("no purpose", {"purpose": ""}, "invalid"),
    ("a long purpose", {"purpose": "p" * 201}, "invalid"),
    ("no justification", {"justification": ""}, "invalid"),
    ("a long justification", {"justification": "j" * 2_001}, "invalid"),
    ("no id", {"id": b""}, "invalid"),
    ("an id too long", {"id": b"x" * 17}, "invalid"),
    ("a thousand and one values", {"subjects": [f"E{n}" for n in range(1_000)]}, "invalid"),
]


def test_a_release_request_beyond_its_bounds_is_refused_and_releases_nothing(suite, guest):
    suite.govern()
    with suite.undisturbed():
        before = suite.counters("policy")
        reader = guest("policy")
        for what, fields, refusal in REQUESTS:
            asked = {"id": nonce(), "purpose": "test", "justification": "a test", "classes": ["activity"], "credit": 1, **fields}
            heard = reader.ask("releaseRequest", body("releaseRequest", **asked))
            assert heard.code == Refusal[refusal], (what, heard)
        suite.expect_counted("policy", "reads.refused", before, len(REQUESTS))
        assert suite.counters("policy").get("releases", 0) == before.get("releases", 0)


def test_extreme_times_and_credits_release_what_is_there_or_nothing(suite, guest, agent):
    suite.govern()
    assert agent.ask("batch", *batch(new_stream(), 1)).kind == "stored"
    reader = guest("policy")
    for since, until, all_of_it in (
        (0, 0, True), (-(1 << 63), (1 << 63) - 1, True), ((1 << 63) - 1, -(1 << 63), False), (0, 1, False), ((1 << 63) - 1, 0, False)):
        asked = body("releaseRequest", id=nonce(), purpose="test", justification="a test", classes=["activity"], from_us=since,
                     until_us=until, credit=4_294_967_295)
        heard = reader.ask("releaseRequest", asked)
        assert heard.kind == "release", heard
        number = heard.body.release
        chunks = 0
        while (heard := reader.answer()).kind == "chunk":
            chunks += 1
            reader.send("credit", body("credit", release=number, chunks=4_294_967_295))
        assert heard.kind == "releaseEnded" and heard.body.code == 0 and heard.body.chunks == chunks
        assert (chunks > 0) == all_of_it, (since, until, chunks)
    # Credit for nobody's release, and for another's.
    for number in (0, 1, (1 << 64) - 1):
        reader.send("credit", body("credit", release=number, chunks=1))
    assert works("policy", reader)


def test_a_services_key_seals_control_once_and_then_takes_its_own_lease_alone(tmp_path):
    """What a service claims to know proves nothing; it stops everything until two operators have looked, and not again and again."""
    suite = Suite(tmp_path)
    thief = None
    try:
        thief = suite.peer("control", suite.keys_of("notify")).greet()

        def claim(epoch, **fields):
            asked = nonce()
            thief.send("renew", body("renew", nonce=asked, epoch=epoch, **fields))
            return thief.expect("grant", where=lambda heard: heard.body.nonce == asked).body

        assert claim(1 << 40).lease_ms == 0
        # The control: the first time it is believed.
        sealed = suite.status()["gate"].get("sealed") or ""
        assert f"notify knows epoch {1 << 40}" in sealed, sealed
        suite.approved("resume", "--unseal", "--reason", "that was no service of ours")
        assert not suite.status()["gate"].get("sealed")
        for number in range(1, 11):
            assert claim((1 << 41) + number).lease_ms == 0
            assert claim(0, entries=number << 41).lease_ms == 0
            assert claim(0, closures=[number << 41]).lease_ms == 0
        status = suite.status()
        assert not status["gate"].get("sealed") and int(status["counters"]["claims.refused"]) >= 1
        # Everybody else goes on, and so does the service itself when it claims nothing.
        wait_until(lambda: {s["name"] for s in suite.status()["services"] if s.get("connected")} >= {"ingest", "policy"}, "they hold leases")
        assert claim(int(status["gate"]["epoch"])).lease_ms > 0
    finally:
        if thief:
            thief.close()
        suite.close()
