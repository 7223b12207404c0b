"""Events as columns: section 8 of SPEC.md.

Here an event is the dict of its NDJSON line, but `at` and `duration` are integers: nanoseconds (since 1970).
"""

import json
import re
from datetime import datetime, timezone
from decimal import Decimal

import zstandard
from google.protobuf.unknown_fields import UnknownFieldSet

import wire

KIND = {"pointer": 1, "key": 2, "window": 3, "presence": 4, "text": 5}
POINTER_ACTION = {"move": 1, "drag": 2, "down": 3, "up": 4, "scroll": 5}
KEY_ACTION = {"down": 1, "up": 2}
PRESENCE = {"active": 1, "away": 2}
SOURCE = {"chat": 1, "mail": 2, "document": 3, "transcript": 4, "review": 5, "prompt": 6}
OPTIONAL = {"pointer": ("button", "dx", "dy"), "window": ("url",), "text": ("app", "label"), "key": (), "presence": ()}
REQUIRED = {"pointer": ("action", "x", "y"), "key": ("action", "key"), "window": ("app", "title"),
            "presence": ("status",), "text": ("text", "source")}
LARGEST_COLUMNS, LARGEST_STRING, MOST_EVENTS = 4_194_304, 65_536, 4_096
DAY = 86_400 * wire.SECOND
EARLIEST, END_OF_TIME = 0, int(datetime(2262, 1, 1, tzinfo=timezone.utc).timestamp()) * wire.SECOND
CLASS_OF_SOURCE = {"document": "content", "prompt": "content", "chat": "conversation", "mail": "conversation",
                   "transcript": "conversation", "review": "review"}


class Unreadable(ValueError):
    pass


def class_of(event):
    return CLASS_OF_SOURCE[event["source"]] if event["kind"] == "text" else "activity"


def end_of(event):
    return event["at"] + (event.get("duration") or 0)


# NDJSON

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)")


def nanoseconds(text):
    m = _TIME.fullmatch(text)
    if not m:
        raise ValueError(f"not a time: {text!r}")
    whole = int(datetime.fromisoformat(m[1] + "+00:00").timestamp())
    return whole * wire.SECOND + int((m[2] or "0").ljust(9, "0"))


def from_line(line):
    return from_object(json.loads(line, parse_float=Decimal))


def from_object(raw):
    """An event of an NDJSON line's object. Fields that its kind does not have are left out."""
    kind = raw["kind"]
    event = {"at": nanoseconds(raw["at"]), "kind": kind}
    if raw.get("duration") is not None:
        event["duration"] = int(Decimal(raw["duration"]) * wire.SECOND)
    for name in REQUIRED[kind]:
        event[name] = raw[name]
    for name in OPTIONAL[kind]:
        if raw.get(name) is not None and (name not in ("dx", "dy") or raw["action"] == "scroll"):
            event[name] = raw[name]
    return event


# Encoding

def _zigzag(v):
    return (v << 1) ^ (v >> 31) if v < 0 else v << 1


def _unzigzag(v):
    return (v >> 1) ^ -(v & 1)


def _signed(v):
    return (v + 2**31) % 2**32 - 2**31


class _Strings:
    def __init__(self):
        self.index = {}

    def __call__(self, text):
        return 0 if text is None else self.index.setdefault(text, len(self.index) + 1)


def encode(events):
    """(columns, first_ns, last_ns)"""
    first, last = min(e["at"] for e in events), max(map(end_of, events))
    spans = [last - first] + [e["at"] - first for e in events] + [e.get("duration") or 0 for e in events]
    unit = next(u for u in (1_000_000, 1_000, 1) if not any(s % u for s in spans))
    c, strings = wire.capture.Columns(version=1, unit_ns=unit), _Strings()
    before = first
    for e in events:
        c.at.append((e["at"] - before) // unit)
        before = e["at"]
    kinds = [KIND[e["kind"]] for e in events]
    c.kind.extend(kinds[:1] if len(set(kinds)) == 1 else kinds)
    _optional(c.duration, [0 if e.get("duration") is None else e["duration"] // unit + 1 for e in events])
    x = y = 0
    buttons, dx, dy = [], [], []
    for e in events:
        if e["kind"] == "pointer":
            c.pointer_action.append(POINTER_ACTION[e["action"]])
            c.x.append(_signed(e["x"] - x))
            c.y.append(_signed(e["y"] - y))
            x, y = e["x"], e["y"]
            buttons.append(strings(e.get("button")))
            if e["action"] == "scroll":
                dx.append(0 if e.get("dx") is None else _zigzag(e["dx"]) + 1)
                dy.append(0 if e.get("dy") is None else _zigzag(e["dy"]) + 1)
        elif e["kind"] == "key":
            c.key_action.append(KEY_ACTION[e["action"]])
            c.key.append(strings(e["key"]))
        elif e["kind"] == "window":
            c.window.extend([strings(e["app"]), strings(e["title"]), strings(e.get("url"))])
        elif e["kind"] == "presence":
            c.presence.append(PRESENCE[e["status"]])
        else:
            c.text.extend([strings(e["text"]), SOURCE[e["source"]], strings(e.get("app")), strings(e.get("label"))])
    _optional(c.button, buttons)
    _optional(c.dx, dx)
    _optional(c.dy, dy)
    c.strings.extend(strings.index)
    return c.SerializeToString(deterministic=True), first, last


def _optional(column, values):
    if any(values):
        column.extend(values)


def size_bound(event):
    """No event takes more bytes of columns than this."""
    return 120 + sum(len(v.encode()) + 4 for v in event.values() if isinstance(v, str))


def compress(columns):
    return zstandard.ZstdCompressor(level=1, write_content_size=True, write_checksum=False).compress(columns)


# Decoding

def decompress(payload, columns_bytes):
    _need(payload[:4] == b"\x28\xb5\x2f\xfd", "not a zstd frame")
    _need(columns_bytes <= LARGEST_COLUMNS, "too long")
    _need(zstandard.frame_content_size(payload) == columns_bytes, "content size")
    d = zstandard.ZstdDecompressor().decompressobj()
    columns = d.decompress(payload)
    _need(d.eof and not d.unused_data and len(columns) == columns_bytes, "not one frame")
    return columns


def _need(condition, what):
    if not condition:
        raise Unreadable(what)


def _words(table, numbers):
    names = {number: word for word, number in table.items()}
    _need(all(n in names for n in numbers), f"none of {list(table)}")
    return iter([names[n] for n in numbers])


def decode(columns, first, last, count):
    c = wire.capture.Columns()
    try:
        c.ParseFromString(columns)
    except Exception as error:
        raise Unreadable(str(error)) from error
    _need(not len(UnknownFieldSet(c)), "a field that is not listed")
    _need(c.version == 1 and c.unit_ns in (1_000_000, 1_000, 1), "version or unit")
    n, unit, used = count, c.unit_ns, set()
    _need(1 <= n <= MOST_EVENTS and len(c.at) == n and len(c.kind) in (1, n), "at, kind")
    _need(len(c.duration) in (0, n), "duration")
    _need(all(len(s.encode()) <= LARGEST_STRING for s in c.strings), "a string is too long")

    def string(index, optional=False):
        _need(index <= len(c.strings) and (index or optional), "index of a string")
        used.add(index)
        return c.strings[index - 1] if index else None

    kinds = list(_words(KIND, list(c.kind) if len(c.kind) == n else list(c.kind) * n))
    pointers, keys = kinds.count("pointer"), kinds.count("key")
    actions = list(_words(POINTER_ACTION, c.pointer_action))
    scrolls = actions.count("scroll")
    lengths = [(c.pointer_action, pointers), (c.x, pointers), (c.y, pointers), (c.key_action, keys), (c.key, keys),
               (c.window, 3 * kinds.count("window")), (c.presence, kinds.count("presence")), (c.text, 4 * kinds.count("text"))]
    _need(all(len(column) == length for column, length in lengths), "length of a column")
    _need(len(c.button) in (0, pointers) and len(c.dx) in (0, scrolls) and len(c.dy) in (0, scrolls), "length of a column")
    _need(all(v <= 2**32 for v in [*c.dx, *c.dy]), "dx, dy")
    action, button, key_action, key = iter(actions), iter(c.button), _words(KEY_ACTION, c.key_action), iter(c.key)
    dxs, dys, xs, ys = iter(c.dx), iter(c.dy), iter(c.x), iter(c.y)
    windows, presence, texts = iter(c.window), _words(PRESENCE, c.presence), iter(c.text)
    events, at, x, y = [], first, 0, 0
    for i, kind in enumerate(kinds):
        at += c.at[i] * unit
        e = {"at": at, "kind": kind}
        if c.duration and c.duration[i]:
            e["duration"] = (c.duration[i] - 1) * unit
            _need(e["duration"] <= DAY, "longer than a day")
        if kind == "pointer":
            x, y = _signed(x + next(xs)), _signed(y + next(ys))
            e.update(action=next(action), x=x, y=y, button=string(next(button, 0), True))
            if e["action"] == "scroll":
                for name, deltas in (("dx", dxs), ("dy", dys)):
                    delta = next(deltas, 0)
                    e[name] = _unzigzag(delta - 1) if delta else None
        elif kind == "key":
            e.update(action=next(key_action), key=string(next(key)))
        elif kind == "window":
            e.update(app=string(next(windows)), title=string(next(windows)), url=string(next(windows), True))
        elif kind == "presence":
            e.update(status=next(presence))
        else:
            e.update(text=string(next(texts)), source=next(_words(SOURCE, [next(texts)])),
                     app=string(next(texts), True), label=string(next(texts), True))
        events.append({name: value for name, value in e.items() if value is not None})
    _need(used - {0} == set(range(1, len(c.strings) + 1)), "a string that nothing points at")
    _need(all(EARLIEST <= e["at"] and end_of(e) < END_OF_TIME for e in events), "times")
    _need(min(e["at"] for e in events) == first and max(map(end_of, events)) == last, "first_ns, last_ns")
    return events
