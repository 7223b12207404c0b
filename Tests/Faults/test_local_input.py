"""What local capture tools may throw at `sluice-agent run`: on standard input and on its socket (FAULTS: I02, I03, I06; issue 2).

Each line that is not blank is accepted or refused, and counted: nothing is lost, nothing crashes, standard error stays small.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile import Agent, MiB, key, memory, rfc3339, wait_until

counter = 0


@pytest.fixture
def agent(suite):
    global counter
    counter += 1
    agent = Agent(suite, f"input-{counter}")
    yield agent
    if agent.process:
        agent.process.end()


def good(name="good", **more):
    return json.dumps(key(name, **more)).encode()


# Name, bytes of the line, the word by which it is refused (None: accepted).
LINES = [
    ("not JSON", b"hello", "not-json"),
    ("half an object", b'{"at":', "not-json"),
    ("an array", b"[1,2,3]", "not-an-object"),
    ("a number", b"42", "not-an-object"),
    ("null", b"null", "not-an-object"),
    ("a string", b'"x"', "not-an-object"),
    ("nothing in it", b"{}", "missing-field"),
    ("no kind", b'{"at":"2026-01-01T00:00:00Z"}', "missing-field"),
    ("an unknown kind", b'{"at":"2026-01-01T00:00:00Z","kind":"gaze"}', "unknown-kind"),
    ("a kind with ANSI and markup", b'{"at":"2026-01-01T00:00:00Z","kind":"\\u001b[31m<script>\\u202e"}', "unknown-kind"),
    ("an unknown word", b'{"at":"2026-01-01T00:00:00Z","kind":"key","action":"lick","key":"a"}', "unknown-value"),
    ("the wrong type", b'{"at":"2026-01-01T00:00:00Z","kind":"key","action":"down","key":7}', "wrong-type"),
    ("a time that is none", b'{"at":"yesterday","kind":"key","action":"down","key":"a"}', "bad-time"),
    ("a time in another zone", b'{"at":"2026-01-01T00:00:00+02:00","kind":"key","action":"down","key":"a"}', "bad-time"),
    ("the 30th of February", b'{"at":"2026-02-30T00:00:00Z","kind":"key","action":"down","key":"a"}', "bad-time"),
    ("a time before time", b'{"at":"1969-12-31T23:59:59Z","kind":"key","action":"down","key":"a"}', "bad-time"),
    ("a time after time", b'{"at":"9999-12-31T23:59:59Z","kind":"key","action":"down","key":"a"}', "bad-time"),
    ("a time as a number", b'{"at":1795420800,"kind":"key","action":"down","key":"a"}', "wrong-type"),
    ("before the permit", b'{"at":"2026-01-01T00:00:00Z","kind":"key","action":"down","key":"a"}', "outside-interval"),
    ("in the future", b'{"at":"2060-01-01T00:00:00Z","kind":"key","action":"down","key":"a"}', "future"),
    ("binary", bytes(range(128, 256)), "not-utf8"),
    ("a NUL", b'{"at":"2026-01-01T00:00:00Z","kind":"key","action":"down","key":"\0"}', "not-json"),
    ("a byte order mark", b"\xef\xbb\xbf" + b'{"at":"2026-01-01T00:00:00Z"}', "not-json"),
    ("a lone surrogate", b'{"at":"2026-01-01T00:00:00Z","kind":"key","action":"down","key":"\\ud800"}', "not-json"),
    ("a lone surrogate in UTF-8", b'{"at":"2026-01-01T00:00:00Z","kind":"key","action":"down","key":"\xed\xa0\x80"}', "not-utf8"),
    ("an overlong slash", b'{"key":"\xc0\xaf"}', "not-utf8"),
    ("NaN", b'{"at":"2026-01-01T00:00:00Z","kind":"pointer","action":"move","x":NaN,"y":0}', "not-json"),
    ("Infinity", b'{"at":"2026-01-01T00:00:00Z","kind":"pointer","action":"move","x":-Infinity,"y":0}', "not-json"),
    ("1e400", b'{"at":"2026-01-01T00:00:00Z","kind":"pointer","action":"move","x":1e400,"y":0}', ("out-of-range", "wrong-type", "not-json")),
    ("2^63", b'{"at":"2026-01-01T00:00:00Z","kind":"pointer","action":"move","x":9223372036854775808,"y":0}', ("out-of-range", "wrong-type")),
    ("2^31", b'{"at":"2026-01-01T00:00:00Z","kind":"pointer","action":"move","x":2147483648,"y":0}', ("out-of-range", "wrong-type")),
    ("a half", b'{"at":"2026-01-01T00:00:00Z","kind":"pointer","action":"move","x":0.5,"y":0}', ("out-of-range", "wrong-type")),
    ("a negative length", b'{"at":"2026-01-01T00:00:00Z","duration":-1,"kind":"presence","status":"away"}', "out-of-range"),
    ("a length of 1e308", b'{"at":"2026-01-01T00:00:00Z","duration":1e308,"kind":"presence","status":"away"}', "out-of-range"),
    ("a length of two days", b'{"at":"2026-01-01T00:00:00Z","duration":172800,"kind":"presence","status":"away"}', "out-of-range"),
    ("30,000 arrays in each other", b"[" * 30_000, "not-json"),
    ("10,000 objects in each other", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "not-json"),
    ("depth 100,000: over the line's limit", b"[" * 100_000, "too-long"),
    ("a megabyte", b"x" * MiB, "too-long"),
    ("a megabyte of text", b'{"at":"2026-01-01T00:00:00Z","kind":"text","source":"chat","text":"' + b"a" * MiB + b'"}', "too-long"),
    ("a byte too long", b'{"x":"' + b"a" * 65_529 + b'"}', "too-long"),
]


def refusals(status):
    return dict(status["refused"])


# As little as any system gives a program, for its main thread and for each that asks for no more (I02).
SMALL_STACK = ["prlimit", "--stack=1048576:1048576"]


def test_each_bad_line_is_named_by_its_number_and_the_rest_goes_on(suite, agent):
    agent.wrapper = SMALL_STACK
    agent.run().expect_capturing()
    assert re.search(r"Max stack size +1048576 +1048576 ", Path(f"/proc/{agent.process.id}/limits").read_text())
    expected, lines = {}, []
    for name, line, word in LINES:
        lines += [line, good(f"after {name}")]
    data = b"\n".join(lines) + b"\n"
    agent.write(data)
    status = agent.expect_judged(len(lines))
    assert status["accepted"] == len(LINES), status
    complaints = agent.complaints
    for number, (name, line, words) in enumerate(LINES):
        words = (words,) if isinstance(words, str) else words
        said = re.search(rf"standard input line {2 * number + 1}: (.*)", complaints)
        assert said, f"{name}: nothing was said about line {2 * number + 1}"
        assert "\x1b" not in said[1] and "\u202e" not in said[1] and len(said[1]) < 400, said[1]
    counted = refusals(status)
    for name, line, words in LINES:
        if isinstance(words, str):
            expected[words] = expected.get(words, 0) + 1
    for word, number in expected.items():
        assert counted.get(word, 0) >= number, (word, number, counted)
    assert sum(counted.values()) == len(LINES)
    # Control shows them by the same words: none of an agent's own is unknown to ingest.
    # It reports with each renewal what there was by then.

    def is_shown():
        shown = suite.counters("ingest")
        assert {word: shown.get(f"agents.events.refused.{word}", 0) for word in counted} == counted and "agents.events.refused.other" not in shown, shown
        return True

    wait_until(is_shown, "ingest has heard of all of them, and no other", every=0.2)
    # The control: the good ones are in the vault, each once.
    agent.expect_drained()
    stored = [line["event"]["key"] for line in suite.read("activity") if line["subject"] == agent.subject]
    assert stored == [f"after {name}" for name, _, _ in LINES]
    assert memory(agent.process.id) < 300 * MiB


def test_the_control_a_parser_that_follows_every_level_dies_of_the_same_lines_with_so_little_stack():
    """Python's own, without the limit that it comes with."""
    follow = "import json, sys; sys.setrecursionlimit(1 << 30); json.loads(sys.stdin.buffer.read())"
    ended = {
        name: subprocess.run([*SMALL_STACK, sys.executable, "-c", follow], input=line, capture_output=True, timeout=60).returncode
        for name, line, _ in LINES if " in each other" in name}
    assert ended == {"30,000 arrays in each other": -signal.SIGSEGV, "10,000 objects in each other": -signal.SIGSEGV}


def test_blank_lines_carriage_returns_and_a_last_line_without_its_end(suite, agent):
    agent.run().expect_capturing()
    agent.write(b"\n\n  \n\t\n" + good("a") + b"\r\n" + b"\r\n" + good("b") + b"\n\n" + good("c"))
    assert agent.end_input() == 0
    stored = [line["event"]["key"] for line in suite.read("activity") if line["subject"] == agent.subject]
    assert stored == ["a", "b", "c"]
    status = agent.status
    assert (status["accepted"], sum(status["refused"].values())) == (3, 0), status


def test_utf16_is_refused_line_by_line(suite, agent):
    agent.run().expect_capturing()
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        agent.write(good("x").decode().encode(encoding) + b"\n")
    agent.write(b"\n" + good("y") + b"\n")
    # A line feed is two or four bytes there, so how many lines it is depends on where it is cut; none is taken for an event.
    status = agent.expect(lambda s: s["accepted"] == 1, "the good one")
    assert sum(status["refused"].values()) >= 4


def test_strange_text_arrives_as_it_was_sent(suite, agent):
    """I03, I06: what is legal is stored exactly, and shown without harm."""
    agent.run().expect_capturing()
    texts = [
        "'; DROP TABLE segment; --", "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "\x1b[31mred\x1b[0m", "a\r\nb: c", "\u202eltr\u202d",
        "e\u0301\u0301\u0301" * 100, "\u0000"[1:] + "\uffff\U0010ffff", "👩‍👩‍👧‍👦" * 50, "{\"at\":1}", "\\u0041", "a\u2028b\u2029c", "x" * 65_000, "",
    ]
    for text in texts:
        line = json.dumps({"at": rfc3339(time.time_ns()), "kind": "text", "source": "review", "text": text}, ensure_ascii=False).encode()
        agent.write(line + b"\n")
    agent.expect(lambda s: s["accepted"] == len(texts), "all accepted")
    agent.expect_drained()
    assert [line["event"]["text"] for line in suite.read("review") if line["subject"] == agent.subject] == texts


def test_a_field_twice_and_fields_that_nobody_knows_are_no_reason_to_stop(suite, agent):
    agent.run().expect_capturing()
    now = rfc3339(time.time_ns())
    agent.write(f'{{"at":"{now}","kind":"key","kind":"key","action":"down","key":"a","key":"b"}}\n')
    agent.write(json.dumps(key("c", more=1, other={"deep": [1, 2]}, password="secret")) + "\n")
    status = agent.expect_judged(2)
    assert status["accepted"] >= 1 and status["unknownFields"] >= 3, status
    agent.expect_drained()
    shown = json.dumps([line for line in suite.read("activity") if line["subject"] == agent.subject])
    assert "secret" not in shown and '"c"' in shown


def test_a_hundred_thousand_bad_lines_leave_a_short_log_and_a_right_count(suite, agent):
    agent.run().expect_capturing()
    agent.errors.write_bytes(b"")
    for _ in range(100):
        agent.write(b'{"at":"no"}\n' * 500 + b"junk\n" * 499 + good() + b"\n")
    status = agent.expect_judged(100_000)
    assert status["accepted"] == 100
    assert agent.errors.stat().st_size < 64 * 1024, agent.errors.stat().st_size


def test_a_line_that_never_ends_is_not_held_in_memory(suite, agent):
    agent.run().expect_capturing()
    before = memory(agent.process.id)
    for _ in range(32):
        agent.write(b"x" * MiB)
    agent.write(b"\n" + good() + b"\n")
    status = agent.expect_judged(2)
    assert status["refused"].get("too-long") == 1 and status["accepted"] == 1
    assert memory(agent.process.id) - before < 24 * MiB


def test_what_was_captured_while_it_was_closed_is_refused_for_ever(suite, agent):
    agent.run().expect_capturing()
    suite.cli("pause", "--subject", agent.subject, "--capture-only", "--reason", "a test")
    agent.expect_capturing(False)
    during = time.time_ns()
    agent.type("during")
    agent.expect_judged(1)
    suite.resume()
    agent.expect_capturing()
    agent.write(json.dumps(key("late", at=during)) + "\n")
    status = agent.expect_judged(2)
    assert status["accepted"] == 0, status
    agent.type("after")
    agent.expect_judged(3)
    agent.expect_drained()
    stored = [line["event"]["key"] for line in suite.read("activity") if line["subject"] == agent.subject]
    assert stored == ["after"]


def test_a_flood_of_connections_to_its_socket_turns_away_what_is_too_much_and_loses_no_line(suite, agent):
    agent.listen().expect_capturing()
    files = len(os.listdir(f"/proc/{agent.process.id}/fd"))
    held, said = [], 0
    for number in range(200):
        with contextlib.suppress(OSError):
            raw = agent.connect()
            raw.settimeout(5)
            held.append(raw)
    # 32 are kept; the others find the connection closed.
    kept = []
    for raw in held:
        raw.settimeout(0.05)
        try:
            raw.recv(1)
            raw.close()
        except TimeoutError:
            kept.append(raw)
        except OSError:
            raw.close()
    assert len(kept) == 32, len(kept)
    for raw in kept:
        raw.settimeout(10)
        raw.sendall(b"junk\n" + good() + b"\n")
        said += 2
    agent.expect_judged(said)
    for raw in kept:
        raw.sendall(good("without an end"))
        said += 1
        raw.close()
    status = agent.expect_judged(said)
    assert status["accepted"] == 2 * len(kept)
    # The control: there is room again.
    wait_until(lambda: len(os.listdir(f"/proc/{agent.process.id}/fd")) <= files + 1, "descriptors are given back")
    raw = agent.connect()
    raw.sendall(good() + b"\n")
    agent.expect_judged(said + 1)
    raw.close()


def test_two_thousand_connections_one_after_the_other_leave_nothing_behind(suite, agent):
    agent.listen().expect_capturing()
    before, files = memory(agent.process.id), len(os.listdir(f"/proc/{agent.process.id}/fd"))
    sent = 0
    for number in range(2_000):
        raw = agent.connect()
        if number % 10 == 0:
            # One that is turned away may find the pipe broken: then it was not given.
            with contextlib.suppress(OSError):
                raw.sendall(b"junk\n")
        raw.close()
    wait_until(lambda: len(os.listdir(f"/proc/{agent.process.id}/fd")) <= files + 1, "descriptors are given back")
    raw = agent.connect()
    raw.sendall(good() + b"\n")
    agent.expect(lambda s: s["accepted"] == 1, "served")
    raw.close()
    assert memory(agent.process.id) - before < 64 * MiB
