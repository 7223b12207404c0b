"""A file that leaked names its release, and nobody else's; canaries are counted nowhere, and a person's own data has none."""

import io
import json
import os
import random
import zipfile

import pytest
from harness import wait_until
from harness.agent import now_ns, rfc3339

SEED = int(os.environ.get("SLUICE_SEED", random.SystemRandom().randrange(1 << 32)))
CHUNKS, SIZE = 12, 2_000


def pointer(count, chance, start):
    """Somebody's pointer, in milliseconds."""
    at, x, y, events = start, 900, 500, []
    for _ in range(count):
        at += chance.randrange(9, 40) + (chance.randrange(900) if chance.random() < 0.02 else 0)
        x, y = min(1919, max(0, x + chance.randrange(-20, 21))), min(1079, max(0, y + chance.randrange(-15, 16)))
        events.append({"at": rfc3339(at * 1_000_000), "kind": "pointer", "action": "move", "x": x, "y": y})
    return events, at


@pytest.fixture(scope="module")
def stored(make_module_suite):
    """What one person's pointer did, in a hurry; and two readers."""
    print("seed", SEED)
    chance = random.Random(SEED)
    suite = make_module_suite(canaries=True)
    file, events = suite.folder / "session.ndjson", []
    at = now_ns() // 1_000_000 - 3_600_000
    for _ in range(CHUNKS):
        more, at = pointer(SIZE, chance, at)
        events += more
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    ann = suite.agent("ann", "E1").replay(file, 60)
    wait_until(lambda: suite.vault_count() == len(events), "all of it is stored", within=120)
    ann.process.end()
    suite.sent = sorted(events, key=lambda event: event["at"])
    for name in ("left", "right"):
        suite.approved("register", name, "--reader")
    return suite


def read(suite, by, *more):
    outcome = suite.cli("read", "--as", by, "--purpose", "training", "--why", f"for {by}", "--class", "activity", *more)
    return outcome.out.splitlines(), int(outcome.err.split("release ")[1].split()[0]), outcome.err


def trace(suite, lines, name="leak.ndjson", code=0):
    path = suite.folder / name
    path.write_text("\n".join(lines) + "\n")
    outcome = suite.cli("trace", path, "--json", check=False)
    assert outcome.code == code, (outcome, SEED)
    return outcome.json


def ended(suite, release):
    def entry():
        lines = [json.loads(line) for line in suite.cli("ledger", "show", "1..", "--ledger", "reads", "--json").out.splitlines()]
        return next((line["ended"] for line in lines if line.get("ended", {}).get("release") in (release, str(release))), None)

    return wait_until(entry, "the release has ended on the record")


def named(found):
    return [(match["release"]["release"], match["release"]["reader"]) for match in found["releases"]]


def test_a_leaked_file_names_its_reader_and_nobody_else(stored):
    chance = random.Random(SEED)
    (mine, first, _), (theirs, second, _) = read(stored, "left"), read(stored, "right")
    # A thinned, shuffled file of one of them, of which nothing is left but when and where.
    thin = [json.loads(line) for line in chance.sample(mine, len(mine) // 4)]
    found = trace(stored, [json.dumps({"y": e["y"], "x": e["x"], "t": e["at"]}) if chance.random() < 0.5 else f"{e['at']},{e['x']},{e['y']}" for e in thin])
    assert named(found) == [(first, "left")], (found, SEED)
    assert found["releases"][0]["sure"] >= 6 and found["releases"][0]["release"]["purpose"] == "training", found
    assert [match["reader"] for match in found["readers"]] in ([], ["left"]), found
    # The other's, and both together.
    assert named(trace(stored, theirs)) == [(second, "right")], SEED
    both = mine + theirs
    chance.shuffle(both)
    assert sorted(named(trace(stored, both))) == sorted([(first, "left"), (second, "right")]), SEED
    # And it is shown to people.
    assert f"release {first}   left" in stored.cli("trace", stored.folder / "leak.ndjson").out


def test_canaries_are_in_no_count_and_no_export(stored):
    lines, release, said = read(stored, "left")
    sent = [{**event} for event in stored.sent]
    record = ended(stored, release)
    assert int(record["events"]) == len(sent), "what is on record are events of the vault"
    assert len(lines) == len(sent) + int(record["canaries"]) and int(record["canaries"]) > 100, record
    assert f"{len(sent)} events, complete" in said, said
    # All that was sent is there, as it was, in its order.
    rest = iter(json.loads(line) for line in lines)
    assert all(any(event == other for other in rest) for event in sent), "what is stored comes whole"
    assert stored.vault_count() == len(sent), "and nothing was added to the vault"
    reads = stored.cli("who-read", "E1", "--json").lines
    assert {int(r["events"]) for r in reads if r["hasEnded"]} == {len(sent)}, reads
    # What a person has of their own is theirs: nothing in it that they did not do, and nobody's release.
    path = stored.folder / "mine.zip"
    export = stored.begin("export", "E1", output="export.log")
    out, err = export.popen.communicate(timeout=60)
    assert export.popen.returncode == 0, err
    path.write_bytes(out)
    with zipfile.ZipFile(io.BytesIO(out)) as archive:
        mine = archive.read("activity.ndjson").decode().splitlines()
    assert [json.loads(line) for line in mine] == sent
    assert trace(stored, mine, code=3)["releases"] == []


def test_policy_that_was_killed_makes_no_difference(stored):
    before, first, _ = read(stored, "left")
    stored.restart("policy")
    after, second, _ = read(stored, "left")
    assert named(trace(stored, before)) == [(first, "left")], SEED
    assert named(trace(stored, after)) == [(second, "left")], SEED
    # Who takes it twice and keeps what is in both has what is the reader's in both.
    kept = sorted(set(before) & set(after))
    found = trace(stored, kept)
    assert named(found) == [] and [match["reader"] for match in found["readers"]] == ["left"], (found, SEED)


def test_a_file_of_nobody_is_said_to_be_of_nobody(stored):
    # What was captured, without anything that left with a release.
    found = trace(stored, [json.dumps(event) for event in stored.sent], code=3)
    assert found["releases"] == [] and found["readers"] == [] and found["lines"] == len(stored.sent), found
    said = stored.cli("trace", stored.folder / "leak.ndjson", check=False)
    assert said.code == 3 and "no canary found in" in said.out and "cannot be told" in said.out, said
    # Another suite's key finds nothing of this one's.
    lines, _, _ = read(stored, "right")
    path = stored.home / "keys" / "vault" / "policy.canary"
    key = path.read_text()
    try:
        path.write_text("ab" * 32 + "\n")
        outcome = trace(stored, lines, code=3)
        assert outcome["releases"] == [] and sum(outcome["withoutKey"].values()) > 0, outcome
    finally:
        path.write_text(key)
    assert len(trace(stored, lines)["releases"]) == 1


def test_a_key_that_was_replaced_still_tells_what_left_in_its_time(stored):
    before, first, _ = read(stored, "right")
    made = stored.cli("canary-key", "new", "--json").json
    assert (stored.home / "keys" / "vault" / "policy.canary").stat().st_mode & 0o777 == 0o600
    stored.restart("policy")
    after, second, _ = read(stored, "right")
    assert named(trace(stored, before)) == [(first, "right")], SEED
    assert named(trace(stored, after)) == [(second, "right")], SEED
    shown = [json.loads(line) for line in stored.cli("ledger", "show", "1..", "--ledger", "reads", "--json").out.splitlines()]
    keys = [line["opened"].get("canaryKey", line["opened"].get("canary_key")) for line in shown if "opened" in line]
    assert keys[-1] == made["key"] and keys[-2] != made["key"], keys
