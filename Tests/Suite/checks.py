"""What the tests hold the vault to. Pure functions, so that a test can show that each of them can fail."""

from collections import Counter, defaultdict
import datetime
import re


def nanoseconds(text):
    """RFC 3339 in UTC, exactly: Python's own has microseconds only."""
    match = re.fullmatch(r"(.*?)(?:\.(\d{1,9}))?Z", text)
    whole = datetime.datetime.fromisoformat(match[1] + "+00:00")
    return int(whole.timestamp()) * 1_000_000_000 + int((match[2] or "").ljust(9, "0") or 0)


def streams(lines):
    """The events of each subject, as its agent's stream has them: by sequence, then in the order of the batch."""
    found = defaultdict(lambda: defaultdict(list))
    for line in lines:
        found[line["subject"]][(line["stream"], line["sequence"])].append(line["event"])
    return {subject: [e for key in sorted(batches) for e in batches[key]] for subject, batches in found.items()}


def differences(recorded, stored, speed, pieces=1):
    """Why `stored` is not `recorded` played at `speed`, in a few lines; [] if it is.

    Content in the same order, and times at' = t0 + (at - at0) / speed to the microsecond, in so many pieces: where a lease
    ended in the middle, the tape stood still.
    """
    if len(recorded) != len(stored):
        return [f"{len(recorded)} events were recorded, {len(stored)} are stored"]
    wrong = []
    origin = None
    origins = 0
    for number, (was, now) in enumerate(zip(recorded, stored)):
        if {**was, "at": 0} != {**now, "at": 0}:
            wrong.append(f"event {number}: {was} became {now}")
        at, played = nanoseconds(was["at"]), nanoseconds(now["at"])
        if origin is None or abs(played - (origin[1] + (at - origin[0]) / speed)) > 1_000:
            if origin is not None and played < origin[2]:
                wrong.append(f"event {number}: {now['at']} is before the event before it")
            origins += 1
            origin = (at, played, played)
        origin = (origin[0], origin[1], played)
    if origins > pieces:
        wrong.append(f"the times have {origins - 1} jumps, {pieces - 1} are explained")
    return wrong[:5]


def twice(names):
    """Names that come more than once."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def out_of_order(names):
    """Names `AGENT-NUMBER` whose number is not above the one before it of the same agent."""
    last = {}
    wrong = []
    for name in names:
        agent, number = name.rsplit("-", 1)
        if int(number) <= last.get(agent, 0):
            wrong.append(name)
        last[agent] = int(number)
    return wrong


def captured_within(sent, names, start, end):
    """Names in `names` whose events happened at `start` or later and before `end`, by what was sent: [(name, ns)]."""
    stored = set(names)
    return [name for name, at in sent if name in stored and start <= at < end]
