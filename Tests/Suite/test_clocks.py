"""Wall clocks that are set, and machines that sleep: a lease is counted on the clock that only goes on (FAULTS T01, T02)."""

import os
import time

import pytest
from harness import Shim, missing, now_ns, wait_until
from harness.agent import key

# An hour, a day; to the third of January 1970; and past the end of 32 bits in 2038.
SHIFTS = ["+3600", "-3600", "+86400", f"-{int(time.time()) - 2 * 86_400}", f"+{(1 << 31) - int(time.time()) + 3600}"]


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


def judged(agent):
    return agent.status["accepted"] + sum(agent.status["refused"].values())


def test_an_agent_whose_machine_sleeps_wakes_without_a_lease(make_suite, tmp_path):
    shim = Shim(tmp_path)
    suite = make_suite(lease_ms=8000)
    agent = suite.agent("ann").run(env=shim.env).expect(capturing=True)
    # Nobody answers from here on: nothing renews the lease that it holds.
    suite.stop("ingest")
    # The control: while it is awake, its lease goes on, and also when only the other clock has moved.
    shim.ahead(monotonic_seconds=3600)
    agent.type("awake")
    wait_until(lambda: judged(agent) == 1, "it is judged")
    assert agent.status["accepted"] == 1, agent.status
    shim.ahead(monotonic_seconds=3600, boot_seconds=3600)
    agent.type("woken")
    wait_until(lambda: judged(agent) == 2, "it is judged")
    assert agent.status["refused"] == {"no-lease": 1}, agent.status
    assert agent.status["classes"] == []
    suite.cont("ingest")
    agent.expect(capturing=True)
    agent.type("renewed")
    agent.expect_drained()
    assert suite.keys() == ["awake", "renewed"]


def test_a_policy_whose_machine_sleeps_wakes_without_a_lease_and_releases_nothing(make_suite, tmp_path):
    shim = Shim(tmp_path)
    suite = make_suite(lease_ms=8000, start=False)
    suite.start("control", "notify", "ingest", wait=False)
    suite.start("policy", env=shim.env)
    # Nobody renews its lease from here on.
    suite.stop("control")
    # The control: with the lease that it holds it releases what there is, which is nothing yet.
    shim.ahead(monotonic_seconds=3600)
    assert suite.read(check=False).code == 0
    shim.ahead(monotonic_seconds=3600, boot_seconds=3600)
    refused = suite.read(check=False)
    assert refused.code == 1 and "lease" in refused.err, refused
    suite.cont("control")
    wait_until(lambda: suite.read(check=False).code == 0, "its lease is renewed")
