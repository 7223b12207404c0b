"""The vault's key exchanged while everything runs: policy takes the new one up by itself, or says why it cannot, and nothing is lost meanwhile."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from harness import Process, binaries, wait_until

UNITS = Path(__file__).resolve().parents[2] / "deploy" / "systemd"


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
    wait_until(lambda: policy(suite)["vault.keys"] == 1, "it says which it has")
    busy = policy(suite).get("busy", 0)
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
    assert (found.get("vault.keys.missing", 0), found.get("vault.keys.refused", 0), found.get("busy", 0)) == (0, 0, busy)
    assert suite.services["policy"].is_running and suite.services["policy"].id == process
    assert "KEY MISSING" not in suite.cli("status").out


def announced_elsewhere(suite):
    """A new key that was made and announced on another machine, and is not on policy's: the folder that holds it and the ones before."""
    home, suite.home = suite.home, suite.folder / "elsewhere"
    try:
        shutil.copytree(home, suite.home, ignore=shutil.ignore_patterns("*.sqlite*", "logs"))
        suite.cli("vault-key", "new")
        suite.approved("vault-key", "announce")
        return suite.home / "keys" / "vault"
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


@pytest.mark.parametrize("spoil, why", [(nowhere, "no key file holds"), (others_may_read, "mode 644"), (no_key, "policy.vault holds no key")], ids=["nowhere", "0644", "no-key"])
def test_a_key_file_that_cannot_be_used_is_refused_counted_and_tried_again_while_batches_wait(make_suite, spoil, why):
    suite, agent = at_work(make_suite)
    process, keys = suite.services["policy"].id, suite.home / "keys" / "vault"
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


def as_older(home):
    """As homes were before these keys had a folder of their own."""
    for path in (home / "keys" / "vault").iterdir():
        path.rename(home / "keys" / path.name)
    (home / "keys" / "vault").rmdir()


def placed(home):
    return sorted(str(path.relative_to(home / "keys")) for path in (home / "keys").rglob("policy.*") if path.suffix in (".vault", ".master") or path.suffix[1:].isdigit())


def test_an_older_homes_keys_serve_where_they_are_and_come_into_their_folder_before_one_is_exchanged(make_suite):
    suite = make_suite(start=False)
    as_older(suite.home)
    assert placed(suite.home) == ["policy.master", "policy.vault"]
    suite.start()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    agent.type("first")
    agent.expect_drained()
    suite.cli("vault-key", "new")
    assert placed(suite.home) == ["vault/policy.master", "vault/policy.vault", "vault/policy.vault.1"]
    suite.approved("vault-key", "announce")
    expect_sealing_to_the_new_key(suite)
    agent.type("second")
    agent.expect_drained()
    assert suite.keys() == ["first", "second"], "policy, which started on the old place, has found the new one"
    suite.restart("policy")
    assert suite.keys() == ["first", "second"]


@pytest.mark.parametrize("moved", [["policy.vault.1"], ["policy.vault.1", "policy.vault"], ["policy.vault.1", "policy.vault", "policy.master"]])
def test_keys_that_were_taken_into_their_folder_by_half_are_all_used_and_then_gathered(make_suite, moved):
    suite = make_suite(start=False)
    suite.cli("vault-key", "new")
    as_older(suite.home)
    ids = {path.name: path.read_bytes() for path in (suite.home / "keys").glob("policy.*")}
    (suite.home / "keys" / "vault").mkdir(mode=0o700)
    for name in moved:
        # It was linked there, and its old name was not taken away yet.
        os.link(suite.home / "keys" / name, suite.home / "keys" / "vault" / name)
    suite.start()
    assert policy(suite)["vault.keys"] == 2
    suite.terminate_all()
    subprocess.run([binaries() / "sluice", "master-key", "new", "--home", suite.home], check=True, timeout=60, capture_output=True)
    assert placed(suite.home) == ["vault/policy.master", "vault/policy.master.1", "vault/policy.vault", "vault/policy.vault.1"]
    vault = suite.home / "keys" / "vault"
    assert (vault / "policy.vault").read_bytes() == ids["policy.vault"] and (vault / "policy.vault.1").read_bytes() == ids["policy.vault.1"]
    assert (vault / "policy.master.1").read_bytes() == ids["policy.master"]


def test_two_keys_of_one_name_are_not_taken_for_one(make_suite):
    suite = make_suite(start=False)
    (suite.home / "keys" / "policy.vault").write_bytes(b"another")
    done = subprocess.run([binaries() / "sluice", "vault-key", "new", "--home", suite.home], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "another key is there" in done.stderr
    assert (suite.home / "keys" / "policy.vault").read_bytes() == b"another"


def hidden(unit):
    """What a unit keeps its service out of, below the home."""
    lines = [line for line in (UNITS / unit).read_text().splitlines() if line.startswith("InaccessiblePaths=")]
    return {word.removeprefix("-").removeprefix("/var/lib/sluice/") for line in lines for word in line.split("=", 1)[1].split()}


def test_the_units_of_all_other_services_hide_the_folder_of_the_vaults_keys():
    others = [unit.name for unit in UNITS.glob("sluice-*.service") if unit.name != "sluice-policy.service"]
    assert len(others) >= 4
    for unit in others:
        assert "keys/vault" in hidden(unit), unit
    assert "keys/vault" not in hidden("sluice-policy.service"), "the control: whose they are sees them"
    assert "d /var/lib/sluice/keys/vault 0700" in (UNITS / "sluice.tmpfiles").read_text(), "it is there before a service starts that is kept out of it"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hides a folder")
@pytest.mark.parametrize("whole", [True, False], ids=["folder", "file"])
def test_a_key_that_is_made_while_a_service_runs_stays_hidden_from_it(make_suite, tmp_path, whole):
    """As systemd hides it: an empty folder, or a file of nothing, mounted over it. The file is the control."""
    suite = make_suite(start=False)
    vault = suite.home / "keys" / "vault"
    (tmp_path / "nothing").mkdir()
    (tmp_path / "empty").touch()
    source, target = (tmp_path / "nothing", vault) if whole else (tmp_path / "empty", vault / "policy.vault")
    script = f"mount --bind {source} {target} && echo hidden && read line && cat {vault}/policy.vault* 2>/dev/null; echo looked"
    process = suite.adopt(Process(["unshare", "-m", "sh", "-c", script], tmp_path / "service.log", stdin=subprocess.PIPE))
    wait_until(lambda: "hidden" in process.said or not process.is_running, "it is hidden")
    if "hidden" not in process.said:
        pytest.skip("nothing can be mounted here")
    done = subprocess.run([binaries() / "sluice", "vault-key", "new", "--home", suite.home], capture_output=True, text=True, timeout=60)
    if not whole and done.returncode != 0:
        pytest.skip("a file that something is mounted on cannot be renamed here: " + done.stderr)
    assert done.returncode == 0, done.stderr
    process.popen.stdin.write(b"look\n")
    process.popen.stdin.flush()
    wait_until(lambda: "looked" in process.said, "it has looked")
    assert ("PRIVATE KEY" in process.said) == (not whole), process.said
