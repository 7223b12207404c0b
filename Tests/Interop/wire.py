"""Frames, kinds, codes, clocks and sockets: sections 2 to 4 and 7 of SPEC.md.

The protobuf classes are made from Shared/Wire/*.proto by protoc when this module is first imported.
"""

import importlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import zmq

PROTOS = Path(__file__).resolve().parents[2] / "Shared" / "Wire"


def _generate():
    with tempfile.TemporaryDirectory(prefix="sluice-protos-") as out:
        names = sorted(p.name for p in PROTOS.glob("*.proto"))
        subprocess.run(["protoc", f"-I{PROTOS}", f"--python_out={out}", *names], check=True, timeout=60)
        sys.path.insert(0, out)
        sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
        try:
            return [importlib.import_module(n.replace(".proto", "_pb2")) for n in names]
        finally:
            sys.path.remove(out)
            sys.dont_write_bytecode = before


capture, gate, governance, release, session = _generate()

# kind: (body, has a payload frame)
KINDS = {
    1: ("hello", session.Hello), 2: ("welcome", session.Welcome), 3: ("refused", session.Refused),
    4: ("busy", session.Busy), 5: ("renew", session.Renew), 6: ("grant", session.Grant),
    7: ("narrow", session.Narrow), 8: ("stopped", session.Stopped), 9: ("nudge", session.Nudge),
    10: ("goodbye", session.Goodbye), 16: ("batch", capture.Batch), 18: ("stored", capture.Stored),
    20: ("vaultKey", session.VaultKey), 21: ("serverKey", session.ServerKey), 22: ("rules", session.Rules),
    24: ("join", session.Join), 26: ("joined", session.Joined),
    32: ("entries", governance.Entries), 33: ("command", governance.SignedCommand), 34: ("outcome", governance.Outcome),
    35: ("progress", governance.Progress), 36: ("certificate", gate.Certificate), 37: ("query", governance.Query),
    38: ("answer", governance.Answer), 48: ("releaseRequest", release.ReleaseRequest), 49: ("release", release.Release),
    50: ("chunk", release.Chunk), 51: ("credit", release.Credit), 52: ("releaseEnded", release.ReleaseEnded),
    53: ("directory", release.Directory), 54: ("directoryStored", release.DirectoryStored),
    64: ("notices", governance.NoticeBatch), 65: ("noticesHeld", governance.NoticesHeld),
}
NUMBERS = {name: number for number, (name, _) in KINDS.items()}
BODIES = {name: body for name, body in KINDS.values()}
WITH_PAYLOAD = {"batch", "relay", "chunk"}

GIVE_UP = {1, 2, 5, 8, 34, 35}
UNKNOWN_NODE, HELLO_FIRST, PAUSED, NO_LEASE, OUT_OF_ORDER = 7, 6, 16, 17, 18
SET_ASIDE = {3, 4, 19, 20, 21, 22}

LARGEST_FRAME, LARGEST_CONTROL_FRAME = 4_259_840, 16_777_216
MILLISECOND, SECOND = 1_000_000, 1_000_000_000


class NotUnderstood(Exception):
    """Never a permission: the receiver drops it and counts it."""


def frames(kind, payload=None, /, **fields):
    first = b"SL\x01" + bytes([NUMBERS[kind]]) + BODIES[kind](**fields).SerializeToString()
    return [first] if payload is None else [first, payload]


def parse(message):
    """(kind, body, payload) of the frames of one message."""
    first = message[0]
    if len(first) < 4 or first[:2] != b"SL" or first[2] != 1 or first[3] not in KINDS:
        raise NotUnderstood(first[:4])
    kind, body_type = KINDS[first[3]]
    if len(message) != (2 if kind in WITH_PAYLOAD else 1):
        raise NotUnderstood(f"{kind} of {len(message)} frames")
    try:
        body = body_type.FromString(first[4:])
    except Exception as error:
        raise NotUnderstood(f"{kind}: {error}") from error
    return kind, body, message[1] if len(message) == 2 else None


def wall():
    return time.time_ns()


def continuous():
    """Goes on in suspend, and nobody sets it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def connect(context, endpoint, server_key, secret_key, largest=LARGEST_FRAME, agent=True):
    s = context.socket(zmq.DEALER)
    s.curve_serverkey, s.curve_secretkey = server_key, secret_key
    s.curve_publickey = zmq.curve_public(secret_key)
    if s.mechanism != zmq.CURVE:
        raise RuntimeError("not CURVE")
    s.linger, s.immediate, s.maxmsgsize = 0, 1, largest + 33
    s.reconnect_ivl = random.randint(500, 2000) if agent else random.randint(100, 300)
    s.handshake_ivl = 3000
    s.sndhwm = s.rcvhwm = 256
    s.tcp_keepalive, s.tcp_keepalive_idle, s.tcp_keepalive_intvl, s.tcp_keepalive_cnt = 1, 15, 5, 3
    s.connect(endpoint)
    return s


def send(socket, message):
    """False: not sent, there is no connection. True proves nothing."""
    try:
        socket.send_multipart(message, zmq.DONTWAIT)
        return True
    except zmq.Again:
        return False


def read_secret(path):
    return Path(path).read_text().strip().encode()


def write_secret(path, secret):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
        f.write(secret + b"\n")
