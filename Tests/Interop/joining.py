"""Joining, written from section 15 of Shared/Wire/SPEC.md alone: a token becomes what agent.json holds."""

import base64
import hashlib
import json
import os
import random
import time
from pathlib import Path

import ledger
import wire
import zmq
from zmq.utils import z85

AGAIN, PATIENCE, LARGEST_ANSWER = 2.0, 6.0, 65_536
WAITS = {33, 36, 41}


class Damaged(Exception):
    pass


class NotJoined(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


def sha256(data):
    return hashlib.sha256(data).digest()


def parse(token):
    """(joining process's public key, secret, anchor, endpoint)"""
    raw = token.removeprefix("sluice-join-")
    try:
        data = base64.b64decode(raw.replace("-", "+").replace("_", "/") + "=" * (-len(raw) % 4), validate=True)
    except ValueError as error:
        raise Damaged(str(error)) from error
    if raw == token or base64.urlsafe_b64encode(data).decode().rstrip("=") != raw or sha256(b"sluice join token v1\n" + data[:-4])[:4] != data[-4:]:
        raise Damaged(len(token))
    if data[0] != 1:
        raise Damaged(f"version {data[0]}")
    return data[1:33], data[33:65], data[65:81], data[81:-4].decode()


def join(token, folder, seconds=30):
    """Makes the machine's key in `folder`, or takes the one that is there, and asks until it is told. Gives what agent.json holds, and writes it."""
    server, secret, anchor, endpoint = parse(token)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "agent.secret").exists():
        wire.write_secret(folder / "agent.secret", zmq.curve_keypair()[1])
    own = wire.read_secret(folder / "agent.secret")
    end = time.monotonic() + seconds
    with zmq.Context() as context:
        while time.monotonic() < end:
            s = wire.connect(context, endpoint, z85.encode(server), own, LARGEST_ANSWER)
            try:
                body = ask(s, secret, end)
            finally:
                s.close(0)
            if body is not None:
                return keep(body, anchor, endpoint, folder)
    raise NotJoined(0, f"no answer within {seconds} s")


def ask(s, secret, end):
    """The answer; None: this socket has heard nothing for too long."""
    heard = time.monotonic()
    while time.monotonic() < min(end, heard + PATIENCE):
        if not s.poll(50, zmq.POLLOUT) or not wire.send(s, wire.frames("join", secret=secret, software="interop 1")):
            continue
        if not s.poll(AGAIN * 1000):
            continue
        kind, body, _ = wire.parse(s.recv_multipart())
        heard = time.monotonic()
        if kind == "joined":
            return body
        if kind == "busy" or kind == "refused" and body.code in WAITS:
            wait = (body.retry_ms or 1000) / 1000
            time.sleep(wait + random.uniform(0, wait / 2))
            heard = time.monotonic()
        elif kind == "refused":
            raise NotJoined(body.code, body.text)
    return None


def keep(body, anchor, endpoint, folder):
    # The token may be older than the key that the ledger is signed with now: from the one that it names on, by the ledger's own proofs.
    changes = [(proof, wire.governance.Entry.FromString(proof.entry.body)) for proof in body.ledger_keys]
    named = [body.control_key] + [key for _, e in changes if e.HasField("ledger_key_announced") for key in (e.ledger_key_announced.beside, e.ledger_key_announced.key)]
    began = next((key for key in named if sha256(key.encode())[:16] == anchor), None)
    if began is None:
        raise NotJoined(0, "another ledger than the token's")
    trust = ledger.Trust([began])
    for proof, entry in changes:
        trust.take(proof, entry)
    host, port = body.ingest.rsplit(":", 1)
    if host in ("tcp://*", "tcp://0.0.0.0", "tcp://[::]"):
        host = endpoint.rsplit(":", 1)[0]
    settings = {"name": body.name, "ingest": f"{host}:{port}", "serverKey": z85.encode(body.ingest_key).decode(), "leaseMilliseconds": body.lease_ms,
                "origin": body.origin, "ledgerKey": trust.keys[0], "ledgerKeys": trust.keys, "policyWitness": body.policy_witness}
    draft = folder / "agent.json.draft"
    draft.write_text(json.dumps(settings, indent=2))
    os.replace(draft, folder / "agent.json")
    return {**settings, "vault": body.vault}
