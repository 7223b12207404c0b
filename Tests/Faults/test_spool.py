"""The agent's spool, and an agent that is treated badly (FAULTS: D09, P01, P08; issue 2)."""

import itertools
import json
import os
import signal
import sqlite3
import threading
import time

import pytest
from hostile import Agent, MiB, at_once, rfc3339, wait_until

numbers = itertools.count(1)


@pytest.fixture
def make_agent(suite):
    made = []

    def make():
        made.append(Agent(suite, f"spool-{next(numbers)}"))
        return made[-1]

    yield make
    for agent in made:
        if agent.process:
            agent.process.end()
    suite.resume(check=False)


@pytest.fixture
def agent(make_agent):
    return make_agent()


def stored(suite, agent):
    return [line["event"]["key"] for line in suite.read("activity") if line["subject"] == agent.subject]


def spool(agent, sql, *arguments):
    database = sqlite3.connect(agent.home / "spool.sqlite", timeout=20)
    try:
        with database:
            return database.execute(sql, arguments).fetchall()
    finally:
        database.close()


def filled(suite, agents, rounds):
    """Agents, ended, whose spools hold `rounds` batches each: a service that is stopped answers nothing. The names in each batch."""
    for agent in agents:
        agent.run()
    for agent in agents:
        agent.expect_capturing()
    policy = suite.started["policy"]
    os.kill(policy, signal.SIGSTOP)
    try:
        names = {agent.name: [] for agent in agents}
        for number in range(rounds):
            for agent in agents:
                names[agent.name].append([f"{agent.name}-{number}-{n}" for n in range(3)])
                agent.type(*names[agent.name][-1])
            for agent in agents:
                agent.expect(lambda s, n=number: s["spoolBatches"] >= n + 1, f"{number + 1} batches")
        for agent in agents:
            agent.process.kill()
        # What was sent waits at policy's door. When its lease has ended it stores none of that.
        wait_until(
            lambda: not next(s for s in suite.status()["services"] if s["name"] == "policy").get("connected"), "policy's lease has ended", every=0.2)
    finally:
        os.kill(policy, signal.SIGCONT)
    return names


def test_a_batch_whose_bytes_have_changed_on_disk_is_set_aside_and_the_rest_flows(suite, make_agent):
    """D09. Of one agent nothing is damaged (the control): everything arrives and nothing is set aside."""
    damage = [{1}, {2}, {3}, {1, 2, 3}, set()]
    agents = [make_agent() for _ in damage]
    names = filled(suite, agents, 3)
    for agent, damaged in zip(agents, damage):
        for sequence in damaged:
            [(payload,)] = spool(agent, "SELECT payload FROM batch WHERE sequence = ?", sequence)
            flipped = bytearray(payload)
            flipped[len(flipped) // 2] ^= 4
            spool(agent, "UPDATE batch SET payload = ? WHERE sequence = ?", bytes(flipped), sequence)
        agent.run()

    def flows(place):
        agent, damaged = agents[place], damage[place]
        agent.expect_capturing()
        status = agent.expect_drained()
        assert status["quarantined"] == len(damaged), status
        agent.type("after")
        agent.expect(lambda s: s["accepted"] == 1, "goes on")
        agent.expect_drained()
        expected = [name for number, group in enumerate(names[agent.name], 1) if number not in damaged for name in group] + ["after"]
        assert stored(suite, agent) == expected
        assert len(spool(agent, "SELECT * FROM quarantine")) == len(damaged), "what was damaged is kept for people to look at"
        told = "set aside" in agent.complaints or "changed on disk" in agent.complaints
        assert told == bool(damaged), "people are told, and of nothing else:\n" + agent.complaints[-600:]

    at_once(flows, range(len(damage)))


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


def ends_with_one_line(agent, why):
    """The agent says in one line why it does not start; the status is a program's own, not a crash's."""
    agent.errors.write_bytes(b"")
    agent.run()
    status = agent.process.popen.wait(30)
    lines = [line for line in agent.complaints.splitlines() if line]
    assert status > 0 and len(lines) == 1 and "Fatal" not in lines[0], (why, status, lines)


def test_settings_that_make_no_sense_end_the_agent_with_one_line(suite, agent):
    path = agent.home / "agent.json"
    honest = path.read_bytes()
    for field, value in (
        ("spoolBytesMax", MiB - 1), ("spoolBytesMax", 0), ("spoolBytesMax", -1), ("serverKey", "x" * 39), ("serverKey", ""),
        ("ingest", "nonsense"), ("spoolBytesMax", "many"), ("name", None)):
        agent.configure(**{field: value})
        ends_with_one_line(agent, (field, value))
        path.write_bytes(honest)
    # The control: what they were made of is good.
    agent.run().expect_capturing()


def test_a_key_file_that_is_none_or_that_others_can_read_ends_the_agent_with_one_line(suite, agent):
    """A12."""
    path = agent.home / "agent.secret"
    honest = path.read_bytes()
    for content in (b"", b"x" * 39, b"x" * 41, b"\xff" * 40, b"x" * 4_000, honest.strip() + b"\r\n"):
        path.write_bytes(content)
        ends_with_one_line(agent, content[:50])
    path.write_bytes(honest)
    for mode in (0o644, 0o640):
        path.chmod(mode)
        ends_with_one_line(agent, oct(mode))
    # The control: the key itself, for its owner alone. A newline at its end does no harm.
    path.chmod(0o600)
    for end in (b"\n", b""):
        path.write_bytes(honest.strip() + end)
        agent.run().expect_capturing()
        agent.process.end()


def test_kill_9_again_and_again_loses_nothing_that_was_spooled(suite, agent):
    """What its status shows as accepted, and as spooled since, is in the vault, once and in order."""
    sure, number = [], 0
    for round in range(4):
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
