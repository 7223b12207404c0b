"""A library in front of libc: see `shim.c`."""

import functools
import mmap
import struct
import subprocess
import tempfile
from pathlib import Path

from .tools import missing


@functools.cache
def _library():
    missing("cc")
    library = Path(tempfile.mkdtemp(prefix="sluice-shim-")) / "shim.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-pthread", "-o", library, Path(__file__).with_name("shim.c")], check=True)
    return library


class Shim:
    """Clocks of the programs that run with `env`, what interrupts them, whether they may write their databases' logs, and what they lack."""

    def __init__(self, folder):
        self.path = Path(folder) / "shim"
        self.path.write_bytes(bytes(80))
        with open(self.path, "r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 80)
        self.env = {"SLUICE_SHIM": str(self.path), "LD_PRELOAD": str(_library())}
        self.stormy = {**self.env, "SLUICE_SHIM_STORM": "1"}

    def without(self, what):
        """The environment of a program that lacks what it has against a fault: see `shim.c`. For the controls of tests."""
        return {**self.env, "SLUICE_SHIM_WITHOUT": what}

    def ahead(self, boot_seconds=0, monotonic_seconds=0, wall_seconds=0):
        """What a suspend does to CLOCK_BOOTTIME alone, and nothing that we know of to CLOCK_MONOTONIC; and what anybody may do to CLOCK_REALTIME."""
        struct.pack_into("qq", self._shared, 0, boot_seconds * 10**9, monotonic_seconds * 10**9)
        struct.pack_into("q", self._shared, 72, wall_seconds * 10**9)

    @property
    def signals(self):
        return struct.unpack_from("q", self._shared, 16)[0]

    def hold(self, holding=True):
        """From now on no commit gets further than to its first byte; until `hold(False)`."""
        struct.pack_into("q", self._shared, 24, holding)

    @property
    def held(self):
        """Writes that have had to wait, so far."""
        return struct.unpack_from("q", self._shared, 32)[0]

    def full(self, is_full=True):
        """From now on no commit finds room for another page; until `full(False)`."""
        struct.pack_into("q", self._shared, 40, is_full)

    @property
    def refused(self):
        """Writes that found no room, so far."""
        return struct.unpack_from("q", self._shared, 48)[0]

    def end_guard(self, is_dying=True):
        """With its next answer the handler that says who may connect has ended."""
        struct.pack_into("q", self._shared, 56, is_dying)

    @property
    def guards_ended(self):
        return struct.unpack_from("q", self._shared, 64)[0]
