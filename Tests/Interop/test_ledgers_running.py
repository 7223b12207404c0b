"""A suite that runs, checked by somebody who trusts none of its code: files of proof, checkpoints and certificates by pymerkle and cryptography, entries by protobuf."""

import json
import sqlite3
import subprocess

import pytest

pytest.importorskip("cryptography", reason="the Python package 'cryptography' is not installed")
pytest.importorskip("pymerkle", reason="the Python package 'pymerkle' is not installed")

import ledger  # noqa: E402
import ops  # noqa: E402
import wire  # noqa: E402
from cryptography.exceptions import InvalidSignature  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: E402

FILES = {"governance": "control/ledger.sqlite", "reads": "policy/vault.sqlite"}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    s = ops.Suite(tmp_path_factory.mktemp("suite") / "home")
    try:
        s.until_ready()
        s.pause("--all", "--reason", "a test: 100 % stopped")
        s.approved("resume", "--all", "--reason", "over")
        for _ in range(3):
            s.run("read", "--purpose", "test", "--why", "a test", "--class", "activity")
        yield s
    finally:
        s.stop()


def run(suite, *words):
    done = subprocess.run([ops.BIN / "sluice", *words, "--home", suite.home], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done
    return done.stdout


def keys(suite, name):
    """The ledger's own verifier key, and the witness's."""
    anchors = json.loads((suite.home / "registry.json").read_text())["anchors"]
    return [anchors["control"], anchors["policyWitness"]] if name == "governance" else [anchors["policy"], anchors["controlWitness"]]


def cosigned(suite, name, size):
    """Waits until so many entries are cosigned, and the ledger's own service has heard of it."""
    table = "journal" if name == "governance" else "anchor"

    def note():
        database = sqlite3.connect(f"file:{suite.home / FILES[name]}?mode=ro", uri=True, timeout=10)
        try:
            text = database.execute(f"SELECT cosigned FROM {table}").fetchone()[0]
        finally:
            database.close()
        return text and int(text.decode().splitlines()[1]) >= size and text.decode()

    return ops.until(note, 30, f"{size} entries of {name} are cosigned")


def leaves(suite, name):
    database = sqlite3.connect(f"file:{suite.home / FILES[name]}?mode=ro", uri=True, timeout=10)
    try:
        rows = database.execute("SELECT salt, body FROM ledger_body ORDER BY number").fetchall()
    finally:
        database.close()
    return [ledger.leaf(salt, body) for salt, body in rows]


@pytest.mark.parametrize("name", list(FILES))
def test_the_root_that_both_services_have_signed_is_the_root_of_the_entries(suite, name):
    note = cosigned(suite, name, 6)
    size = int(note.splitlines()[1])
    entries = leaves(suite, name)[:size]
    body, _, signatures = note.rpartition("\n\n")
    # Of the ledger of reads one line more: how many segments policy's vault has stored.
    assert (body + "\n").startswith(ledger.checkpoint(keys(suite, name)[0].split("+")[0], entries))
    assert [line.split(" ")[0] for line in body.splitlines()[3:]] == {"reads": ["vault"]}.get(name, [])
    assert len(signatures.splitlines()) == 2
    # The same in a proof's own check, with both keys asked for.
    proof = ledger.proof_file(size - 1, entries, note)
    origin, found, times = ledger.verify(proof, entries[-1], keys(suite, name))
    assert found == size and list(times) == [keys(suite, name)[1].split("+")[0]]
    with pytest.raises(AssertionError):
        ledger.verify(ledger.proof_file(size - 1, [*entries[:-2], entries[-2] + b"\0", entries[-1]], note), entries[-1], keys(suite, name))


@pytest.mark.parametrize("name", list(FILES))
def test_a_proof_file_holds_what_its_leaf_is_made_of(suite, name):
    cosigned(suite, name, 6)
    for number in (1, 2, 5, 6):
        text = run(suite, "ledger", "prove", str(number), "--ledger", name)
        first, extra, *rest = text.split("\n")
        entry = ledger.unb64(extra.removeprefix("extra "))
        salt, body = entry[:32], entry[32:]
        parsed = wire.governance.Entry.FromString(body) if name == "governance" else wire.release.ReadEntry.FromString(body)
        assert (parsed.index if name == "governance" else parsed.number) == number
        origin, size, times = ledger.verify("\n".join([first, *rest]), ledger.leaf(salt, body), keys(suite, name))
        assert size >= number and len(times) == 1, "cosigned by the other service"
        with pytest.raises(AssertionError):
            ledger.verify("\n".join([first, *rest]), ledger.leaf(salt, body + b"\0"), keys(suite, name))


def test_a_certificate_is_a_signed_note_of_the_ledgers_key_under_another_name(suite):
    text = run(suite, "certificate", "1", "--file")
    body, _, line = text.rpartition("\n\n")
    _, name, data = line.strip().split(" ")
    control = keys(suite, "governance")[0]
    origin, public = control.split("+")[0], ledger.unb64(control.split("+", 2)[2])[1:]
    assert name == origin + "/certificates"
    signature = ledger.unb64(data)
    assert signature[:4] == ledger.key_id(name, ledger.NOTE, public)
    Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], (body + "\n").encode())
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], (body.replace("complete yes", "complete no ") + "\n").encode())
    lines = body.split("\n")
    assert lines[:2] == ["sluice stop certificate v1", f"origin {origin}"]
    assert "reason a test: 100 %25 stopped" in lines and "closes both" in lines
    # Either is enough: a stop does not wait for the slower of the two.
    assert {"durable journal", "durable vault"} & set(lines), lines
    # It is the entry that it names.
    entry = wire.governance.Entry.FromString(ledger.unb64(run(suite, "ledger", "prove", lines[2].split()[1]).split("\n")[1].removeprefix("extra "))[32:])
    assert entry.certified.epoch == 1
