"""An agent for Sluice, written from Shared/Wire/SPEC.md alone."""

import json
import os
import random
import secrets
import sqlite3
import threading
from collections import Counter
from pathlib import Path

import zmq

import columns
import ledger
import rules
import sealing
import wire
from wire import MILLISECOND, SECOND

CLASSES = ("activity", "content", "conversation", "review")
DEFAULT_LEASE = 3 * SECOND
FORGIVEN = 5 * MILLISECOND
CLOCK_SET = 500 * MILLISECOND
INTERVALS_KEPT = 256
TICK_MS = 20


class Permits:
    """What may be captured now, and what could be then: lease, permit and open intervals (section 6). Not thread-safe."""

    def __init__(self, epoch=0, intervals=None, wall=wire.wall, continuous=wire.continuous):
        self.wall, self.continuous = wall, continuous
        self.epoch = epoch  # The highest ever heard.
        self.rules = None  # Those that are kept to, and those that a permit may name next; None: no document is in force.
        self.next_rules = None
        self.classes = frozenset()
        self.lease_end = None  # On the continuous clock.
        self.nonce = self.asked = None
        self.seen = (continuous(), wall())
        start = self.seen[1]
        self.intervals = {c: [[a, min(b, start)] for a, b in (intervals or {}).get(c, ()) if a <= start] for c in CLASSES}
        self.open = set()  # Classes whose last interval grows.

    def held(self):
        return self.lease_end is not None and self.continuous() < self.lease_end

    def look(self):
        """Brings the intervals to the present; they end with the lease, however late that is noticed."""
        (then, wall_then), (now, wall) = self.seen, (self.continuous(), self.wall())
        reckoned = wall_then + now - then
        leased = self.lease_end is not None and now < self.lease_end
        set_by = wall - reckoned
        for c in self.open:
            come_to = reckoned if abs(set_by) > CLOCK_SET else wall
            if not leased:
                come_to = min(come_to, wall_then + max(0, (self.lease_end or then) - then))
            self.intervals[c][-1][1] = come_to
        if set_by < -CLOCK_SET:
            cut = wall - (now - then)
            for c in CLASSES:
                self.intervals[c] = [[a, min(b, cut)] for a, b in self.intervals[c] if a <= cut]
        self.seen = (now, wall)
        still_open, self.open = self.open, set()
        if not leased:
            self.lease_end = None
        elif abs(set_by) > CLOCK_SET:
            self._open(still_open)
        else:
            self.open = still_open

    def _open(self, classes):
        for c in set(classes) & set(CLASSES) - self.open:
            self.intervals[c].append([self.seen[1], self.seen[1]])
            del self.intervals[c][:-INTERVALS_KEPT]
            self.open.add(c)

    def ask(self):
        """A fresh nonce. Call it just before the request is sent."""
        self.nonce, self.asked = os.urandom(16), self.continuous()
        return self.nonce

    def grant(self, g):
        """True: a permit of a new epoch is in force, and must be acknowledged."""
        if self.nonce is None or g.nonce != self.nonce:
            return False
        self.nonce = None
        if not g.HasField("permit") or g.permit.epoch < self.epoch:
            return False
        self.look()
        before, end = self.epoch, self.asked + g.lease_ms * MILLISECOND
        if g.lease_ms == 0:
            self._narrow(g.permit)
            self.end_lease()
        elif end <= self.continuous():
            self._narrow(g.permit)
        else:
            self.lease_end, self.epoch = end, g.permit.epoch
            if g.permit.classes:
                # Others count from here, if they are those that are permitted by: never by a push.
                self.rules = next((r for r in (self.next_rules, None) if self.name_of(r) == g.permit.rules), self.rules)
            self.classes = self.bound(g.permit)
            self.open &= self.classes
            self._open(self.classes)
        return self.epoch != before

    @staticmethod
    def name_of(rules):
        return rules.hash if rules else b""

    def bound(self, permit):
        """What may be captured by whoever keeps to the rules that are here: all of it, or nothing."""
        return frozenset(permit.classes) if self.name_of(self.rules) == permit.rules else frozenset()

    def class_of(self, event):
        return self.rules.class_of(event) if self.rules else columns.class_of(event)

    def narrow(self, permit):
        """The epoch to acknowledge. A push only takes away."""
        self.look()
        if permit.epoch >= self.epoch:
            self._narrow(permit)
        return self.epoch

    def _narrow(self, permit):
        self.epoch = permit.epoch
        self.classes &= self.bound(permit)
        self.open &= self.classes

    def end_lease(self):
        self.look()
        self.lease_end, self.open = None, set()

    def why_not(self, event):
        """None: it may be accepted. Else the reason that it is refused for ever."""
        self.look()
        c, end = self.class_of(event), columns.end_of(event)
        if self.lease_end is None:
            return "no-lease"
        if c is None:
            return "by-rule"
        if c not in self.classes:
            return "closed"
        if end > self.seen[1] + FORGIVEN:
            return "future"
        last = self.intervals[c][-1] if c in self.open else None
        if not any(a <= event["at"] and end <= b + (FORGIVEN if i is last else 0) for i in self.intervals[c] for a, b in [i]):
            return "outside-interval"
        return None


class Spool:
    """Batches, streams, the highest epoch and the open intervals, on disk. Whoever loses it gets new streams."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.executescript("""
            pragma journal_mode = wal; pragma synchronous = full;
            create table if not exists state (name text primary key, value text);
            create table if not exists stream (class text primary key, id integer unique, last integer not null);
            create table if not exists batch (stream integer, sequence integer, class text, first integer, header blob, payload blob,
                aside text, primary key (stream, sequence));
        """)
        for c in CLASSES:
            self.db.execute("insert or ignore into stream values (?, ?, 0)", (c, secrets.randbelow(2**63 - 1) + 1))
        self.streams = {c: i for c, i in self.db.execute("select class, id from stream")}

    def state(self, name, default):
        row = self.db.execute("select value from state where name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def keep(self, **state):
        self.db.executemany("insert or replace into state values (?, ?)", [(k, json.dumps(v)) for k, v in state.items()])

    def seal(self, class_, events, epoch, sealer):
        content, first, last = columns.encode(events)
        packed, stream = columns.compress(content), self.streams[class_]
        self.db.execute("begin immediate")
        self.db.execute("update stream set last = last + 1 where id = ?", (stream,))
        sequence, = self.db.execute("select last from stream where id = ?", (stream,)).fetchone()
        # Serialised once: the payload is bound to these bytes.
        header = wire.capture.BatchHeader(
            stream=stream, sequence=sequence, first_ns=first, last_ns=last, count=len(events), epoch=epoch,
            payload_bytes=len(packed) + sealing.OVERHEAD, columns_bytes=len(content), **{"class": class_}).SerializeToString()
        payload = sealer.seal(packed, stream, sequence, header)
        self.db.execute("insert into batch values (?, ?, ?, ?, ?, ?, null)", (stream, sequence, class_, first, header, payload))
        self.db.execute("commit")

    def held(self, stream):
        return [s for s, in self.db.execute("select sequence from batch where stream = ? and aside is null order by 1", (stream,))]

    def message(self, stream, sequence, oldest):
        header, payload = self.db.execute(
            "select header, payload from batch where stream = ? and sequence = ?", (stream, sequence)).fetchone()
        return wire.frames("batch", payload, header=header, oldest=oldest)

    def forget(self, stream, sequence):
        self.db.execute("delete from batch where stream = ? and sequence <= ? and aside is null", (stream, sequence))

    def set_aside(self, stream, sequence, why):
        self.db.execute("update batch set aside = ? where stream = ? and sequence = ?", (why, stream, sequence))

    def aside(self):
        return self.db.execute("select class, sequence, aside from batch where aside is not null").fetchall()

    def size(self):
        """Batches, bytes, the oldest event's time."""
        return self.db.execute(
            "select count(*), coalesce(sum(length(payload)), 0), coalesce(min(first), 0) from batch where aside is null").fetchone()


class Stream:
    """What is under way of one class (section 7, sending)."""

    def __init__(self, class_, ident, held):
        self.class_, self.ident, self.held = class_, ident, held  # Sequences in the spool.
        self.next = 0  # To be sent next.
        self.moved = self.not_before = 0  # On the continuous clock.
        self.asking = False  # After `busy`: one batch, until it is stored.

    def rewind(self, now, to=0, wait=0):
        self.next, self.moved = to, now
        self.not_before = max(self.not_before, now + wait)

    def to_send(self, now, window, lease):
        if not self.held or now < self.not_before:
            return []
        oldest = self.held[0]
        if self.next > oldest and now > self.moved + 2 * lease:
            self.rewind(now)
        if self.next <= oldest:  # Nothing is under way.
            self.next, self.moved = oldest, now
        # After a batch that was set aside the next is sent as `oldest`, once all before it is stored.
        return [s for i, s in enumerate(self.held[: 1 if self.asking else window]) if s == oldest + i and s >= self.next]


class Agent:
    """Runs in a thread of its own; `publish` may be called from any."""

    def __init__(self, folder, endpoint, server_key, name, ledger_keys):
        folder = Path(folder)
        self.name = name
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "agent.secret").exists():
            wire.write_secret(folder / "agent.secret", zmq.curve_keypair()[1])
        self.secret = wire.read_secret(folder / "agent.secret")
        self.public_key = zmq.curve_public(self.secret).decode()
        self.endpoint, self.server_key = endpoint, server_key
        self.spool = Spool(folder / "spool.sqlite")
        self.permits = Permits(self.spool.state("epoch", 0), self.spool.state("intervals", {}))
        self.start_id = os.urandom(16)
        self.lock = threading.Condition(threading.RLock())  # Guards permits, spool, open batches, counts.
        self.open_batches = {}  # class: [events, bytes at most, since]
        self.accepted, self.refused, self.seen = 0, Counter(), Counter()
        self.streams = {i: Stream(c, i, self.spool.held(i)) for c, i in self.spool.streams.items()}
        self.lease, self.window = DEFAULT_LEASE, 8
        self.joined = False  # Welcomed in the session under way, by somebody who can prove which key is the vault's.
        known = self.spool.state("ledger_keys", None)  # By which keys control's ledger is believed, once that has changed.
        self.trust = ledger.Trust(**known) if known else ledger.Trust([ledger_keys] if isinstance(ledger_keys, str) else ledger_keys)
        self.key_index = self.spool.state("key_index", 0)  # Of the entry that announced it.
        self.sealer = None  # Of this start.
        self.offered = None  # As the vault's key was last named.
        self.hello_due = self.renew_due = self.save_due = 0
        self.given_up = None
        self.ending = None  # "goodbye" or "crash"
        self.context = zmq.Context()
        self.socket = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    # For the program around it

    def start(self):
        self.thread.start()
        return self

    def publish(self, *events):
        """How many were accepted."""
        with self.lock:
            accepted = 0
            for e in events:
                if why := self.permits.why_not(e):
                    self.refused[why] += 1
                    continue
                accepted += 1
                self._add(self.permits.class_of(e), e)
            self.accepted += accepted
            return accepted

    def wait(self, condition, seconds):
        """Waits until the condition holds, looked at whenever something has happened; on a slow machine for longer."""
        with self.lock:
            return self.lock.wait_for(condition, max(seconds, 60))

    def may_capture(self, class_):
        with self.lock:
            self.permits.look()
            return self.permits.held() and class_ in self.permits.classes

    def is_drained(self):
        with self.lock:
            return not self.open_batches and not any(s.held for s in self.streams.values())

    def seal(self):
        with self.lock:
            self._seal_all(self.permits.epoch)

    def stop(self, crash=False):
        """Says goodbye; a crash saves nothing and says nothing."""
        self.ending = "crash" if crash else "goodbye"
        if self.thread.ident:
            self.thread.join(10)
        self.context.destroy(linger=0)
        with self.lock:
            self.spool.db.close()

    # Batches; with the lock

    def _add(self, class_, event):
        batch = self.open_batches.get(class_)
        size = columns.size_bound(event)
        if batch and batch[1] + size > columns.LARGEST_COLUMNS - 1024:
            self._seal(class_, self.permits.epoch)
            batch = None
        if batch is None:
            batch = self.open_batches[class_] = [[], 0, wire.continuous()]
        batch[0].append(event)
        batch[1] += size
        if len(batch[0]) == columns.MOST_EVENTS:
            self._seal(class_, self.permits.epoch)

    def _seal(self, class_, epoch):
        events, _, _ = self.open_batches.pop(class_)
        self.spool.seal(class_, events, epoch, self.sealer)
        stream = self.streams[self.spool.streams[class_]]
        stream.held = self.spool.held(stream.ident)

    def _seal_all(self, epoch):
        for c in list(self.open_batches):
            self._seal(c, epoch)

    # The session; in the thread

    def _run(self):
        self._new_socket()
        while not self.ending and not self.given_up:
            self.socket.poll(TICK_MS)
            self._receive()
            with self.lock:
                self._tick(wire.continuous())
                self.lock.notify_all()
        if self.ending == "goodbye":
            with self.lock:
                self.permits.end_lease()
                self._seal_all(self.permits.epoch)
                self._save()
            if self.joined:
                self._send("goodbye")
                self.socket.poll(200)  # LINGER is 0: give the frame the time to leave.

    def _new_socket(self):
        if self.socket is not None:
            self.socket.close(0)
        self.socket = wire.connect(self.context, self.endpoint, self.server_key, self.secret)
        self.heard, self.joined, self.hello_due = wire.continuous(), False, 0
        self.silence = self._watchdog()
        self.reopen_at = None
        self.seen["sockets"] += 1

    def _watchdog(self):
        return 2 * self.lease + int(random.random() * 2 * self.lease)

    def _send(self, kind, payload=None, /, **fields):
        return self._send_frames(wire.frames(kind, payload, **fields))

    def _send_frames(self, message):
        return wire.send(self.socket, message)

    def _receive(self):
        while True:
            try:
                message = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            self.heard = wire.continuous()
            try:
                kind, body, _ = wire.parse(message)
            except wire.NotUnderstood:
                self.seen["not-understood"] += 1
                continue
            self.seen[kind] += 1
            handler = getattr(self, "_on_" + kind, None)
            if handler:
                with self.lock:
                    handler(body)
                    self.lock.notify_all()

    def _tick(self, now):
        self.permits.look()
        if now >= self.save_due:
            self._save()
        for c, (_, _, since) in list(self.open_batches.items()):
            if now - since >= SECOND:
                self._seal(c, self.permits.epoch)
        if now - self.heard > self.silence or (self.reopen_at is not None and now > self.reopen_at):
            self._new_socket()
        if self.reopen_at is not None:
            return
        if not self.joined:
            if now >= self.hello_due:
                self._greet()
            return
        if now >= self.renew_due:
            self._renew()
        if self.permits.held():
            for s in self.streams.values():
                if s.class_ in self.permits.classes:
                    self._send_batches(s, now)

    def _save(self):
        self.permits.look()
        self.spool.keep(intervals=self.permits.intervals)
        self.save_due = wire.continuous() + 400 * MILLISECOND

    def _greet(self):
        if self._send("hello", protocol=1, software="interop agent 1", start=self.start_id, epoch=self.permits.epoch):
            self.hello_due = wire.continuous() + self.silence // 2

    def _renew(self):
        batches, size, oldest = self.spool.size()
        report = wire.session.AgentReport(events_accepted=self.accepted, events_refused=self.refused, spool_batches=batches,
                                          spool_bytes=size, spool_oldest_us=oldest // 1000)
        nonce = self.permits.ask()
        held = Permits.name_of(self.permits.next_rules or self.permits.rules)
        if self._send("renew", nonce=nonce, epoch=self._acted_under(), wall_us=wire.wall() // 1000, agent=report, rules=held):
            self.renew_due = wire.continuous() + self.lease // 3

    def _acted_under(self):
        return self.permits.epoch

    def _on_welcome(self, w):
        self.lease = w.lease_ms * MILLISECOND or DEFAULT_LEASE
        self.window = w.window or 8
        self.silence = self._watchdog()
        if w.node != self.name:
            self.given_up = f"registered as {w.node}"
            return
        self._take_ledger_keys(w.ledger_keys)
        self._on_vaultKey(w)
        for s in self.streams.values():
            s.rewind(wire.continuous())

    def _on_vaultKey(self, v):
        """The key to seal to: as the ledger announced it, or none at all."""
        self.offered = v
        try:
            self._seal_to(v.vault)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, nothing is asked for and so nothing captured.
            self.seen[f"vault key refused: {error!r}"] += 1
            self.joined = False
            self.permits.end_lease()
            return
        if not self.joined:
            self.joined = True
            self._renew()

    def _on_serverKey(self, k):
        """Of the key of the binder itself this agent takes no notice: it joins anew."""
        if self._take_ledger_keys(k.ledger_keys) and not self.joined and self.offered:
            self._on_vaultKey(self.offered)

    def _take_ledger_keys(self, proofs):
        taken = [p for p in proofs if self._take_ledger_key(p)]
        if taken:
            self.spool.keep(ledger_keys={"keys": self.trust.keys, "index": self.trust.index, "retired": sorted(self.trust.retired)})
        return bool(taken)

    def _take_ledger_key(self, proof):
        try:
            return self.trust.take(proof, wire.governance.Entry.FromString(proof.entry.body))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it changes nothing.
            self.seen[f"ledger key refused: {error!r}"] += 1
            return False

    def _seal_to(self, proof):
        index, origin, _ = self.trust.verify(proof)
        entry = wire.governance.Entry.FromString(proof.entry.body)
        assert entry.index == index
        assert entry.WhichOneof("deed") == "vault_key_announced"
        assert entry.index >= self.key_index, "an older key"
        if not self.sealer or entry.index > self.key_index:
            self.sealer = sealing.Sealer(entry.vault_key_announced.key, origin, self.name)
            self.key_index = entry.index
            self.spool.keep(key_index=entry.index)

    def _on_rules(self, body):
        try:
            self.permits.next_rules = rules.Rules(body)
        except Exception as error:  # noqa: BLE001 - what cannot be read cannot be kept to: nothing is captured by it.
            self.seen[f"rules refused: {error!r}"] += 1
            return
        # Until a permit names them nothing is captured by them.
        if self.joined:
            self._renew()

    def _on_nudge(self, _):
        if self.joined:
            self._renew()

    def _on_grant(self, g):
        before = self.permits.epoch
        if self.permits.grant(g):
            self._acted(before)

    def _on_narrow(self, n):
        before = self.permits.epoch
        self.permits.narrow(n.permit)
        self._acted(before)

    def _acted(self, epoch_before):
        """Nothing outside the permit is accepted any more: spool what was under way, and only then say so."""
        if self.permits.epoch != epoch_before:
            self._seal_all(epoch_before)
            self.spool.keep(epoch=self.permits.epoch, intervals=self.permits.intervals)
        self._receipt()

    def _receipt(self):
        self._send("stopped", epoch=self.permits.epoch)

    # Batches under way; in the thread

    def _send_batches(self, s, now):
        for sequence in s.to_send(now, self.window, self.lease):
            if not self._send_frames(self.spool.message(s.ident, sequence, s.held[0])):
                return
            s.next = sequence + 1
            self.seen["batches sent"] += 1

    def _on_stored(self, b):
        if s := self.streams.get(b.stream):
            self.spool.forget(s.ident, b.sequence)
            s.held = [q for q in s.held if q > b.sequence]
            s.next, s.moved = max(s.next, b.sequence + 1), wire.continuous()
            s.asking = False

    def _on_busy(self, b):
        if s := self.streams.get(b.stream):
            s.rewind(wire.continuous(), b.sequence, b.retry_ms * MILLISECOND)
            s.asking = True

    def _on_refused(self, r):
        now, s = wire.continuous(), self.streams.get(r.stream)
        self.seen[f"refused {r.code}"] += 1
        if r.code == wire.HELLO_FIRST:
            if self.joined:  # One hello; further refusals mean nothing until its answer.
                self.joined = False
                self._greet()
        elif r.code == wire.UNKNOWN_NODE:
            self.joined = False
            if self.reopen_at is None:
                self.reopen_at = now + self._watchdog()
        elif r.code in wire.GIVE_UP:
            self.given_up = f"{r.code}: {r.text}"
        elif s is None:
            pass
        elif r.code in wire.SET_ASIDE:
            self.spool.set_aside(s.ident, r.sequence, f"{r.code}: {r.text}")
            s.held = [q for q in s.held if q != r.sequence]
        elif r.code == wire.OUT_OF_ORDER:
            # All that was sent after it comes back as well: wait a moment, or each would be sent again for each.
            s.rewind(now, r.expected, 100 * MILLISECOND)
        else:  # 16, 17, and codes that are not known: keep.
            s.rewind(now, r.sequence, 500 * MILLISECOND)
            if r.code == wire.NO_LEASE and now + 100 * MILLISECOND < self.renew_due:
                self.renew_due = now + 100 * MILLISECOND
