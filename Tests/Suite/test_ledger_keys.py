"""The keys that ledgers are signed and cosigned with are exchanged while everything runs: nobody is without a lease, and what was signed stays good."""

import pytest

from harness.waiting import wait_until

KEYS = ("policy.ledger", "policy.witness", "control.witness")


def name_of(suite, which):
    kind = {"policy.ledger": "reads", "policy.witness": "policy", "control.witness": "control"}[which]
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


@pytest.mark.parametrize("which", KEYS)
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
