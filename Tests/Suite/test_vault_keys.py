"""The vault's key exchanged while everything runs: policy takes the new one up by itself, or says why it cannot, and nothing is lost meanwhile."""

import shutil

import pytest
from harness import wait_until


def policy(suite):
    """Its figures, as it reported them last."""
    status = suite.service_status("policy")
    return {**status["counters"], **status["gauges"]}


def log_lines(suite, words):
    return [line for line in suite.log("policy").read_text(errors="replace").splitlines() if words in line]


def at_work(make_suite):
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    agent.type("first")
    agent.expect_drained()
    return suite, agent


def expect_sealing_to_the_new_key(suite):
    said = suite.home / "logs" / "agent-ann.log"
    wait_until(lambda: said.read_text().count("sealing to the vault key") == 2, "the agent has heard of the new key")


def test_a_new_vault_key_is_taken_up_by_a_policy_that_runs(make_suite):
    suite, agent = at_work(make_suite)
    process = suite.services["policy"].id
    assert policy(suite)["vault.keys"] == 1
    suite.cli("vault-key", "new")
    proposed = suite.cli("vault-key", "announce", "--json").json["proposal"]
    # Before anybody can seal to it.
    wait_until(lambda: policy(suite)["vault.keys"] == 2, "policy has taken it up while it was proposed")
    suite.cli("approve", proposed["proposal"], "--as", "ops-2")
    expect_sealing_to_the_new_key(suite)
    agent.type("second")
    status = agent.expect_drained()
    assert status["quarantined"] == 0 and suite.keys() == ["first", "second"]
    found = policy(suite)
    assert (found.get("vault.keys.missing", 0), found.get("vault.keys.refused", 0), found.get("busy", 0)) == (0, 0, 0)
    assert suite.services["policy"].is_running and suite.services["policy"].id == process
    assert "KEY MISSING" not in suite.cli("status").out


def announced_elsewhere(suite):
    """A new key that was made and announced on another machine, and is not on policy's: the folder that holds it and the ones before."""
    home, suite.home = suite.home, suite.folder / "elsewhere"
    try:
        shutil.copytree(home, suite.home, ignore=shutil.ignore_patterns("*.sqlite*", "logs"))
        suite.cli("vault-key", "new")
        suite.approved("vault-key", "announce")
        return suite.home / "keys"
    finally:
        suite.home = home


def nowhere(made, keys):
    """The file does not come at all."""


def others_may_read(made, keys):
    (keys / "policy.vault").rename(keys / "policy.vault.1")
    shutil.copy(made / "policy.vault", keys)
    (keys / "policy.vault").chmod(0o644)


def no_key(made, keys):
    (keys / "policy.vault").rename(keys / "policy.vault.1")
    (keys / "policy.vault").write_bytes(b"no key\n")
    (keys / "policy.vault").chmod(0o600)


def put_right(made, keys):
    for file in made.glob("policy.vault*"):
        shutil.copy(file, keys / "under-way")
        (keys / "under-way").chmod(0o600)
        (keys / "under-way").rename(keys / file.name)


@pytest.mark.parametrize("spoil, why", [(nowhere, "no key file holds"), (others_may_read, "mode 644"), (no_key, "policy.vault")], ids=["nowhere", "0644", "no-key"])
def test_a_key_file_that_cannot_be_used_is_refused_counted_and_tried_again_while_batches_wait(make_suite, spoil, why):
    suite, agent = at_work(make_suite)
    process, keys = suite.services["policy"].id, suite.home / "keys"
    made = announced_elsewhere(suite)
    spoil(made, keys)
    expect_sealing_to_the_new_key(suite)
    agent.type("second")
    wait_until(lambda: policy(suite).get("busy", 0) >= 2, "what is sealed to it is asked for again, and again")
    assert "KEY MISSING" in suite.cli("status").out
    refused = policy(suite)["vault.keys.refused"]
    wait_until(lambda: policy(suite)["vault.keys.refused"] >= refused + 2, "the file is tried again")
    status = agent.fresh
    assert (status["spoolBatches"], status["quarantined"]) == (1, 0), "it waits, and is not set aside"
    assert suite.keys() == ["first"], "what can be read is read"
    assert len(log_lines(suite, why)) == 1, "said once, however often it is tried"
    put_right(made, keys)
    assert agent.expect_drained()["quarantined"] == 0
    assert suite.keys() == ["first", "second"]
    wait_until(lambda: policy(suite)["vault.keys.missing"] == 0, "none is missing any more")
    assert "KEY MISSING" not in suite.cli("status").out and policy(suite)["vault.keys"] == 2
    assert suite.services["policy"].is_running and suite.services["policy"].id == process
