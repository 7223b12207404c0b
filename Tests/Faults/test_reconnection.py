"""Agents that lose their connection, or hold one that is dead and does not say so (FAULTS: N04, N09)."""

import selectors
import socket
import sys
import threading
import time
from pathlib import Path

from hostile import Agent, Peer, body, nonce, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.shim import Shim  # noqa: E402


class Line(threading.Thread):
    """Between one peer and a service. When it breaks, what is connected stays so and hears nothing more: only a new connection is carried."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.connections, self.dead = port, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            self.connections += 1
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(source, sink, self.connections), daemon=True).start()

    def _carry(self, source, sink, number):
        try:
            while data := source.recv(65_536):
                if number > self.dead:
                    sink.sendall(data)
        except OSError:
            pass
        if number > self.dead:
            for end in (source, sink):
                end.close()

    def break_(self):
        self.dead = self.connections

    def close(self):
        self.listener.close()


def test_an_agent_on_a_connection_that_is_dead_makes_another_and_who_only_waits_stays_away(make_suite):
    """N04: nobody resets it. The control is a peer with the options that SPEC has for agents, which renews and has no watchdog."""
    suite = make_suite(lease_ms=750)
    lines = {name: Line(suite.port("ingest")) for name in ("agent", "waiter")}
    try:
        agent = Agent(suite, "half").configure(ingest=lines["agent"].endpoint).run().expect_capturing()
        keys = suite.enrol("waiter")
        suite.agent_peer(keys).close()
        waiter = Peer(lines["waiter"].endpoint, suite.public["ingest"], keys).greet()
        assert waiter.renew().lease_ms, "the control: its line carries"
        agent.accept("before")
        for line in lines.values():
            line.break_()
        # What was under way before.
        while waiter.receive(0.5) is not None:
            pass
        asked = 0

        def is_back():
            nonlocal asked
            waiter.send("renew", body("renew", nonce=nonce(), wall_us=time.time_ns() // 1000))
            asked += 1
            return lines["agent"].connections > lines["agent"].dead and agent.status["classes"]

        wait_until(is_back, "the agent is back", every=0.2)
        agent.accept("after")
        agent.expect_drained()
        assert [line["event"]["key"] for line in suite.read("activity") if line["subject"] == agent.subject] == ["before", "after"]
        waiter.silence(0.1)
        assert asked >= 5 and lines["waiter"].connections == lines["waiter"].dead
        waiter.close()
        again = Peer(lines["waiter"].endpoint, suite.public["ingest"], keys).greet()
        assert again.renew().lease_ms, "another connection would have been carried"
        again.close()
    finally:
        for line in lines.values():
            line.close()


class Doors(threading.Thread):
    """A door for each of some agents. All are let in until everybody is there; then all are thrown out together, and at once whenever they come again."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.doors = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
        self.endpoints = [f"tcp://127.0.0.1:{door.getsockname()[1]}" for door in self.doors]
        self.came = []  # Who, in order, since then.
        self._inside, self._ending = {}, False
        self.start()

    def run(self):
        with selectors.DefaultSelector() as selector:
            for who, door in enumerate(self.doors):
                selector.register(door, selectors.EVENT_READ, who)
            while not self._ending:
                for found, _ in selector.select(0.1):
                    visitor, _ = found.fileobj.accept()
                    if self._inside is None:
                        self.came.append(found.data)
                        visitor.close()
                        continue
                    self._inside[found.data] = visitor
                    if len(self._inside) == len(self.doors):
                        for one in self._inside.values():
                            one.close()
                        self._inside = None
        for door in self.doors:
            door.close()

    def visits(self):
        return [self.came.count(who) for who in range(len(self.doors))]

    def until(self, times):
        """How often each has come when one of them has come so often."""
        wait_until(lambda: max(self.visits()) >= times, f"somebody has come back {times} times")
        came = list(self.came)
        end = next(n for n in range(len(came)) if came[:n + 1].count(came[n]) == times)
        return [came[:end + 1].count(who) for who in range(len(self.doors))]

    def close(self):
        self._ending = True
        self.join(5)


def test_agents_that_lose_their_connections_together_do_not_come_back_in_step(suite, tmp_path):
    """N09. In step, as with no chance in it (the control), nobody comes twice between two visits of another."""
    number, times = 8, 5
    doors = {chance: Doors(number) for chance in (True, False)}
    lacking = Shim(tmp_path).without("jitter")
    agents = [Agent(suite, f"step-{who}") for who in range(2 * number)]
    try:
        for place, agent in enumerate(agents):
            chance = place < number
            agent.env = None if chance else lacking
            agent.configure(ingest=doors[chance].endpoints[place % number]).run()
        apart, in_step = doors[True].until(times), doors[False].until(times)
        print(apart, in_step)
        assert max(in_step) - min(in_step) <= 1, in_step
        assert max(apart) - min(apart) >= 2, apart
    finally:
        for agent in agents:
            if agent.process:
                agent.process.end()
        for one in doors.values():
            one.close()
