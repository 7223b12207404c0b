"""The scenario language of the tests that run real processes. See `suite.py`."""

from .agent import Agent, Typist, now_ns, rfc3339
from .processes import Process, binaries, free_port_base
from .shim import Shim
from .suite import Outcome, Suite
from .tools import missing, on_tmpfs
from .waiting import wait_until
from .webhook import Receiver, verify, verify_key

__all__ = [
    "Agent", "Outcome", "Process", "Receiver", "Shim", "Suite", "Typist", "binaries", "free_port_base", "missing", "now_ns", "on_tmpfs",
    "rfc3339", "verify", "verify_key", "wait_until",
]
