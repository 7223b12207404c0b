"""Wall clocks that are set, and machines that sleep: a lease is counted on the clock that only goes on (FAULTS T01, T02, L04)."""

import json
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


def test_an_ingest_and_a_policy_whose_wall_clocks_are_set_stop_with_the_pause_as_ever(make_suite, clock, tmp_path):
    # libfaketime and jemalloc, which ingest alone is linked with, call each other before either is ready: ingest's clock is set by a library of ours.
    shim = Shim(tmp_path)

    def shift_both(seconds):
        shift(clock, seconds)
        shim.ahead(wall_seconds=int(seconds))

    # A lease that a machine which dawdles does not outsleep: that each acknowledges is asked for.
    suite = make_suite(start=False, lease_ms=3000)
    suite.start("control", "notify", wait=False)
    for name, env in (("policy", faked(clock)), ("ingest", shim.env)):
        suite.start(name, env=env, wait=False)
    wait_until(lambda: all(b"closed to unknown keys" in suite.log(name).read_bytes() for name in ("policy", "ingest")), "they serve")
    agent = suite.agent("ann").run().expect(capturing=True)
    for seconds in SHIFTS:
        shift_both(seconds)
        wait_until(lambda: agent.fresh["classes"], "the agent goes on")
        agent.type(f"a{seconds}")
        # Policy releases nothing without a lease.
        wait_until(lambda: suite.read(classes=("activity",), check=False).code == 0, "policy goes on")
    certificate = suite.expect_in_time(suite.pause())
    assert certificate["agents"][0]["how"] == "STOP_HOW_ACKNOWLEDGED"
    assert {stop["node"]: stop["how"] for stop in certificate["services"]} == dict.fromkeys(("ingest", "policy", "notify"), "STOP_HOW_ACKNOWLEDGED")
    agent.expect(capturing=False)
    assert suite.read(classes=("activity",), check=False).code == 1
    suite.resume()
    shift_both("+0")
    agent.expect(capturing=True)
    wait_until(lambda: suite.epoch() > certificate["epoch"], "it goes on after the resume")


def test_a_control_whose_wall_clock_is_set_refuses_what_it_takes_for_old_keeps_every_lease_and_brings_nothing_back(make_suite, clock):
    suite = make_suite(start=False, lease_ms=2000)
    suite.start("control", env=faked(clock), wait=False)
    suite.start("policy", "notify", "ingest")
    suite.govern()
    agent = suite.agent("ann").run().expect(capturing=True)
    epoch = suite.pause("--reads-only", "--reader", "nobody")["epoch"]
    waiting = suite.cli("resume", epoch, "--reason", "a test", "--json").json["proposal"]["proposal"]

    def at(seconds):
        shift(clock, seconds)
        wait_until(lambda: abs(control_wall(suite) - now_ns() - int(seconds) * 1_000_000_000) < 60_000_000_000, "control's clock has jumped")

    def told(*words, **more):
        done = suite.cli(*words, check=False, **more)
        return done.code, done.out + done.err

    # An hour either way: what is signed by the right clock has expired, or is not valid yet, and is told so; leases go on.
    for seconds, said in (("+3600", "expired"), ("-3600", "not valid yet")):
        at(seconds)
        before = refused(suite)
        code, text = told("incidents", "--close", "1")
        assert code != 0, text
        assert told("approve", waiting, "--as", "ops-2")[0] != 0
        word = "expired" if said == "expired" else "not-yet-valid"
        wait_until(lambda: refused(suite).get(f"commands.refused.{word}", 0) > before.get(f"commands.refused.{word}", 0), f"control counts {word}")
        agent.expect(capturing=True)
    # Two days ahead the proposal's own time is over. Whoever signs by the same clock is heard, and what is recorded then ends it.
    at("+172800")
    certificate = suite.cli("pause", "--reads-only", "--reader", "other", "--reason", "a test", "--json", env=faked(clock)).json
    assert certificate["complete"], certificate
    assert told("approve", waiting, "--as", "ops-2", env=faked(clock))[0] != 0
    at("+0")
    code, text = told("approve", waiting, "--as", "ops-2")
    assert code != 0 and "expired" in text, text
    assert epoch in [c["epoch"] for c in suite.cli("closures", "--json").json["closures"]], "nothing was lifted"
    agent.expect(capturing=True)
    states = {p["proposal"]: p["state"] for p in suite.cli("proposals", "--all", "--json").json["proposals"]}
    assert states[waiting] == "expired", "what has expired stays so, whatever a clock says later"
    # As in January 1970, and past the end of 32 bits: nothing that is signed is valid, and every lease goes on.
    for seconds in SHIFTS[-2:]:
        at(seconds)
        before = sum(count for name, count in refused(suite).items() if name.startswith("commands.refused."))
        assert told("incidents", "--close", "1")[0] != 0
        assert sum(count for name, count in refused(suite).items() if name.startswith("commands.refused.")) > before
        expect_leases(suite, agent)
    at("+0")
    agent.type("after")
    agent.expect_drained()
    assert suite.keys() == ["after"]


def expect_leases(suite, agent):
    """For longer than one lasts the agent holds one: it has been granted another."""
    begun = now_ns() // 1000
    while (status := agent.fresh)["atMicroseconds"] < begun + 1_200 * suite.lease_ms:
        assert status["classes"], status


def test_a_pause_acts_after_controls_clock_was_ahead_and_was_set_back(make_suite, clock):
    suite = make_suite(start=False)
    suite.start("control", env=faked(clock), wait=False)
    suite.start("policy", "notify", "ingest")
    # The control: by the right clock it acts.
    assert suite.cli("pause", "--reads-only", "--reader", "first", "--reason", "a test", check=False).code == 0
    shift(clock, "+172800")
    wait_until(lambda: control_wall(suite) > now_ns() + 86_400_000_000_000, "control's clock has jumped")
    assert suite.cli("pause", "--reads-only", "--reader", "second", "--reason", "a test", check=False, env=faked(clock)).code == 0
    shift(clock, "+0")
    wait_until(lambda: control_wall(suite) < now_ns() + 60_000_000_000, "control's clock is right again")
    done = suite.cli("pause", "--reads-only", "--reader", "third", "--reason", "a test", check=False)
    assert done.code == 0, done


def entries(suite, ledger):
    """The entries of a ledger as it has them, in its order."""
    return suite.cli("ledger", "show", "1..", "--ledger", ledger, "--json").lines


def test_both_ledgers_go_by_index_when_the_clocks_of_who_keeps_them_go_back(make_suite, clock):
    """FAULTS L04. What was taken away an hour before it was given, by the clock, is taken away; what narrows goes on, and what widens waits for the clock."""
    suite = make_suite(start=False)
    for name in ("control", "policy"):
        suite.start(name, env=faked(clock), wait=False)
    suite.start("notify", "ingest")
    agent = suite.agent("ann").run().expect(capturing=True)
    agent.type("first")
    agent.expect_drained()

    def at(hours):
        shift(clock, f"{-3600 * hours:+d}")
        wait_until(lambda: abs(control_wall(suite) - now_ns() + hours * 3_600_000_000_000) < 60_000_000_000, "control's clock has gone back")

    def told(*words, check=True):
        """Signed by the same clock."""
        return suite.cli(*words, "--json", env=faked(clock), check=check)

    def read(hours):
        told("read", "--purpose", "test", "--why", f"{hours} hours back", "--class", "activity")

    suite.agent("lamp")
    waiting = told("register", "chair", "--subject", "E3", "--site", "berlin", "--team", "search").json["proposal"]["proposal"]
    assert told("pause", "--reads-only", "--reader", "one", "--reason", "a test").json["complete"]
    read(0)
    at(1)
    told("revoke", "agent", "lamp")
    told("withdraw", waiting)
    assert told("pause", "--reads-only", "--reader", "two", "--reason", "a test").json["complete"]
    read(1)
    at(2)
    certificate = told("pause", "--all", "--reason", "a test").json
    assert certificate["complete"]
    agent.expect(capturing=False)
    # By time it would come before all of these. It waits, and is told why.
    refused_ = told("resume", "--all", "--reason", "a test", check=False)
    assert refused_.code == 1 and "has recorded what is later" in refused_.err, refused_

    # Whoever reads the ledgers anew comes to the same.
    for name in ("policy", "control"):
        suite.terminate(name)
        suite.start(name, env=faked(clock), wait=False)
    for name in ("notify", "ingest"):
        suite.kill(name)
        suite.start(name, wait=False)
    # By control's clock nobody can tell who has been heard since.
    wait_until(lambda: {s["name"] for s in suite.status()["services"] if s.get("connected")} == {"policy", "notify", "ingest"}, "all hold leases")
    wait_until(lambda: suite.agent_states()["ann"] == "current", "the agent is back")
    assert agent.fresh["classes"] == []
    closed = suite.cli("closures", "--json").json["closures"]
    assert len(closed) == 3 and max(c["epoch"] for c in closed) == certificate["epoch"], closed
    assert "lamp" not in suite.agent_states(), "by time its registration would come after it was revoked"
    states = {p["proposal"]: p["state"] for p in suite.cli("proposals", "--all", "--json").json["proposals"]}
    assert states[waiting] == "withdrawn"
    at(0)
    wait_until(lambda: told("resume", "--all", "--reason", "a test", check=False).code == 0, "what widens is taken again")
    number = next(p["proposal"] for p in suite.cli("proposals", "--json").json["proposals"] if p["state"] == "open")
    told("approve", number, "--as", "ops-2")
    agent.expect(capturing=True)
    read(0)
    for name in ("governance", "reads"):
        found = entries(suite, name)
        numbers, times = [int(e.get("index", e.get("number"))) for e in found], [int(e["at_us"]) for e in found]
        assert numbers == list(range(1, len(numbers) + 1)), "without gaps, in order"
        assert times != sorted(times), "the control: by time they would be in another order"
        report = next(one for one in suite.cli("ledger", "verify", "--json").lines if one["ledger"] == name)
        assert report["whole"] and report["entries"] == len(numbers), report
    epochs = [int((e.get("paused") or e.get("resumed"))["epoch"]) for e in entries(suite, "governance") if "paused" in e or "resumed" in e]
    assert epochs == sorted(epochs) and len(epochs) == 4, "an epoch does not go back with the clock"


def control_wall(suite):
    return int(suite.cli("status", "--json").json["wall_us"]) * 1000


def refused(suite):
    return {name: int(count) for name, count in suite.cli("status", "--json").json.get("counters", {}).items()}


def judged(agent):
    return agent.status["accepted"] + sum(agent.status["refused"].values())


def test_an_agent_whose_machine_sleeps_wakes_without_a_lease(make_suite, tmp_path):
    """The control sleeps as long, by a clock that stands still meanwhile: it wakes and captures."""
    shim = Shim(tmp_path)
    suite = make_suite(lease_ms=8000)
    sleeper = suite.agent("bob").run(env=shim.without("boottime"))
    agent = suite.agent("ann").run(env=shim.env).expect(capturing=True)
    sleeper.expect(capturing=True)
    # Nobody answers from here on: nothing renews the lease that it holds.
    suite.stop("ingest")
    # The control: while it is awake, its lease goes on, and also when only the other clock has moved.
    shim.ahead(boot_seconds=3600)
    for one in (sleeper, agent):
        one.type("woken")
    for one in (sleeper, agent):
        wait_until(lambda: judged(one) == 1, "it is judged")
    assert agent.status["refused"] == {"no-lease": 1} and agent.status["classes"] == [], agent.status
    assert sleeper.status["accepted"] == 1 and sleeper.status["classes"] != [], sleeper.status
    suite.cont("ingest")
    agent.expect(capturing=True)
    # Another control: when only the other clock has moved, as in no suspend, its lease goes on.
    suite.stop("ingest")
    shim.ahead(monotonic_seconds=3600, boot_seconds=3600)
    agent.type("awake")
    wait_until(lambda: judged(agent) == 2, "it is judged")
    assert agent.status["accepted"] == 1, agent.status
    suite.cont("ingest")
    agent.expect(capturing=True)
    agent.type("renewed")
    agent.expect_drained()
    sleeper.expect_drained()
    assert suite.keys("--subject", agent.subject) == ["awake", "renewed"] and suite.keys("--subject", sleeper.subject) == ["woken"]


def test_an_agent_whose_wall_clock_is_set_ahead_keeps_the_lease_that_it_holds(make_suite, tmp_path):
    """The control counts its lease on the wall clock: it has none any more."""
    shim = Shim(tmp_path)
    suite = make_suite(lease_ms=8000)
    agent, other = (suite.agent(name).run(env=env) for name, env in (("ann", shim.env), ("bob", shim.without("wall"))))
    agent.expect(capturing=True)
    other.expect(capturing=True)
    # Nobody answers from here on.
    suite.stop("ingest")
    shim.ahead(wall_seconds=3600)
    for one in (agent, other):
        wait_until(lambda: wall_of(one) > now_ns() + 1_800_000_000_000, "its clock has jumped")  # noqa: B023 - asked at once
    assert agent.status["classes"] != [] and other.status["classes"] == [], (agent.status, other.status)


def test_an_agent_whose_wall_clock_is_set_back_goes_on_sealing_and_showing_where_it_stands(make_suite, tmp_path):
    """A wait that ended at a time of the wall clock would end an hour later."""
    shim = Shim(tmp_path)
    suite = make_suite(lease_ms=1000)
    agent = suite.agent("ann").run(env=shim.env).expect(capturing=True)
    shim.ahead(wall_seconds=-3600)
    wait_until(lambda: wall_of(agent) < now_ns() - 1_800_000_000_000, "its status is of an hour ago, by its own clock")


def test_a_policy_whose_machine_sleeps_wakes_without_a_lease_and_releases_nothing(make_suite, tmp_path):
    shim = Shim(tmp_path)
    suite = make_suite(lease_ms=8000, start=False)
    suite.start("control", "notify", "ingest", wait=False)
    suite.start("policy", env=shim.env)
    suite.govern()
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
    # The control: with a clock that stands still meanwhile it sleeps as long, and releases all the same.
    suite.kill("policy")
    shim.ahead()
    suite.start("policy", env=shim.without("boottime"))
    suite.stop("control")
    shim.ahead(boot_seconds=3600)
    assert suite.read(check=False).code == 0
    suite.cont("control")
