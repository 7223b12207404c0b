"""Sluice as seen by somebody who has nothing but the contract: Shared/Wire/SPEC.md and the .proto files."""

import gzip
import json
import os
import random
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

import columns
import ops
import reader
import sealing
import wire
from agent import CLASSES, Agent, Permits, Stream
from wire import MILLISECOND, SECOND

POINTER = sorted((Path(__file__).resolve().parents[3] / "shared" / "data" / "pointer").glob("*.ndjson.gz"))
EXAMPLE_EVENTS = [columns.from_line(line) for line in (
    '{"at":"2026-11-23T08:00:00.500Z","kind":"window","app":"Editor","title":"notes.txt","duration":2}',
    '{"at":"2026-11-23T08:00:00.250Z","kind":"pointer","action":"move","x":640,"y":400}',
    '{"at":"2026-11-23T08:00:00.300Z","kind":"pointer","action":"scroll","x":642,"y":399,"dy":-3}',
    '{"at":"2026-11-23T08:00:01.000Z","kind":"key","action":"down","key":"a"}')]
EXAMPLE_COLUMNS = bytes.fromhex("""
    08 01 10 c0 84 3d 1a 07 f4 03 f3 03 64 f8 0a 22 04 03 01 01 02 2a 05 d1 0f 00 00 00 32 02 01 05 3a 03 80 0a 04 42 03 a0 06 01
    5a 01 06 62 01 01 6a 01 03 72 03 01 02 00 8a 01 06 45 64 69 74 6f 72 8a 01 09 6e 6f 74 65 73 2e 74 78 74 8a 01 01 61""")
EXAMPLE_PACKED = b"\x28\xb5\x2f\xfd\x20\x51\x89\x02\x00" + EXAMPLE_COLUMNS
EXAMPLE_FRAME = bytes.fromhex("""
    53 4c 01 10 0a 32
    09 88 77 66 55 44 33 22 11 10 01 22 08 61 63 74 69 76 69 74 79 28 80 e5 fe e9 c8 b6 a7 f5 18
    30 80 f2 ef 9a d1 b6 a7 f5 18 38 04 40 07 48 9b 01 50 51
    10 01""")
EXAMPLE_SEALED = bytes.fromhex("""
    019574093a4c9dece1358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd16625436f8c764c1c084
    45aae4a600a8a4418470386a0e76c9740afbd5698a09187dbdf7bedbaf039c072d00697fc12ad3e3b24fe6097bfc4ece
    635534829382699a84ad483b3b0323c284c189409672e67b55c298d1020ab5dc9831ef87f37528d23c70d7103dd9cfea
    2bf12cfaf5bd297b04a760""")
VAULT, EPHEMERAL, ORIGIN = bytes(range(32)), bytes(range(32, 64)), "sluice.example/governance"


# The format

def test_the_worked_example_is_opened_and_decoded_to_its_events():
    kind, body, payload = wire.parse([EXAMPLE_FRAME, EXAMPLE_SEALED])
    header = wire.capture.BatchHeader.FromString(body.header)
    assert (kind, body.oldest, header.stream, getattr(header, "class"), header.payload_bytes) == ("batch", 1, 0x1122334455667788, "activity", len(payload))
    packed = sealing.Opener(ORIGIN, VAULT).open(payload, "agent-7", header.stream, header.sequence, body.header)
    assert packed == EXAMPLE_PACKED
    content = columns.decompress(packed, header.columns_bytes)
    assert columns.decode(content, header.first_ns, header.last_ns, header.count) == EXAMPLE_EVENTS


def test_the_worked_example_is_encoded_and_sealed_to_its_bytes():
    content, first, last = columns.encode(EXAMPLE_EVENTS)
    packed = columns.compress(content)
    assert (content, packed) == (EXAMPLE_COLUMNS, EXAMPLE_PACKED)
    header = wire.capture.BatchHeader(
        stream=0x1122334455667788, sequence=1, first_ns=first, last_ns=last, count=4, epoch=7, payload_bytes=len(packed) + sealing.OVERHEAD,
        columns_bytes=len(content), **{"class": "activity"}).SerializeToString()
    public = sealing.raw(X25519PrivateKey.from_private_bytes(VAULT).public_key())
    sealed = sealing.Sealer(public, ORIGIN, "agent-7", EPHEMERAL).seal(packed, 0x1122334455667788, 1, header)
    assert wire.frames("batch", sealed, header=header, oldest=1) == [EXAMPLE_FRAME, EXAMPLE_SEALED]


def test_any_events_survive_columns():
    chance = random.Random(7)
    for unit in (1, 1_000, 1_000_000):
        events = events_of_every_kind(1_795_420_800 * SECOND, 300 * unit, 500, chance)
        assert columns.decode(*columns.encode(events), len(events)) == events


def test_columns_with_an_unknown_field_or_an_unused_string_are_refused_whole():
    content, first, last = columns.encode(EXAMPLE_EVENTS)
    for extra in (b"\x98\x06\x01", b"\x8a\x01\x01z"):
        with pytest.raises(columns.Unreadable):
            columns.decode(content + extra, first, last, 4)


# Leases and permits

class Clocks:
    def __init__(self):
        self.wall, self.continuous = 1_795_420_800 * SECOND, 1_000 * SECOND

    def forward(self, seconds):
        self.wall += int(seconds * SECOND)
        self.continuous += int(seconds * SECOND)

    def key(self, ago=0.0, duration=None):
        event = {"at": self.wall - int(ago * SECOND), "kind": "key", "action": "down", "key": "a"}
        return event if duration is None else {**event, "duration": int(duration * SECOND)}


def permits_at(epoch=5, classes=("activity", "content"), lease_ms=3000):
    clocks = Clocks()
    p = Permits(wall=lambda: clocks.wall, continuous=lambda: clocks.continuous)
    p.grant(grant(p.ask(), epoch, classes, lease_ms))
    return clocks, p


def permit(epoch, classes):
    return wire.gate.Permit(epoch=epoch, classes=classes)


def grant(nonce, epoch, classes, lease_ms=3000):
    return wire.session.Grant(nonce=nonce, lease_ms=lease_ms, permit=permit(epoch, classes))


def test_a_push_takes_away_and_never_adds():
    clocks, p = permits_at()
    assert p.narrow(permit(6, ["activity", "review"])) == 6
    assert p.classes == {"activity"}
    assert p.narrow(permit(6, CLASSES)) == 6
    assert p.classes == {"activity"}
    clocks.forward(3)
    p.narrow(permit(7, CLASSES))
    assert p.why_not(clocks.key()) == "no-lease"


def test_an_older_push_changes_nothing_and_is_answered_with_the_highest_epoch():
    _, p = permits_at()
    assert p.narrow(permit(4, [])) == 5
    assert p.classes == {"activity", "content"}


def test_only_the_answer_to_the_newest_request_counts_and_only_once():
    clocks, p = permits_at(classes=[])
    old, new = p.ask(), p.ask()
    for nonce in (old, os.urandom(16), b""):
        p.grant(grant(nonce, 6, CLASSES))
        assert not p.classes and p.epoch == 5
    assert p.grant(grant(new, 6, ["activity"]))
    assert not p.grant(grant(new, 7, CLASSES))
    assert p.classes == {"activity"} and p.why_not(clocks.key()) is None


def test_a_grant_of_an_older_epoch_or_without_a_permit_is_no_grant():
    clocks, p = permits_at()
    clocks.forward(2)
    p.grant(grant(p.ask(), 4, CLASSES))
    p.grant(wire.session.Grant(nonce=p.ask(), lease_ms=3000))
    assert p.classes == {"activity", "content"}
    clocks.forward(1)
    assert p.why_not(clocks.key()) == "no-lease"


def test_a_lease_is_counted_from_sending():
    clocks, p = permits_at()
    nonce = p.ask()
    clocks.forward(2)
    p.grant(grant(nonce, 5, CLASSES))
    clocks.forward(0.999)
    assert p.why_not(clocks.key()) is None
    clocks.forward(0.001)
    assert p.why_not(clocks.key()) == "no-lease"


def test_an_answer_after_its_own_end_is_a_narrowing():
    clocks, p = permits_at()
    nonce = p.ask()
    clocks.forward(1)
    p.grant(grant(nonce, 6, ["activity", "review"], lease_ms=500))
    assert p.classes == {"activity"} and p.why_not(clocks.key()) is None
    clocks.forward(2)
    assert p.why_not(clocks.key()) == "no-lease"


def test_a_grant_of_no_time_ends_the_lease():
    clocks, p = permits_at()
    p.grant(grant(p.ask(), 6, CLASSES, lease_ms=0))
    assert p.classes == {"activity", "content"} and p.why_not(clocks.key()) == "no-lease"


def test_an_interval_ends_with_the_lease_also_if_that_is_noticed_hours_later():
    clocks, p = permits_at()
    clocks.forward(7200)
    p.grant(grant(p.ask(), 5, CLASSES))
    assert p.why_not(clocks.key(ago=7199)) is None
    assert p.why_not(clocks.key(ago=7196.9)) == "outside-interval"
    assert p.why_not(clocks.key(ago=7198, duration=7198)) == "outside-interval"


def test_what_lies_in_a_closure_or_touches_it_is_refused_for_ever():
    clocks, p = permits_at()
    clocks.forward(1)
    p.narrow(permit(6, ["content"]))
    assert p.why_not(clocks.key()) == "closed"
    clocks.forward(1)
    p.grant(grant(p.ask(), 7, CLASSES))
    clocks.forward(1)
    assert p.why_not(clocks.key(ago=2.5)) is None
    assert p.why_not(clocks.key(ago=1.5)) == "outside-interval"
    assert p.why_not(clocks.key(ago=2.5, duration=2.5)) == "outside-interval"
    assert p.why_not(clocks.key(ago=0.5, duration=0.5)) is None
    assert p.why_not(clocks.key(ago=0.5, duration=0.6)) == "future"


def test_a_wall_clock_set_back_cuts_every_interval():
    clocks, p = permits_at()
    clocks.forward(1)
    p.look()
    clocks.wall -= 600 * MILLISECOND
    assert p.why_not(clocks.key(ago=0.1)) is None
    start = p.intervals["activity"]
    assert [b for _, b in start][0] == clocks.wall and p.why_not(clocks.key()) is None


def test_after_a_crash_an_interval_ends_at_the_last_saved_point_and_there_is_no_lease():
    clocks, p = permits_at()
    clocks.forward(1)
    p.look()
    saved = json.loads(json.dumps(p.intervals))
    clocks.forward(1)
    q = Permits(p.epoch, saved, wall=lambda: clocks.wall, continuous=lambda: clocks.continuous)
    assert q.why_not(clocks.key()) == "no-lease"
    q.grant(grant(q.ask(), 5, CLASSES))
    assert q.why_not(clocks.key(ago=1.5)) is None
    assert q.why_not(clocks.key(ago=0.5)) == "outside-interval"


def test_after_a_batch_set_aside_the_next_is_sent_once_all_before_it_is_stored():
    s = Stream("activity", 1, [4, 5, 7, 8])
    assert s.to_send(0, 8, 3) == [4, 5]
    s.held, s.next = [7, 8], 6
    assert s.to_send(0, 8, 3) == [7, 8]
    assert s.to_send(0, 1, 3) == [7]


# The suite

@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    s = ops.Suite(tmp_path_factory.mktemp("suite") / "home")
    try:
        s.until_ready()
        yield s
    finally:
        s.stop()


@pytest.fixture
def agent(suite, tmp_path):
    """Makes registered, started agents, each of a subject of its own; lifts every closure afterwards."""
    made = []

    def make(name, kind=Agent, register=True, folder=None):
        anchors = json.loads((suite.home / "registry.json").read_text())["anchors"]
        a = kind(folder or tmp_path / name, suite.endpoint("ingest"), suite.key("ingest"), name, anchors["control"])
        made.append(a)
        if register:
            suite.approved("register", name, "--subject", "S-" + name, "--site", "oslo", "--team", "reef", f"--key={a.public_key}")
        a.start()
        assert a.wait(lambda: all(map(a.may_capture, CLASSES)), 30), f"{name} may not capture: {a.seen}"
        return a

    yield make
    try:
        ops.until(lambda: suite.approved("resume", "--all", "--reason", "test over", check=False).returncode == 0
                  or not json.loads(suite.run("closures", "--json").stdout).get("closures"), 20, "nothing is closed")
    finally:
        for a in made:
            print(a.name, dict(a.seen), dict(a.refused))
            if a.ending is None:
                a.stop()


def events_of_every_kind(start, step, count, chance=random):
    """Events `step` ns apart; some last a while, never beyond the last one's time."""
    words = ["å", "naïve ☃", "", "x" * 300, "Enter"]

    def optional(value):
        return value if chance.random() < 0.5 else None

    events = []
    for i in range(count):
        e = [lambda: {"kind": "pointer", "action": chance.choice(["move", "drag", "down", "up"]), "x": chance.randint(-2**31, 2**31 - 1),
                      "y": chance.randint(0, 2000), "button": optional("left")},
             lambda: {"kind": "pointer", "action": "scroll", "x": 5, "y": -6, "dx": optional(chance.randint(-2**31, 2**31 - 1)),
                      "dy": optional(-3)},
             lambda: {"kind": "key", "action": chance.choice(["down", "up"]), "key": chance.choice(words)},
             lambda: {"kind": "window", "app": "Editor", "title": chance.choice(words), "url": optional("https://example.org/ø")},
             lambda: {"kind": "presence", "status": chance.choice(["active", "away"])},
             lambda: {"kind": "text", "source": chance.choice(list(columns.SOURCE)), "text": chance.choice(words) + str(i),
                      "app": optional("Mail"), "label": optional("label")}][i % 6]()
        e = {"at": start + i * step, **{k: v for k, v in e.items() if v is not None}}
        if chance.random() < 0.3:
            e["duration"] = chance.randint(0, min(10, count - 1 - i)) * step
        events.append(e)
    return events


def recent_events(a, count):
    """Events in the open interval, the last of them a while ago: no measured clock offset puts them elsewhere."""
    def begun():
        with a.lock:
            a.permits.look()
            return all(a.permits.intervals[c][-1][0] < wire.wall() - 800 * MILLISECOND for c in CLASSES)
    assert a.wait(begun, 10)
    return events_of_every_kind(wire.wall() - 700 * MILLISECOND, 300 * MILLISECOND // count, count)


def by_class(events):
    found = {}
    for e in events:
        found.setdefault(columns.class_of(e), []).append(json.dumps(e, sort_keys=True))
    return {c: sorted(lines) for c, lines in found.items()}


def how_stopped(certificate):
    return {n["node"]: n["how"] for n in certificate["agents"]}


def vault(suite, a):
    """What is stored of an agent: the same by the command line and by our own reader, each event once and under its class."""
    subject = "S-" + a.name
    words = [w for c in CLASSES for w in ("--class", c)]
    lines = suite.run("read", "--purpose", "t", "--why", "t", "--origin", "--subject", subject, *words).stdout.splitlines()
    told = [json.loads(line, parse_float=Decimal) for line in lines]
    assert all(t["subject"] == subject and t["class"] == columns.class_of(t["event"]) for t in told)
    with suite.peer("policy") as peer:
        released = list(reader.read(peer, CLASSES, subjects=[subject], credit=2))
    assert all(o.subject == subject and getattr(o, "class") == columns.class_of(e) for o, e in released)
    found = by_class(e for _, e in released)
    assert found == by_class(columns.from_object(t["event"]) for t in told)
    return found


def test_an_agent_joins_and_every_event_of_every_kind_arrives_once(suite, agent):
    a = agent("all-kinds")
    events = recent_events(a, 5_000)
    assert a.publish(*events) == len(events), a.refused
    assert a.wait(a.is_drained, 30), a.seen
    found = vault(suite, a)
    assert set(found) == set(CLASSES) and found == by_class(events)
    assert suite.agent_states("S-all-kinds") == {"all-kinds": "current"}


@pytest.mark.skipif(not POINTER, reason="the recordings are not here")
def test_a_recorded_session_arrives_event_for_event(suite, agent):
    a = agent("recorded")
    with gzip.open(POINTER[0], "rt") as f:
        recorded = [columns.from_line(f.readline()) for _ in range(3_000)]
    assert a.wait(lambda: a.seen["grant"] >= 4, 20)  # An open interval of some seconds, for the recording to lie in.
    start, last = wire.wall() - 1_500 * MILLISECOND, recorded[-1]["at"] - recorded[0]["at"]
    events = [{**e, "at": start + (e["at"] - recorded[0]["at"]) * SECOND // last} for e in recorded]
    assert a.publish(*events) == 3_000, a.refused
    assert a.wait(a.is_drained, 30), a.seen
    assert vault(suite, a) == by_class(events)


def test_a_pause_of_everything_is_obeyed_and_acknowledged(suite, agent):
    a = agent("paused")
    before = recent_events(a, 60)
    with a.lock:  # Sealed before the pause, and not sent yet.
        assert a.publish(*before) == len(before)
        a.seal()
        for s in a.streams.values():
            s.not_before = wire.continuous() + 3600 * SECOND
    _, certificate = suite.pause("--all", "--reason", "x")
    assert certificate["complete"]
    assert how_stopped(certificate)["paused"] == "STOP_HOW_ACKNOWLEDGED"

    inside = events_of_every_kind(wire.wall(), 1, 30)
    assert a.publish(*inside) == 0 and a.refused == {"closed": 30}
    sent, grants = a.seen["batches sent"], a.seen["grant"]
    with a.lock:
        for s in a.streams.values():
            s.not_before = 0
    assert a.wait(lambda: a.seen["grant"] >= grants + 2, 15), "it goes on renewing"
    assert a.seen["batches sent"] == sent and not a.is_drained(), "what was sealed waits"
    assert a.publish(*events_of_every_kind(wire.wall(), 1, 30)) == 0
    with suite.peer("policy") as peer, pytest.raises(reader.Refused) as refusal:
        list(reader.read(peer, CLASSES))
    assert refusal.value.code == wire.PAUSED

    suite.approved("resume", "--all", "--reason", "y")
    assert a.wait(lambda: a.may_capture("activity"), 15)
    assert a.publish(*inside) == 0 and a.refused == {"closed": 60, "outside-interval": 30}
    after = recent_events(a, 60)
    assert a.publish(*after) == len(after), a.refused
    assert a.wait(a.is_drained, 30), a.seen
    assert vault(suite, a) == by_class(before + after)


def test_policy_drops_what_a_cheating_agent_stamps_inside_a_closure(suite, agent):
    a = agent("cheat")
    suite.pause("--all", "--reason", "x")
    begin = wire.wall()
    assert a.wait(lambda: wire.wall() > begin + 900 * MILLISECOND, 10)
    suite.approved("resume", "--all", "--reason", "y")
    assert a.wait(lambda: a.may_capture("activity"), 15)
    honest = recent_events(a, 30)
    with a.lock:
        for e in events_of_every_kind(begin + 400 * MILLISECOND, 1, 30) + honest:
            a._add(columns.class_of(e), e)
    assert a.wait(a.is_drained, 30), a.seen
    assert vault(suite, a) == by_class(honest)


def test_a_pause_of_one_class_narrows_to_the_others(suite, agent):
    a = agent("one-class")
    begin = recent_events(a, 60)
    assert a.publish(*begin) == 60
    _, certificate = suite.pause("--class", "conversation", "--capture-only", "--subject", "S-one-class", "--reason", "x")
    assert certificate["complete"] and [n["how"] for n in certificate["agents"]] == ["STOP_HOW_ACKNOWLEDGED"]
    assert [c for c in CLASSES if a.may_capture(c)] == ["activity", "content", "review"]
    during = recent_events_of(a, ["activity", "content", "review"])
    assert a.publish(*during) == len(during)
    chat = {"at": wire.wall(), "kind": "text", "source": "chat", "text": "no"}
    assert a.publish(chat) == 0
    assert a.wait(lambda: not any(s.held for s in a.streams.values() if s.class_ != "conversation") and not a.open_batches, 30), a.seen
    suite.approved("resume", "--all", "--reason", "y")
    assert a.wait(lambda: a.may_capture("conversation"), 15)
    assert a.publish(chat) == 0 and a.refused == {"closed": 1, "outside-interval": 1}
    assert a.wait(a.is_drained, 30), a.seen
    assert vault(suite, a) == by_class(begin + during)


def recent_events_of(a, classes):
    start = wire.wall() - 20 * MILLISECOND
    return [e for e in events_of_every_kind(start, 1_000, 60) if columns.class_of(e) in classes]


def keep_publishing(a, until, seconds, what):
    """Publishes until the condition holds; gives what was accepted."""
    published = []

    def round_():
        for e in events_of_every_kind(wire.wall() - MILLISECOND, 1, 24):
            if a.publish(e):
                published.append(e)
        a.seal()
        return until()

    ops.until(round_, seconds, what, every=0.1)
    return published


def test_nothing_is_lost_or_doubled_when_policy_is_killed_and_restarted(suite, agent):
    a = agent("policy-killed")
    published = keep_publishing(a, lambda: a.seen["stored"] >= 8, 30, "some batches are stored")
    old = suite.kill("policy")
    published += keep_publishing(a, lambda: suite.pid("policy") not in (None, old), 30, "policy runs again")
    stored = a.seen["stored"]
    published += keep_publishing(a, lambda: a.seen["stored"] >= stored + 8, 40, "batches are stored again")
    assert a.wait(a.is_drained, 40), a.seen
    assert not a.spool.aside()
    assert vault(suite, a) == by_class(published)


def test_an_agent_comes_back_by_itself_when_ingest_is_killed(suite, agent):
    a = agent("ingest-killed")
    published = keep_publishing(a, lambda: a.seen["stored"] >= 4, 30, "some batches are stored")
    welcomes = a.seen["welcome"]
    old = suite.kill("ingest")
    published += keep_publishing(a, lambda: a.seen["welcome"] > welcomes and a.may_capture("activity"), 45, "it is welcomed again")
    assert suite.pid("ingest") not in (None, old)
    published += keep_publishing(a, lambda: len(published) > 100, 30, "more is accepted")
    assert a.wait(a.is_drained, 40), a.seen
    assert not a.spool.aside()
    assert vault(suite, a) == by_class(published)


def test_an_agent_that_crashed_takes_up_its_spool(suite, agent, tmp_path):
    a = agent("crashed")
    events = recent_events(a, 60)
    with a.lock:
        assert a.publish(*events) == 60
        a.seal()
        for s in a.streams.values():
            s.not_before = wire.continuous() + 3600 * SECOND
    a.stop(crash=True)
    b = agent("crashed", register=False, folder=tmp_path / "crashed")
    assert b.wait(b.is_drained, 30), b.seen
    assert vault(suite, b) == by_class(events)


def test_an_agent_that_said_goodbye_is_gone_at_once(suite, agent):
    a = agent("goodbye")
    ops.until(lambda: suite.agent_states("S-goodbye") == {"goodbye": "current"}, 10, "it is current")
    a.stop()
    seen = []

    def is_absent():
        seen.append(suite.agent_states("S-goodbye")["goodbye"])
        return seen[-1] == "absent"

    ops.until(is_absent, 20, "it is absent")
    assert "silent" not in seen, "without a goodbye it is silent from L to 4 L"


# Negative controls

class Mute(Agent):
    """Renews, but never says that it has stopped."""

    def _receipt(self):
        pass

    def _acted_under(self):
        return 0


class Hung(Agent):
    """Can be made to hang: its thread does nothing any more, while others go on capturing."""

    def __init__(self, *words, **more):
        super().__init__(*words, **more)
        self.runs = threading.Event()
        self.runs.set()

    def _receive(self):
        self.runs.wait(60)
        super()._receive()


@pytest.mark.parametrize("kind", [Mute, Hung])
def test_an_agent_without_receipts_is_silent_and_stopped_by_its_lease(suite, agent, kind):
    name = kind.__name__.lower()
    good, bad = agent(f"beside-{name}"), agent(name, kind)
    if kind is Hung:
        bad.runs.clear()
    progress, certificate = suite.pause("--subject", f"S-{good.name}", "--subject", f"S-{name}", "--reason", "x")
    refused = bad.publish({"at": wire.wall(), "kind": "key", "action": "down", "key": "a"}) == 0
    assert refused, "the certificate says that it has stopped"
    if kind is Hung:
        assert bad.refused == {"no-lease": 1}
        bad.runs.set()
    stops = {n["node"]: n for n in certificate["agents"]}
    assert how_stopped(certificate) == {good.name: "STOP_HOW_ACKNOWLEDGED", name: "STOP_HOW_LEASE_ENDED"}
    assert certificate["complete"]
    assert any(p.get("silent") == 1 for p in progress), json.dumps([progress[1:3], progress[-1], certificate])
    limit_us = certificate["lease_ms"] * 1_002 + 1_000_000
    assert stops[good.name]["after_us"] < stops[name]["after_us"] <= certificate["complete_after_us"] <= limit_us
