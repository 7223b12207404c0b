"""Real telemetry reaches the vault: what was recorded is what is stored."""

import gzip
import json
import os
import signal
from pathlib import Path

import pytest
from checks import differences, nanoseconds, streams
from harness import rfc3339, wait_until
from harness.processes import ROOT

DATA = Path(os.environ.get("SLUICE_DATA") or ROOT.parent / "shared" / "data") / "pointer"
SECONDS = int(os.environ.get("SLUICE_PLAYED", "15"))


def recording(path):
    with gzip.open(path) as file:
        return [json.loads(line) for line in file]


@pytest.mark.limit(400)
def test_ten_recorded_sessions_arrive_event_for_event_though_policy_is_killed_twice(make_suite):
    files = sorted(DATA.glob("user*.ndjson.gz"))
    if len(files) != 10:
        pytest.skip(f"the ten recordings are not in {DATA}; name their folder with SLUICE_DATA")
    suite = make_suite(lease_ms=3000)
    recorded, speeds, agents = {}, {}, {}
    for file in files:
        name = file.name.split(".")[0]
        events = recorded[name] = recording(file)
        # Every one takes about as long, however long it was.
        speeds[name] = round((nanoseconds(events[-1]["at"]) - nanoseconds(events[0]["at"])) / 1e9 / SECONDS)
        agents[name] = suite.agent(name, subject=name)
    for name, agent in agents.items():
        agent.replay(DATA / f"{name}.ndjson.gz", speeds[name], "--drain", "120")

    total = sum(len(events) for events in recorded.values())
    for part in (4, 2):
        wait_until(lambda: suite.vault_count() > total // part, f"a {part}th of all events is stored", within=120)
        suite.restart("policy")

    for name, agent in agents.items():
        assert agent.process.wait(180) == 0, agent.process.said
    stored = streams(suite.vault_events(classes=("activity",)))
    assert set(stored) == set(recorded)
    for name, events in recorded.items():
        # A tape stands still while its lease has ended; an agent counts when it was refused for that.
        refused = sum(agents[name].status["refused"].values())
        assert differences(events, stored[name], speeds[name], pieces=1 + refused) == []
    assert suite.vault("SELECT SUM(lost) FROM stream") == [(0,)]
    assert suite.vault("SELECT events FROM total") == [(total,)]

    # Controls: the comparison sees one event less, one twice, two that changed places, a changed coordinate and a shifted time.
    name = "user21"
    events, good = recorded[name], stored[name]
    speed = speeds[name]
    assert differences(events, good[:-1], speed)
    assert differences(events, good[:100] + [good[99]] + good[100:], speed)
    other = next(i for i in range(100, len(good)) if {**good[i], "at": 0} != {**good[i + 1], "at": 0})
    assert differences(events, good[:other] + [good[other + 1], good[other]] + good[other + 2:], speed, pieces=9)
    assert differences(events, good[:50] + [{**good[50], "x": good[50]["x"] + 1}] + good[51:], speed)
    late = nanoseconds(good[60]["at"]) + 2_000_000
    assert differences(events, good[:60] + [{**good[60], "at": rfc3339(late)}] + good[61:], speed)


def looped(events, round):
    """Why `events`, in the order of their stream, are not rounds of `round`, one after the other and each later than the one before; [] if they are."""
    wrong = [f"event {n} is {e['key']}" for n, e in enumerate(events) if e["key"] != round[n % len(round)]]
    times = [nanoseconds(e["at"]) for e in events]
    return wrong + [f"event {n} is not later than the one before it" for n in range(1, len(times)) if times[n] <= times[n - 1]]


def test_a_recording_that_loops_goes_on_past_its_end_until_it_is_interrupted_and_each_event_is_stored_once(make_suite, tmp_path):
    suite = make_suite(lease_ms=3000)
    names = [f"k{n}" for n in range(40)]
    tape = tmp_path / "tape.ndjson.gz"
    with gzip.open(tape, "wt") as file:
        for number, name in enumerate(names):
            file.write(json.dumps({"at": rfc3339(1_700_000_000_000_000_000 + number * 20_000_000), "kind": "key", "action": "down", "key": name}) + "\n")
    looping, once = suite.agent("ann", "E1"), suite.agent("bob", "E2")
    looping.replay(tape, 4, "--loop")
    once.replay(tape, 4)
    # The control: without --loop it ends by itself, with the tape.
    assert once.process.wait(60) == 0, once.process.said
    stored = lambda: suite.vault("SELECT COALESCE(SUM(count), 0), COUNT(*) FROM segment WHERE subject = 'E1'")[0]
    wait_until(lambda: stored() > (3 * len(names), 3), "it goes on past the end of the file, again and again")
    assert looping.process.is_running
    looping.process.signal(signal.SIGINT)
    assert looping.process.wait() == 0, looping.process.said
    accepted = looping.status["accepted"]
    # What it had not sent yet goes out with the next run.
    looping.run().expect(capturing=True).expect_drained()
    lines = suite.vault_events(classes=("activity",))
    assert [line["event"]["key"] for line in lines if line["subject"] == "E2"] == names
    lines = [line for line in lines if line["subject"] == "E1"]
    sequences = sorted({(line["stream"], line["sequence"]) for line in lines})
    assert len({stream for stream, _ in sequences}) == 1, "one stream, whatever the tape does"
    assert [number for _, number in sequences] == list(range(1, len(sequences) + 1)), "the sequence goes on from round to round"
    events = streams(lines)["E1"]
    assert len(events) == accepted and looped(events, names) == []
    assert suite.vault("SELECT COALESCE(SUM(lost), 0) FROM stream") == [(0,)]
    # Controls: one twice, one missing, a round that begins in the middle.
    for other in (events[:50] + events[49:], events[:50] + events[51:], events[:60] + events[65:]):
        assert looped(other, names)
