"""One suite of real processes, in a folder of its own, on ports of its own.

    suite = make_suite(lease_ms=1000)          # a fixture; ends everything with the test
    desk = suite.agent("desk", subject="E1", site="berlin").run().expect(capturing=True)
    desk.type("a", "b")
    suite.kill("policy"); suite.start("policy")
    suite.pause("--all")                        # asserts that the certificate is complete
    assert [e["key"] for e in suite.events()] == ["a", "b"]
"""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import namedtuple
from pathlib import Path

from . import asking, governing
from .agent import Agent
from .processes import Process, binaries, free_port_base, give_back_port_base, with_our_death
from .waiting import wait_until

SERVICES = ("control", "policy", "notify", "ingest")
CLASSES = ("activity", "content", "conversation", "review")


def program(name):
    """The command of a service; where machines join is a part of ingest's program, and a process of its own."""
    return [binaries() / "sluice-ingest", "join"] if name == "join" else [binaries() / f"sluice-{name}"]


class Outcome(namedtuple("Outcome", "code out err")):
    """What a command left."""

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def json(self):
        """The last object that was printed."""
        return self.lines[-1]


class Suite:
    def __init__(self, folder, lease_ms=1000, hooks=None, template=None, canaries=False, after=None):
        """`lease_ms`: two thirds of it are left when a renewal is due, and a machine that dawdles for longer loses it. Short, since many tests wait for its end;
        a test that asks who has acknowledged takes a longer one.

        `canaries`: releases carry them. Tests that compare what is read with what was sent do without.

        `after`: a suite that has run and ended; this one goes on with a copy of its home, and its agents.
        """
        self.policy_words = [] if canaries else ["--no-canaries"]
        self.folder = Path(folder)
        self.home = self.folder / "home"
        self.lease_ms = lease_ms
        self.port_base = free_port_base()
        self.is_governed = False
        self.processes = []
        self.services = {}
        self.agents = {}
        self.typists = []
        self._make_home(template, hooks, after)

    # The home

    def _make_home(self, template, hooks, after):
        if after is not None:
            assert not any(process.is_running for process in after.processes), "it has ended"
            shutil.copytree(after.home, self.home, ignore=lambda at, names: names if Path(at) == after.home / "logs" else [])
            for name, agent in after.agents.items():
                self.agents[name] = Agent(self, name, agent.subject, agent.site, agent.team)
                path = self.agents[name].home / "agent.json"
                path.write_text(json.dumps({**json.loads(path.read_text()), "ingest": f"tcp://127.0.0.1:{self.port_base + 1}"}))
        elif template is None:
            first = self.up()
            first.end()
        else:
            # Keys and registry as `sluice up` made them once for all tests; nobody has run on them.
            shutil.copytree(template, self.home)
            for folder in ("control", "policy", "notify", "ingest", "join", "hooks"):
                shutil.rmtree(self.home / folder, ignore_errors=True)
        self.settings = {
            "leaseMilliseconds": self.lease_ms,
            **{name: f"tcp://127.0.0.1:{self.port_base + n}" for n, name in enumerate(("ingest", "policy", "control", "notify", "join"), 1)},
        }
        (self.home / "suite.json").write_text(json.dumps(self.settings))
        if hooks is not None:
            self.write_hooks(hooks)

    def write_hooks(self, hooks, **more):
        path = self.home / "notify.json"
        path.write_text(json.dumps({"hooks": hooks, **more}))
        path.chmod(0o600)

    def port(self, name):
        return int(self.settings[name].rsplit(":", 1)[1])

    # Processes

    def adopt(self, process):
        self.processes.append(process)
        return process

    def up(self, *more, env=None):
        """`sluice up`, ended with the test; returns when it serves."""
        log = self.folder / "up.log"
        process = self.adopt(Process(
            [binaries() / "sluice", "up", "--home", self.home, "--agents", "0", "--port-base", self.port_base, "--lease", self.lease_ms, *self.policy_words, *more],
            log, env))
        wait_until(lambda: "serves after" in process.said or not process.is_running, "'sluice up' serves")
        assert process.is_running, process.said
        return process

    def start(self, *names, env=None, wrapper=(), wait=True):
        """Starts services, each by itself, so that each can be killed by itself. Returns when everything serves.

        `join`, where machines come in, and `hooks`, where reports do, are started only by their names.
        """
        for name in names or SERVICES:
            assert name not in self.services or not self.services[name].is_running, f"{name} runs already"
            self.services[name] = self.adopt(
                Process([*wrapper, *program(name), "--home", self.home, *(self.policy_words if name == "policy" else [])], self.log(name), env))
            self.services[name].started_us = time.time_ns() // 1000
            self.services[name].log_start = self.log(name).stat().st_size
        if wait:
            self.expect_serving(names or SERVICES)
        return self

    def log(self, name):
        return self.home / "logs" / f"{name}.log"

    def expect_serving(self, names=SERVICES, within=60):
        """Waits until control grants leases to the services named that were started here, and nothing is sealed."""

        def serving():
            status = self.status()
            connected = {s["name"] for s in status["services"] if s.get("connected") and self._is_fresh(s, status)}
            missing = set(names) - connected - {"control", "join", "hooks"}
            assert not missing, f"not connected: {missing}"
            assert not status["gate"].get("sealed"), status["gate"]
            for name in names:
                if name in self.services and hasattr(self.services[name], "log_start"):
                    said = self.log(name).read_bytes()[self.services[name].log_start:]
                    assert {"join": b"for joining", "hooks": b"for reports"}.get(name, b"closed to unknown keys") in said, f"{name} has not opened its port"
            return status

        ours = {name: self.services[name] for name in names if name in self.services}
        if ours:
            ended = lambda: [name for name, process in ours.items() if not process.is_running]
            wait_until(lambda: ended() or serving(), f"{', '.join(names)} serve", within)
            for name in ended():
                raise AssertionError(f"{name} has ended with {ours[name].popen.returncode}: {ours[name].said[-2000:]}")
        return self

    def _is_fresh(self, service, status):
        """Control has heard it lately, and this run of it, not the one before."""
        process = self.services.get(service["name"])
        started = process.started_us if process else 0
        return service.get("seen_us", 0) > max(started, status["wall_us"] - 2_000_000)

    def kill(self, name):
        """kill -9, and waits for its end."""
        self.services[name].kill()

    def stop(self, name):
        self.services[name].freeze()

    def cont(self, name):
        self.services[name].thaw()

    def restart(self, name, env=None):
        """kill -9 and a new start; returns when it serves."""
        self.kill(name)
        self.start(name, env=env)

    def terminate(self, name, within=30):
        return self.services[name].end(within)

    def close(self):
        """Ends everything that was started here; also what is frozen."""
        for typist in self.typists:
            typist._stop.set()
        running = [p for p in self.processes if p.is_running]
        for process in running:
            process.signal(signal.SIGKILL)
        for process in self.processes:
            process.end(within=1)
        give_back_port_base(self.port_base)

    def terminate_all(self):
        """In order: agents, ingest, policy, notify, control. Returns the exit statuses of the services."""
        for agent in self.agents.values():
            if agent.process:
                agent.process.end()
        return {name: self.terminate(name) for name in ("join", "hooks", "ingest", "policy", "notify", "control") if name in self.services}

    # Commands

    def command(self, *arguments):
        return [str(binaries() / "sluice"), *(str(a) for a in arguments), "--home", str(self.home)]

    def cli(self, *arguments, check=True, within=60, env=None):
        """Runs a command. `check`: it must end with 0."""
        if arguments[0] in governing.READS:
            self.govern()
        outcome = self._run(arguments, within, env)
        if check and arguments[0] == "read" and self._is_behind(outcome):
            outcome = wait_until(lambda: not self._is_behind(again := self._run(arguments, within, env)) and again, "policy has heard of the resume")
        assert not check or outcome.code == 0, f"sluice {' '.join(str(a) for a in arguments)}: {outcome}"
        return outcome

    def _is_behind(self, outcome):
        """Whether policy has refused a read as of an epoch before control's: of a resume it hears a moment after whoever commanded it."""
        found = re.search(r"reading is paused at epoch (\d+)", outcome.err)
        return found is not None and int(found[1]) < self.epoch()

    def _run(self, arguments, within, env):
        done = subprocess.run(
            with_our_death(self.command(*arguments)), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within,
            env={**os.environ, **(env or {})})
        return Outcome(done.returncode, done.stdout, done.stderr)

    def begin(self, *arguments, output="command.log"):
        """Starts a command and does not wait for it."""
        if arguments[0] in governing.READS:
            self.govern()
        return self.adopt(Process(self.command(*arguments), self.folder / output, stdout=subprocess.PIPE, stderr=subprocess.PIPE))

    def govern(self):
        """Has a document in force, for who reads: see `governing`. Commands do it by themselves; a test that wants none says that the suite `is_governed`."""
        self.is_governed = self.is_governed or governing.govern(binaries() / "sluice", self.home)
        return self

    def status(self):
        return asking.status(self.home) or self.cli("status", "--json").json

    def service_status(self, name):
        return next(s for s in self.status()["services"] if s["name"] == name)

    def expect_followed(self, name="policy"):
        """Waits until a service has said that it has all entries of control's ledger: what was registered or applied it goes by."""
        entries = self.status()["entries"]
        wait_until(lambda: self.service_status(name)["entries"] >= entries, f"{name} has followed")
        return self

    def epoch(self):
        return int(self.status()["gate"].get("epoch", 0))

    def pause(self, *scope, reason="a test", check=True):
        """A pause; returns its certificate, as it was printed."""
        outcome = self.cli("pause", *(scope or ("--all",)), "--reason", reason, "--json", check=check)
        return outcome.json if outcome.out else outcome

    def approved(self, *arguments, by="ops-2"):
        """A command that widens, proposed by ops-1 and approved by another: the outcome of the approval."""
        outcome = self.cli(*arguments, "--json").json
        if "proposal" not in outcome:
            return outcome
        return self.cli("approve", outcome["proposal"]["proposal"], "--as", by, "--json").json

    def resume(self, *epochs):
        return self.approved("resume", *(epochs or ("--all",)), "--reason", "a test")

    def expect_in_time(self, certificate, slack_ms=1000):
        """G2, from control's own figures: complete within a lease (and what a slow clock adds) and a second."""
        assert certificate.get("complete"), certificate
        assert certificate["complete_after_us"] <= (self.lease_ms * 1.002 + slack_ms) * 1000, certificate
        return certificate

    # Agents

    def agent(self, name, subject=None, site="berlin", team="search"):
        agent = Agent(self, name, subject or name.upper(), site, team)
        self.approved("register", name, "--subject", agent.subject, "--site", site, "--team", team)
        self.agents[name] = agent
        return agent

    def agent_states(self):
        return {a["node"]["name"]: a["state"] for a in self.cli("agents", "--json").json.get("agents", [])}

    # The vault

    def read(self, *more, classes=CLASSES, check=True, within=120):
        named = [word for name in classes for word in ("--class", name)]
        return self.cli("read", "--purpose", "test", "--why", "a test", "--origin", *named, *more, check=check, within=within)

    def vault_events(self, *more, classes=CLASSES):
        """Every event, in the order of the vault: subject, class, stream, sequence, event."""
        return self.read(*more, classes=classes).lines

    def keys(self, *more):
        """The names of the keys typed that are in the vault, in order."""
        return [line["event"]["key"] for line in self.vault_events(*more, classes=("activity",)) if line["event"]["kind"] == "key"]

    def vault(self, sql, *arguments):
        """Asks the vault's own file, as nobody but a test may."""
        return self._database(self.home / "policy" / "vault.sqlite", sql, arguments)

    def journal(self, sql, *arguments):
        return self._database(self.home / "control" / "ledger.sqlite", sql, arguments)

    @staticmethod
    def _database(path, sql, arguments):
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            return database.execute(sql, arguments).fetchall()
        finally:
            database.close()

    def vault_count(self):
        return self.vault("SELECT COALESCE(SUM(count), 0) FROM segment")[0][0]
