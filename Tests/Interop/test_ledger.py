"""A proof file that `Tests/LedgerTests` makes byte for byte as well: made and verified here by libraries that share nothing with ours."""

from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="the Python package 'cryptography' is not installed")
pytest.importorskip("pymerkle", reason="the Python package 'pymerkle' is not installed")

import ledger  # noqa: E402
from cryptography.exceptions import InvalidSignature  # noqa: E402

VECTOR = Path(__file__).parent / "ledger.tlog-proof"
ORIGIN, SIZE, INDEX, TIME = "sluice.example/governance", 131, 77, 1_764_000_000
LEDGER = ledger.Signer(ORIGIN, ledger.NOTE, b"\x07" * 32)
WITNESS = ledger.Signer("sluice.example/policy", ledger.COSIGNATURE, b"\x09" * 32)
LEAVES = [ledger.leaf(ledger.sha256(b"salt %d" % n), b"body %d" % n) for n in range(SIZE)]


def made():
    text = ledger.checkpoint(ORIGIN, LEAVES)
    return ledger.proof_file(INDEX, LEAVES, text + "\n" + LEDGER.line(text) + WITNESS.line(text, TIME))


def test_the_proof_file_that_we_write_is_the_one_that_other_libraries_make():
    assert VECTOR.read_text() == made()


def test_it_verifies_with_other_libraries_and_one_changed_character_does_not():
    text, keys = VECTOR.read_text(), [LEDGER.verifier, WITNESS.verifier]
    assert ledger.verify(text, LEAVES[INDEX], keys) == (ORIGIN, SIZE, {WITNESS.name: TIME})
    for other in (LEAVES[INDEX - 1], LEAVES[INDEX] + b"\0"):
        with pytest.raises(AssertionError):
            ledger.verify(text, other, keys)
    swap = {"A": "B"}
    for place in range(len("c2sp.org/tlog-proof@v1\n"), len(text) - 1):
        changed = text[:place] + swap.get(text[place], "A") + text[place + 1 :]
        with pytest.raises((AssertionError, InvalidSignature, KeyError, ValueError)):
            ledger.verify(changed, LEAVES[INDEX], keys)


def test_pymerkle_finds_the_entry_where_the_proof_says():
    tree = ledger.tree(LEAVES)
    for index in (0, 1, INDEX, SIZE - 2, SIZE - 1):
        assert ledger.root_from(LEAVES[index], index, SIZE, ledger.siblings(index, LEAVES)) == tree.get_root()


def test_consistency_is_shown_between_any_two_sizes_of_pymerkles_trees_and_for_no_other_root():
    roots = {size: ledger.tree(LEAVES[:size]).get_root() for size in range(1, 41)}
    for size, root in roots.items():
        for older in range(1, size + 1):
            path = ledger.subproof(older, LEAVES[:size])
            ledger.check_consistency(older, roots[older], size, root, path)
            for wrong in ((older, bytes(32), size, root, path), (older, roots[older], size, bytes(32), path),
                          (older, roots[older], size, root, [*path, bytes(32)])):
                with pytest.raises(AssertionError):
                    ledger.check_consistency(*wrong)
            for place in range(len(path)):
                with pytest.raises(AssertionError):
                    ledger.check_consistency(older, roots[older], size, root, [*path[:place], bytes(32), *path[place + 1 :]])
