"""Wall clocks that are set: a lease is counted on the clock that only goes on (FAULTS T01)."""

import os
import time

import pytest
from harness import missing, now_ns, wait_until
from harness.agent import key

SHIFTS = ["+3600", "-3600", "+86400"]


def faked(file):
    return {
        "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "LD_PRELOAD": next((p for p in LIBRARIES if os.path.exists(p)), ""),
    }


LIBRARIES = ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"]


def shift(file, seconds):
    # Whole, in one step: the library reads it at every call.
    part = file.with_suffix(".new")
    part.write_text(f"{seconds}\n")
    part.rename(file)


@pytest.fixture
def clock(tmp_path):
    missing("faketime")
    if not any(os.path.exists(p) for p in LIBRARIES):
        pytest.skip("libfaketimeMT is not where Debian has it")
    file = tmp_path / "clock"
    shift(file, "+0")
    return file


def wall_of(agent):
    return agent.status["atMicroseconds"] * 1000


def test_an_agent_whose_wall_clock_is_set_keeps_its_lease_and_stops_in_time(make_suite, clock):
    suite = make_suite(lease_ms=1500)
    agent = suite.agent("ann").run(env=faked(clock)).expect(capturing=True)
    agent.type("a-1")
    for seconds in SHIFTS:
        shift(clock, seconds)
        wait_until(lambda: abs(wall_of(agent) - now_ns() - int(seconds) * 1_000_000_000) < 60_000_000_000, "the clock has jumped")
        # Its lease goes on being renewed, and what happens now, by its own clock, is captured.
        wait_until(lambda: agent.status["classes"], "it goes on")
        before = agent.status["accepted"]

        def taken():
            agent.send(key("now", now_ns() + int(seconds) * 1_000_000_000 - 1_000_000))
            time.sleep(0.6)
            return agent.status["accepted"] > before

        wait_until(taken, f"events are taken with a clock {seconds} s off")
    # And silence still ends it.
    suite.kill("ingest")
    wait_until(lambda: agent.status["classes"] == [], "its lease ends as ever")
    before = agent.status["accepted"]
    agent.send(key("late", now_ns() + int(SHIFTS[-1]) * 1_000_000_000))
    wait_until(lambda: agent.status["refused"].get("no-lease"), "it captures nothing")
    assert agent.status["accepted"] == before


def test_an_ingest_whose_wall_clock_is_set_stops_with_the_pause_as_ever(make_suite, clock):
    suite = make_suite(start=False)
    suite.start("control", "policy", "notify", wait=False)
    suite.start("ingest", env=faked(clock), wait=False)
    wait_until(lambda: b"closed to unknown keys" in suite.log("ingest").read_bytes(), "ingest serves")
    agent = suite.agent("ann").run().expect(capturing=True)
    for seconds in SHIFTS:
        shift(clock, seconds)
        wait_until(lambda: agent.fresh["classes"], "the agent goes on")
        agent.type(f"a{seconds}")
    certificate = suite.expect_in_time(suite.pause())
    assert certificate["agents"][0]["how"] == "STOP_HOW_ACKNOWLEDGED"
    agent.expect(capturing=False)
    suite.resume()
    shift(clock, "+0")
    agent.expect(capturing=True)
    wait_until(lambda: suite.epoch() > certificate["epoch"], "it goes on after the resume")
