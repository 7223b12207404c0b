"""What a test needs of an operator: the suite itself, its keys, the command line, and questions to control."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import reader
import wire

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import governing  # noqa: E402
from harness.processes import free_port_base  # noqa: E402

BIN = Path(os.environ.get("SLUICE_BIN") or Path(__file__).resolve().parents[2] / ".build" / "debug").absolute()


# What a slow machine is given, however little a test would do with.
PATIENCE = 60


def until(condition, seconds, what, every=0.05):
    """The first true value; looks again and again."""
    deadline = time.monotonic() + max(seconds, PATIENCE)
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {max(seconds, PATIENCE)} s: {what}")
        time.sleep(every)


class Suite:
    def __init__(self, home):
        self.home, self.base = Path(home), free_port_base()
        self.is_governed = False
        self.log = open(self.home.parent / "up.log", "wb")
        self.up = subprocess.Popen([BIN / "sluice", "up", "--agents", "0", "--no-canaries", "--home", self.home, "--port-base", str(self.base)],
                                   stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)

    def until_ready(self, seconds=30):
        def ready():
            if self.up.poll() is not None:
                raise AssertionError(f"sluice up ended: {(self.home.parent / 'up.log').read_text()}")
            if not (self.home / "registry.json").exists() or not (self.home / "keys" / "ops-1.secret").exists():
                return False
            try:
                with self.peer("control", timeout=2) as peer:
                    peer.send("query", status=wire.governance.StatusQuery())
                    services = peer.expect("answer", of="query")[1].status.services
            except (TimeoutError, reader.Refused, ValueError):
                return False
            return {s.name for s in services if s.connected} >= {"ingest", "policy", "notify"}
        until(ready, seconds, "the suite is ready")

    def endpoint(self, service):
        port = self.base + ["ingest", "policy", "control", "notify", "join"].index(service) + 1
        return f"tcp://127.0.0.1:{port}"

    def key(self, name):
        nodes = json.loads((self.home / "registry.json").read_text())["nodes"]
        return next(n["key"] for n in nodes if n["name"] == name).encode()

    def govern(self):
        """Has a document in force, for who reads: see `governing`. The command `read` does it by itself."""
        self.is_governed = self.is_governed or governing.govern(BIN / "sluice", self.home)
        return self

    def run(self, *words, check=True, seconds=PATIENCE):
        command, *options = words
        if command in governing.READS:
            self.govern()

        def ran():
            return subprocess.run([BIN / "sluice", command, "--home", self.home, *options],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)

        done = ran()
        if check and command == "read" and "reading is paused" in done.stderr:
            # Policy hears of a resume a moment after whoever commanded it.
            done = until(lambda: "reading is paused" not in (again := ran()).stderr and again, seconds, "policy has heard of the resume")
        if check and done.returncode:
            raise AssertionError(f"sluice {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def approved(self, *words, check=True):
        """A command that widens: proposed by ops-1, approved by ops-2."""
        done = self.run(*words, "--json", check=check)
        if done.returncode or "proposal" not in json.loads(done.stdout):
            return done
        return self.run("approve", str(json.loads(done.stdout)["proposal"]["proposal"]), "--as", "ops-2", "--json", check=check)

    def peer(self, service, timeout=10.0):
        largest = wire.LARGEST_CONTROL_FRAME if service in ("control", "notify") else wire.LARGEST_FRAME
        return reader.Peer(self.endpoint(service), self.key(service), wire.read_secret(self.home / "keys" / "ops-1.secret"), largest, timeout)

    def pause(self, *words):
        """The lines of progress, and the certificate."""
        lines = self.run("pause", *words, "--json", check=False).stdout.splitlines()
        return [json.loads(line) for line in lines[:-1]], json.loads(lines[-1])

    def agent_states(self, subject):
        """name: current, silent or absent, as control says on the wire."""
        with self.peer("control") as peer:
            about = wire.governance.AgentsQuery(selector=wire.gate.Selector(subjects=[subject]))
            peer.send("query", agents=about)
            answer = peer.expect("answer", of="query")[1]
        return {a.node.name: a.state for a in answer.agents.agents}

    def pid(self, service):
        """Of the child of our own `sluice up` that runs this service; None while there is none."""
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and f"\nPPid:\t{self.up.pid}\n" in (entry / "status").read_text():
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    if os.path.basename(words[0]) == b"sluice-" + service.encode() and words[1] != b"join":
                        return int(entry.name)
            except OSError:
                continue
        return None

    def kill(self, service):
        """kill -9; gives the pid that is no more."""
        pid = self.pid(service)
        os.kill(pid, signal.SIGKILL)
        return pid

    def until_restarted(self, service, old, seconds=20):
        return until(lambda: (new := self.pid(service)) and new != old, seconds, f"{service} runs again")

    def stop(self):
        if self.up.poll() is None:
            self.up.send_signal(signal.SIGINT)
            try:
                self.up.wait(20)
            except subprocess.TimeoutExpired:
                for pid in filter(None, map(self.pid, ("control", "notify", "policy", "ingest"))):
                    os.kill(pid, signal.SIGKILL)
                self.up.kill()
                self.up.wait(5)
        self.log.close()
