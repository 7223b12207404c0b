"""Agents of a suite, and somebody who types at them."""

import contextlib
import datetime
import json
import os
import sqlite3
import subprocess
import threading
import time

from .processes import Process, binaries
from .waiting import wait_until


def now_ns():
    return time.time_ns()


def rfc3339(ns):
    seconds, rest = divmod(ns, 1_000_000_000)
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:09d}Z"


def key(name, at=None):
    return {"at": rfc3339(at or now_ns()), "kind": "key", "action": "down", "key": name}


def text(words, source="review", at=None):
    return {"at": rfc3339(at or now_ns()), "kind": "text", "text": words, "source": source}


def stored(spool, vault):
    """Events that the vault has of an agent's streams; None when nobody can say."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{spool}?mode=ro", uri=True, timeout=10)) as database:
            streams = [stream for stream, in database.execute("SELECT id FROM stream")]
        with contextlib.closing(sqlite3.connect(f"file:{vault}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(f"SELECT COALESCE(SUM(count), 0) FROM segment WHERE stream IN ({','.join('?' * len(streams))})", streams).fetchone()[0]
    except sqlite3.Error:
        return None


def is_drained(status, since_us, given, home, vault):
    """Whether everything that it accepted before is sealed, sent and acknowledged, by a status that it has written.

    A batch is closed a second after its first event; what has been in the spool by then, and has left it, is in the vault. Sooner where it is known
    what it was given in this run, which must be its first: all of that is judged, and as much as was accepted lies in the vault.
    """
    if status["spoolBatches"]:
        return False
    if status["atMicroseconds"] > since_us + 1_600_000:
        return True
    return bool(
        given and status["atMicroseconds"] > since_us and status["accepted"] + sum(status["refused"].values()) == given
        and stored(home / "spool.sqlite", vault) == status["accepted"])


class Agent:
    """`sluice-agent run` or `replay` on a folder that `sluice register` has made."""

    def __init__(self, suite, name, subject, site, team):
        self.suite, self.name, self.subject, self.site, self.team = suite, name, subject, site, team
        self.home = suite.home / "agents" / name
        self.process = None
        self.given = None  # Events, of a first run that was given them here.

    def run(self, env=None, wrapper=(), *more):
        """Takes events on standard input, from `send`."""
        self.given = 0 if self.process is None and not (self.home / "spool.sqlite").exists() else None
        return self._start(["run", "--home", self.home, *more], subprocess.PIPE, env, wrapper)

    def listen(self, env=None):
        """Takes events on a Unix socket: no end of input ends it."""
        self.given = None
        return self._start(["run", "--home", self.home, "--socket", self.home / "tool.sock"], subprocess.DEVNULL, env, ())

    def replay(self, file, speed, *more, env=None):
        self.given = None
        return self._start(["replay", "--home", self.home, file, "--speed", str(speed), *more], subprocess.DEVNULL, env, ())

    def _start(self, arguments, stdin, env, wrapper):
        self.process = self.suite.adopt(
            Process([*wrapper, binaries() / "sluice-agent", *arguments], self.suite.home / "logs" / f"agent-{self.name}.log", env, stdin))
        return self

    def send(self, *events):
        """Writes events to its standard input, at once."""
        data = b"".join(json.dumps(e).encode() + b"\n" for e in events)
        self.process.popen.stdin.write(data)
        self.process.popen.stdin.flush()
        if self.given is not None:
            self.given += len(events)

    def type(self, *names):
        self.send(*(key(name) for name in names))

    @property
    def status(self):
        """What it last said of itself; {} before it has. Written twice a second."""
        try:
            return json.loads((self.home / "status.json").read_text())
        except (OSError, ValueError):
            return {}

    @property
    def fresh(self):
        """A status written after this call, by this run."""
        asked = now_ns() // 1000
        return wait_until(
            lambda: (s := self.status) and s["pid"] == self.process.id and s["atMicroseconds"] > asked and s, f"a new status of {self.name}")

    @property
    def classes(self):
        """What it may capture, as it said within the last seconds."""
        status = self.status
        return status["classes"] if status and status["pid"] == self.process.id else None

    def expect(self, capturing=True, within=60):
        """Waits until it captures something, or nothing, and has said so after this call."""
        asked = now_ns() // 1000
        wait_until(
            lambda: (s := self.status) and s["pid"] == self.process.id and s["atMicroseconds"] > asked and bool(s["classes"]) == capturing,
            f"{self.name} capturing={capturing}", within)
        return self

    def expect_drained(self, since=None, within=60):
        """Waits until everything that it accepted before `since` (default: now) is sealed, sent and acknowledged: see `is_drained`."""
        since_us = (since or now_ns()) // 1000
        typed = [typist for typist in self.suite.typists if typist.agent is self]

        def given():
            return None if self.given is None else self.given + sum(len(typist.sent) for typist in typed)

        wait_until(
            lambda: (s := self.status) and s["pid"] == self.process.id and is_drained(s, since_us, given(), self.home, self.suite.home / "policy" / "vault.sqlite"),
            f"{self.name} drained", within)
        return self.status

    def end_input(self, within=60):
        """Closes its standard input; it sends what it has and ends. Returns its exit status."""
        self.process.popen.stdin.close()
        return self.process.wait(within)

    @staticmethod
    def end_inputs(agents, within=60):
        """The same of several, that end beside each other."""
        for agent in agents:
            agent.process.popen.stdin.close()
        return [agent.process.wait(within) for agent in agents]

    def kill(self):
        return self.process.kill()

    def freeze(self):
        self.process.freeze()

    def thaw(self):
        self.process.thaw()


class Typist:
    """Types at an agent without a pause, each key a name of its own, `AGENT-NUMBER`; from a thread, until stopped.

    Survives the death of the agent: what could not be written is not counted as sent.
    """

    def __init__(self, agent, every=0.02, make=key):
        self.agent, self.every, self.make = agent, every, make
        self.sent = []  # (name, time of the event in ns)
        self.count = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        agent.suite.typists.append(self)

    def start(self):
        self._thread.start()
        return self

    def _run(self):
        while not self._stop.wait(self.every):
            self.count += 1
            name, at = f"{self.agent.name}-{self.count}", now_ns()
            data = json.dumps(self.make(name, at)).encode() + b"\n"
            try:
                descriptor = self.agent.process.popen.stdin.fileno()
                os.write(descriptor, data)
                self.sent.append((name, at))
            except (OSError, ValueError, AttributeError):
                continue

    def stop(self):
        self._stop.set()
        if self._thread.ident:
            self._thread.join(10)
        return self

    def expect_more(self, number=20):
        """Waits until so many more have been typed."""
        Typist.expect_all([self], number)
        return self

    @staticmethod
    def expect_all(typists, number=20):
        """Waits until each of several, who type beside each other, has typed so many more."""
        targets = [typist.count + number for typist in typists]
        names = ", ".join(typist.agent.name for typist in typists)
        wait_until(lambda: all(typist.count >= target for typist, target in zip(typists, targets)), f"{number} more keys typed at {names}")
