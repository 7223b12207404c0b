"""A ledger as C2SP has it: checkpoint, cosignature and proof file, made and checked with nothing of ours.

The tree is pymerkle's, the signatures are cryptography's; the text formats are written here from C2SP's documents.
"""

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pymerkle import InmemoryTree

NOTE, COSIGNATURE = 1, 4


def sha256(data):
    return hashlib.sha256(data).digest()


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    data = base64.b64decode(text, validate=True)
    assert b64(data) == text, "bits that nobody reads are set"
    return data


def leaf(salt, body):
    """What the tree holds of an entry."""
    return b"\x01" + sha256(salt + body)


def tree(leaves):
    made = InmemoryTree(algorithm="sha256")
    for one in leaves:
        made.append_entry(one)
    return made


def siblings(index, leaves):
    """RFC 6962, section 2.1.1, PATH: from the leaf's sibling upwards. Roots are pymerkle's."""
    if len(leaves) == 1:
        return []
    middle = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < middle:
        return [*siblings(index, leaves[:middle]), tree(leaves[middle:]).get_root()]
    return [*siblings(index - middle, leaves[middle:]), tree(leaves[:middle]).get_root()]


def root_from(leaf_bytes, index, size, path):
    """RFC 9162, section 2.1.3.2: the root that a proof leads to."""
    at, last, root, path = index, size - 1, sha256(b"\x00" + leaf_bytes), list(path)
    while path:
        assert last > 0, "the proof is too long"
        sibling = path.pop(0)
        if at & 1 or at == last:
            root = sha256(b"\x01" + sibling + root)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            root = sha256(b"\x01" + root + sibling)
        at, last = at >> 1, last >> 1
    assert last == 0, "the proof is too short"
    return root


def subproof(older, leaves, is_whole=True):
    """RFC 6962, section 2.1.2, SUBPROOF: that a tree of these leaves continues the one of the first `older`. Roots are pymerkle's."""
    if older == len(leaves):
        return [] if is_whole else [tree(leaves).get_root()]
    middle = 1 << ((len(leaves) - 1).bit_length() - 1)
    if older <= middle:
        return [*subproof(older, leaves[:middle], is_whole), tree(leaves[middle:]).get_root()]
    return [*subproof(older - middle, leaves[middle:], False), tree(leaves[:middle]).get_root()]


def check_consistency(older, older_root, size, root, path):
    """RFC 9162, section 2.1.4.2. Raises if the proof does not show that the tree of `size` continues the one of `older`."""
    assert 0 < older <= size
    if older == size:
        assert not path and older_root == root, "two roots of one size"
        return
    # A whole subtree is its own beginning, and is left out.
    path = [older_root, *path] if older & (older - 1) == 0 else list(path)
    assert path, "the proof is too short"
    at, last = older - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        assert last > 0, "the proof is too long"
        if at & 1 or at == last:
            before, after = sha256(b"\x01" + sibling + before), sha256(b"\x01" + sibling + after)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            after = sha256(b"\x01" + after + sibling)
        at, last = at >> 1, last >> 1
    assert last == 0, "the proof is too short"
    assert before == older_root, "the proof begins at another root"
    assert after == root, "the proof leads to another root"


def key_id(name, algorithm, public):
    return sha256(name.encode() + b"\n" + bytes([algorithm]) + public)[:4]


class Signer:
    def __init__(self, name, algorithm, seed):
        self.name, self.algorithm, self.key = name, algorithm, Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def line(self, text, at=0):
        if self.algorithm == NOTE:
            signature = self.key.sign(text.encode())
        else:
            signature = at.to_bytes(8, "big") + self.key.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
        return f"— {self.name} {b64(key_id(self.name, self.algorithm, self.public) + signature)}\n"

    @property
    def verifier(self):
        return f"{self.name}+{key_id(self.name, self.algorithm, self.public).hex()}+{b64(bytes([self.algorithm]) + self.public)}"


def checkpoint(origin, leaves):
    return f"{origin}\n{len(leaves)}\n{b64(tree(leaves).get_root())}\n"


def proof_file(index, leaves, note):
    return "c2sp.org/tlog-proof@v1\n" + f"index {index}\n" + "".join(b64(h) + "\n" for h in siblings(index, leaves)) + "\n" + note


def verify(text, leaf_bytes, verifiers):
    """Of a proof file: size and the times of cosignatures. Raises if anything is wrong."""
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    index = int(lines[1].removeprefix("index "))
    path = [unb64(line) for line in lines[2:]]
    origin, size, root, times = opened(note, verifiers)
    assert root_from(leaf_bytes, index, size, path) == root, "the proof leads to another root"
    return origin, size, times


class Trust:
    """By which keys a ledger is believed that may announce and retire its own: section 16 of SPEC.md."""

    def __init__(self, keys, index=0, retired=()):
        self.keys, self.index, self.retired = list(keys), index, set(retired)

    def verify(self, proof):
        """Of an `EntryProof`: the entry's body's place in the ledger, from 1, its origin, and those of the keys that have signed. Raises if none has."""
        text, signed = proof.proof.decode(), []
        for key in self.keys:
            try:
                origin, _, _ = verify(text, leaf(proof.entry.salt, proof.entry.body), [key])
            except KeyError:  # This key has not signed; that another's signature is wrong is another error.
                continue
            assert origin == key.split("+")[0], "another ledger"
            signed.append(key)
        assert signed, "signed by no key that is believed"
        return int(text.split("\n")[1].removeprefix("index ")) + 1, origin, signed

    def take(self, proof, entry):
        """Of `ledger_keys`, with the entry that it holds. Whether it counted."""
        if entry.index <= self.index:
            return False
        try:
            index, origin, signed = self.verify(proof)
        except AssertionError:
            return False
        assert index == entry.index
        deed = entry.WhichOneof("deed")
        key = getattr(entry, deed).key
        assert key.split("+")[0] == origin and unb64(key.split("+", 2)[2])[0] == NOTE
        if deed == "ledger_key_announced":
            assert entry.ledger_key_announced.beside in signed and key not in self.retired
            if key in self.keys:
                return False
            self.keys.append(key)
        else:
            assert deed == "ledger_key_retired" and any(one != key for one in signed)
            self.retired.add(key)
            self.keys = [one for one in self.keys if one != key]
        self.index = index
        return True


def opened(note, verifiers):
    """Of a signed checkpoint: origin, size, root, and the times of cosignatures. Raises if one of the signatures is missing or wrong."""
    body, _, signatures = note.rpartition("\n\n")
    body += "\n"
    # Lines behind the root are whose ledger it is to say: C2SP lets each add its own.
    origin, size, root, *_ = body.splitlines()
    signed = {}
    for line in signatures.splitlines():
        dash, name, data = line.split(" ")
        assert dash == "—"
        data = unb64(data)
        signed[name, data[:4]] = data[4:]
    times = {}
    for verifier in verifiers:
        name, number, key = verifier.split("+", 2)
        key = unb64(key)
        assert key_id(name, key[0], key[1:]).hex() == number
        signature, message = signed[name, bytes.fromhex(number)], body.encode()
        if key[0] == COSIGNATURE:
            times[name] = int.from_bytes(signature[:8], "big")
            signature, message = signature[8:], f"cosignature/v1\ntime {times[name]}\n{body}".encode()
        Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature, message)
    return origin, int(size), unb64(root), times
