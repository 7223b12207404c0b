"""An agent's key is exchanged while it runs, under its name, and what waits in its spool arrives once."""

import json
import subprocess

from harness import Typist, binaries, wait_until
from test_ledger_keys import both_count


def enrolled(suite, agent, name=None):
    """A token for this agent; the second operator has approved it."""
    made = suite.cli("enrol", "--subject", agent.subject, "--site", agent.site, "--team", agent.team, "--name", name or agent.name, "--json").json
    suite.cli("approve", made["proposal"]["proposal"], "--as", "ops-2")
    return made["token"]


def renew(agent, token, check=True):
    done = subprocess.run(
        [binaries() / "sluice-agent", "join", "--renew", "--home", agent.home, "-"], input=token, capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, done
    return done


def key_of(agent):
    return (agent.home / "agent.secret").read_text()


def started(make_suite):
    suite = make_suite()
    suite.start("join")
    return suite


def test_a_running_agent_gets_a_new_key_and_what_its_spool_holds_arrives_once(make_suite):
    suite = started(make_suite)
    agent = suite.agent("ann").run().expect(capturing=True)
    typist = Typist(agent).start()
    typist.expect_more(20)
    agent.expect_drained()
    old = key_of(agent)
    # The spool fills: policy takes nothing, and may have stored what it never acknowledges.
    suite.stop("policy")
    wait_until(lambda: agent.status["spoolBatches"] >= 2, "the spool has something", within=60)
    typist.stop()
    agent.expect(capturing=True)
    renew(agent, enrolled(suite, agent))
    assert key_of(agent) != old and not (agent.home / "agent.secret.new").exists()
    wait_until(lambda: "this agent has a new key" in agent.process.said, "it takes it up")
    suite.cont("policy")
    agent.expect_drained()
    agent.expect(capturing=True)
    keys = suite.keys()
    assert agent.status["quarantined"] == 0
    assert len(keys) == len(set(keys)) == agent.status["accepted"], "each once, and none is missing"
    assert suite.vault("SELECT SUM(lost) FROM stream")[0][0] == 0
    # The control: the key that it had is dead, though nobody revoked it by name.
    agent.end_input()
    new = key_of(agent)
    (agent.home / "agent.secret").write_text(old)
    agent.run()
    wait_until(lambda: agent.status.get("pid") == agent.process.id, "it runs")
    agent.type("never")
    wait_until(lambda: agent.status["refused"].get("no-lease"), "what is typed is refused")
    assert not agent.status["isConnected"] and not agent.status["classes"]
    agent.process.end()
    (agent.home / "agent.secret").write_text(new)
    agent.run().expect(capturing=True)


def test_a_token_of_another_name_or_of_another_suite_changes_no_key(make_suite):
    suite = started(make_suite)
    agent = suite.agent("ann")
    key, settings = key_of(agent), json.loads((agent.home / "agent.json").read_text())
    done = renew(agent, enrolled(suite, agent, name="eve"), check=False)
    assert done.returncode == 1 and "was for 'eve'" in done.stderr and "stays as it is" in done.stderr
    assert key_of(agent) == key and not (agent.home / "agent.secret.new").exists()
    # As an agent of another suite has it.
    path = agent.home / "agent.json"
    foreign = {**settings, "ledgerKey": json.loads((suite.home / "registry.json").read_text())["anchors"]["policy"]}
    path.write_text(json.dumps(foreign))
    done = renew(agent, enrolled(suite, agent), check=False)
    assert done.returncode == 1 and "another suite" in done.stderr
    assert key_of(agent) == key and json.loads(path.read_text()) == foreign
    # The control: with the right one it works; what the machine set for itself stays.
    path.write_text(json.dumps({**settings, "spoolBytesMax": 5 << 20}))
    renew(agent, enrolled(suite, agent))
    assert key_of(agent) != key and json.loads(path.read_text())["spoolBytesMax"] == 5 << 20
    agent.run().expect(capturing=True)


def test_an_agent_that_renews_its_key_while_two_keys_of_the_ledger_count_follows_whichever_is_retired(make_suite):
    suite = started(make_suite)
    agent = suite.agent("ann").run().expect(capturing=True)
    for gone in (1, 0):
        old, new = both_count(suite)
        wait_until(lambda: known_keys(agent)["keys"] == [old, new], "the agent believes both")
        before = known_keys(agent)
        # As on an operator's machine that no service has: registry.json alone says which key counts, and the token names the newer.
        for kept in suite.home.glob("*/control.ledger-keys"):
            kept.unlink()
        renew(agent, enrolled(suite, agent))
        assert known_keys(agent) == before, "begun at the token it would know the newer alone, and of none that was retired"
        retired, left = ((old, new), (new, old))[gone]
        suite.cli("ledger-key", "retire", "control.ledger", f"--key={retired}")
        wait_until(lambda: known_keys(agent)["keys"] == [left] and retired in known_keys(agent)["retired"], "it has followed")
        agent.process.end()
        agent.run().expect(capturing=True)


def known_keys(agent):
    return json.loads((agent.home / "agent.json").read_text()).get("ledgerKeys", {"keys": []})
