"""The agent's spool, and an agent that is treated badly (FAULTS: D09, P01, P08; issue 2)."""

import json
import os
import signal
import sqlite3
import threading
import time

import pytest
from hostile import Agent, MiB, key, rfc3339, wait_until

counter = 0


@pytest.fixture
def agent(suite):
    global counter
    counter += 1
    agent = Agent(suite, f"spool-{counter}")
    yield agent
    if agent.process:
        agent.process.end()
    suite.cli("resume", "--all", "--reason", "a test", check=False)


def stored(suite, agent):
    return [line["event"]["key"] for line in suite.read("activity") if line["subject"] == agent.subject]


def spool(agent, sql, *arguments):
    database = sqlite3.connect(agent.home / "spool.sqlite", timeout=20)
    try:
        with database:
            return database.execute(sql, arguments).fetchall()
    finally:
        database.close()


def filled(suite, agent, rounds):
    """An agent, ended, whose spool holds `rounds` batches: a service that is stopped answers nothing."""
    agent.run().expect_capturing()
    policy = suite.started["policy"]
    os.kill(policy, signal.SIGSTOP)
    try:
        names = []
        for number in range(rounds):
            names.append([f"{agent.name}-{number}-{n}" for n in range(3)])
            agent.type(*names[-1])
            agent.expect(lambda s, n=number: s["spoolBatches"] >= n + 1, f"{number + 1} batches")
        agent.process.kill()
    finally:
        os.kill(policy, signal.SIGCONT)
    return names


@pytest.mark.parametrize("damaged", [{1}, {2}, {3}, {1, 2, 3}, set()], ids=str)
def test_a_batch_whose_bytes_have_changed_on_disk_is_set_aside_and_the_rest_flows(suite, agent, damaged):
    """D09. With nothing damaged (the control) everything arrives and nothing is set aside."""
    names = filled(suite, agent, 3)
    for sequence in damaged:
        [(payload,)] = spool(agent, "SELECT payload FROM batch WHERE sequence = ?", sequence)
        flipped = bytearray(payload)
        flipped[len(flipped) // 2] ^= 4
        spool(agent, "UPDATE batch SET payload = ? WHERE sequence = ?", bytes(flipped), sequence)
    agent.run().expect_capturing()
    status = agent.expect_drained()
    assert status["quarantined"] == len(damaged), status
    agent.type("after")
    agent.expect(lambda s: s["accepted"] == 1, "goes on")
    agent.expect_drained()
    expected = [name for number, group in enumerate(names, 1) if number not in damaged for name in group] + ["after"]
    assert stored(suite, agent) == expected
    assert len(spool(agent, "SELECT * FROM quarantine")) == len(damaged), "what was damaged is kept for people to look at"
    if damaged:
        assert "set aside" in agent.complaints or "changed on disk" in agent.complaints, "people are told:\n" + agent.complaints[-600:]


def test_a_full_spool_refuses_what_is_new_counts_it_and_drains_later(suite, agent):
    agent.configure(spoolBytesMax=MiB)
    agent.run().expect_capturing()
    policy = suite.started["policy"]
    os.kill(policy, signal.SIGSTOP)
    given = 0
    try:
        def full():
            nonlocal given
            for _ in range(20):
                # Random text does not pack.
                agent.write(json.dumps({"at": rfc3339(time.time_ns()), "kind": "text", "source": "prompt", "text": os.urandom(15_000).hex()}) + "\n")
                given += 1
            return agent.status["refused"].get("spool-full", 0) > 0

        wait_until(full, "the spool is full", every=0.3)
        status = agent.expect_judged(given)
        # A batch under way may still come on top of the limit.
        assert MiB <= status["spoolBytes"] < 6 * MiB, status
        accepted = status["accepted"]
    finally:
        os.kill(policy, signal.SIGCONT)
    status = agent.expect_drained(90)
    assert status["accepted"] == accepted
    agent.write(json.dumps({"at": rfc3339(time.time_ns()), "kind": "text", "source": "prompt", "text": "room again"}) + "\n")
    agent.expect(lambda s: s["accepted"] == accepted + 1, "there is room again")
    agent.expect_drained()
    lines = [line for line in suite.read("content") if line["subject"] == agent.subject]
    assert len(lines) == accepted + 1, "all that was accepted is in the vault, once; the rest was counted"


@pytest.mark.parametrize("field, value", [
    ("spoolBytesMax", MiB - 1), ("spoolBytesMax", 0), ("spoolBytesMax", -1), ("serverKey", "x" * 39), ("serverKey", ""), ("ingest", "nonsense"),
    ("spoolBytesMax", "many"), ("name", None),
])
def test_settings_that_make_no_sense_end_the_agent_with_one_line(suite, agent, field, value):
    agent.configure(**{field: value})
    agent.run()
    assert agent.process.popen.wait(30) not in (0, -4, -5, -6, -11), agent.complaints
    lines = [line for line in agent.complaints.splitlines() if line]
    assert len(lines) == 1 and "Fatal" not in lines[0], lines


@pytest.mark.parametrize("content", [b"", b"x" * 39, b"x" * 41, b"\xff" * 40, b"x" * 4_000], ids=["empty", "39", "41", "not Z85", "long"])
def test_a_key_file_that_is_none_ends_the_agent_with_one_line(suite, agent, content):
    """A12."""
    (agent.home / "agent.secret").write_bytes(content)
    agent.run()
    assert agent.process.popen.wait(30) not in (0, -4, -5, -6, -11), agent.complaints
    assert len([line for line in agent.complaints.splitlines() if line]) == 1, agent.complaints


@pytest.mark.parametrize("mode, starts", [(0o644, False), (0o640, False), (0o600, True)], ids=oct)
def test_a_key_that_others_can_read_is_not_used(suite, agent, mode, starts):
    """A12; 0600 is the control."""
    (agent.home / "agent.secret").chmod(mode)
    agent.run()
    if starts:
        agent.expect_capturing()
    else:
        assert agent.process.popen.wait(30) not in (0, -4, -5, -6, -11)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""], ids=["LF", "CRLF", "none"])
def test_a_key_file_may_end_in_a_newline(suite, agent, end):
    path = agent.home / "agent.secret"
    path.write_bytes(path.read_bytes().strip() + end)
    agent.run()
    wait_until(lambda: not agent.process.is_running or bool(agent.status.get("classes")), "it captures, or says why not")
    if end != b"\r\n":
        assert agent.process.is_running, agent.complaints


def test_kill_9_again_and_again_loses_nothing_that_was_spooled(suite, agent):
    """What its status shows as accepted, and as spooled since, is in the vault, once and in order."""
    sure, number = [], 0
    for round in range(6):
        agent.run().expect_capturing()
        for _ in range(4):
            names = [f"n{number + n}" for n in range(25)]
            number += 25
            agent.type(*names)
            sure.append(names)
        agent.expect_judged(100)
        if round % 2:
            # Spooled: a batch is closed after a second, and written before the status that follows.
            agent.expect(lambda s, at=time.time_ns() // 1000: s["atMicroseconds"] > at + 1_700_000, "sealed")
        else:
            # Not spooled yet: these may be lost, as the accepted count of a killed process shows nobody.
            sure = sure[:-4]
        agent.process.kill()
    agent.run().expect_capturing()
    agent.expect_drained()
    found = stored(suite, agent)
    assert len(found) == len(set(found)), "once each"
    missing = [name for group in sure for name in group if name not in set(found)]
    assert not missing, f"{len(missing)} of {sum(map(len, sure))} are lost: {missing[:10]}"
    numbers = [int(name[1:]) for name in found]
    assert numbers == sorted(numbers), "in order"


def test_a_storm_of_signals_loses_nothing(suite, agent):
    """P08: SIGSTOP and SIGCONT two hundred times a second interrupt every call that waits, in the agent and in each service."""
    agent.run().expect_capturing()
    targets = [agent.process.id, *suite.started.values()]
    ending = threading.Event()
    sent = 0

    def storm():
        nonlocal sent
        try:
            while not ending.wait(0.004):
                for target in targets:
                    os.kill(target, signal.SIGSTOP)
                    os.kill(target, signal.SIGCONT)
                    sent += 1
        finally:
            for target in targets:
                os.kill(target, signal.SIGCONT)

    thread = threading.Thread(target=storm, daemon=True)
    thread.start()
    names = []
    try:
        while sent < 5_000:
            names.append(f"s{len(names)}")
            agent.type(names[-1])
            time.sleep(0.01)  # The pace of typing.
    finally:
        ending.set()
        thread.join(10)
    status = agent.expect_judged(len(names))
    suite.expect_alive()
    agent.expect_drained()
    # Its lease may have ended under the storm: then an event was refused and counted, not lost.
    found = stored(suite, agent)
    assert len(found) == status["accepted"] and found == [name for name in names if name in set(found)]
    assert len(found) > len(names) / 2, status
