"""FAULTS L03: a hundred readers at once, and whoever has a byte has a record of their own that was there before it."""

import contextlib
import sqlite3
import time

import pytest
import zmq
from hostile import Refusal, Suite, batch, body, new_stream, nonce, wait_until

READERS = 100


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    suite = Suite(tmp_path_factory.mktemp("reads"))
    yield suite
    suite.close()


class Records:
    """What policy's file says, read by another process while policy runs."""

    def __init__(self, suite):
        self.path = suite.home / "policy" / "vault.sqlite"

    def _ask(self, sql, *arguments):
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(sql, arguments).fetchall()

    def of(self, why):
        """Places in the ledger of reads whose entry holds this reason, and releases of it in the table beside it."""
        needle = why.encode() + b";"
        return ([number for number, in self._ask("SELECT number FROM ledger_body WHERE instr(body, ?)", needle)],
                [number for number, in self._ask("SELECT number FROM release WHERE justification = ?", why + ";")])


class Reader:
    """One DEALER. Asks until it is let in, and looks for its record before it looks at what it has got."""

    def __init__(self, suite, number, records):
        self.why, self.records = f"reader {number}", records
        self.peer = suite.peer("policy", suite.keys_of("ops-1" if number % 2 else "ops-2")).greet()
        self.release, self.chunks, self.refusals, self.ended, self.recorded = None, 0, 0, None, None
        self.again = self.reads_on = 0.0

    def ask(self):
        self.again = 0.0
        # With credit for one chunk: it comes at once, and who has it keeps its place while others ask.
        self.peer.send("releaseRequest", body(
            "releaseRequest", id=nonce(), purpose="race", justification=self.why + ";", classes=["activity"], credit=1))

    def hear(self):
        heard = self.peer.receive(0)
        if heard is None:
            return
        if heard.kind in ("release", "chunk") and self.recorded is None:
            self.recorded = self.records.of(self.why)
        if heard.kind == "release":
            self.release = heard.body.release
        elif heard.kind == "chunk":
            self.chunks += 1
            self.reads_on = self.reads_on or time.monotonic() + 0.5
        elif heard.kind == "releaseEnded":
            self.ended = heard.body
        elif heard.code == Refusal.storeFull:
            # All places are taken: it has got nothing, and there is no record of it.
            self.refusals += 1
            assert self.records.of(self.why) == ([], []), "the control: who was refused has no record"
            self.again = time.monotonic() + 0.2
        else:
            raise AssertionError(f"{self.why}: {heard}")


@pytest.mark.limit(300)
def test_of_a_hundred_readers_at_once_each_has_a_record_of_their_own_before_their_first_byte(suite):
    suite.govern()
    agent = suite.agent_peer(suite.enrol("desk"))
    stream = new_stream()
    for sequence in range(1, 6):
        assert agent.ask("batch", *batch(stream, sequence)).kind == "stored"
    agent.close()
    records = Records(suite)
    wait_until(lambda: suite.counters("policy").get("events", 0) >= 15, "they are counted")
    assert records.of("reader 0") == ([], []), "the control: nothing is recorded of who has not asked"
    readers = [Reader(suite, number, records) for number in range(READERS)]
    poller = zmq.Poller()
    by_socket = {reader.peer.socket: reader for reader in readers}
    for socket in by_socket:
        poller.register(socket, zmq.POLLIN)
    for reader in readers:
        reader.ask()
    deadline = time.monotonic() + 200
    while not all(reader.ended for reader in readers):
        assert time.monotonic() < deadline, [(r.why, r.release, r.chunks, r.refusals) for r in readers if not r.ended]
        for socket, _ in poller.poll(100):
            by_socket[socket].hear()
        for reader in readers:
            if reader.again and time.monotonic() >= reader.again:
                reader.ask()
            if reader.reads_on and time.monotonic() >= reader.reads_on and not reader.ended:
                reader.peer.send("credit", body("credit", release=reader.release, chunks=1_000))
                reader.reads_on = float("inf")
    assert sum(reader.refusals for reader in readers) >= READERS - 16, "they were there at the same time"
    for reader in readers:
        assert reader.chunks > 0 and reader.ended.code == 0 and reader.ended.events == 15, reader.ended
        places, releases = reader.recorded
        assert len(places) == 1 and releases == [reader.release], (reader.why, reader.recorded)
    assert len({reader.release for reader in readers}) == READERS
    # And the end of each comes after it.
    ended = lambda: suite.cli("ledger", "show", "1..", "--ledger", "reads", "--json").stdout.count('"ended"')
    wait_until(lambda: ended() == READERS, "their ends are recorded")
    # The control: the search tells one reader from another.
    assert records.of("reader 1") != records.of("reader 11") and len(records.of("reader 1")[0]) == 1
    for reader in readers:
        reader.peer.close()
    suite.expect_alive()
