"""Real telemetry reaches the vault: what was recorded is what is stored."""

import gzip
import json
import os
from pathlib import Path

import pytest
from checks import differences, nanoseconds, streams
from harness import rfc3339, wait_until
from harness.processes import ROOT

DATA = Path(os.environ.get("SLUICE_DATA") or ROOT.parent / "shared" / "data") / "pointer"
SECONDS = 28


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
