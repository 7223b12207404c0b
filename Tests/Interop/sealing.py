"""Sealed batches, written from Shared/Wire/SPEC.md section 13 and RFC 9180, with nothing but X25519, HMAC and AES-GCM."""

import hashlib
import hmac
import os
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEM = b"KEM" + struct.pack(">H", 0x0020)
OVERHEAD = 65  # What sealing adds to a payload.
HPKE = b"HPKE" + struct.pack(">HHH", 0x0020, 0x0001, 0x0002)


def extract(suite, salt, label, secret):
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + secret, "sha256")


def expand(suite, key, label, info, length):
    labelled = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info
    out, block, number = b"", b"", 1
    while len(out) < length:
        block = hmac.digest(key, block + labelled + bytes([number]), "sha256")
        out, number = out + block, number + 1
    return out[:length]


def raw(public):
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


class Secret:
    """HPKE in base mode: what both sides export keys from."""

    def __init__(self, agreed, enc, recipient, info):
        prk = extract(KEM, b"", b"eae_prk", agreed)
        shared = expand(KEM, prk, b"shared_secret", enc + recipient, 32)
        context = b"\0" + extract(HPKE, b"", b"psk_id_hash", b"") + extract(HPKE, b"", b"info_hash", info)
        self.exporter = expand(HPKE, extract(HPKE, shared, b"secret", b""), b"exp", context, 32)

    def export(self, context, length):
        return expand(HPKE, self.exporter, b"sec", context, length)


def info(origin, agent):
    return f"sluice sealed batch v1\norigin {origin}\nagent {agent}\n".encode()


def vault_key_id(public):
    return hashlib.sha256(b"sluice vault key v1\n" + public).digest()[:8]


def nonce(sequence):
    return bytes(4) + struct.pack(">Q", sequence)


class Sealer:
    """One start of an agent. `ephemeral` is given by tests alone: it must be new each time."""

    def __init__(self, vault, origin, agent, ephemeral=None):
        key = X25519PrivateKey.from_private_bytes(ephemeral or os.urandom(32))
        enc = raw(key.public_key())
        self.secret = Secret(key.exchange(X25519PublicKey.from_public_bytes(vault)), enc, vault, info(origin, agent))
        self.prelude = b"\x01" + vault_key_id(vault) + enc + self.secret.export(b"sluice confirmation v1\n", 8)
        self.last = {}

    def seal(self, payload, stream, sequence, header):
        assert sequence > self.last.get(stream, -1), "a sequence is sealed once"
        self.last[stream] = sequence
        key = self.secret.export(b"sluice stream key v1\n" + struct.pack(">Q", stream), 32)
        return self.prelude + AESGCM(key).encrypt(nonce(sequence), payload, header)


class Opener:
    def __init__(self, origin, *private):
        keys = [X25519PrivateKey.from_private_bytes(each) for each in private]
        self.origin, self.keys = origin, {vault_key_id(raw(key.public_key())): key for key in keys}

    def open(self, frame, agent, stream, sequence, header):
        assert frame[0] == 1
        key, enc = self.keys[frame[1:9]], frame[9:41]
        agreed = key.exchange(X25519PublicKey.from_public_bytes(enc))
        secret = Secret(agreed, enc, raw(key.public_key()), info(self.origin, agent))
        assert secret.export(b"sluice confirmation v1\n", 8) == frame[41:49], "sealed for somebody else"
        stream_key = secret.export(b"sluice stream key v1\n" + struct.pack(">Q", stream), 32)
        return AESGCM(stream_key).decrypt(nonce(sequence), frame[49:], header)
