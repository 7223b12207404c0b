"""`sluice pause --dry-run`: what it says is what the pause then does, it changes nothing, and it is refused as the pause would be."""

import json
import os
import random
import shutil

import pytest
from harness import wait_until
from harness.agent import key
from test_releases import Stream, apply, document, grant

PLACES = [("ann", "E1", "berlin", "search"), ("bob", "E2", "berlin", "ads"), ("cleo", "E3", "paris", "search"), ("dan", "E3", "paris", "maps")]


@pytest.fixture(scope="module")
def company(make_module_suite):
    """Four agents of three people on two sites; two of them run, one typed more than one chunk, and a job may read it."""
    suite = make_module_suite()
    agents = [suite.agent(name, subject, site=site, team=team) for name, subject, site, team in PLACES]
    for agent in agents[:2]:
        agent.run().expect(capturing=True)
    suite.approved("register", "job", "--reader")
    for number in range(3):
        agents[0].send(key("a"))
        wait_until(lambda: suite.vault_count() == number + 1, "it is stored")
    apply(suite, document(grant()))
    return suite


def rehearse(suite, *scope, check=True, **more):
    outcome = suite.cli("pause", "--dry-run", "--json", *scope, check=check, **more)
    return outcome.json if outcome.code == 0 else outcome


def state(suite):
    """What a pause would change."""
    status = suite.status()
    pushed = [suite.log(name).read_text().count(" pushed") for name in ("policy", "ingest")]
    return status["gate"], status["entries"], status["incidents_open"], pushed, suite.cli("incidents", "--json").json


def scopes(seed):
    chosen = random.Random(seed)
    print(f"seed {seed}")
    for _ in range(4):
        words = []
        for option, values in (("--site", ["berlin", "paris"]), ("--team", ["search", "ads", "maps"]), ("--subject", ["E1", "E2", "E3"]), ("--class", ["activity", "content", "review"])):
            for value in chosen.sample(values, chosen.choice([0, 0, 1, 2])):
                words += [option, value]
        words += chosen.choice([[], [], ["--capture-only"], ["--reads-only"], ["--reader", "job"]])
        yield words if any(word.startswith("--") and word not in ("--capture-only", "--reads-only") for word in words) else ["--all", *words]
    yield ["--all"]


def test_a_dry_run_says_what_the_pause_then_does_and_changes_nothing(company):
    suite = company
    for scope in scopes(random.randrange(1 << 32)):
        wait_until(lambda: len(suite.service_status("ingest")["gauges"]) and suite.status()["agents_current"] == 2, "both hold a lease")
        before = state(suite)
        said = rehearse(suite, *scope)
        assert state(suite) == before, f"{scope}: nothing has changed"
        certificate = suite.pause(*scope)
        assert state(suite) != before, "the control"
        assert sorted(stop["node"] for stop in certificate["agents"]) == said["agent_names"] and said["agents"] == len(said["agent_names"]), scope
        assert sorted(said["services"] + said["idle"]) == sorted(stop["node"] for stop in certificate["services"]), scope
        made, planned = certificate["closure"], said["closure"]
        assert {k: v for k, v in made.items() if k not in ("from_us", "reason")} == {k: v for k, v in planned.items() if k not in ("from_us", "reason")}, "epoch, incident, direction, selector, author"
        assert certificate["epoch"] in rehearse(suite, *scope)["covered_by"], "the control: what is closed already is told"
        suite.resume(certificate["epoch"])
        for agent in ("ann", "bob"):
            suite.agents[agent].expect(capturing=True)


def test_it_names_the_reads_that_would_end_and_those_that_would_not(company):
    suite = company
    stream = Stream(suite)
    assert stream.take()

    def said(*scope):
        # Who says nothing for four leases is gone.
        stream.peer.send("renew", nonce=os.urandom(16))
        return rehearse(suite, *scope)["reads"]

    (read,) = said("--class", "activity")
    assert (read["reader"], read["purpose"], read["classes"], read["at_once"]) == ("job", "training", ["activity"], True)
    assert "at_once" not in said("--site", "paris")[0], "whose site it is shows in the chunk"
    assert said("--reader", "guard", "--reads-only") == said("--class", "review") == said("--all", "--capture-only") == []
    stream.peer.send("renew", nonce=os.urandom(16))
    shown = suite.cli("pause", "--dry-run", "--team", "search").out
    assert "NOTHING WAS STOPPED" in shown and "ann, cleo" in shown and "release " in shown and "2   E1, E3" in shown, shown
    assert stream.ended is None
    assert stream.more(), "it goes on"
    stream.close()


def test_who_may_not_pause_and_what_cannot_be_paused_is_told_as_by_the_pause(company, tmp_path):
    suite = company
    before = state(suite)
    for scope in (("--team", "nobody"), ("--class", "nothing"), ("--subject", "x" * 300), ("--site", "\x1b[2J")):
        dry, real = rehearse(suite, *scope, check=False), suite.cli("pause", *scope, "--reason", "x", check=False)
        assert dry.code == 1 and (dry.code, dry.err) == (real.code, real.err), (dry, real)
    for words in ((), ("--all", "--team", "search"), ("--all", "--capture-only", "--reads-only")):
        assert suite.cli("pause", "--dry-run", *words, check=False).code == 64
    assert "--reason is missing" in suite.cli("pause", "--all", check=False).err
    # The connection of one operator and a key that is nobody's.
    keys = suite.home / "keys"
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("open sesame\n")
    passphrase.chmod(0o600)
    suite.cli("key", "new", "eve", "--passphrase-file", passphrase)
    shutil.copy(keys / "ops-1.secret", keys / "eve.secret")
    eve = ("--all", "--as", "eve", "--passphrase-file", passphrase)
    dry, real = rehearse(suite, *eve, check=False), suite.cli("pause", *eve, "--reason", "x", check=False)
    assert dry.code != 0 and (dry.code, dry.err) == (real.code, real.err), (dry, real)
    # A reader.
    dry = rehearse(suite, "--all", "--as", "job", check=False)
    assert dry.code != 0 and suite.cli("pause", "--all", "--reason", "x", "--as", "job", check=False).code == dry.code
    assert state(suite) == before
    # Policy is no witness of who stops; that it is not asked is told.
    suite.terminate("policy")
    said = rehearse(suite, "--all")
    assert said["agents"] == 4 and "does not answer" in said["reads_unknown"] and "reads" not in said, json.dumps(said)
    suite.start("policy")
