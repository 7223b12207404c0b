"""What comes slowly is found all the same: half of it before policy was killed, by who reads one release all day, or planted while it is read."""

import contextlib
import sqlite3
import time

import pytest
from harness import Shim, wait_until
from harness.agent import key, text
from test_findings import RULES, begin, closed, counters, found, limited, reviewed  # noqa: F401 - a fixture
from test_releases import Stream, apply, entries, read

PAUSED = 16
KEYS, WINDOWS, POINTERS = ({"class": "review", "kind": [kind]} for kind in ("key", "window", "pointer"))


def drifted(suite):
    """Minute and events of each row that policy has written down, on its disk."""
    with contextlib.closing(sqlite3.connect(f"file:{suite.home}/policy/vault.sqlite?mode=ro", uri=True, timeout=10)) as database:
        return database.execute("SELECT minute, events FROM drift ORDER BY minute").fetchall()


def number_of(rows):
    return sum(events for _, events in rows)


def begin_drifting(suite, limit):
    """Two keys, a window and a pointer lie under a class that rules may find to be higher.

    :returns: what makes such rules, under a limit on drift.
    """
    wait_until(lambda: suite.vault_count() == 3, "what was sent before is stored")
    bob = suite.agents["bob"]
    index = suite.service_status("policy")["gauges"]["policy.document"]
    wait_until(lambda: bob.fresh["policy"] == index, "the agent goes by the document")
    at = key("x")["at"]
    bob.send({"at": at, "kind": "window", "app": "Editor", "title": "a note"}, {"at": at, "kind": "pointer", "action": "move", "x": 41, "y": 42})
    wait_until(lambda: suite.vault_count() == 5, "they are stored")
    leaks = [{"detector": "drift", "close": "reading", "of": "class", "limit": {"events": limit, "per": "week"}}]
    return lambda *rules: apply(suite, {**limited(*suite.grants, leaks=leaks), "rules": [*rules, *RULES]})


def test_drift_of_which_half_came_before_policy_was_killed_is_found_and_just_short_of_it_is_not(reviewed):  # noqa: F811
    suite = reviewed
    put = begin_drifting(suite, 3)
    put(KEYS)
    wait_until(lambda: number_of(drifted(suite)) == 2, "two keys, on the disk")
    suite.restart("policy")
    put(KEYS, WINDOWS)
    wait_until(lambda: counters(suite).get("events.drifted", 0) == 1, "a window: three in all, and of these one in this process")
    assert counters(suite).get("findings.drift", 0) == 0 and closed(suite) == [], "at the limit"
    wait_until(lambda: number_of(drifted(suite)) == 3, "all three, on the disk")
    suite.restart("policy")
    put(KEYS, WINDOWS, POINTERS)
    wait_until(lambda: closed(suite), "and one more")
    assert closed(suite) == [("detector drift", {"classes": ["activity"]})]
    wait_until(lambda: counters(suite).get("events.drifted", 0), "what policy has counted is shown with its next report")
    assert counters(suite)["events.drifted"] == 1, "this process has seen no other"
    assert "4 events of class activity were of a higher class (review 4; in what is stored) within a week, and the limit is 3" in found(suite, "drift")[0]["text"]
    wait_until(lambda: drifted(suite) == [], "what was found is counted anew, after a restart too")


def test_drift_that_a_clock_which_was_ahead_has_written_down_counts_on_and_comes_back_to_the_present(make_suite, tmp_path):
    shim = Shim(tmp_path)
    suite = begin(make_suite())
    put = begin_drifting(suite, 3)
    suite.kill("policy")
    shim.ahead(wall_seconds=40 * 86_400)
    suite.start("policy", env=shim.env)
    put(KEYS)
    wait_until(lambda: number_of(drifted(suite)) == 2, "two keys, of a minute that has not come yet")
    suite.kill("policy")
    shim.ahead()
    present = time.time() // 60
    assert all(minute > present + 30 * 1_440 for minute, _ in drifted(suite))
    suite.start("policy", env=shim.env)
    put(KEYS, WINDOWS)
    wait_until(lambda: number_of(drifted(suite)) == 3, "a window")
    assert [minute > present + 30 * 1_440 for minute, _ in drifted(suite)].count(False) == 1, "a clock that has been right for a moment moves nothing"
    # What the time is goes on as in a suspend: half an hour later it is believed.
    shim.ahead(monotonic_seconds=1_900, boot_seconds=1_900, wall_seconds=1_900)
    wait_until(lambda: all(minute <= time.time() // 60 + 60 for minute, _ in drifted(suite)), "they are moved")
    assert number_of(drifted(suite)) == 3 and closed(suite) == []
    put(KEYS, WINDOWS, POINTERS)
    wait_until(lambda: closed(suite), "and one more")
    assert "4 events of class activity" in found(suite, "drift")[0]["text"]


@pytest.mark.parametrize("what", ["planted", "events"])
def test_whoever_is_planted_while_a_release_of_them_runs_is_found_and_the_release_ends(make_suite, what):
    # For as long as documents are approved nobody says that the reader is there.
    suite = begin(make_suite(lease_ms=10_000))
    lure = suite.agent("lure", "planted/lure").run().expect(capturing=True)
    lure.send(text("what nobody wrote", "review"))
    wait_until(lambda: suite.vault_count() == 4, "everything is stored")
    names = {"planted": ("activity", [["E9"], ["E2"]]), "events": ("review", [[{"subject": "planted/lure", "class": "activity"}], [{"subject": "planted/lure", "class": "review"}]])}
    name, (short, whole) = names[what]

    def plant(values):
        apply(suite, limited(*suite.grants, leaks=[{"detector": "canary", "close": "reading", "of": "reader", what: values}]))

    with contextlib.closing(Stream(suite, classes=(name,))) as stream:
        assert stream.take(), "one chunk, and there is another"
        plant(short)
        # Decided after what runs was looked at again.
        assert read(suite, "--subject", "E1", classes=(name,)).lines
        assert counters(suite).get("findings.canary", 0) == 0 and closed(suite) == [], "of nobody in it"
        plant(whole)
        assert not stream.take() and stream.ended.code == PAUSED, "it ends, and nothing was asked of it"
    assert "lure" not in stream.ended.text and "E2" not in stream.ended.text, "nor is who reads told who it is"
    wait_until(lambda: closed(suite), "it is found")
    assert closed(suite) == [("detector canary", {"readers": ["job"]})]
    words = {"planted": "E2", "events": "events of planted/lure, class review"}[what]
    assert f"job reads, or would have read, of {words}, planted" in found(suite, "canary")[0]["text"]


def test_who_reads_one_release_for_more_hours_than_they_may_is_found_while_it_runs(make_suite, tmp_path):
    suite = begin(make_suite(lease_ms=10_000))
    shim = Shim(tmp_path)
    # Five past, by policy's clock: no hour begins by itself meanwhile.
    hour = 3_900 - int(time.time()) % 3_600
    shim.ahead(wall_seconds=hour)
    suite.restart("policy", env=shim.env)
    apply(suite, limited(*suite.grants, leaks=[{"detector": "breadth", "close": "reading", "of": "reader", "limit": {"hours": 2, "per": "day"}}]))
    with contextlib.closing(Stream(suite)) as stream:
        assert stream.take(), "one chunk, and there is another"

        def looked():
            """In which hour, from the first on."""
            return suite.service_status("policy")["gauges"]["releases.hours.us"] // 3_600_000_000 - (int(time.time()) + hour) // 3_600

        wait_until(lambda: looked() == 0, "as it was opened")
        shim.ahead(wall_seconds=hour + 3_600)
        wait_until(lambda: looked() == 1, "the next hour has begun")
        assert counters(suite).get("findings.breadth", 0) == 0 and closed(suite) == [], "two hours, the limit"
        shim.ahead(wall_seconds=hour + 7_200)
        assert not stream.take() and stream.ended.code == PAUSED, "it ends, and nothing was asked of it"
    wait_until(lambda: closed(suite), "it is found")
    assert closed(suite) == [("detector breadth", {"readers": ["job"]})]
    assert "job has read in 3 hours of a day, and the limit is 2" in found(suite, "breadth")[0]["text"]


def test_who_reads_in_more_hours_of_a_day_than_on_any_before_is_found_and_in_as_many_is_not(make_suite, tmp_path):
    suite = begin(make_suite(lease_ms=10_000))
    shim = Shim(tmp_path)
    # Tomorrow at five past ten, by policy's clock: neither an hour nor a day begins by itself meanwhile.
    ten = 86_400 - int(time.time()) % 86_400 + 10 * 3_600 + 300

    def at(day, hour):
        shim.ahead(wall_seconds=ten + day * 86_400 + hour * 3_600)

    at(0, 0)
    suite.restart("policy", env=shim.env)
    wait_until(lambda: read(suite, "--subject", "E1", check=False).code == 0, "policy serves")
    for hour in range(1, 3):
        at(0, hour)
        assert read(suite, "--subject", "E1").lines
    # More than the least that is looked at, and a past of three hours.
    at(1, 0)
    apply(suite, limited(*suite.grants, leaks=[{"detector": "breadth", "close": "reading", "of": "reader", "past": {"times": 5, "least": 1_000, "hours": 1}}]))
    for hour in range(3):
        at(1, hour)
        assert read(suite, "--subject", "E1").lines, "in as many as the day before"
    wait_until(lambda: len(entries(suite, "ended")) == len(entries(suite, "opened")), "all have ended")
    assert counters(suite).get("findings.breadth", 0) == 0 and closed(suite) == []
    at(1, 3)
    outcome = read(suite, "--subject", "E1", check=False)
    assert outcome.code != 0 and outcome.out == "", "before it reads, and not after"
    wait_until(lambda: closed(suite), "it is found")
    assert closed(suite) == [("detector breadth", {"readers": ["job"]})]
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + ten))
    assert f"job would have read in 4 hours of a day: 3 at most on any of the 28 days before, last on {day}, and 1 is the limit" in found(suite, "breadth")[0]["text"]
