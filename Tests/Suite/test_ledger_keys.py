"""The keys that ledgers are signed and cosigned with are exchanged while everything runs: nobody is without a lease, and what was signed stays good."""

import base64
import json
import shutil
import sqlite3
import subprocess

import pytest

from harness.agent import Agent
from harness import binaries
from harness.waiting import wait_until

KEYS = ("policy.ledger", "policy.witness", "control.witness")


def name_of(suite, which):
    kind = {"control.ledger": "governance", "policy.ledger": "reads", "policy.witness": "policy", "control.witness": "control"}[which]
    return next(key["key"].split("+")[0] for key in suite.cli("ledger-key", "list", "--json").json["keys"] if key["key"].split("+")[0].endswith("/" + kind))


def keys_of(suite, which):
    name = name_of(suite, which)
    return [key for key in suite.cli("ledger-key", "list", "--json").json["keys"] if key["key"].split("+")[0] == name]


def ledger(suite, name):
    return next(one for one in suite.status()["ledgers"] if one["origin"].endswith("/" + name))


def expect_cosigned(suite):
    """All of both, and believed."""

    def is_cosigned():
        ledgers = suite.status()["ledgers"]
        return all(one.get("size", 0) == one.get("witnessed", 0) and not one.get("trouble") for one in ledgers) and ledgers[0].get("size")

    wait_until(is_cosigned, "each service has cosigned all of the other's ledger")


def exchange(suite, which):
    suite.approved("ledger-key", "new", which)
    wait_until(lambda: len(keys_of(suite, which)) == 2, f"a second key of {which} counts")
    suite.cli("ledger-key", "use", which)
    wait_until(lambda: keys_of(suite, which)[1]["used"], f"{which} signs with its next key")
    suite.cli("ledger-key", "retire", which)
    [now] = keys_of(suite, which)
    return now["key"]


def test_every_key_of_the_ledgers_is_exchanged_twice_without_a_stop_and_all_that_was_signed_stays_good(make_suite):
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    agent.type("one")
    agent.expect_drained()
    suite.read()
    expect_cosigned(suite)
    processes = {name: suite.services[name].id for name in suite.services}
    seen = set()
    for _ in range(2):
        for which in KEYS:
            [before] = keys_of(suite, which)
            seen |= {before["key"], exchange(suite, which)}
            # Each ledger grows under the key that there is now.
            suite.read()
            expect_cosigned(suite)
            assert not suite.status()["counters"].get("ledger.reads.refused") and not suite.status()["counters"].get("ledger.governance.refused")
    assert len(seen) == 3 * len(KEYS), "another one each time"
    assert {name: suite.services[name].id for name in processes} == processes and all(suite.services[name].is_running for name in processes)
    suite.cli("ledger", "verify")
    # Everything begins anew with what it has now, and goes on.
    for name in ("control", "policy"):
        suite.restart(name)
    suite.read()
    expect_cosigned(suite)
    suite.cli("ledger", "verify")
    agent.expect(capturing=True)


@pytest.mark.parametrize("which", (*KEYS, "control.ledger"))
def test_a_key_that_does_not_count_signs_nothing_and_one_person_alone_makes_none_count(make_suite, which):
    suite = make_suite()
    [known] = keys_of(suite, which)
    refused = suite.cli("ledger-key", "retire", which, check=False)
    assert refused.code == 1 and "has one key" in refused.err
    proposed = suite.cli("ledger-key", "new", which, "--json").json["proposal"]
    assert proposed["state"] == "open" and any("what they sign as" in line for line in proposed["gains"]), proposed
    refused = suite.cli("ledger-key", "use", which, check=False)
    assert refused.code == 1 and "does not count yet" in refused.err
    # Exchanged by hand all the same: the service looks into the ledger itself.
    service, what = which.split(".")
    folder = suite.home / service
    (folder / f"{what}.next").rename(folder / f"{what}.key")
    wait_until(lambda: "does not count for" in suite.log(service).read_text(), "it says so")
    assert keys_of(suite, which) == [{**known, "used": keys_of(suite, which)[0]["used"]}] and suite.services[service].is_running
    expect_cosigned(suite)
    # When another person agrees it is taken up, and the older may go.
    suite.cli("approve", proposed["proposal"], "--as", "ops-2")
    wait_until(lambda: keys_of(suite, which)[-1]["used"] and len(keys_of(suite, which)) == 2, "it signs")
    newer = keys_of(suite, which)[1]["key"]
    suite.cli("ledger-key", "retire", which)
    refused = suite.cli("ledger-key", "announce", which, f"--key={known['key']}", check=False)
    assert refused.code == 1 and "never comes back" in refused.err
    assert [key["key"] for key in keys_of(suite, which)] == [newer]


def test_what_a_stolen_key_signs_after_it_was_retired_is_believed_by_nobody(make_suite):
    suite = make_suite()
    suite.approved("ledger-key", "new", "policy.ledger")
    old, new = keys_of(suite, "policy.ledger")
    # Policy signs with it, and it is retired all the same: by who says so.
    wait_until(lambda: keys_of(suite, "policy.ledger")[0]["used"], "policy has shown its ledger")
    refused = suite.cli("ledger-key", "retire", "policy.ledger", f"--key={old['key']}", check=False)
    assert refused.code == 1 and "--yes" in refused.err
    suite.cli("ledger-key", "retire", "policy.ledger", f"--key={old['key']}", "--yes")
    wait_until(lambda: "is not signed by the key of its ledger" in ledger(suite, "reads").get("trouble", ""), "control does not believe it")
    wait_until(lambda: suite.read(check=False).code != 0, "policy has no lease")
    # The other key is there, and brings it back.
    suite.cli("ledger-key", "use", "policy.ledger")
    wait_until(lambda: not ledger(suite, "reads").get("trouble"), "it is believed again")
    wait_until(lambda: suite.read(check=False).code == 0, "policy has a lease")
    assert [key["key"] for key in keys_of(suite, "policy.ledger")] == [new["key"]]
    suite.cli("ledger", "verify")


# Control's own: agents, tokens and certificates name it


def own_keys(suite):
    return [key for key in suite.cli("ledger-key", "list", "--json").json["keys"] if key["key"].split("+")[0].endswith("/governance")]


def exchange_own(suite, between=lambda: None):
    """Of control's own ledger. `between`: after each of the steps."""
    [before] = own_keys(suite)
    suite.approved("ledger-key", "new", "control.ledger")
    between()
    wait_until(lambda: len(own_keys(suite)) == 2, "a second key of control's ledger counts")
    suite.cli("ledger-key", "use", "control.ledger")
    between()
    wait_until(lambda: all(key["used"] for key in own_keys(suite)), "control signs with both")
    suite.cli("ledger-key", "retire", "control.ledger")
    between()
    [now] = own_keys(suite)
    assert now["key"] != before["key"]
    return now["key"]


def believed(agent):
    return json.loads((agent.home / "agent.json").read_text())["ledgerKey"]


def intervals(agent):
    """How often it has begun to capture, by class."""
    with sqlite3.connect(f"file:{agent.home / 'spool.sqlite'}?mode=ro", uri=True, timeout=10) as database:
        return database.execute("SELECT class, COUNT(*) FROM interval GROUP BY class ORDER BY class").fetchall()


def token_for(suite, subject):
    made = suite.cli("enrol", "--subject", subject, "--json").json
    suite.cli("approve", made["proposal"]["proposal"], "--as", "ops-2")
    return made["token"]


def joined(folder, token):
    """What a machine writes down that joins."""
    done = subprocess.run([binaries() / "sluice-agent", "join", "--home", folder, "-"], input=token, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "agent.json").read_text())


def ids(note):
    """Of the keys that have signed a note, by their names."""
    lines = note.decode().rpartition("\n\n")[2].splitlines()
    return {(name, base64.b64decode(data)[:4].hex()) for _, name, data in (line.split(" ") for line in lines)}


def test_controls_own_key_is_exchanged_twice_without_a_stop_and_who_slept_meanwhile_follows(make_suite):
    # Before anybody captures: new rules are an interruption.
    suite = make_suite().govern()
    agents = [suite.agent(name, subject).run().expect(capturing=True) for name, subject in (("ann", "E1"), ("ben", "E2"))]
    ann, sleeper = agents
    sleeper.process.end()
    suite.terminate("notify")
    processes = {name: suite.services[name].id for name in suite.services if name != "notify"}
    first = own_keys(suite)[0]["key"]
    old_proof = suite.cli("ledger", "prove", "2").out
    certificate = suite.home / "old.certificate"
    epoch = suite.pause(reason="before")["epoch"]
    certificate.write_text(suite.cli("certificate", epoch, "--file").out)
    suite.resume(epoch)
    ann.expect(capturing=True)
    begun = intervals(ann)
    for _ in range(2):
        key = exchange_own(suite)
        wait_until(lambda: believed(ann) == key, "the agent believes the next key alone")
        ann.type("more")
        ann.expect_drained()
        suite.read()
        expect_cosigned(suite)
    ann.expect(capturing=True)
    assert begun and intervals(ann) == begun, "it has not stopped in between"
    assert {name: suite.services[name].id for name in processes} == processes and all(suite.services[name].is_running for name in processes)
    assert not suite.status()["counters"].get("ledger.governance.refused")
    suite.cli("ledger", "verify")
    # Who was away from the beginning to the end has the first key alone.
    assert believed(sleeper) == first
    suite.start("notify")
    sleeper.run().expect(capturing=True)
    wait_until(lambda: believed(sleeper) == key, "it has followed the keys one by one")
    for service in ("policy", "ingest", "notify"):
        kept = (suite.home / service / "control.ledger-keys").read_text().split()
        assert key in kept and kept[kept.index(first) + 1] == "retired", service
    # Everything begins anew with what it has now.
    for name in ("control", "policy", "ingest", "notify"):
        suite.restart(name)
    for agent in agents:
        agent.expect(capturing=True)
    # What was signed before is good, and what is signed now is by the new one alone.
    old = suite.cli("certificate", "verify", certificate, "--home", suite.home)
    assert "verified" in old.out
    assert suite.cli("certificate", "verify", certificate, f"--key={first}").code == 0
    certificate.write_text(certificate.read_text().replace("reason before", "reason behind"))
    assert suite.cli("certificate", "verify", certificate, "--home", suite.home, check=False).code == 1
    anew = suite.cli("certificate", epoch, "--file").out.encode()
    assert {number for _, number in ids(anew)} != {first.split("+")[1]} and len(ids(anew)) == 1
    assert key.split("+")[1] in {number for _, number in ids(suite.cli("ledger", "prove", "2").out.encode())}
    assert first.split("+")[1] in {number for _, number in ids(old_proof.encode())}
    suite.cli("ledger", "verify")


def test_while_both_keys_sign_either_is_enough_and_the_newer_may_be_given_up(make_suite):
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    first = own_keys(suite)[0]["key"]
    suite.approved("ledger-key", "new", "control.ledger")
    # Nothing is left to sign with: control says so, whoever asks.
    refused = suite.cli("ledger-key", "retire", "control.ledger", f"--key={first}", "--yes", check=False)
    assert refused.code == 1 and "with this key alone" in refused.err
    suite.cli("ledger-key", "use", "control.ledger")
    wait_until(lambda: all(key["used"] for key in own_keys(suite)), "control signs with both")
    old, new = (key["key"] for key in own_keys(suite))
    epoch = suite.pause(reason="both")["epoch"]
    path = suite.home / "both.certificate"
    path.write_text(suite.cli("certificate", epoch, "--file").out)
    for key in (old, new):
        assert suite.cli("certificate", "verify", path, f"--key={key}").code == 0
    suite.resume(epoch)
    suite.cli("ledger-key", "retire", "control.ledger", f"--key={new}")
    assert [key["key"] for key in own_keys(suite)] == [old]
    agent.expect(capturing=True)
    wait_until(lambda: json.loads((agent.home / "agent.json").read_text())["ledgerKeys"]["retired"] == [new], "the agent has heard that it counts no more")
    refused = suite.cli("ledger-key", "announce", "control.ledger", f"--key={new}", check=False)
    assert refused.code == 1 and "never comes back" in refused.err
    for name in ("control", "policy", "ingest"):
        suite.restart(name)
    agent.expect(capturing=True)
    # And once more, with another; control is killed after each step.
    def die():
        suite.kill("control")
        suite.start("control")

    key = exchange_own(suite, between=die)
    agent.expect(capturing=True)
    wait_until(lambda: believed(agent) == key, "the agent has followed")
    expect_cosigned(suite)
    suite.cli("ledger", "verify")


def test_a_token_of_before_the_exchange_is_good_and_the_machine_believes_the_present_key(make_suite, tmp_path):
    suite = make_suite()
    suite.start("join")
    wait_until(lambda: any(key["service"] == "join" and key.get("used") for key in suite.cli("service-key", "list", "--json").json["keys"]), "the joining process is known")
    token = token_for(suite, "E7")
    key = exchange_own(suite)
    told = joined(tmp_path / "one", token)
    assert told["ledgerKey"] == key and told["ledgerKeys"]["keys"] == [key]
    # And one of after it.
    told = joined(tmp_path / "two", token_for(suite, "E8"))
    assert told["ledgerKey"] == key and told["ledgerKeys"]["keys"] == [key]
    # None is made that begins with a key which counts no more.
    registry = json.loads((suite.home / "registry.json").read_text())
    registry["anchors"]["control"] = told["ledgerKeys"]["retired"][0]
    (suite.home / "registry.json").write_text(json.dumps(registry))
    refused = suite.cli("enrol", "--subject", "E9", check=False)
    assert refused.code == 1 and "does not count any more" in refused.err


def both_count(suite):
    """Control signs with two keys of its own: the older and the newer."""
    suite.approved("ledger-key", "new", "control.ledger")
    suite.cli("ledger-key", "use", "control.ledger")
    wait_until(lambda: all(key["used"] for key in own_keys(suite)), "control signs with both")
    return [key["key"] for key in own_keys(suite)]


def test_who_joins_while_both_keys_sign_begins_with_the_older_and_either_may_be_given_up(make_suite):
    suite = make_suite()
    suite.start("join")
    wait_until(lambda: any(key["service"] == "join" and key.get("used") for key in suite.cli("service-key", "list", "--json").json["keys"]), "the joining process is known")
    suite.agent("ann", "E1").run().expect(capturing=True)
    old, new = both_count(suite)
    # What an operator's home must know of the older is in it as soon as one service has followed.
    wait_until(lambda: new in (suite.home / "ingest" / "control.ledger-keys").read_text(), "ingest keeps both")
    late = Agent(suite, "late", "E7", "", "")
    assert joined(late.home, token_for(suite, "E7"))["ledgerKeys"]["keys"] == [old, new]
    registered = suite.agent("ben", "E2")
    assert believed(registered) == old
    # The control: who knows the newer alone believes nothing that the older says.
    naive = suite.agent("eve", "E3")
    path = naive.home / "agent.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "ledgerKey": new}))
    for agent in (late, registered, naive):
        agent.run().expect(capturing=True)
    suite.cli("ledger-key", "retire", "control.ledger", f"--key={new}")
    for agent in (late, registered):
        wait_until(lambda: json.loads((agent.home / "agent.json").read_text()).get("ledgerKeys", {}).get("retired") == [new], "it has heard that the newer counts no more")
    for agent in (late, registered, naive):
        agent.process.end()
    # The ledger has grown, under the older alone; from here on nothing is handed out that was signed while both were.
    suite.approved("register", "fay", "--subject", "E4")
    expect_cosigned(suite)
    suite.restart("ingest")
    for agent in (late, registered):
        agent.run().expect(capturing=True)
        assert believed(agent) == old
    naive.run()
    wait_until(lambda: "join anew" in naive.process.said, "it says what to do")
    naive.expect(capturing=False)


def test_who_has_the_retired_key_and_controls_place_is_believed_by_nobody_who_knows_the_next(make_suite):
    """The thief has all that control had before: its session's key, its ledger as it was then, and the key that signed it."""
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    suite.terminate_all()
    stolen = suite.folder / "stolen"
    shutil.copytree(suite.home / "control", stolen)
    registry = (suite.home / "registry.json").read_text()
    suite.start()
    key = exchange_own(suite)
    for service in ("policy", "ingest", "notify"):
        wait_until(lambda: key in (suite.home / service / "control.ledger-keys").read_text() and "retired" in (suite.home / service / "control.ledger-keys").read_text(), f"{service} keeps it")
    agent.run().expect(capturing=True)
    wait_until(lambda: believed(agent) == key, "the agent believes the next key alone")
    suite.terminate_all()
    shutil.rmtree(suite.home / "control")
    shutil.copytree(stolen, suite.home / "control")
    (suite.home / "registry.json").write_text(registry)
    suite.start(wait=False)
    agent.run()
    said = "is not signed as it must be"
    for service in ("ingest", "notify", "policy"):
        wait_until(lambda: said in suite.log(service).read_text(), f"{service} says what it does not believe")
    agent.expect(capturing=False)
    assert all(suite.services[name].is_running for name in ("ingest", "notify")), "an unknown key is no reason to end"
    assert suite.read(check=False).code != 0
    # The control: who knows of no exchange has nothing to go by but the registry.
    suite.terminate("notify")
    (suite.home / "notify" / "control.ledger-keys").unlink()
    suite.start("notify", wait=False)
    wait_until(lambda: any(s["name"] == "notify" and not s.get("trouble") and int(s.get("entries", 0)) >= 2 for s in suite.status()["services"]), "notify believes it")
