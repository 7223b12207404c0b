"""A file that leaked names its release, and nobody else's; canaries are counted nowhere, and a person's own data has none."""

import io
import json
import os
import random
import zipfile
from pathlib import Path

import pytest
from harness import wait_until

SEED = int(os.environ.get("SLUICE_SEED", random.SystemRandom().randrange(1 << 32)))
SEGMENTS, SIZE = 40, 500
RECORDING = Path(__file__).resolve().parents[2] / "deploy" / "data" / "session.ndjson.gz"


@pytest.fixture(scope="module")
def stored(make_module_suite):
    """A month of two persons at their desks, cut from a recording; and two readers."""
    print("seed", SEED)
    suite = make_module_suite(canaries=True, start=False)
    suite.cli("bench-vault", "fill", "--subjects", 2, "--segments", SEGMENTS // 2, "--days", 30, "--data", RECORDING, "--events", SIZE)
    suite.start()
    suite.count = SEGMENTS * SIZE
    assert suite.vault_count() == suite.count
    suite.sent = [line for person in ("B0", "B1") for line in exported(suite, person)]
    assert len(suite.sent) == suite.count, "what is a person's own is all of it, and nothing else"
    for name in ("left", "right"):
        suite.approved("register", name, "--reader")
    return suite.expect_followed()


def exported(suite, person):
    export = suite.begin("export", person, output="export.log")
    out, err = export.popen.communicate(timeout=60)
    assert export.popen.returncode == 0, err
    with zipfile.ZipFile(io.BytesIO(out)) as archive:
        return archive.read("activity.ndjson").decode().splitlines()


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
    found = trace(stored, [json.dumps({"x": e.get("x"), "y": e.get("y"), "t": e["at"]}) if chance.random() < 0.5 else f"{e['at']},{e.get('x', '')},{e.get('y', '')}" for e in thin])
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
    record = ended(stored, release)
    assert int(record["events"]) == stored.count, "what is on record are events of the vault"
    assert len(lines) == stored.count + int(record["canaries"]) and int(record["canaries"]) > stored.count // 200, record
    assert f"{stored.count} events, complete" in said, said
    # All that is stored is there, as it is, in its order.
    rest = iter(lines)
    assert all(any(line == other for other in rest) for line in stored.sent), "what is stored comes whole"
    assert stored.vault_count() == stored.count, "and nothing was added to the vault"
    reads = stored.cli("who-read", "B0", "--json").lines
    assert {int(r["events"]) for r in reads if r["hasEnded"]} == {stored.count, stored.count // 2}, reads
    # What a person has of their own is nobody's release.
    assert trace(stored, stored.sent, code=3)["releases"] == []
    mine = exported(stored, "B0")
    assert set(mine) < set(stored.sent) and len(mine) == stored.count // 2


def test_canaries_are_in_no_exposure_and_no_notice(stored):
    lines, release, _ = read(stored, "right")
    assert len(lines) > stored.count, "the control: there are canaries in it"
    ended(stored, release)
    incident = stored.pause("--class", "activity")["closure"]["incident"]
    try:
        exposed = stored.cli("exposure", incident, "--json").lines
        (head,) = [line for line in exposed if line["kind"] == "exposure"]
        releases = {line["release"]: line for line in exposed if line["kind"] == "release"}
        assert head["exposed_events"] == stored.count and {one["left"] for one in releases.values()} <= {stored.count, stored.count // 2}, head
        assert releases[release]["events"] == [stored.count, stored.count]
        (stored.home / "notices.json").write_text(json.dumps({"contactName": "Dana Fischer", "contactPoint": "dpo@example.org"}))
        for person in ("B0", "B1"):
            own = next(line for line in stored.cli("exposure", incident, "--json", "--subject", person).lines if line["kind"] == "exposure")
            told = stored.cli("notices", "preview", incident, person, "--json").json
            assert own["exposed_events"] == told["exposed_events"] == stored.count // 2
            # Each read of both had half of its events of this person; an export had all of its own.
            assert told["did_events"] == own["did_events"] == [told["did_releases"] * stored.count // 2] * 2, told
    finally:
        stored.resume()
        stored.cli("incident", "close", incident)


def test_policy_that_was_killed_makes_no_difference(stored):
    before, first, _ = read(stored, "left")
    stored.restart("policy")
    after, second, _ = read(stored, "left")
    assert named(trace(stored, before)) == [(first, "left")], SEED
    assert named(trace(stored, after)) == [(second, "left")], SEED
    # Who takes it twice and keeps what is in both has nothing of either, and perhaps enough of what is the reader's in both.
    (stored.folder / "both.ndjson").write_text("".join(line + "\n" for line in sorted(set(before) & set(after))))
    found = json.loads(stored.cli("trace", stored.folder / "both.ndjson", "--json", check=False).out)
    assert named(found) == [] and [match["reader"] for match in found["readers"]] in ([], ["left"]), (found, SEED)


def test_a_file_of_nobody_is_said_to_be_of_nobody(stored):
    # What was captured, without anything that left with a release.
    found = trace(stored, stored.sent, code=3)
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
