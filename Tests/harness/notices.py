"""Notices of a test's own making: decided by operators, and handed to notify in parts of any size, from the contract and without our code."""

import contextlib
import hashlib
import json
import os
import time

import zmq

from . import asking
from .signing import Operator
from .waiting import PATIENCE, wait_until


class Refused(Exception):
    """What a service does not do. `code`, `text`."""

    def __init__(self, body):
        super().__init__(f"{body.code}: {body.text}")
        self.code, self.text = body.code, body.text


class Gone(Exception):
    """A service that has ended before it answered."""


@contextlib.contextmanager
def session(home, service, name="ops-1"):
    """An operator's session: a function that asks, and returns the answer of a kind. `running`: whether the service is, if it may end."""
    words = asking.wire()
    server = next(node["key"] for node in json.loads((home / "registry.json").read_text())["nodes"] if node["name"] == service).encode()
    secret = words.read_secret(home / "keys" / f"{name}.secret")
    with zmq.Context.instance().socket(zmq.DEALER) as socket:
        socket.linger, socket.reconnect_ivl = 0, 20
        socket.curve_serverkey, socket.curve_secretkey, socket.curve_publickey = server, secret, zmq.curve_public(secret)
        socket.connect(json.loads((home / "suite.json").read_text())[service])
        socket.send_multipart(words.frames("hello", protocol=1, software="test", start=os.urandom(16)))

        def ask(of, kind, /, running=lambda: True, **fields):
            socket.send_multipart(words.frames(kind, **fields))
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                if not socket.poll(50):
                    if not running():
                        raise Gone(f"{service} has ended before it answered {kind}")
                    continue
                came, body, _ = words.parse(socket.recv_multipart())
                if came == of:
                    return body
                if came == "refused":
                    raise Refused(body)
            raise AssertionError(f"{service} does not answer {kind}")

        yield ask


def root(leaves):
    """RFC 6962, section 2.1."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(leaves[:half]) + root(leaves[half:])).digest()


def consistency(size, leaves, whole=True):
    """RFC 6962, section 2.1.2: that the tree over all begins with the one over the first so many."""
    if size == len(leaves):
        return [] if whole else [root(leaves)]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if size <= half:
        return [*consistency(size, leaves[:half], whole), root(leaves[half:])]
    return [*consistency(size - half, leaves[half:], False), root(leaves[:half])]


def assessed(suite, **pause):
    """An incident of which people can be told: its number."""
    incident = int(suite.pause("--all", **pause)["closure"]["incident"])
    governance = asking.wire().governance
    body = governance.Command(assess_incident=governance.IncidentAssessment(incident=incident, exposure=os.urandom(32), summary="a test"))
    with session(suite.home, "control") as ask:
        ask("outcome", "command", **Operator(suite.home).command(body.SerializeToString()))
    return incident


class Round:
    """What the people of an incident are told. `people`: where each subject's goes; empty: nowhere. `text`: at the end of each."""

    def __init__(self, suite, incident, people, text=""):
        governance = asking.wire().governance
        self.suite, self.incident = suite, incident
        self.notices = [
            governance.Notice(
                subject=subject, address=address, unaddressed="" if address else "no address in the directory", language="en", title=f"What happened to data of {subject}",
                text=f"Dear {subject},\n\nthis is about you.\n{text}\n", html=f"<!doctype html><html lang=\"en\"><p>{subject}</p></html>").SerializeToString()
            for subject, address in sorted(people.items(), key=lambda one: one[0].encode())]
        self.digest, self.entry = root(self.notices), None

    def decide(self):
        """Proposed by one operator and approved by another. Its entry."""
        governance = asking.wire().governance
        with session(self.suite.home, "control") as ask:
            newest = ask("answer", "query", operators=governance.OperatorsQuery()).operators.last
            body = governance.Command(send_notices=governance.NoticesDecided(incident=self.incident, count=len(self.notices), digest=self.digest))
            proposed = ask("outcome", "command", **Operator(self.suite.home).command(body.SerializeToString(), index=newest)).proposal.proposal
            self.suite.cli("approve", proposed, "--as", "ops-2", "--yes")
            steps = ask("answer", "query", incidents=governance.IncidentsQuery(incident=self.incident)).incidents.incidents[0].steps
        self.entry = max(step.entry for step in steps if step.what == "decided")
        return self

    def hand(self, first=0, count=0, name="ops-1"):
        """One part, in a session of its own: `noticesHeld`. Without notices it asks."""
        notices = self.notices[first:first + count]
        # Where the contract asks for it.
        known = "proof" in asking.wire().governance.NoticeBatch.DESCRIPTOR.fields_by_name
        proof = {"proof": consistency(first + len(notices), self.notices)} if known and notices else {}
        with session(self.suite.home, "notify", name) as ask:
            return ask(
                "noticesHeld", "notices", running=lambda: self.suite.services["notify"].is_running, decision=self.entry, first=first, notices=notices, **proof)

    def held(self):
        """How many notify has, when it has heard of the decision."""

        def known():
            try:
                return self.hand()
            except Refused as refused:
                # The entry comes within a lease, and is then compared.
                assert refused.code == 34, refused
                return None

        return wait_until(known, "notify has heard of the decision")

    def hand_over(self, part=1_000):
        """From where notify stopped. With the part's size, since a part has 4 MiB at most."""
        held = self.held()
        while not held.taken:
            held = self.hand(held.held, part)
        return held

    def standing(self):
        """How they stand: a round of `notices --json`."""
        return next(one for one in self.suite.cli("notices", self.incident, "--json").json["rounds"] if int(one["decision"]) == self.entry)
