"""What a machine has, and may."""

import contextlib
import os
import shutil
import subprocess

import pytest


def missing(*programs):
    """Skips the test, and says why, if one of the programs is not there."""
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not on the path")


@contextlib.contextmanager
def on_tmpfs(folder, size):
    """Mounts a tmpfs of so many bytes; skips the test where that is not allowed."""
    missing("mount", "umount")
    if os.geteuid() != 0:
        pytest.skip("to mount a tmpfs takes root")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "sluice-test", str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True)


def fill(folder, leave=0):
    """Fills the file system with one file, to the last byte but `leave`. Returns the file: delete it to make room."""
    filler = folder / "filler"
    stat = os.statvfs(folder)
    with open(filler, "wb", buffering=0) as file:
        left = max(0, stat.f_bavail * stat.f_frsize - leave)
        with contextlib.suppress(OSError):
            while left > 0:
                left -= file.write(b"\0" * min(left, 4096))
    return filler
