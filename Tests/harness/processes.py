"""Processes that a test has started, and that end with it, whatever happens."""

import os
import random
import shutil
import signal
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def binaries():
    """The folder with the programs under test."""
    return Path(os.environ.get("SLUICE_BIN") or ROOT / ".build" / "debug").resolve()


# By the base: what says that its ports are somebody's, also while nobody listens there.
_held = {}


def free_port_base():
    """A number after which seven ports are free, on every address. Below the range from which the kernel gives ports away by itself.

    Port 0 of the eight is held until the base is given back: tests that run beside these, in another process, do not take ports whose service is killed at the moment.
    """
    for _ in range(200):
        base = random.SystemRandom().randrange(10_000, 32_000, 8)
        probes = []
        try:
            for port in range(base, base + 8):
                probe = socket.socket()
                probes.append(probe)
                probe.bind(("127.0.0.1" if port == base else "0.0.0.0", port))
            _held[base] = probes.pop(0)
            return base
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise RuntimeError("no free ports were found")


def give_back_port_base(base):
    if (held := _held.pop(base, None)) is not None:
        held.close()


def with_our_death(arguments):
    """If the tests are killed outright nobody is left to end their processes: then the kernel does."""
    setpriv = shutil.which("setpriv")
    return ([setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []) + [str(a) for a in arguments]


class Process:
    """One process, in a session of its own. Signalled by its id, and by nothing else."""

    def __init__(self, arguments, output, env=None, stdin=subprocess.DEVNULL, appending=True, **more):
        self.output = Path(output)
        self.arguments = [str(a) for a in arguments]
        with open(self.output, "ab" if appending else "wb") as sink:
            self.popen = subprocess.Popen(
                with_our_death(self.arguments), stdin=stdin, stdout=more.pop("stdout", sink), stderr=more.pop("stderr", sink),
                env={**os.environ, **(env or {})}, start_new_session=True, **more)

    @property
    def id(self):
        return self.popen.pid

    @property
    def is_running(self):
        return self.popen.poll() is None

    @property
    def said(self):
        return self.output.read_text(errors="replace")

    def signal(self, number):
        # Popen checks under a lock that it has not been waited for: the id is still ours.
        self.popen.send_signal(number)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()

    def wait(self, within=60):
        return self.popen.wait(within)

    def finish(self, within=60):
        """Waits for the end of a process whose output is piped here. Returns its status, and what it said after what was read."""
        out, err = self.popen.stdout.read(), self.popen.stderr.read()
        return self.popen.wait(within), out.decode(), err.decode()

    def end(self, within=8):
        """SIGTERM, then patience, then SIGKILL. Returns the exit status."""
        if self.is_running:
            self.thaw()
            self.signal(signal.SIGTERM)
            try:
                self.popen.wait(within)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe:
                try:
                    pipe.close()
                except OSError:
                    pass
        return self.popen.returncode
