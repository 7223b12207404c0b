"""Batches that were changed on their way, or sealed for somebody else: refused by name, counted, and quarantined when they go on (FAULTS: A03, I01)."""

import base64
import queue
import re
import threading

import pytest
import zmq
from hostile import Agent, Heard, Proxy, Refusal, batch, body, frame, new_stream, nonce, sealing, seeded, wait_until, wire

UNSEALABLE_MAX = 8  # Limits.unsealableMax


@pytest.fixture
def make_agent(suite):
    """An agent of its own: what it sends is held against it."""
    made = []

    def make(name):
        made.append(suite.agent_peer(suite.enrol(name)))
        return made[-1]

    yield make
    for peer in made:
        peer.close()


def changed(header, **fields):
    made = type(header.fields)()
    made.CopyFrom(header.fields)
    for name, value in fields.items():
        setattr(made, name, value)
    return made.SerializeToString()


def ask(agent, header, payload, oldest=1):
    """Exactly these bytes."""
    return agent.ask_sealed(header, payload, oldest)


def flipped(data, place, bit):
    data = bytearray(data)
    data[place] ^= 1 << bit
    return bytes(data)


def test_a_header_or_payload_that_was_changed_on_its_way_is_refused_unreadable_and_counted(suite, make_agent):
    chance = seeded("sealed")
    with suite.undisturbed():
        before = suite.counters("policy")
        tried = 0
        header, packed = batch(new_stream(), 1)
        fields = [
            {"class": "review"}, {"class": "credential"}, {"first_ns": header.first_ns - 1}, {"last_ns": header.last_ns - 1}, {"count": 2}, {"epoch": 1},
            {"sequence": 2}, {"stream": new_stream()}, {"columns_bytes": header.columns_bytes + 1}]
        # Never so many of one agent that it is quarantined.
        for group in range(0, len(fields), UNSEALABLE_MAX - 1):
            agent = make_agent(f"changed-{group}")
            sealed = agent.seal(header, packed)
            for change in fields[group:group + UNSEALABLE_MAX - 1]:
                tried += 1
                heard = ask(agent, changed(header, **change), sealed)
                assert heard.code == Refusal.unreadable, (change, heard)
            # A byte that no field has, at the header's end: the same meaning, other bytes.
            assert ask(agent, header.bytes, sealed).kind == "stored", "the control"
        agent = make_agent("flipped")
        header, packed = batch(new_stream(), 1)
        sealed = agent.seal(header, packed)
        # Encapsulation, confirmation, ciphertext, tag.
        for start, end in ((9, 41), (41, 49), (49, len(sealed) - 16), (len(sealed) - 16, len(sealed))):
            tried += 1
            place = chance.randrange(start, end)
            # The highest bit of an X25519 key does not count; the confirmation does not care for it either.
            heard = ask(agent, header.bytes, flipped(sealed, place, chance.randrange(7)))
            assert heard.code == Refusal.unreadable, (place, heard)
        assert ask(agent, header.bytes + b"\x78\x00", sealed).code == Refusal.unreadable, "a field that nobody knows is a change too"
        tried += 1
        # These say nothing about who sealed: they are not held against the agent.
        for place in (1, 8):
            assert ask(agent, header.bytes, flipped(sealed, place, 0)).code == Refusal.unreadable, "a vault key that is not there"
        assert ask(agent, header.bytes, flipped(sealed, 0, 1)).code == Refusal.malformed, "another version"
        assert ask(agent, header.bytes, sealed).kind == "stored", "the control"
        suite.expect_counted("policy", "unsealable", before, tried)
        assert suite.counters("policy")["unsealable.flipped"] == 5
        assert suite.counters("policy").get("unsealable", 0) - before.get("unsealable", 0) == tried


def test_a_batch_of_one_agent_is_not_taken_from_another(suite, make_agent):
    victim, thief = make_agent("sealed-victim"), make_agent("sealed-thief")
    header, packed = batch(new_stream(), 1)
    sealed = victim.seal(header, packed)
    assert ask(thief, header.bytes, sealed).code == Refusal.unreadable
    # What is only packed, and not sealed.
    loose, packed = batch(new_stream(), 1, payload_bytes=len(packed))
    assert ask(thief, loose.bytes, packed).code == Refusal.malformed
    assert ask(victim, header.bytes, sealed).kind == "stored", "the control"


def test_an_agent_whose_batches_cannot_be_opened_is_quarantined_until_it_is_registered_anew_and_others_go_on(suite, make_agent):
    with suite.undisturbed():
        before = suite.counters("policy")
        agent, neighbour = make_agent("rubbish"), make_agent("neighbour")
        header, packed = batch(new_stream(), 1)
        sealed = agent.seal(header, packed)
        for number in range(UNSEALABLE_MAX):
            assert ask(agent, header.bytes, flipped(sealed, -1, number % 8)).code == Refusal.unreadable
        heard = ask(agent, header.bytes, sealed)
        assert heard.code == Refusal.quarantined, "also what could be opened"
        assert "registered" in heard.body.text
        suite.expect_counted("policy", "agents.quarantined", before)
        assert suite.counters("policy")["unsealable.rubbish"] == UNSEALABLE_MAX
        assert suite.log("policy").count("is quarantined") == suite.counters("policy")["agents.quarantined"], "said once"
        assert ask(neighbour, *sealed_of(neighbour)).kind == "stored"
        # The same key registered again changes nothing; a new key is another agent.
        agent.close()
        fresh = suite.agent_peer(suite.enrol("rubbish"))
        assert ask(fresh, *sealed_of(fresh)).kind == "stored"
        fresh.close()


def sealed_of(agent):
    header, packed = batch(new_stream(), 1)
    return header.bytes, agent.seal(header, packed)


class FalseIngest(threading.Thread):
    """Ingest's own key in the wrong hands: grants a lease and every class to whoever asks, and names the vault key that it likes."""

    def __init__(self, keys, node, vault):
        super().__init__(daemon=True)
        self.node, self.vault = node, vault
        self.permit = {"epoch": 1, "classes": ["activity", "content"]}
        self.heard, self.pushes, self.route, self.reported = [], queue.SimpleQueue(), None, {}
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.curve_server, (self.socket.curve_publickey, self.socket.curve_secretkey) = True, keys
        self.endpoint = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.ending = threading.Event()
        self.start()

    def run(self):
        while not self.ending.is_set():
            while self.route and not self.pushes.empty():
                kind, fields = self.pushes.get()
                self._say(self.route, kind, **fields)
            if not self.socket.poll(20):
                continue
            route, *frames = self.socket.recv_multipart()
            heard = Heard(frames)
            self.route = route
            self.heard.append(heard.kind)
            if heard.kind == "hello":
                welcome = {"node": self.node, "ordinal": 1, "lease_ms": 3_000, "start": bytes(16), "window": 8}
                self._say(route, "welcome", **welcome, **({"vault": self.vault} if self.vault else {}))
            elif heard.kind == "renew":
                self.reported = dict(heard.body.agent.pushes_refused)
                self._say(route, "grant", nonce=heard.body.nonce, lease_ms=3_000, permit=self.permit)
            elif heard.kind == "stopped":
                self.heard.append(heard.body.epoch)
        self.socket.close(0)

    def push(self, kind, **fields):
        """Says something unasked."""
        self.pushes.put((kind, fields))

    def _say(self, route, kind, **fields):
        self.socket.send_multipart([route, frame(kind, body(kind, **fields))])

    def close(self):
        self.ending.set()
        self.join(5)


def test_an_agent_that_is_given_a_false_vault_key_captures_nothing(suite):
    """Also by somebody who holds ingest's key: what a permit is worth without the vault's key."""
    honest = suite.peer("control", suite.keys_of("ingest")).greet()
    proof = honest.ask("query", body("query", vault_key={})).body.proof
    honest.close()
    forged = type(proof)()
    forged.CopyFrom(proof)
    entry = wire().Entry.FromString(proof.entry.body)
    entry.vault_key_announced.key = sealing.raw(sealing.X25519PrivateKey.generate().public_key())
    forged.entry.body = entry.SerializeToString()
    # Another entry of the same ledger, truly proven.
    operator = suite.peer("control", suite.operator("ops-1")).greet()
    other = operator.ask("query", body("query", proof={"index": 1})).body.proof
    operator.close()
    # A checkpoint that somebody else signed: control's line is the first, policy's cosignature may stand below it.
    resigned = type(proof)()
    resigned.CopyFrom(proof)
    lines = proof.proof.split(b"\n")
    own = next(number for number, line in enumerate(lines) if line.startswith("— ".encode()))
    words = lines[own].split(b" ")
    lines[own] = b" ".join([*words[:2], base64.b64encode(base64.b64decode(words[2])[:4] + bytes(64))])
    resigned.proof = b"\n".join(lines)

    keys = suite.keys_of("ingest")

    def offered(name, vault, node=None):
        agent = Agent(suite, name)
        false = FalseIngest(keys, node or name, vault)
        agent.configure(ingest=false.endpoint).run()
        return agent, false

    cases = {
        "key-forged": (forged, None, "does not prove"), "key-other-deed": (other, None, "announces no vault key"),
        "key-resigned": (resigned, None, "does not prove"), "key-absent": (None, None, "named no vault key"),
        "key-other-name": (proof, "somebody", "agent.json says"),
    }
    agents = {name: offered(name, vault, node) for name, (vault, node, _) in cases.items()}
    control = offered("key-true", proof)
    try:
        # The control: the same false ingest with the true key is believed. To keep it from reading, the key is enough.
        control[0].expect_capturing()
        for name, (_, _, complaint) in cases.items():
            agent, false = agents[name]
            wait_until(lambda agent=agent, complaint=complaint: complaint in agent.complaints, f"{name} complains of {complaint!r}")
            agent.type("never", "captured")
            status = agent.expect_judged(2)
            assert status["accepted"] == 0 and status["refused"] == {"no-lease": 2} and not status["classes"], (name, status)
            assert "renew" not in false.heard, f"{name} asked for a permit"
            assert "nothing is captured" in agent.complaints
    finally:
        for agent, false in [*agents.values(), control]:
            agent.process.end()
            false.close()


def test_nothing_that_is_pushed_unasked_widens_a_permit_or_lengthens_a_lease(suite):
    """A11, by somebody who holds ingest's own key: an open permit, an older epoch, an answer to nobody's question."""
    service = suite.peer("control", suite.keys_of("ingest")).greet()
    proof = service.ask("query", body("query", vault_key={})).body.proof
    service.close()
    agent = Agent(suite, "pushed")
    false = FalseIngest(suite.keys_of("ingest"), "pushed", proof)
    everything = ["activity", "content", "conversation", "review"]
    try:
        agent.configure(ingest=false.endpoint).run()
        agent.expect_capturing()
        wait_until(lambda: agent.status["classes"] == ["activity", "content"], "it may capture what it was granted")
        false.push("narrow", permit={"epoch": 7, "classes": ["activity"]})
        wait_until(lambda: 7 in false.heard, "the narrower permit is acknowledged")
        # From here on every answer to its renewals has an epoch that is older than the one it knows.
        for kind, fields in (
            ("narrow", {"permit": {"epoch": 8, "classes": everything}}), ("narrow", {"permit": {"epoch": 2, "classes": everything}}),
            ("grant", {"nonce": nonce(), "lease_ms": 600_000, "permit": {"epoch": 9, "classes": everything}}),
            ("grant", {"nonce": b"", "lease_ms": 600_000, "permit": {"epoch": 9, "classes": everything}}),
            ("nudge", {}),
        ):
            false.push(kind, **fields)
        wait_until(lambda: 8 in false.heard, "the open permit was heard")
        # `status.json` is written twice a second.
        wait_until(lambda: agent.status["epoch"] >= 8, "its status says so")
        assert set(agent.status["classes"]) <= {"activity"}, agent.status
        wait_until(lambda: not agent.status["classes"], "its lease ends, whatever was pushed", within=20)
        # Each is counted, told to whoever is asked for a permit, and logged once.
        counted = wait_until(lambda: set(agent.status["pushesRefused"]) == {"older", "opening", "unasked"} and agent.status["pushesRefused"], "it says what it did not take")
        assert counted["opening"] == 1 and counted["unasked"] == 2 and counted["older"] >= 2, counted
        wait_until(lambda: set(false.reported) == set(counted), "it reports them")
        for word in counted:
            assert agent.complaints.count(f"ingest sent what it may not ({word})") == 1
        assert "REFUSED from ingest" in agent.said_of_itself()
        before = agent.status
        agent.type("never", "captured")
        wait_until(lambda: agent.status["refused"].get("no-lease", 0) >= before["refused"].get("no-lease", 0) + 2, "what is typed is refused")
        assert agent.status["accepted"] == before["accepted"]
        # The control: what it asks for itself may widen.
        false.permit = {"epoch": 9, "classes": everything}
        wait_until(lambda: agent.status["classes"] == sorted(everything), "the answer to its own renewal opens", within=20)
    finally:
        agent.process.end()
        false.close()


def test_what_a_hostile_ingest_has_pushed_is_shown_by_status_when_its_agent_meets_an_honest_one(suite):
    """An older epoch, an open permit, an answer to nobody's question: from the agent that did not take it to whoever looks."""
    service = suite.peer("control", suite.keys_of("ingest")).greet()
    proof = service.ask("query", body("query", vault_key={})).body.proof
    service.close()
    # An older epoch than the present one is needed; and none that is later than control's, or the agent would rightly take control for a liar.
    suite.cli("pause", "--reads-only", "--reader", "nobody-reads", "--reason", "a test")
    suite.resume()
    epoch = int(suite.status()["gate"]["epoch"])
    assert epoch >= 2
    agent = Agent(suite, "misled")
    false = FalseIngest(suite.keys_of("ingest"), "misled", proof)
    false.permit = {"epoch": epoch, "classes": ["activity"]}
    proxy = Proxy(int(false.endpoint.rsplit(":", 1)[1]), lambda number, offset, data: data)
    everything = ["activity", "content", "conversation", "review"]
    before = suite.counters("ingest")
    try:
        agent.configure(ingest=proxy.endpoint).run()
        agent.expect_capturing()
        for _ in range(3):
            false.push("narrow", permit={"epoch": epoch - 1, "classes": everything})
            false.push("narrow", permit={"epoch": epoch, "classes": everything})
            false.push("grant", nonce=nonce(), lease_ms=600_000, permit={"epoch": epoch, "classes": everything})
        counted = wait_until(lambda: agent.status["pushesRefused"] == {"older": 3, "opening": 3, "unasked": 3} and agent.status, "it counts each")
        assert set(counted["classes"]) <= {"activity"}
        # The control: nobody has been told yet.
        assert not [name for name in suite.counters("ingest") if name.startswith("agents.pushes.refused.") and name not in before]
        # The line goes to the honest ingest from here on: the same process, the same connection to it.
        proxy.port = suite.port("ingest")
        false.close()
        wait_until(lambda: agent.status["classes"] == sorted(everything), "the honest ingest grants what control allows")
        for word in ("older", "opening", "unasked"):
            suite.expect_counted("ingest", f"agents.pushes.refused.{word}", before, 3)
            assert agent.complaints.count(f"ingest sent what it may not ({word})") == 1, "said once"
        assert re.search(r"^REFUSED .*\d+ pushes that agents did not take", suite.cli("status").stdout, re.M)
    finally:
        agent.process.end()
        false.close()
        proxy.close()
