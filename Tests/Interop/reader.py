"""A reader: asks policy for a release, and yields its events (section 10 of SPEC.md)."""

import os
import time

import zmq

import columns
import wire


class Refused(Exception):
    def __init__(self, body):
        super().__init__(f"{body.code}: {body.text}")
        self.code = body.code


class CutOff(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


class Peer:
    """A session of a reader or an operator: greets, and gives the next message."""

    def __init__(self, endpoint, server_key, secret_key, largest=wire.LARGEST_FRAME, timeout=10.0):
        self.context, self.timeout = zmq.Context(), timeout
        self.socket = wire.connect(self.context, endpoint, server_key, secret_key, largest, agent=False)
        self.greet()

    def send(self, kind, /, **fields):
        message, deadline = wire.frames(kind, **fields), time.monotonic() + self.timeout
        while not wire.send(self.socket, message):
            if not self.socket.poll(max(0, int((deadline - time.monotonic()) * 1000)), zmq.POLLOUT):
                raise TimeoutError(f"no connection for {kind}")

    def receive(self, seconds=None):
        """None: nothing came."""
        if not self.socket.poll(int((self.timeout if seconds is None else seconds) * 1000)):
            return None
        return wire.parse(self.socket.recv_multipart())

    def expect(self, *kinds, of=None):
        """The next message of these kinds; a refusal of `of` is raised."""
        deadline = time.monotonic() + self.timeout
        while (left := deadline - time.monotonic()) > 0:
            if (got := self.receive(left)) is None:
                break
            kind, body, payload = got
            if kind in kinds:
                return kind, body, payload
            if kind == "refused" and body.kind in (0, wire.NUMBERS[of]):
                raise Refused(body)
        raise TimeoutError(f"no {' or '.join(kinds)}")

    def greet(self):
        self.send("hello", protocol=1, software="interop 1", start=os.urandom(16))
        self.welcome = self.expect("welcome", of="hello")[1]

    def close(self):
        self.context.destroy(linger=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def read(peer, classes, subjects=(), teams=(), purpose="test", justification="interop", credit=4):
    """Yields (origin, event); the origin is the chunk's header. Raises if the release is not complete."""
    lease = peer.welcome.lease_ms / 1000
    ident = os.urandom(16)
    peer.send("releaseRequest", id=ident, purpose=purpose, justification=justification, classes=classes,
              subjects=subjects, teams=teams, credit=credit)
    while True:
        _, granted, _ = peer.expect("release", of="releaseRequest")
        if granted.id == ident:
            break
    number = events = 0
    renewed = heard = time.monotonic()
    while True:
        if time.monotonic() - renewed > lease:
            peer.send("renew", nonce=os.urandom(16), wall_us=wire.wall() // 1000)
            renewed = time.monotonic()
        got = peer.receive(lease / 3)
        if got is None:
            if time.monotonic() - heard > 2 * lease:
                raise CutOff(None, "silence")
            continue
        kind, body, payload = got
        if kind == "chunk" and body.release == granted.release:
            heard, number = time.monotonic(), number + 1
            if body.number != number:
                raise CutOff(None, f"chunk {body.number} came in place of {number}")
            content = columns.decompress(payload, body.columns_bytes)
            for event in columns.decode(content, body.first_ns, body.last_ns, body.count):
                events += 1
                yield body, event
            peer.send("credit", release=granted.release, chunks=1)
        elif kind == "releaseEnded" and body.release == granted.release:
            if body.code:
                raise CutOff(body.code, body.text)
            # Canaries are not counted: SPEC.md, section 10.
            if body.chunks != number or events < body.events:
                raise CutOff(None, f"{number} chunks, {events} events came of {body.chunks}, {body.events}")
            return
        elif kind == "refused":
            raise Refused(body)
