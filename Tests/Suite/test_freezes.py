"""Processes that neither answer nor end: SIGSTOP, a frozen cgroup. What makes a stop certain is that leases end."""

import contextlib
import json
import os
import re
from pathlib import Path

import pytest
from checks import captured_within
from harness import Typist, now_ns, wait_until

ROUNDS = int(os.environ.get("SLUICE_ROUNDS", "3"))


def of(certificate):
    return {a["node"]: a["how"].removeprefix("STOP_HOW_").lower() for a in certificate.get("agents", [])}


def services_of(certificate):
    return {a["node"]: a["how"].removeprefix("STOP_HOW_").lower() for a in certificate.get("services", [])}


@pytest.fixture
def busy(make_suite):
    # Who is not frozen acknowledges: a slow machine must not outsleep their leases.
    suite = make_suite(lease_ms=2000)
    for name in ("ann", "bob"):
        suite.agent(name).run()
    for agent in suite.agents.values():
        agent.expect(capturing=True)
    for agent in suite.agents.values():
        Typist(agent, 0.02).start()
    wait_until(lambda: suite.vault_count() > 50, "events flow")
    wait_until(lambda: set(suite.agent_states().values()) == {"current"}, "both are current")
    return suite


def captured(suite, start, end, typists=None):
    """What of the things typed in between is in the vault: names, and seconds after `start`."""
    sent = [pair for typist in typists or suite.typists for pair in typist.sent]
    at = dict(sent)
    return [(name, round((at[name] - start) / 1e9, 3)) for name in captured_within(sent, suite.keys(), start, end)]


def expect_nothing_but_that(suite, start, end, typists=None):
    """Nothing typed from `start` to `end` is in the vault, now that all spools are empty; and things typed before and after are."""
    for agent in suite.agents.values():
        agent.expect(capturing=True)
    resumed = now_ns()
    newest = lambda: {s: ns for s, ns in suite.vault("SELECT subject, MAX(last_ns) FROM segment GROUP BY subject")}
    wait_until(lambda: all(ns > resumed for ns in newest().values()), "events of after the resume arrive")
    assert captured(suite, start, end, typists) == []
    # Controls: the same question, of the times around the pause, has the other answer.
    assert captured(suite, 0, start, typists)
    assert captured(suite, resumed, now_ns(), typists)


def test_a_pause_completes_within_lease_and_a_second_while_ingest_is_frozen(busy):
    busy.stop("ingest")
    certificate = busy.expect_in_time(busy.pause())
    # It waited for what could not answer; and only for that.
    assert services_of(certificate) == {"ingest": "lease_ended", "policy": "acknowledged", "notify": "acknowledged"}
    assert set(of(certificate).values()) == {"lease_ended"}
    start, stopped = certificate["closure"]["from_us"] * 1000, now_ns()
    for agent in busy.agents.values():
        agent.expect(capturing=False)
    busy.cont("ingest")
    for agent in busy.agents.values():
        # Ingest has woken up; that is no reason for anybody to go on.
        wait_until(lambda: agent.fresh["epoch"] >= certificate["epoch"], "the agent has heard of the pause")
        assert agent.status["classes"] == []
    end = now_ns()
    busy.resume()
    expect_nothing_but_that(busy, start, end)

    # Control: with nobody frozen nobody's lease has to end.
    quick = busy.pause()
    assert set(of(quick).values()) == {"acknowledged"} and quick["complete_after_us"] < certificate["complete_after_us"]
    assert stopped > start


def test_a_pause_commanded_while_control_is_frozen_is_in_force_when_it_wakes_and_agents_stop_before(busy):
    busy.stop("control")
    frozen = now_ns()
    command = busy.begin("pause", "--all", "--reason", "x", "--json")
    # Nobody says that they may go on: so they do not.
    for agent in busy.agents.values():
        agent.expect(capturing=False)
    silent = now_ns()
    # Its own lease is another, and may end later than what ingest had to give.
    refused = wait_until(lambda: (asked := busy.read(classes=("activity",), check=False)).code == 1 and asked, "policy releases nothing without a lease")
    assert refused.out == "" and "lease" in refused.err, refused
    busy.cont("control")
    code, out, err = command.finish()
    # It may have given up waiting, and then says so; the pause may be in force all the same.
    assert code == 0 or "does not answer" in err, (out, err)
    certificate = busy.pause()
    busy.expect_in_time(certificate)
    for agent in busy.agents.values():
        agent.expect(capturing=False)
    end = now_ns()
    busy.resume()
    expect_nothing_but_that(busy, silent, end)
    assert frozen < silent


def under_way(command):
    """A pause has said that it is in force, each line when there was something to say, and nothing of a certificate yet."""
    line = command.popen.stdout.readline()
    assert b'"incident"' in line, line
    descriptor = command.popen.stdout.fileno()
    os.set_blocking(descriptor, False)
    said = command.popen.stdout.read() or b""
    os.set_blocking(descriptor, True)
    return b'"complete"' not in said


def test_control_frozen_in_the_middle_of_a_pause_still_certifies_it_in_time(busy):
    busy.stop("ingest")
    command = busy.begin("pause", "--all", "--reason", "x", "--json")
    assert under_way(command)
    busy.stop("control")
    # Meanwhile every lease ends.
    for agent in busy.agents.values():
        agent.expect(capturing=False)
    busy.cont("control")
    code, out, err = command.finish()
    busy.cont("ingest")
    assert code == 0, (out, err)
    certificate = json.loads(out.splitlines()[-1])
    busy.expect_in_time(certificate)
    assert set(of(certificate).values()) == {"lease_ended"}


def test_a_frozen_agent_delays_a_pause_by_its_lease_and_captures_nothing_when_it_wakes(busy):
    ann = busy.agents["ann"]
    ann.freeze()
    said = busy.cli("pause", "--all", "--reason", "a test").out
    # What an operator is told: how many were silent, by when that did not matter any more, and who.
    assert re.search(r"^  agents     1/2 +in +[\d.]+ m?s\n  silent     1 +lease ended by [\d.]+ m?s\n +ann\nSTOPPED EVERYWHERE", said, re.M), said
    wait_until(lambda: re.search(r"^AGENTS  2 connected +1 current +1 silent since \d\d:\d\d:\d\d, lease ended", busy.cli("status").out, re.M), "it is shown as silent")
    certificate = busy.expect_in_time(busy.cli("certificate", re.search(r"certificate (\d+)$", said, re.M)[1], "--json").json)
    assert of(certificate) == {"ann": "lease_ended", "bob": "acknowledged"}
    start = certificate["closure"]["from_us"] * 1000
    # Its tool goes on and fills its pipe; then it wakes, while the pause is in force.
    busy.typists[0].expect_more(50)
    refused = ann.status["refused"]
    ann.thaw()
    wait_until(lambda: sum(ann.fresh["refused"].values()) > sum(refused.values()) + 50, "what was typed meanwhile is refused, and counted")
    assert ann.status["classes"] == []
    end = now_ns()
    busy.resume()
    expect_nothing_but_that(busy, start, end)


def test_an_agent_frozen_for_longer_than_its_lease_captures_nothing_it_was_given_meanwhile(busy):
    ann = busy.agents["ann"]
    # Without any pause: silence alone.
    wait_until(lambda: ann.fresh["classes"], "ann captures")
    ann.freeze()
    frozen = now_ns()
    states = lambda: {a["node"]["name"]: a for a in busy.cli("agents", "--json").json["agents"]}
    wait_until(lambda: (a := states()["ann"])["state"] == "silent" and a["since_us"] * 1000 > frozen, "its lease has ended since")
    over = now_ns()
    busy.typists[0].expect_more(100)
    asleep = now_ns()
    ann.thaw()
    expect_nothing_but_that(busy, over, asleep, busy.typists[:1])
    # In the meantime nobody else was disturbed.
    assert captured(busy, frozen, asleep, busy.typists[1:])


@pytest.mark.parametrize("name", ["policy", "notify"])
def test_a_service_frozen_during_a_pause_delays_its_certificate_by_its_lease(busy, name):
    busy.stop(name)
    certificate = busy.expect_in_time(busy.pause())
    assert services_of(certificate)[name] == "lease_ended"
    assert "journal" in certificate["durable_in"]
    if name == "policy":
        assert certificate["durable_in"] == ["journal"]
        # Reading is not said to have stopped before policy's lease had ended.
        assert certificate["reading_after_us"] == next(s for s in certificate["services"] if s["node"] == "policy")["after_us"]
    busy.cont(name)
    assert busy.read(classes=("activity",), check=False).code == 1
    busy.resume()
    busy.expect_serving()


def test_policy_frozen_while_batches_come_in_commits_none_that_the_pause_forbids(busy):
    busy.stop("policy")
    # What is typed now waits in sockets and spools; then the pause comes, and then policy wakes.
    Typist.expect_all(busy.typists, 80)
    certificate = busy.expect_in_time(busy.pause())
    start = certificate["closure"]["from_us"] * 1000
    held = busy.vault_count()
    Typist.expect_all(busy.typists, 50)
    busy.cont("policy")
    busy.expect_serving()
    Typist.expect_all(busy.typists, 100)
    assert busy.vault_count() == held, "nothing is accepted while it is closed, whenever it was captured"
    end = now_ns()
    busy.resume()
    expect_nothing_but_that(busy, start, end)


def cgroup(path):
    """A freezer of our own below the cgroup of this process; skips where that is not possible."""
    root = Path("/sys/fs/cgroup")
    if not (root / "cgroup.controllers").exists() and not (root / "freezer").exists():
        return None
    folder = root / path if (root / "cgroup.controllers").exists() else root / "freezer" / path
    try:
        folder.mkdir()
        return folder
    except OSError:
        return None


@contextlib.contextmanager
def frozen(agents):
    """Freezes agents: by the cgroup freezer where there is one, else by SIGSTOP."""
    folder = cgroup(f"sluice-test-{os.getpid()}-{now_ns()}")
    v2 = folder and (folder / "cgroup.freeze").exists()
    try:
        if folder:
            try:
                for agent in agents:
                    (folder / "cgroup.procs").write_text(str(agent.process.id))
                (folder / ("cgroup.freeze" if v2 else "freezer.state")).write_text("1" if v2 else "FROZEN")
            except OSError:
                folder.rmdir()
                folder = None
        if not folder:
            for agent in agents:
                agent.freeze()
        yield "cgroup" if folder else "SIGSTOP"
    finally:
        if folder:
            (folder / ("cgroup.freeze" if v2 else "freezer.state")).write_text("0" if v2 else "THAWED")
            for agent in agents:
                with contextlib.suppress(OSError):
                    (folder.parent / "cgroup.procs").write_text(str(agent.process.id))
            with contextlib.suppress(OSError):
                folder.rmdir()
        else:
            for agent in agents:
                agent.thaw()


def test_with_half_of_the_agents_frozen_a_pause_claims_nothing_before_their_leases_end(make_suite):
    suite = make_suite(lease_ms=2000)
    agents = [suite.agent(f"desk-{n}").listen() for n in range(8)]
    wait_until(lambda: set(suite.agent_states().values()) == {"current"}, "all are current")
    with frozen(agents[:4]) as how:
        print(how)
        certificate = suite.expect_in_time(suite.pause())
    stops = of(certificate)
    assert {n for n, how in stops.items() if how == "lease_ended"} == {f"desk-{n}" for n in range(4)}
    assert {n for n, how in stops.items() if how == "acknowledged"} == {f"desk-{n}" for n in range(4, 8)}
    after = {a["node"]: a["after_us"] for a in certificate["agents"]}
    assert certificate["complete_after_us"] >= max(after.values())
    assert max(after[f"desk-{n}"] for n in range(4, 8)) < min(after[f"desk-{n}"] for n in range(4))
    suite.resume()
    # Control: nobody frozen, and nobody's lease has to end.
    wait_until(lambda: set(suite.agent_states().values()) == {"current"}, "all are current again")
    assert set(of(suite.pause()).values()) == {"acknowledged"}


@pytest.mark.limit(150 if ROUNDS <= 10 else 20 * ROUNDS)
def test_with_one_agent_frozen_and_ingest_restarted_in_the_middle_every_certificate_is_in_time(make_suite):
    suite = make_suite(lease_ms=2000)
    agents = [suite.agent(f"desk-{n}").listen() for n in range(20)]
    for number in range(ROUNDS):
        wait_until(lambda: set(suite.agent_states().values()) == {"current"}, f"all are current before round {number}")
        agents[number % 20].freeze()
        command = suite.begin("pause", "--all", "--reason", f"round {number}", "--json")
        assert under_way(command)
        suite.kill("ingest")
        suite.start("ingest", wait=False)
        code, out, err = command.finish()
        assert code == 0, (number, out, err)
        certificate = suite.expect_in_time(json.loads(out.splitlines()[-1]))
        assert len(certificate["agents"]) == 20
        assert of(certificate)[f"desk-{number % 20}"] == "lease_ended", certificate
        agents[number % 20].thaw()
        suite.resume()


def is_stopped(process):
    return Path(f"/proc/{process.id}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def test_an_agent_stopped_between_its_check_and_its_send_is_refused_what_it_sends_later(make_suite):
    """P04: it has found that it may send, sleeps past the end of its lease, and sends."""
    suite = make_suite(lease_ms=3000)
    refusals = lambda: int(suite.service_status("ingest").get("counters", {}).get("refused.no-lease", 0))
    agents = bob, ann = [suite.agent(name).run({"SLUICE_FAULT": "stop@after-check-before-send:2"}) for name in ("bob", "ann")]
    for agent in agents:
        agent.expect(capturing=True).type(f"{agent.name}-first")
    first = now_ns()
    for agent in agents:
        agent.expect_drained(first)
    for agent in agents:
        agent.type(f"{agent.name}-held")
    for agent in agents:
        wait_until(lambda: is_stopped(agent.process), "it stops where it was told to")
    stored = suite.vault_count()
    bob.thaw()
    certificate = suite.expect_in_time(suite.pause("--subject", ann.subject))
    assert of(certificate) == {"ann": "lease_ended"}
    # The control: stopped in the same place for a moment, its batch is taken.
    bob.expect(capturing=True).expect_drained()
    assert suite.vault_count() == stored + 1 and refusals() == 0
    ann.thaw()
    wait_until(lambda: refusals() == 1, "ingest has refused it, and shows that")
    assert suite.vault_count() == stored + 1
    suite.resume()
    ann.expect(capturing=True).expect_drained()
    # What was refused was kept, and caught before the pause: it comes now.
    assert sorted(suite.keys()) == ["ann-first", "ann-held", "bob-first", "bob-held"]


@pytest.mark.parametrize("name", ["ann", "ingest", "policy", "notify", "control"])
def test_who_is_frozen_for_many_leases_is_forgotten_and_comes_back_and_nothing_is_lost(make_suite, name):
    """P03, longer than any session lives."""
    suite = make_suite(lease_ms=1000)
    agents = [suite.agent(who).run().expect(capturing=True) for who in ("ann", "bob")]
    typists = [Typist(agent, 0.02).start() for agent in agents]
    wait_until(lambda: suite.vault_count() > 50, "events flow")
    process = suite.agents["ann"].process if name == "ann" else suite.services[name]
    process.freeze()
    if name == "ann":
        # Ingest has no session of it any more.
        wait_until(lambda: suite.service_status("ingest")["gauges"]["sessions"] == 1, "its session is forgotten")
    elif name != "control":
        wait_until(lambda: "seen_us" not in suite.service_status(name), "its session is forgotten")
    else:
        # Nobody is there to be asked; they type for six leases.
        typists[1].expect_more(300)
    over = now_ns()
    typists[0].expect_more(50)
    asleep = now_ns()
    process.thaw()
    suite.expect_serving()
    for agent in agents:
        agent.expect(capturing=True)
    Typist.expect_all(typists, 50)
    for typist in typists:
        typist.stop()
    # What the agent was given while it had no lease is refused and counted, the rest is in the vault, in order and once.
    for typist, agent in zip(typists, agents):
        wait_until(lambda: agent.status["accepted"] + sum(agent.status["refused"].values()) == len(typist.sent), "every key is accounted for")
    given = now_ns()
    statuses = [agent.expect_drained(given) for agent in agents]
    stored = suite.keys()
    for typist, agent, status in zip(typists, agents, statuses):
        found = [key for key in stored if key.startswith(agent.name)]
        assert found == [key for key, _ in typist.sent if key in set(found)]
        assert len(found) == status["accepted"]
    caught = captured(suite, over, asleep, typists)
    if name in ("ann", "ingest", "control"):
        assert [key for key, _ in caught if key.startswith("ann")] == []
    # The control: of another agent, and of all agents when neither who grants nor who holds leases was frozen, it was taken.
    if name in ("ann", "policy", "notify"):
        assert any(key.startswith("bob") for key, _ in caught)
    assert captured(suite, asleep, now_ns(), typists)
