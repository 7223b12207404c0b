"""Operators' statements, written and signed from SPEC.md, section 14, without our code."""

import base64
import hashlib
import json
import os
import time
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key


class Operator:
    """Who signs with the key in a home's `keys`."""

    def __init__(self, home, name="ops-1"):
        self.home, self.name = Path(home), name
        text = (self.home / "keys" / f"{name}.key").read_bytes()
        self.key = load_pem_private_key(text[text.index(b"-----BEGIN"):], None)
        line = (self.home / "keys" / f"{name}.pub").read_text().split()[1]
        self.id = hashlib.sha256(base64.b64decode(line)).digest()
        self.origin = json.loads((self.home / "registry.json").read_text())["anchors"]["control"].split("+")[0]

    def statement(self, body, index=0, purpose="command", start=None, seconds=300, nonce=None, author=None, origin=None):
        begin = int((time.time() if start is None else start) * 1000)
        head = (f"sluice {purpose} v1\norigin {origin or self.origin}\nindex {index}\nfrom {begin}\nuntil {begin + int(seconds * 1000)}\n"
                f"nonce {(nonce or os.urandom(16)).hex()}\nauthor {author or self.name}\n\n")
        return head.encode() + body

    def signed(self, statement):
        """The fields of `SignedCommand`."""
        return {"statement": statement, "signature": self.key.sign(statement), "key": self.id}

    def command(self, body, **more):
        return self.signed(self.statement(body, **more))

    def approval(self, number, statement, **more):
        """Of a proposal, whose statement was shown."""
        body = f"proposal {number}\nsha256 {hashlib.sha256(statement).hexdigest()}\n".encode()
        return self.signed(self.statement(body, purpose="approval", **more))
