"""FAULTS A12: key files that are missing, open to others, cut, empty, garbage, or somebody else's. Whose key it is does not start, ends with one line that names the
file and says what to do, and takes up no other key in its place.
"""

import os
import random
import secrets
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from harness import binaries, wait_until
from harness.suite import program

# Each file, and whose it is.
FILES = {
    **{f"{name}.secret": name for name in ("control", "ingest", "join", "hooks", "policy", "notify")},
    "control.ledger": "control", "control.witness": "control", "policy.ledger": "policy", "policy.witness": "policy", "vault/policy.vault": "policy",
    "vault/policy.master": "policy",
}
RIGHT_ONE = "put the right one back"


def pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def anothers(keys, name):
    """A key of the same kind, whole, of somebody else."""
    if name.endswith(".secret"):
        return (keys / ("ingest.secret" if name != "ingest.secret" else "policy.secret")).read_bytes()
    if name == "vault/policy.master":
        return secrets.token_hex(32).encode() + b"\n"
    return pem(X25519PrivateKey.generate() if name == "vault/policy.vault" else Ed25519PrivateKey.generate())


def anothers_kind(keys, name):
    """A key of this suite, whole, that is for something else."""
    return (keys / ("policy.ledger" if name == "vault/policy.vault" else "vault/policy.vault")).read_bytes()


def rewritten(path, content, mode=0o600):
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def spoiled(keys, name, chance):
    """Each way: how, and the words that say what to do about it."""
    path = keys / name
    honest = path.read_bytes()
    yield "missing", path.unlink, "put it back from a backup"
    for mode in (0o640, 0o604, 0o666):
        yield f"mode {mode:o}", lambda mode=mode: rewritten(path, honest, mode), "chmod 600"
    for how, content in {
        "empty": b"", "cut": honest[:chance.randrange(1, len(honest) - 1)], "cut by one": honest.rstrip()[:-1], "one more": honest.rstrip() + b"0",
        "garbage": chance.randbytes(len(honest)), "zeros": bytes(len(honest)), "of another kind": anothers_kind(keys, name),
    }.items():
        # What comes after a PEM's last line is passed over.
        if how == "one more" and b"-----END" in honest:
            continue
        yield how, lambda content=content: rewritten(path, content), RIGHT_ONE
    if name.endswith(".secret"):
        yield "with a carriage return", lambda: rewritten(path, honest.strip() + b"\r\n"), RIGHT_ONE
    # Whether the vault's key is the right one stands in control's ledger, which policy does not have yet; and a new vault takes any master key. Of one that
    # is not new: test_plaintext.
    if name not in ("vault/policy.vault", "vault/policy.master"):
        yield "another's", lambda: rewritten(path, anothers(keys, name)), RIGHT_ONE
    rewritten(path, honest)


def starts(suite, service, within=60):
    """What it says, and its exit status."""
    command = [*(str(word) for word in program(service)), "--home", str(suite.home)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within)


def refused(done, path, words, how):
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 1 and len(lines) == 1, (how, done)
    assert str(path) in lines[0] and words in lines[0], (how, lines[0])
    return lines[0]


@pytest.fixture(scope="module")
def shared(make_module_suite):
    """A home of which nothing runs, and nothing has changed."""
    return make_module_suite(start=False)


@pytest.mark.parametrize("name", list(FILES))
def test_a_key_that_is_not_what_it_must_be_is_refused_in_one_line_that_says_what_to_do(shared, name):
    seed = int(os.environ.get("SLUICE_SEED") or random.randrange(1 << 32))
    print(f"seed {seed}: again with SLUICE_SEED={seed}")
    chance = random.Random(f"{seed} {name}")
    keys, service = shared.home / "keys", FILES[name]
    before = {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()}
    tried = 0
    for how, spoil, words in spoiled(keys, name, chance):
        spoil()
        lying = (keys / name).read_bytes() if (keys / name).exists() else None
        line = refused(starts(shared, service), keys / name, words, how)
        tried += 1
        # No secret is told, and nothing was made in the file's place.
        assert not lying or len(lying) < 30 or lying.decode(errors="replace").strip() not in line
        assert ((keys / name).read_bytes() if (keys / name).exists() else None) == lying, how
    assert tried >= 10
    # The control: with its own key again, it serves.
    assert {path: path.read_bytes() for path in keys.rglob("*") if path.is_file()} == before
    process = shared.start(service, wait=False).services[service]
    if service == "ingest":
        # It opens its port when it has heard control.
        shared.start("control", wait=False)
    said = {"join": b"for joining", "hooks": b"for reports"}.get(service, b"closed to unknown keys")
    wait_until(lambda: not process.is_running or said in shared.log(service).read_bytes()[process.log_start:], f"{service} serves")
    assert process.is_running, process.said
    shared.terminate_all()


def test_another_vault_key_than_was_announced_opens_nothing_and_is_named(make_suite):
    """What it is the wrong key for is known when control's ledger is here: then batches wait at their agents, and everybody is told why."""
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    agent.type("first")
    agent.expect_drained()
    assert suite.terminate("policy") == 0
    path = suite.home / "keys" / "vault/policy.vault"
    honest = path.read_bytes()
    rewritten(path, anothers(suite.home / "keys", "vault/policy.vault"))
    suite.start("policy")
    agent.type("second")
    wait_until(lambda: int(suite.service_status("policy")["counters"].get("vault.keys.refused", 0)) >= 2, "it is looked for, and counted")
    assert "KEY MISSING" in suite.cli("status").out
    lines = [line for line in suite.log("policy").read_text().splitlines() if "a vault key that is announced or proposed is missing" in line]
    assert len(lines) == 1 and "keys/vault/policy.vault" in lines[0], lines
    wait_until(lambda: agent.fresh["spoolBatches"] == 1, "it waits")
    assert suite.keys() == ["first"]
    # The control: the right one is taken up while it runs.
    rewritten(path, honest)
    agent.expect_drained()
    assert suite.keys() == ["first", "second"]
    wait_until(lambda: "KEY MISSING" not in suite.cli("status").out, "none is missing any more")


# The same by `sluice up`, which makes keys where there are none


def up(suite):
    return subprocess.run(
        [binaries() / "sluice", "up", "--home", suite.home, "--agents", "0"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90)


@pytest.mark.parametrize("name", list(FILES))
def test_up_makes_no_key_anew_that_its_registry_names(shared, name):
    keys = shared.home / "keys"
    honest, registry = (keys / name).read_bytes(), (shared.home / "registry.json").read_bytes()
    ways = {"missing": (keys / name).unlink}
    if name not in ("vault/policy.vault", "vault/policy.master"):
        ways["another's"] = lambda: rewritten(keys / name, anothers(keys, name))
    for how, spoil in ways.items():
        spoil()
        lying = (keys / name).read_bytes() if (keys / name).exists() else None
        done = up(shared)
        lines = done.stderr.splitlines()
        assert done.returncode == 1 and len(lines) == 1 and str(keys / name) in lines[0], (how, done)
        assert ("put it back from a backup" if how == "missing" else RIGHT_ONE) in lines[0], (how, lines)
        assert ((keys / name).read_bytes() if (keys / name).exists() else None) == lying, how
        assert (shared.home / "registry.json").read_bytes() == registry, "who is trusted has not changed"
        rewritten(keys / name, honest)


def test_operators_whose_keys_are_with_their_owners_stay_who_they_are(make_suite, tmp_path):
    """As the first start says: give ops-2.key and ops-2.secret to another person."""
    suite = make_suite(start=False)
    keys = suite.home / "keys"
    registry, line = (suite.home / "registry.json").read_bytes(), (keys / "ops-2.pub").read_bytes()
    for name in ("ops-2.key", "ops-2.secret"):
        (keys / name).rename(tmp_path / name)
    suite.up()
    assert (suite.home / "registry.json").read_bytes() == registry and (keys / "ops-2.pub").read_bytes() == line
    assert not (keys / "ops-2.key").exists() and not (keys / "ops-2.secret").exists(), "no other key is made in their place"
    # The control: with their own keys they do what they may.
    for name in ("ops-2.key", "ops-2.secret"):
        (tmp_path / name).rename(keys / name)
    assert suite.pause("--all")["complete"]
    suite.resume()


def test_register_on_a_machine_without_the_services_keys_makes_none(make_suite, tmp_path):
    suite = make_suite()
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "keys").mkdir(parents=True)
    for name in ("registry.json", "suite.json", "keys/ops-1.key", "keys/ops-1.secret", "keys/ops-1.pub"):
        (elsewhere / name).write_bytes((suite.home / name).read_bytes())
        (elsewhere / name).chmod(0o600)
    registry = (elsewhere / "registry.json").read_bytes()
    home, suite.home = suite.home, elsewhere
    try:
        outcome = suite.cli("register", "desk", "--subject", "E1", "--site", "berlin", "--team", "search", "--json")
        assert outcome.json["proposal"]["state"] == "open"
    finally:
        suite.home = home
    assert (elsewhere / "agents" / "desk" / "agent.secret").exists()
    assert sorted(path.name for path in (elsewhere / "keys").iterdir()) == ["ops-1.key", "ops-1.pub", "ops-1.secret"]
    assert (elsewhere / "registry.json").read_bytes() == registry
