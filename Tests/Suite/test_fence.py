"""A pause is a fence in time: what lies behind it is refused for ever, what was sealed before it waits, and reads end with it."""

import json
import random

import pytest
from checks import twice
from harness import Agent, Typist, now_ns, wait_until
from harness.agent import key, text


@pytest.fixture
def desk(make_suite):
    suite = make_suite()
    return suite, suite.agent("ann", "E1").run().expect(capturing=True)


def accepted(agent):
    status = agent.fresh
    return status["accepted"], sum(status["refused"].values())


def test_what_was_captured_during_a_pause_is_refused_when_it_is_delivered_later_for_ever(desk):
    suite, agent = desk
    agent.type("before-1")
    wait_until(lambda: accepted(agent) == (1, 0), "the first is accepted")
    between = now_ns()
    suite.pause()
    agent.expect(capturing=False)
    during = now_ns()
    suite.resume()
    agent.expect(capturing=True)
    # A tool that had queued: an event from inside the pause, one that began before and ended in it, one that spans it all.
    agent.send(
        key("during-1", during), {**key("across-2", between), "duration": (during - between) / 1e9},
        {**key("around-3", between), "duration": (now_ns() - between) / 1e9})
    wait_until(lambda: accepted(agent) == (1, 3), "all three are refused, and counted")
    # Controls: from before the pause, and from now, the same tool's events are taken.
    agent.send(key("late-4", between), key("after-5"))
    wait_until(lambda: accepted(agent) == (3, 3), "what lies in an open interval is accepted however late it comes")
    # For ever: also after a restart of the agent and of the suite's other half.
    assert agent.end_input() == 0
    suite.restart("ingest")
    agent.run().expect(capturing=True)
    agent.send(key("during-6", during), key("after-7"))
    wait_until(lambda: accepted(agent) == (1, 1), "still refused")
    assert agent.end_input() == 0
    assert suite.keys() == ["before-1", "late-4", "after-5", "after-7"]
    # Nobody can say that it was silent.
    assert "outside-interval" in agent.process.said


def test_what_happened_before_the_agent_ran_and_in_the_future_is_refused(desk):
    suite, agent = desk
    agent.send(key("old-1", now_ns() - 3_600_000_000_000), key("new-2", now_ns() + 60_000_000_000), key("now-3"))
    assert agent.end_input() == 0
    assert agent.status["refused"] == {"outside-interval": 1, "future": 1}
    assert suite.keys() == ["now-3"]


def test_batches_sealed_before_a_pause_wait_in_the_spool_and_arrive_after_the_resume(desk):
    suite, agent = desk
    suite.stop("policy")
    names = [f"ann-{n}" for n in range(1, 41)]
    agent.type(*names)
    wait_until(lambda: accepted(agent) == (40, 0) and agent.status["spoolBatches"] >= 1, "they are sealed, and cannot leave")
    suite.expect_in_time(suite.pause())
    suite.cont("policy")
    suite.expect_serving()
    held = agent.fresh["spoolBatches"]
    assert held >= 1 and suite.vault_count() == 0, "they are not taken while it is closed"
    agent.kill()
    agent.run()
    wait_until(lambda: agent.fresh["spoolBatches"] == held, "nor lost with the agent")
    suite.resume()
    wait_until(lambda: suite.vault_count() == 40, "they arrive after the resume")
    assert suite.keys() == names


def test_what_an_agent_caught_between_the_command_and_its_stop_is_dropped_and_counted(desk):
    suite, agent = desk
    typist = Typist(agent, 0.005).start()
    wait_until(lambda: suite.vault_count() > 50, "events flow")
    typed = []
    for _ in range(3):
        certificate = suite.pause()
        start = certificate["closure"]["from_us"] * 1000
        agent.expect(capturing=False)
        typed.append((start, now_ns()))
        suite.resume()
        agent.expect(capturing=True)
        now = now_ns()
        wait_until(lambda: suite.vault("SELECT MAX(last_ns) FROM segment")[0][0] > now, "events flow again")
    typist.stop()
    agent.expect_drained()
    keys = suite.keys()
    stored = set(keys)
    assert twice(keys) == []
    for start, end in typed:
        assert [name for name, at in typist.sent if start <= at < end and name in stored] == []
    dropped = int(suite.service_status("policy")["counters"].get("events.dropped.closed", 0))
    assert len(keys) + dropped == agent.fresh["accepted"]


# Reads


@pytest.fixture(scope="module")
def full(make_module_suite):
    """A vault with so much in it that a reader who does not read cannot be given all of it."""
    suite = make_module_suite()
    agents = [suite.agent(f"ann{n}", f"E{n}") for n in range(8)]
    for agent in agents:
        agent.run()
    rng = random.Random(7)
    # Not compressible: what waits for the reader must not fit into the buffers on the way.
    noise = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20_000)) for _ in range(20)]
    for agent in agents:
        agent.expect(capturing=True)
    # More segments than a release may have under way: a batch of each a second.
    for _ in range(3):
        for agent in agents:
            agent.send(*(text(words, "document") for words in noise))
        sent = now_ns()
        for agent in agents:
            agent.expect_drained(sent)
    assert Agent.end_inputs(agents) == [0] * len(agents)
    suite.total = suite.vault_count()
    assert suite.total == 480 and suite.vault("SELECT COUNT(*) FROM segment")[0][0] >= 24
    return suite


def released(suite):
    """How many releases there ever were."""
    return suite.vault("SELECT COUNT(*) FROM release")[0][0]


def newest(suite, columns):
    """Of the last of them."""
    return suite.vault(f"SELECT {columns} FROM release ORDER BY number DESC LIMIT 1")[0]


def test_a_running_read_is_cut_off_by_a_pause_and_its_record_says_how_much_was_given(full):
    suite = full
    before = released(suite)
    reader = suite.begin("read", "--purpose", "p", "--why", "w", "--class", "content")
    # The release is on the record before the first byte is: the line on standard error comes before it is read by anybody.
    first = reader.popen.stdout.readline()
    assert released(suite) == before + 1, "recorded before the first byte"
    # Nobody takes the rest: the stream is at a stand in the middle.
    certificate = suite.expect_in_time(suite.pause("--all", "--reads-only"))
    code, out, err = reader.finish()
    lines = [first, *out.encode().splitlines(keepends=True)]
    assert code == 1 and "cut off after" in err
    assert 0 < len(lines) < suite.total, "it was cut off in the middle"
    assert all(line.endswith(b"\n") and json.loads(line) for line in lines), "whole lines only"
    given, ended = wait_until(
        lambda: (row := newest(suite, "events, code, ended_us"))[2] and row[:2], "the end of the release is recorded")
    assert ended != 0 and given >= len(lines), "the record never says less than was given"
    assert certificate["reading_after_us"] <= certificate["complete_after_us"]

    # Controls: a read without a pause is whole, and its record says so; one that is asked for during the pause is refused.
    assert suite.read(classes=("content",), check=False).code == 1
    suite.resume()
    whole = suite.read(classes=("content",))
    assert len(whole.lines) == suite.total
    assert released(suite) == before + 2 and newest(suite, "events, code") == (suite.total, 0), "what was refused has no release"


def test_a_reader_that_goes_away_ends_its_release(full):
    suite = full
    before = released(suite)
    reader = suite.begin("read", "--purpose", "p", "--why", "w", "--class", "content")
    assert reader.popen.stdout.readline()
    reader.kill()
    assert released(suite) == before + 1
    wait_until(lambda: newest(suite, "code")[0], "the release has ended, with a reason")
    assert newest(suite, "events")[0] < suite.total


def test_a_release_is_on_the_record_with_reader_purpose_and_reason(desk):
    suite, agent = desk
    agent.type("a", "b")
    assert agent.end_input() == 0
    suite.read("--as", "ops-2", "--subject", "E1", classes=("activity",))
    suite.cli("read", "--purpose", "training", "--why", "tokeniser v3", "--class", "review", "--team", "search")
    rows = wait_until(
        lambda: None not in (all := suite.vault("SELECT reader, purpose, justification, classes, subjects, teams, subject_count, events, code FROM release ORDER BY number"))[-1] and all,
        "both ends are on the record")
    assert rows[0][:3] == ("ops-2", "test", "a test") and rows[0][6:] == (1, 2, 0) and "E1" in rows[0][4]
    assert rows[1][:3] == ("ops-1", "training", "tokeniser v3") and rows[1][6:] == (0, 0, 0) and "search" in rows[1][5]


def test_nothing_is_read_while_policy_has_not_heard_control(desk):
    suite, agent = desk
    agent.type("a")
    assert agent.end_input() == 0
    assert suite.keys() == ["a"]
    suite.kill("control")
    wait_until(lambda: (out := suite.read(classes=("activity",), check=False)).code == 1 and "lease" in out.err, "policy's lease has ended")
    releases = suite.vault("SELECT COUNT(*) FROM release")
    assert suite.read(classes=("activity",), check=False).out == ""
    assert suite.vault("SELECT COUNT(*) FROM release") == releases, "what was refused has no release"
    suite.start("control")
    suite.expect_serving()
    assert suite.keys() == ["a"]
