"""kill -9 of everything, at any moment: what was acknowledged is in the vault once, and what was closed stays closed."""

import contextlib
import os
import random
import sqlite3

import pytest
from checks import out_of_order, twice
from harness import Agent, Typist, now_ns, wait_until

KILLS = int(os.environ.get("SLUICE_KILLS", "12"))


def expect_everything_once(suite, *typists, dropped=0, killed=()):
    """Given that nobody types any more: what the agents accepted is in the vault, each key once and in order. See `expect_kept`."""
    accepted = {}
    stopped = now_ns()
    for typist in typists:
        agent = typist.agent
        status = agent.expect_drained(stopped)
        assert status["quarantined"] == 0
        if agent.name in killed:
            continue
        accepted[agent.name] = status["accepted"]
        # Silence is never a reason: what was not accepted is counted.
        assert wait_until(
            lambda: (s := agent.fresh)["accepted"] + sum(s["refused"].values()) == len(typist.sent) and s, "all that was typed is accounted for")  # noqa: B023
    return expect_kept(suite, accepted, dropped, [typist.agent for typist in typists if typist.agent.name in killed])


def expect_kept(suite, accepted, dropped=0, killed=()):
    """As many keys of each agent as it accepted. Of one that was killed nobody knows how many those were: there it is each batch that its spool has ever held."""
    keys = suite.keys()
    assert twice(keys) == [] and out_of_order(keys) == []
    found = [key for key in keys if key.rsplit("-", 1)[0] in accepted]
    assert len(found) == sum(accepted.values()) - dropped, f"lost: {len(found)} keys of {accepted} are there"
    for agent in killed:
        with contextlib.closing(sqlite3.connect(f"file:{agent.home / 'spool.sqlite'}?mode=ro", uri=True, timeout=10)) as spool:
            streams = spool.execute("SELECT id, newest FROM stream").fetchall()
        for stream, newest in streams:
            numbers = [number for number, in suite.vault("SELECT sequence FROM segment WHERE stream = ? ORDER BY sequence", stream)]
            assert numbers == list(range(1, newest + 1)), f"lost: of {newest} batches of {agent.name} {numbers} are there"
    assert suite.vault("SELECT COALESCE(SUM(lost), 0) FROM stream") == [(0,)]
    assert suite.vault("SELECT events FROM total") == [(len(keys),)]
    return keys


def at_work(suite, number=2, every=0.01):
    typists = []
    for name in ("ann", "bob", "cid", "dan")[:number]:
        agent = suite.agent(name, f"E-{name}").run(None, (), "--drain", "60")
        typists.append(agent)
    return [Typist(agent.expect(capturing=True), every).start() for agent in typists]


@pytest.mark.parametrize("name", ["policy", "ingest", "control", "notify"])
def test_a_service_killed_under_load_comes_back_and_nothing_acknowledged_is_lost(make_suite, name):
    suite = make_suite()
    typists = at_work(suite)
    for _ in range(2):
        wait_until(lambda: suite.vault_count() > 50, "events flow")
        before = suite.vault_count()
        suite.restart(name)
        for typist in typists:
            # By themselves: nobody starts the agents again.
            typist.agent.expect(capturing=True)
        wait_until(lambda: suite.vault_count() > before + 100, f"events flow again after {name} was killed")
    for typist in typists:
        typist.stop()
    keys = expect_everything_once(suite, *typists)
    assert len(keys) > 200
    if name != "policy":
        return

    # Control: policy sees a batch that is there twice, and does not serve.
    suite.terminate("policy")
    with sqlite3.connect(suite.home / "policy" / "vault.sqlite") as vault:
        vault.execute(
            "INSERT INTO segment SELECT (SELECT MAX(number) FROM segment) + 1, subject, class, first_ns, last_ns, agent, stream, sequence, site,"
            " team, count, epoch, columns_bytes, hash, key, body FROM segment WHERE number = (SELECT MAX(number) FROM segment)")
    vault.close()
    suite.start("policy", wait=False)
    assert suite.services["policy"].wait() == 1
    assert "vault.sqlite is damaged: it has" in suite.services["policy"].said
    assert twice(["ann-1", "ann-2", "ann-1"]) == ["ann-1"]


def test_an_agent_killed_under_load_sends_what_its_spool_had_and_nothing_twice(make_suite):
    suite = make_suite()
    typist, = at_work(suite, 1)
    agent = typist.agent
    for _ in range(2):
        typist.expect_more(20)
        sure = typist.count
        # A batch is a second old at most when it is sealed: what was typed long before must survive.
        typist.expect_more(200)
        agent.kill()
        agent.run(None, (), "--drain", "60").expect(capturing=True)
        typist.expect_more(50)
    typist.stop()
    agent.expect_drained()
    keys = suite.keys()
    assert twice(keys) == [] and out_of_order(keys) == []
    assert suite.vault("SELECT COALESCE(SUM(lost), 0) FROM stream") == [(0,)]
    # Every sequence that the spool gave out has come: none is missing between the first and the last.
    sequences = [s for s, in suite.vault("SELECT sequence FROM segment ORDER BY sequence")]
    assert sequences == list(range(1, len(sequences) + 1)) and len(sequences) >= 4
    assert f"ann-{sure}" in keys


def test_an_agent_that_is_killed_while_policy_is_away_keeps_its_spool(make_suite):
    suite = make_suite()
    typist, = at_work(suite, 1)
    wait_until(lambda: suite.vault_count() > 20, "events flow")
    suite.kill("policy")
    accepted = typist.agent.fresh["accepted"]
    wait_until(lambda: typist.agent.fresh["spoolBatches"] >= 2, "batches wait in the spool")
    waiting = typist.agent.fresh["spoolBatches"]
    typist.stop()
    typist.agent.kill()
    typist.agent.run(None, (), "--drain", "60")
    wait_until(lambda: typist.agent.fresh["spoolBatches"] >= waiting, "the spool is still there")
    suite.start("policy")
    typist.agent.expect_drained()
    keys = suite.keys()
    assert len(keys) >= accepted and twice(keys) == [] and out_of_order(keys) == []


@pytest.mark.limit(150 if KILLS <= 30 else 6 * KILLS)
def test_random_kills_lose_nothing_that_was_acknowledged(make_suite):
    seed = int(os.environ.get("SLUICE_SEED") or random.randrange(1 << 32))
    print(f"seed {seed}: again with SLUICE_SEED={seed}")
    rng = random.Random(seed)
    suite = make_suite(lease_ms=600)
    typists = at_work(suite, 3)
    agents, killed = {typist.agent.name: typist.agent for typist in typists}, set()
    for number in range(KILLS):
        # One agent is never killed: of that one every key is accounted for.
        name = rng.choice(["policy", "policy", "ingest", "ingest", "control", "notify", "bob", "bob", "cid"])
        before = suite.vault_count()
        if name in agents:
            killed.add(name)
            agents[name].kill()
            agents[name].run(None, (), "--drain", "60")
        else:
            suite.kill(name)
            suite.start(name, wait=False)
        # Sometimes the next blow falls before this one is overcome.
        if rng.random() < 0.6:
            wait_until(lambda: suite.vault_count() > before, f"events flow after kill {number}, {name}")
            typists[0].expect_more(rng.randrange(1, 40))
    suite.expect_serving()
    for typist in typists:
        typist.agent.expect(capturing=True)
        typist.stop()
    keys = expect_everything_once(suite, *typists, killed=killed)
    assert len({key.split("-")[0] for key in keys}) == 3

    # The control: a loss would be seen, of an agent that was killed and of one that was not.
    accepted = {name: sum(key.startswith(f"{name}-") for key in keys) for name in sorted(agents.keys() - killed)}
    for name in ("ann", *sorted(killed)[:1]):
        with contextlib.closing(sqlite3.connect(suite.home / "policy" / "vault.sqlite", timeout=20)) as vault:
            row = vault.execute("SELECT * FROM segment WHERE subject = ? ORDER BY sequence LIMIT 1 OFFSET 1", (f"E-{name}",)).fetchone()
            with vault:
                assert vault.execute("DELETE FROM segment WHERE number = ?", row[:1]).rowcount == 1
            with pytest.raises(AssertionError, match="lost"):
                expect_kept(suite, accepted, killed=[agents[one] for one in killed])
            with vault:
                vault.execute(f"INSERT INTO segment VALUES ({', '.join('?' * len(row))})", row)
    assert expect_kept(suite, accepted, killed=[agents[one] for one in killed]) == keys, "what was taken away and put back was all that was missing"


@pytest.mark.parametrize("point, at", [
    ("after-recv", 3), ("after-commit-before-ack", 1), ("after-commit-before-ack", 4),
])
def test_policy_that_dies_at_a_named_point_neither_loses_nor_doubles(make_suite, point, at):
    suite = make_suite(start=False)
    suite.start("control", "ingest", "notify", wait=False)
    suite.start("policy", env={"SLUICE_FAULT": f"{point}:{at}"})
    typists = at_work(suite)
    assert suite.services["policy"].wait(60) == 137, "it has died at the point"
    suite.start("policy")
    typists[0].expect_more(200)
    for typist in typists:
        typist.stop()
    expect_everything_once(suite, *typists)
    if point == "after-commit-before-ack":
        # What shows that the fault was real: the batch came again, and was known.
        assert int(suite.service_status("policy")["counters"].get("duplicates", 0)) >= 1


def test_an_agent_that_dies_after_an_acknowledgement_goes_on_with_the_next(make_suite):
    suite = make_suite()
    agent = suite.agent("ann", "E1").run({"SLUICE_FAULT": "after-ack-before-outbox-delete:2"}).expect(capturing=True)
    typist = Typist(agent, 0.01).start()
    assert agent.process.wait(60) == 137
    agent.run().expect(capturing=True)
    typist.expect_more(100).stop()
    agent.expect_drained()
    keys = suite.keys()
    assert twice(keys) == [] and out_of_order(keys) == [] and len(keys) > 100
    assert suite.vault("SELECT COALESCE(SUM(lost), 0) FROM stream") == [(0,)]


def test_control_restarts_at_no_lower_epoch_and_what_was_closed_stays_closed(make_suite):
    suite = make_suite()
    typists = at_work(suite)
    lifted = suite.pause("--class", "content")["epoch"]
    suite.resume(lifted)
    kept = suite.pause("--class", "activity")
    epoch = suite.epoch()
    assert kept["complete"], kept
    if kept["unrecorded"]:
        # The disk took a second and more, and so it was said.
        wait_until(lambda: "not in it yet" not in suite.cli("certificate", kept["epoch"]).out, "it is in the ledger")
    # What was shown as recorded is in the ledger: killed at once, control still has it.
    for _ in range(2):
        suite.restart("control")
        assert suite.epoch() >= epoch
        assert [c["epoch"] for c in suite.cli("closures", "--json").json["closures"]] == [kept["epoch"]]
        stopped = suite.vault_count()
        typists[0].expect_more(150)
        assert suite.vault_count() == stopped, "nothing comes in while it is closed"
    assert suite.cli("certificate", kept["epoch"]).code == 0, "its certificate is still there"
    assert suite.resume()["epoch"] > epoch
    # Control: the same question after the resume has the other answer.
    wait_until(lambda: suite.vault_count() > stopped, "events flow after the resume")


def test_a_pause_that_was_answered_survives_control_killed_at_once(make_suite):
    suite = make_suite()
    for _ in range(5):
        suite.agents or suite.agent("ann", "E1").run().expect(capturing=True)
        epoch = suite.pause("--all")["epoch"]
        suite.restart("control")
        assert epoch in [c["epoch"] for c in suite.cli("closures", "--json").json["closures"]]
        assert suite.agents["ann"].expect(capturing=False)
        suite.resume()
        suite.agents["ann"].expect(capturing=True)


def test_a_control_whose_journal_was_rolled_back_stays_closed_until_an_operator_opens_it(make_suite):
    import shutil

    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    folder = suite.home / "control"
    suite.terminate("control")
    shutil.copytree(folder, suite.folder / "yesterday")
    suite.start("control")
    epoch = suite.pause("--all")["epoch"]
    suite.kill("control")
    shutil.rmtree(folder)
    shutil.copytree(suite.folder / "yesterday", folder)
    suite.start("control", wait=False)
    sealed = wait_until(lambda: suite.cli("status", "--json", check=False).out and suite.status()["gate"].get("sealed"), "control is sealed")
    wait_until(lambda: "entries were lost" in (suite.status()["gate"].get("sealed") or ""), f"it says why: {sealed}")
    agent.expect(capturing=False)
    refused = suite.cli("resume", "--all", "--reason", "x", check=False)
    assert refused.code == 1 and "--unseal" in refused.err
    agent.expect(capturing=False)
    wait_until(lambda: suite.status()["ledgers"][0].get("abandons"), "policy has shown what it had cosigned")
    opened = suite.approved("resume", "--unseal", "--reason", "the copy was mine")
    assert opened["epoch"] > epoch, "G3: no epoch is used twice"


def test_a_restart_of_everything_goes_on_where_it_stopped(make_suite):
    suite = make_suite()
    typists = at_work(suite)
    wait_until(lambda: suite.vault_count() > 100, "events flow")
    closed = suite.pause("--class", "review")["epoch"]
    epoch = suite.epoch()
    for typist in typists:
        typist.stop()
    assert Agent.end_inputs([typist.agent for typist in typists]) == [0, 0]
    count = suite.vault_count()
    assert suite.terminate_all() == {"ingest": 0, "policy": 0, "notify": 0, "control": 0}

    suite.up()
    status = suite.status()
    assert int(status["gate"]["epoch"]) >= epoch
    assert [c["epoch"] for c in status["gate"]["closures"]] == [closed]
    assert set(suite.agent_states()) == {"ann", "bob"}
    assert len(suite.keys()) == count == suite.vault_count()
    ann = suite.agents["ann"].run().expect(capturing=True)
    assert "review" not in ann.classes
    ann.type("ann-999999")
    assert ann.end_input() == 0
    keys = suite.keys()
    assert "ann-999999" in keys and len(keys) == count + 1


def test_up_starts_a_killed_service_again(make_suite):
    suite = make_suite(start=False)
    up = suite.up()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    typist = Typist(agent, 0.01).start()
    wait_until(lambda: suite.vault_count() > 20, "events flow")
    children = {}
    for folder in os.listdir("/proc"):
        try:
            # Where machines join is ingest's program as well.
            if int(open(f"/proc/{folder}/stat").read().rsplit(")", 1)[1].split()[1]) == up.id and "\0join\0" not in open(f"/proc/{folder}/cmdline").read():
                children[os.path.basename(os.readlink(f"/proc/{folder}/exe"))] = int(folder)
        except (OSError, ValueError, IndexError):
            continue
    assert {"sluice-control", "sluice-ingest", "sluice-policy", "sluice-notify"} <= set(children)
    for name in ("sluice-policy", "sluice-control", "sluice-ingest"):
        before = suite.vault_count()
        os.kill(children[name], 9)
        wait_until(lambda: suite.vault_count() > before + 50, f"events flow after {name} was killed")
    typist.stop()
    expect_everything_once(suite, typist)
    assert up.end() == 0
