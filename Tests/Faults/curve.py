"""The client's side of ZMTP 3.1 with CURVE (ZeroMQ RFC 23 and 26) on a plain socket: says what libzmq's own client never would.

A DEALER keeps the frames of a message until its last one is there: with it nobody can send a message that never ends.
"""

import ctypes
import ctypes.util
import os
import socket
import struct

from zmq.utils import z85

sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")


def sealed(plain, nonce, theirs, mine):
    box = ctypes.create_string_buffer(len(plain) + 16)
    assert sodium.crypto_box_easy(box, plain, ctypes.c_ulonglong(len(plain)), nonce, theirs, mine) == 0
    return box.raw


def opened(box, nonce, theirs, mine):
    plain = ctypes.create_string_buffer(len(box) - 16)
    assert sodium.crypto_box_open_easy(plain, box, ctypes.c_ulonglong(len(box)), nonce, theirs, mine) == 0, "not for us"
    return plain.raw


class Connection:
    """After the handshake: frames, one by one, as they are asked for."""

    def __init__(self, port, server, keys, source=None, within=20):
        self.server, self.public, self.secret = z85.decode(server), z85.decode(keys[0]), z85.decode(keys[1])
        self.raw = socket.create_connection(("127.0.0.1", port), timeout=within, source_address=(source, 0) if source else None)
        self.counter = 0
        public, secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
        sodium.crypto_box_keypair(public, secret)
        self.transient = public.raw, secret.raw
        self._shake()

    def _short(self):
        self.counter += 1
        return struct.pack(">Q", self.counter)

    def _read(self, count):
        data = b""
        while len(data) < count:
            got = self.raw.recv(count - len(data))
            if not got:
                raise ConnectionResetError("closed in the handshake")
            data += got
        return data

    def _command(self, name):
        flags, length = self._read(2)
        length = struct.unpack(">Q", bytes([length]) + self._read(7))[0] if flags & 2 else length
        body = self._read(length)
        assert body[1:1 + body[0]] == name, body[:20]
        return body[1 + len(name):]

    def _shake(self):
        self.raw.sendall(b"\xff" + bytes(7) + b"\x01\x7f\x03\x01" + b"CURVE".ljust(52, b"\0"))
        self._read(64)
        public, secret = self.transient
        short = self._short()
        hello = b"\x05HELLO\x01\x00" + bytes(72) + public + short + sealed(bytes(64), b"CurveZMQHELLO---" + short, self.server, secret)
        self.raw.sendall(bytes([4, len(hello)]) + hello)
        welcome = self._command(b"WELCOME")
        plain = opened(welcome[16:], b"WELCOME-" + welcome[:16], self.server, secret)
        self.theirs = plain[:32]
        tail = os.urandom(16)
        vouch = sealed(public + self.server, b"VOUCH---" + tail, self.theirs, self.secret)
        metadata = b"\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
        short = self._short()
        initiate = b"\x08INITIATE" + plain[32:] + short + sealed(self.public + tail + vouch + metadata, b"CurveZMQINITIATE" + short, self.theirs, secret)
        self.raw.sendall(b"\x06" + struct.pack(">Q", len(initiate)) + initiate)
        self._command(b"READY")

    def frame(self, data, more):
        """One frame, as bytes for the wire."""
        short = self._short()
        body = b"\x07MESSAGE" + short + sealed(bytes([1 if more else 0]) + data, b"CurveZMQMESSAGEC" + short, self.theirs, self.transient[1])
        return (bytes([0, len(body)]) if len(body) < 256 else b"\x02" + struct.pack(">Q", len(body))) + body

    def send(self, *frames, ends=True):
        """`ends`: the last of them ends its message."""
        last = len(frames) - 1
        self.raw.sendall(b"".join(self.frame(data, more=n < last or not ends) for n, data in enumerate(frames)))

    def close(self):
        self.raw.close()
