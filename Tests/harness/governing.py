"""A policy document under which the tests read what is stored: without one nobody reads.

It comes into force before the first read of a suite, and not with the suite: what a test says of entries, permits and batches until then it says of a suite
that has just begun. Everything is classified as without a document, and kept as it came. A test that has applied one of its own goes by that.
"""

import json
import subprocess
import time
from pathlib import Path

from . import asking
from .processes import with_our_death

CLASSES = ["activity", "content", "conversation", "review"]
PURPOSES = ["killed", "p", "race", "subject-access", "t", "test", "training"]
READS = ("read", "export")

DOCUMENT = {
    "version": 1,
    "classes": [{"name": name, "retention": "3000 days", "audience": "unlimited"} for name in CLASSES],
    "rules": [
        {"class": "activity", "kind": ["pointer", "key", "window", "presence"]}, {"class": "content", "source": ["document", "prompt"]},
        {"class": "conversation", "source": ["chat", "mail", "transcript"]}, {"class": "review", "source": "review"}],
    "capture": [{"for": "everyone", "as": "keep"}],
    "purposes": [{"name": name, "basis": "legal-obligation", "classes": CLASSES} for name in PURPOSES],
    "roles": [{"name": "testers", "members": ["job", "left", "right", "ops-1", "ops-2", "ops-3"]}],
    "access": [{"name": name, "role": "testers", "purpose": name, "classes": CLASSES, "for": "everyone", "expires": "never", "rate": "unlimited"} for name in PURPOSES],
}


def govern(sluice, home, within=30):
    """Whether a document is in force, this one if there was none. False: control does not answer, or does not take it; whoever reads then is told why not."""
    known = asking.policy(home)
    if known is None:
        return False
    if known.get("document"):
        return True

    def run(*words):
        done = subprocess.run(
            with_our_death([str(word) for word in (sluice, *words, "--json", "--home", home)]), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        return None if done.returncode else json.loads(done.stdout.splitlines()[-1])

    path = Path(home).parent / "readable.json"
    path.write_text(json.dumps(DOCUMENT))
    proposed = run("policy", "apply", path, "--yes")
    if proposed is None or run("approve", proposed["proposal"]["proposal"], "--as", "ops-2") is None:
        return False
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        services = (asking.status(home) or {"services": []})["services"]
        if any(s["name"] == "policy" and s.get("gauges", {}).get("policy.document") for s in services):
            return True
        time.sleep(0.02)
    return False
