"""Control's own keys in the wrong hands, or control with a broken disk: what it tells those who follow its ledger is checked, and who
cannot believe it acts as stopped (A10, L01)."""

import base64
import contextlib
import hashlib
import json
import shutil
import socket
import sqlite3
import threading
import time

import pytest
import zmq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from hostile import Heard, Peer, Process, Refusal, Suite, binaries, body, frame, free_port_base, new_keys, nonce, wait_until, wire

LEASE_MS = 1_000
FOLLOWERS = ("ingest", "policy", "notify")


# The ledger, from RFC 6962 and C2SP's documents alone


def sha256(data):
    return hashlib.sha256(data).digest()


def root(leaves):
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0])
    middle = 1 << ((len(leaves) - 1).bit_length() - 1)
    return sha256(b"\x01" + root(leaves[:middle]) + root(leaves[middle:]))


class Ledger:
    """Entries as control has recorded them, and its key."""

    def __init__(self, entries, key, origin, proof, unfit):
        """`proof`: of the entry that announced the vault's key; `unfit`: others that are true, by what they are of."""
        self.entries, self.key, self.origin, self.proof, self.unfit = list(entries), key, origin, proof, unfit

    def but(self, entries):
        return Ledger(entries, self.key, self.origin, self.proof, self.unfit)

    def note(self, size, root_hash=None, key=None):
        """A signed checkpoint of the first `size` entries."""
        leaves = [b"\x01" + sha256(e.salt + e.body) for e in self.entries[:size]]
        text = f"{self.origin}\n{size}\n{base64.b64encode(root_hash or root(leaves)).decode()}\n"
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        number = sha256(self.origin.encode() + b"\n\x01" + public)[:4]
        signature = base64.b64encode(number + (key or self.key).sign(text.encode())).decode()
        return f"{text}\n— {self.origin} {signature}\n".encode()


class Story:
    """What control says: honest, but for what a test changes."""

    def __init__(self, ledger, shown):
        self.ledger, self.shown = ledger, shown
        self.is_silent = False
        # What is sent to who has so many entries; and the note beside it.
        self.page = lambda applied: self.ledger.entries[applied:self.shown]
        self.note = lambda: self.ledger.note(self.shown)
        # What is answered to who asks for the entry that announced the vault's key.
        self.proof = ledger.proof


class FalseControl(threading.Thread):
    """Control's ROUTER, by its own key. One follower."""

    def __init__(self, keys, endpoint, story):
        super().__init__(daemon=True)
        self.story = story
        self.renewals, self.stopped = [], []
        self.heard = self.refused = self.asked = 0  # Messages, handshakes that came to nothing, and questions.
        self.socket = zmq.Context.instance().socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.curve_server, (self.socket.curve_publickey, self.socket.curve_secretkey) = True, keys
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_DISCONNECTED)
        self.socket.bind(endpoint)
        self.ending = threading.Event()
        self.start()

    def run(self):
        while not self.ending.is_set():
            while self.monitor.poll(0):
                self.monitor.recv_multipart()
                self.refused += 1
            if not self.socket.poll(20):
                continue
            route, *frames = self.socket.recv_multipart()
            self.heard += 1
            heard, story = Heard(frames), self.story
            if heard.kind == "renew":
                self.renewals.append(heard.body)
            elif heard.kind == "stopped":
                self.stopped.append(heard.body.epoch)
            if story.is_silent:
                continue
            if heard.kind == "hello":
                self._say(route, "welcome", node="follower", lease_ms=LEASE_MS, start=bytes(16), journal=bytes(16))
            elif heard.kind == "renew":
                note, sent = story.note(), story.page(heard.body.entries)
                if sent:
                    self._say(route, "entries", recorded=sent, last=story.shown, checkpoint=note)
                self._say(route, "grant", nonce=heard.body.nonce, lease_ms=LEASE_MS, gate={"epoch": 2}, entries=story.shown, checkpoint=note)
            elif heard.kind == "query":
                self._say(route, "answer", proof=story.proof)
                self.asked += 1
        self.socket.disable_monitor()
        self.socket.close(0)

    def _say(self, route, kind, **fields):
        self.socket.send_multipart([route, frame(kind, body(kind, **fields))])

    @property
    def counters(self):
        return next((r.service.counters for r in reversed(self.renewals) if r.HasField("service")), {})

    @property
    def applied(self):
        return self.renewals[-1].entries if self.renewals else 0

    def close(self):
        self.ending.set()
        self.join(5)


def proven(suite, **about):
    """An entry with its proof, as control answers an operator; it may not be durable yet."""
    asker = suite.peer("control", suite.operator("ops-1")).greet()
    try:
        heard = wait_until(lambda: (heard := asker.ask("query", body("query", **about))).kind == "answer" and heard, "control proves it", every=0.2)
        return heard.body.proof
    finally:
        asker.close()


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """What a real control has recorded: registrations, a pause, a resume, an incident that is closed."""
    folder = tmp_path_factory.mktemp("history")
    suite = Suite(folder, lease_ms=LEASE_MS)
    try:
        # What policy is asked for is granted from the beginning of what any of them is shown.
        suite.govern()
        older = proven(suite, vault_key={})
        suite.cli("vault-key", "new")
        suite.approved("vault-key", "announce")
        desk = suite.enrol("desk")
        suite.cli("pause", "--all", "--reason", "a test")
        suite.resume()
        for name in ("desk-2", "desk-3"):
            suite.enrol(name)
        proof = proven(suite, vault_key={})
        another = proven(suite, proof={"index": wire().Entry.FromString(proof.entry.body).index + 1})
        asker = suite.peer("control", suite.keys_of("ingest")).greet()
        asker.send("query", body("query", journal={"after": 0}))
        recorded = asker.expect("entries", where=lambda h: h.kind == "entries" and len(h.body.recorded) > 8).body.recorded
        asker.close()
        key = load_pem_private_key((suite.home / "keys" / "control.ledger").read_bytes(), None)
        return suite, desk, Ledger(recorded, key, suite.origin, proof, {"an older announcement": older, "another entry": another})
    finally:
        suite.close()


class Following:
    """One service that follows a false control, in a home of its own."""

    def __init__(self, name, history, folder, story, keys=None):
        suite, self.desk, _ = history
        self.name, self.suite, self.peer = name, suite, None
        self.home = folder / "home"
        shutil.copytree(suite.home, self.home, ignore=lambda at, names: [n for n in names if n in ("lock",)])
        for part in ("control", "policy", "notify", "ingest"):
            shutil.rmtree(self.home / part, ignore_errors=True)
        base = free_port_base()
        self.endpoints = {part: f"tcp://127.0.0.1:{base + n}" for n, part in enumerate(("ingest", "policy", "control", "notify", "join"), 1)}
        settings = json.loads((self.home / "suite.json").read_text())
        (self.home / "suite.json").write_text(json.dumps({**settings, **self.endpoints}))
        self.control = FalseControl(keys or suite.keys_of("control"), self.endpoints["control"], story)
        self.process = Process([binaries() / f"sluice-{name}", "--home", self.home], folder / "service.log")

    def _ask(self, keys, kind, message):
        """The answer to a question in a session that is made when there is none; None: nobody answers."""
        if self.peer is None:
            self.peer = Peer(self.endpoints[self.name], self.suite.public[self.name], keys)
            self.peer.send("hello", body("hello", protocol=1, software="test", start=nonce()))
            heard = self.peer.receive(1)
            if heard is None or heard.kind != "welcome":
                self.peer.close()
                self.peer = None
                return None
        self.peer.send(kind, message)
        while (heard := self.peer.receive(1)) is not None:
            if heard.kind in ("grant", "release", "refused"):
                return heard
        # What comes later is no answer to a later question.
        self.peer.close()
        self.peer = None
        return None

    def acts(self):
        """Whether it allows anything: a lease to an agent, a release to a reader; of notify: whether it has taken all that was shown."""
        if self.name == "ingest":
            heard = self._ask(self.desk, "renew", body("renew", nonce=nonce(), wall_us=time.time_ns() // 1000))
            return heard is not None and heard.kind == "grant" and heard.body.lease_ms > 0
        if self.name == "policy":
            asked = body("releaseRequest", id=nonce(), purpose="test", justification="a test", classes=["activity"])
            heard = self._ask(self.suite.operator("ops-1"), "releaseRequest", asked)
            if heard is not None and heard.kind == "refused" and heard.code == Refusal.storeFull:
                # On a slow machine those asked for earlier still run, and whether it would act is not known: they end with their reader's session.
                self.peer.close()
                self.peer = None
            assert heard is None or heard.kind == "release" or heard.code in (Refusal.leaseEnded, Refusal.paused, Refusal.unknownNode), heard
            return heard is not None and heard.kind == "release"
        return self.taken == self.control.story.shown

    @property
    def is_open(self):
        """Whether it listens."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(self.endpoints[self.name].rpartition(":")[2])), timeout=1):
            return True
        return False

    def welcome(self):
        """Of ingest: what an agent is told that comes now."""
        peer = Peer(self.endpoints["ingest"], self.suite.public["ingest"], self.desk)
        try:
            return peer.greet().welcome
        finally:
            peer.close()

    @property
    def taken(self):
        """Of notify: entries that its outbox has."""
        path = self.home / "notify" / "outbox.sqlite"
        if not path.exists():
            return 0
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database, contextlib.suppress(sqlite3.OperationalError):
            return database.execute("SELECT entry FROM cursor").fetchone()[0]
        return 0

    def expect_acting(self):
        wait_until(lambda: self.acts() or not self.process.is_running, f"{self.name} follows")
        assert self.process.is_running, self.process.said
        return self

    def expect_stopped(self):
        """Whoever asks a lease and a second after now, or later, is allowed nothing.

        By when they ask: on a slow machine they are heard later, and allowed nothing all the more.
        """
        until = time.monotonic() + LEASE_MS * 1.002 / 1000 + 1
        while (asked := time.monotonic()) < until + LEASE_MS / 1000:
            assert not self.acts() or asked < until, f"{self.name} goes on for {asked - until:.1f} s more than a lease and a second"
        assert not self.acts(), f"{self.name} goes on"
        return self

    def expect_ended(self, words):
        """It has ended by itself, and its log says why, once."""
        assert self.process.popen.wait(30) == 1, self.process.said
        lines = [line for line in self.process.said.splitlines() if " critical " in line]
        assert len(lines) == 1 and words in lines[0] and "follows anew when it is started again" in lines[0], self.process.said
        return self

    def close(self):
        if self.peer:
            self.peer.close()
        self.process.end()
        self.control.close()


@pytest.fixture
def follow(history, tmp_path):
    made = []

    def begin(name, story, keys=None):
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Following(name, history, folder, story, keys))
        return made[-1]

    yield begin
    for following in made:
        following.close()


@pytest.fixture
def ledger(history):
    return history[2]


def resalted(entry):
    other = type(entry)()
    other.CopyFrom(entry)
    other.salt = bytes(32)
    return other


def forged(entry):
    """The same deed, with one bit of its author's signature changed."""
    other, parsed = type(entry)(), wire().Entry.FromString(entry.body)
    other.CopyFrom(entry)
    signature = bytearray(parsed.signed.signature)
    signature[7] ^= 1
    parsed.signed.signature = bytes(signature)
    other.body = parsed.SerializeToString()
    return other


def of_a_fork(story, ledger):
    story.ledger = ledger.but([*ledger.entries[:story.shown - 1], resalted(ledger.entries[story.shown - 1]), *ledger.entries[story.shown:]])


def of_a_longer_fork(story, ledger):
    of_a_fork(story, ledger)
    story.shown += 1


def of_fewer(story, ledger):
    story.shown -= 1


def of_another_root(story, ledger):
    story.shown += 1
    story.note = lambda: ledger.note(story.shown, root_hash=sha256(b"another"))


def by_another_key(story, ledger):
    key = Ed25519PrivateKey.generate()
    story.note = lambda: ledger.note(story.shown, key=key)


def of_a_forged_command(story, ledger):
    place = next(n for n in range(story.shown, len(ledger.entries)) if wire().Entry.FromString(ledger.entries[n].body).signed.signature)
    story.ledger = ledger.but([*ledger.entries[:place], forged(ledger.entries[place]), *ledger.entries[place + 1:]])
    story.shown = place + 1


@pytest.mark.parametrize("deed, words", [
    (of_a_fork, "another history than was followed"), (of_a_longer_fork, "another history than was followed"), (of_fewer, "it was put back"),
    (of_another_root, "another history than was followed"), (by_another_key, "not signed as it must be"), (of_a_forged_command, "is not believed"),
], ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("name", FOLLOWERS)
def test_who_follows_a_ledger_that_is_not_the_one_it_was_ends_and_says_why_once(follow, ledger, name, deed, words):
    story = Story(ledger, len(ledger.entries) - 4)
    following = follow(name, story).expect_acting()
    before = story.shown
    told = Story(ledger, before)
    deed(told, ledger)
    following.control.story = told
    following.expect_ended(words)
    if name == "notify":
        assert following.taken <= before, "nothing of what is not believed is told to anybody"


@pytest.mark.parametrize("name", FOLLOWERS)
def test_the_control_who_follows_a_ledger_that_grows_goes_on(follow, ledger, name):
    story = Story(ledger, len(ledger.entries) - 4)
    following = follow(name, story).expect_acting()
    for shown in range(len(ledger.entries) - 3, len(ledger.entries) + 1):
        following.control.story = Story(ledger, shown)
        wait_until(lambda: following.control.applied == shown, "the next entry is followed")
        following.expect_acting()
    assert " critical " not in following.process.said and following.control.counters["entries.gaps"] == 0


def test_who_has_another_key_than_controls_hears_nothing_of_any_follower(follow, history, ledger):
    """Not a word: neither how far it is nor what it has counted. The control is control's own key, at the same place."""
    story = Story(ledger, len(ledger.entries))
    followings = [follow(name, story, new_keys()) for name in FOLLOWERS]
    for following in followings:
        wait_until(lambda: following.control.refused >= 3, f"{following.name} tries again and again")
    for following in followings:
        assert following.control.heard == 0 and not following.acts() and following.process.is_running, following.name
        following.control.close()
    for following in followings:
        following.control = FalseControl(history[0].keys_of("control"), following.endpoints["control"], story)
    for following in followings:
        following.expect_acting()
        assert following.control.heard > 0


def without_the_next(entries):
    return entries[1:]


def in_another_order(entries):
    return [*entries[1:2], *entries[:1], *entries[2:]]


@pytest.mark.parametrize("pages", [without_the_next, in_another_order], ids=lambda pages: pages.__name__)
@pytest.mark.parametrize("name", FOLLOWERS)
def test_who_gets_entries_with_a_gap_acts_as_stopped_counts_it_says_so_once_and_goes_on_when_they_come(follow, ledger, name, pages):
    story = Story(ledger, len(ledger.entries) - 4)
    following = follow(name, story).expect_acting()
    applied = story.shown
    broken = Story(ledger, len(ledger.entries))
    broken.page = lambda had: pages(ledger.entries[had:])
    following.control.story = broken
    following.expect_stopped()
    assert following.control.applied == applied
    wait_until(lambda: following.control.counters["entries.gaps"] >= 2, "it is counted")
    assert following.process.said.count(f"entry {applied + 1} of control's ledger has not come") == 1
    # The control: what was missing comes.
    following.control.story = Story(ledger, len(ledger.entries))
    following.expect_acting()
    wait_until(lambda: following.control.applied == len(ledger.entries), "it says so")
    assert following.process.is_running


@pytest.mark.parametrize("name", ["ingest", "policy"])
def test_who_hears_nothing_acts_as_stopped_when_its_lease_ends_and_goes_on_when_control_is_back(follow, ledger, name):
    following = follow(name, Story(ledger, len(ledger.entries))).expect_acting()
    silent = Story(ledger, len(ledger.entries))
    silent.is_silent = True
    following.control.story = silent
    following.expect_stopped()
    assert following.process.is_running and " critical " not in following.process.said
    following.control.story = Story(ledger, len(ledger.entries))
    following.expect_acting()


@pytest.mark.parametrize("name", ["ingest", "policy"])
def test_who_is_behind_for_more_than_a_lease_acts_as_stopped_and_asks_again_for_what_it_misses(follow, ledger, name):
    """Each entries message is lost; grants come, and rest on entries that are not here."""
    following = follow(name, Story(ledger, len(ledger.entries) - 2)).expect_acting()
    behind = Story(ledger, len(ledger.entries))
    behind.page = lambda had: []
    following.control.story = behind
    following.expect_stopped()
    asked = len(following.control.renewals)
    wait_until(lambda: len(following.control.renewals) >= asked + 3, "it renews")
    assert {r.entries for r in following.control.renewals[asked:]} == {len(ledger.entries) - 2}, "each says how far it is"
    following.control.story = Story(ledger, len(ledger.entries))
    following.expect_acting()


def test_control_sends_entries_again_to_who_says_that_it_has_fewer(make_suite):
    """The other half of a lost push: the real control, and a follower that has heard nothing of what it was sent."""
    suite = make_suite()
    number = suite.newest()
    assert number >= 4
    follower = suite.peer("control", suite.keys_of("notify")).greet(entries=number)

    def sent(had):
        asked = nonce()
        follower.send("renew", body("renew", nonce=asked, entries=had))
        indices = []
        while True:
            heard = follower.expect("entries", "grant")
            if heard.kind == "grant" and heard.body.nonce == asked:
                return indices
            if heard.kind == "entries":
                indices += [wire().Entry.FromString(e.body).index for e in heard.body.recorded]

    assert sent(number) == [], "nothing is missing"
    for _ in range(2):
        assert sent(number - 3) == [number - 2, number - 1, number]
    assert sent(number) == []
    follower.close()


@pytest.mark.parametrize("name", ["ingest", "policy"])
def test_who_is_granted_an_open_gate_while_the_ledger_has_a_closure_in_force_acts_as_stopped(follow, ledger, name):
    shown = next(n for n, entry in enumerate(ledger.entries, 1) if wire().Entry.FromString(entry.body).HasField("paused"))
    following = follow(name, Story(ledger, shown))
    wait_until(lambda: following.control.applied == shown, f"{name} has the entry of the pause")
    following.expect_stopped()
    wait_until(lambda: following.control.counters["gate.contradicted"] >= 1, "it is counted")
    assert following.process.said.count("control grants what its own ledger says is closed") == 1
    assert following.process.is_running


def by_a_stranger(proof, ledger):
    """The same under a checkpoint that somebody else has signed, who says that the key is control's."""
    above, _, lines = proof.proof.rpartition(b"\n\n")
    start = f"— {ledger.origin} ".encode()
    [true] = [line for line in lines.splitlines() if line.startswith(start)]
    number = base64.b64decode(true.removeprefix(start))[:4]
    checkpoint = above.rpartition(b"\n\n")[2] + b"\n"
    ledger.key.public_key().verify(base64.b64decode(true.removeprefix(start))[4:], checkpoint)
    other = type(proof)()
    other.CopyFrom(proof)
    other.proof = proof.proof.replace(true, start + base64.b64encode(number + Ed25519PrivateKey.generate().sign(checkpoint)))
    return other


def test_ingest_hands_no_key_of_the_vault_to_agents_but_the_newest_that_control_has_proven(follow, ledger):
    """Until it has that it lets nobody in. Agents check it themselves: who hands them another all the same keeps them from capturing."""
    unfit = {"by a stranger": by_a_stranger(ledger.proof, ledger), **ledger.unfit}
    assert len({proof.entry.body for proof in unfit.values()}) == 3 and ledger.unfit["another entry"].entry.body in [e.body for e in ledger.entries]
    stories = {what: Story(ledger, len(ledger.entries)) for what in unfit}
    for what, proof in unfit.items():
        stories[what].proof = proof
    following = follow("ingest", stories["by a stranger"])
    for what, story in stories.items():
        following.control.story = story
        # It has taken the answer in, or not, when it asks again.
        asked = following.control.asked
        wait_until(lambda: following.control.asked >= asked + 3 or following.is_open, "it asks again and again")
        assert not following.is_open, f"it hands out {what}: {following.welcome()}"
    # The control: the true one.
    following.control.story = Story(ledger, len(ledger.entries))
    wait_until(lambda: following.is_open, "it lets agents in")
    assert following.welcome().vault == ledger.proof and following.process.is_running
