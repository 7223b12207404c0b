"""Releases: default deny, on the record before the first byte, ended by whatever takes the right away, counted from the ledger."""

import contextlib
import datetime
import itertools
import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from harness import Agent, wait_until
from harness.agent import key, text

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Interop"))
import reader  # noqa: E402
import wire  # noqa: E402

KILLS = int(os.environ.get("SLUICE_KILLS", "6"))
DENIED, OVER_RATE = 44, 45
SEGMENTS, WORDS = 4, 5


UNIQUE = itertools.count()


def document(*grants, basis="legal-obligation", roles=(), classes=("activity", "content")):
    return {
        "version": 1,
        "classes": [{"name": name, "retention": "3000 days", "audience": "unlimited"} for name in ("activity", "content", "conversation", "review")],
        "rules": [{"class": "activity", "kind": ["pointer", "key", "window", "presence"]}, {"class": "content", "source": ["document", "prompt"]}],
        "capture": [{"for": "everyone", "as": "keep"}],
        "purposes": [{"name": "training", "basis": basis, "classes": list(classes)}, {"name": "safety", "basis": "legal-obligation", "classes": ["activity"]}],
        "roles": [{"name": "trainers", "members": ["job"]}, {"name": "guards", "for": {"team": "safety"}},
                  # No two are the same: each is applied.
                  {"name": f"nobody-{next(UNIQUE)}", "members": ["nobody"]}, *roles],
        "access": list(grants),
    }


def grant(name="g", role="trainers", purpose="training", classes=("activity", "content"), **more):
    return {"name": name, "role": role, "purpose": purpose, "classes": list(classes), "for": "everyone", "expires": "never", "rate": "unlimited", **more}


@pytest.fixture(scope="module")
def stored(make_module_suite):
    """What E1 of search and E2 of ads did, in more segments than a reader is given at once, and something that E1 wrote; and two readers."""
    suite = make_module_suite()
    # Each test applies what it reads by; the first has none.
    suite.is_governed = True
    agents = [suite.agent(name, subject, team=team).run().expect(capturing=True) for name, subject, team in (("ann", "E1", "search"), ("bob", "E2", "ads"))]
    agents[0].send(*(text("some words", "document") for _ in range(WORDS)))
    for number in range(SEGMENTS):
        for agent in agents:
            agent.send(key("a"), key("b"))
        # A batch for each.
        wait_until(lambda: suite.vault_count() == 4 * (number + 1) + WORDS, "they are stored")
    assert Agent.end_inputs(agents) == [0, 0]
    suite.events = {"E1": 2 * SEGMENTS, "E2": 2 * SEGMENTS}
    suite.all = 4 * SEGMENTS
    suite.approved("register", "job", "--reader")
    suite.approved("register", "guard", "--reader", "--subject", "E9")
    return suite.expect_followed()


def apply(suite, made, name="policy.json"):
    path = suite.folder / name
    path.write_text(json.dumps(made))
    index = suite.service_status("policy")["gauges"].get("policy.document", 0)
    suite.approved("policy", "apply", path, "--yes")
    wait_until(lambda: suite.service_status("policy")["gauges"].get("policy.document", 0) != index, "policy goes by the document")


def consent(suite, verb, subject, purpose="training"):
    return suite.approved("consent", verb, subject, "--purpose", purpose) if verb == "grant" else suite.cli("consent", verb, subject, "--purpose", purpose)


def read(suite, *more, by="job", purpose="training", classes=("activity",), check=True):
    named = [word for name in classes for word in ("--class", name)]
    return suite.cli("read", "--as", by, "--purpose", purpose, "--why", "a test", *named, *more, check=check)


def entries(suite, kind=None):
    """Of the read ledger, as JSON."""
    lines = [json.loads(line) for line in suite.cli("ledger", "show", "1..", "--ledger", "reads", "--json").out.splitlines()]
    return lines if kind is None else [{**line[kind], "number": int(line["number"])} for line in lines if kind in line]


def peer(suite, name="job"):
    keys = {node["name"]: node["key"] for node in json.loads((suite.home / "registry.json").read_text())["nodes"]}
    return reader.Peer(suite.settings["policy"], keys["policy"].encode(), wire.read_secret(suite.home / "keys" / f"{name}.secret"))


class Stream:
    """A release of which one chunk is under way at a time, and no more is asked for."""

    def __init__(self, suite, name="job", purpose="training", classes=("activity",), **selection):
        self.peer = peer(suite, name)
        self.peer.send("releaseRequest", id=os.urandom(16), purpose=purpose, justification="a stream", classes=classes, credit=1, **selection)
        self.release = self.peer.expect("release", of="releaseRequest")[1]
        self.events, self.chunks, self.ended = 0, 0, None

    def take(self, *beside):
        """The next chunk, or the end.

        :param beside: Streams that stand still meanwhile.
        """
        lease, deadline = self.peer.welcome.lease_ms / 1000, time.monotonic() + 60
        while (got := self.peer.receive(lease / 2)) is None or got[0] not in ("chunk", "releaseEnded"):
            assert time.monotonic() < deadline, "nothing comes"
            # Who stands still says that they are there.
            for one in (self, *beside):
                one.peer.send("renew", nonce=os.urandom(16))
        kind, body, _ = got
        if kind == "releaseEnded":
            self.ended = body
        else:
            self.events, self.chunks = self.events + body.count, self.chunks + 1
        return self.ended is None

    def more(self):
        self.peer.send("credit", release=self.release.release, chunks=1)
        return self.take()

    def rest(self):
        while self.more():
            pass
        return self.ended

    def close(self):
        self.peer.close()


@pytest.fixture
def stream(stored):
    made = []

    def make(**more):
        made.append(Stream(stored, **more))
        assert made[-1].take(), "the first chunk"
        return made[-1]

    yield make
    for one in made:
        one.close()


def ended(suite, release):
    """Its end in the ledger."""
    return wait_until(lambda: next((e for e in entries(suite, "ended") if int(e["release"]) == release), None), "the end is on the record")


# Default deny


def test_until_a_document_is_in_force_nobody_reads_and_who_asks_is_told_why_and_on_the_record(stored):
    # Only the first test of a module can say this: a document can be changed, and never taken away.
    suite = stored
    if suite.service_status("policy")["gauges"].get("policy.document"):
        pytest.skip("another test has applied one")
    asked = [("job", "whatever"), ("guard", "safety"), ("ops-1", "training")]
    for by, purpose in asked:
        outcome = read(suite, by=by, purpose=purpose, check=False)
        assert (outcome.code, outcome.out) == (77, "") and "no policy document is in force: nobody may read" in outcome.err, outcome
        assert "sluice policy apply" in outcome.err
    # A person's own is no other way in.
    exported = subprocess.run(suite.command("export", "E1"), capture_output=True, timeout=60)
    assert exported.returncode == 77 and exported.stdout == b"" and b"no policy document is in force" in exported.stderr, exported
    asked.append(("ops-1", "subject-access"))
    assert [(one["reader"], one["purpose"], one["why"], int(one.get("policy", 0))) for one in entries(suite, "denied")] == [(*one, "no-document", 0) for one in asked]
    assert entries(suite, "opened") == []
    # Who asked for what of them is their right all the same.
    assert suite.cli("who-read", "E1", "--denied").out.count("DENIED: no document") == len(asked)
    wait_until(lambda: f"nobody may read, {len(asked)} reads denied" in suite.cli("status").out, "it is shown")


def test_what_no_grant_gives_is_denied_and_on_the_record(stored):
    suite = stored
    apply(suite, document(grant()))
    before = len(entries(suite))
    for by, purpose, classes, why in (
        ("ops-1", "training", ("activity",), "no-grant"), ("guard", "curiosity", ("activity",), "unknown-purpose"), ("job", "safety", ("content",), "not-of-purpose"),
    ):
        outcome = read(suite, by=by, purpose=purpose, classes=classes, check=False)
        assert (outcome.code, outcome.out) == (77, ""), outcome
        last = entries(suite, "denied")[-1]
        assert (last["reader"], last["purpose"], last["classes"], last["why"], int(last["count"])) == (by, purpose, list(classes), why, 1)
        assert int(last["policy"]) > 0 and last["justification"] == "a test"
    assert len(entries(suite)) == before + 3, "nothing was opened"
    # The control: what is granted is read, whole, and its record says by what.
    outcome = read(suite)
    assert len(outcome.lines) == stored.all
    opened = entries(suite, "opened")[-1]
    assert opened["number"] == before + 4 and f"recorded as entry {opened['number']} before the first byte" in outcome.err
    assert [(use["grant"], use["role"], int(use["events"]), use["subject_count"]) for use in opened["uses"]] == [("g", "trainers", suite.all, 2)]
    assert opened["included"] == ["E1", "E2"] and int(opened["policy"]) == int(last["policy"])
    assert ended(suite, int(opened["release"]))["given"] == [{"grant": "g", "events": suite.all}]
    assert suite.cli("ledger", "verify").code == 0


def test_named_people_without_a_record_are_refused_and_of_a_team_they_are_left_out(stored):
    suite = stored
    apply(suite, document(grant(), basis="consent"))
    suite.restart("policy")
    outcome = read(suite, check=False)
    assert outcome.code == 77 and entries(suite, "denied")[-1]["why"] == "no-record", "nobody has agreed"
    consent(suite, "grant", "E1")
    wait_until(lambda: read(suite, check=False).code == 0, "policy has heard of it")
    outcome = read(suite)
    assert len(outcome.lines) == suite.events["E1"] and "left out: 1 (no consent)" in outcome.err
    opened = entries(suite, "opened")[-1]
    assert opened["included"] == ["E1"] and opened["left_out"] == [{"why": "no-consent", "subjects": 1}]
    assert read(suite, "--subject", "E2", check=False).code == 77
    assert read(suite, "--subject", "E1", "--subject", "E2", check=False).code == 77
    assert read(suite, "--team", "ads", check=False).code == 77
    assert len(read(suite, "--subject", "E1").lines) == suite.events["E1"]
    assert [read["grants"] for read in suite.cli("who-read", "E1", "--json").lines][-1] == ["g"]
    assert not any(read["grants"] for read in suite.cli("who-read", "E2", "--json").lines if read["release"] == int(opened["release"])), "E2 was not in it"


def test_who_read_shows_role_and_entry_and_who_was_denied(stored):
    suite = stored
    apply(suite, document(grant(classes=("activity",))))
    suite.restart("policy")
    read(suite, "--subject", "E1")
    read(suite, "--subject", "E1", classes=("content",), check=False)
    opened, denied = entries(suite, "opened")[-1], entries(suite, "denied")[-1]
    line = suite.cli("who-read", "E1").out.splitlines()[-1]
    assert "job, trainers" in line and "training" in line and f"entry {opened['number']}" in line and f"release {opened['release']}" in line
    assert "DENIED" not in suite.cli("who-read", "E1").out
    found = suite.cli("who-read", "E1", "--denied").out
    assert "DENIED: no grant" in found and f"entry {denied['number']}" in found
    shown = [line for line in suite.cli("who-read", "E1", "--denied", "--json").lines if "denied" in line]
    assert (shown[-1]["denied"], shown[-1]["asked"], shown[-1]["entry"]) == ("no-grant", "E1", denied["number"])


def test_where_two_have_registered_a_reader_gives_roles_and_the_directory_which_one_changes_gives_none(stored, tmp_path):
    suite = stored
    apply(suite, document(grant("watch", "guards", "safety", ("activity",)), grant("all", "everyone", "training", ("activity",))))
    people = tmp_path / "people.csv"
    people.write_text("subject,name,team,site\nE9,Guard,safety,berlin\n")
    suite.cli("directory", "import", people)
    for purpose in ("safety", "training"):
        assert read(suite, by="guard", purpose=purpose, check=False).code == 77, f"one operator says that E9 is one of them, for {purpose}"
        assert entries(suite, "denied")[-1]["why"] == "no-grant"
    # The control: two say so.
    proposed = suite.cli("register", "guard", "--reader", "--subject", "E9", "--site", "berlin", "--team", "safety", "--json").json["proposal"]
    assert proposed["gains"] == ["admits reader guard, key of E9, site berlin, team safety"]
    assert read(suite, by="guard", purpose="safety", check=False).code == 77, "until then"
    suite.cli("approve", proposed["proposal"], "--as", "ops-2")
    wait_until(lambda: read(suite, by="guard", purpose="safety", check=False).code == 0, "policy has heard of it")
    assert len(read(suite, by="guard", purpose="safety").lines) == len(read(suite, by="guard").lines) == suite.all
    assert entries(suite, "opened")[-1]["person"] == "E9"
    # Nor does it take one away: it is not asked.
    suite.cli("directory", "remove", "E9")
    assert len(read(suite, by="guard", purpose="safety").lines) == suite.all


def test_fields_that_were_not_asked_for_do_not_leave(stored):
    suite = stored
    apply(suite, document(grant()))
    whole, some = read(suite, classes=("content",)).lines, read(suite, "--field", "app", classes=("content",)).lines
    assert {line["text"] for line in whole} == {"some words"} and {line["text"] for line in some} == {""} and len(some) == len(whole)
    assert entries(suite, "opened")[-1]["fields"] == ["app"]
    assert read(suite, "--field", "everything", check=False).code == 1


def test_a_release_becomes_a_pandas_table_in_thirty_lines(stored):
    pytest.importorskip("pandas", reason="deploy/test could not install pandas")
    import pandas_reader

    assert len(Path(pandas_reader.__file__).read_text().splitlines()) <= 30
    apply(stored, document(grant(classes=("activity",))))
    made = pandas_reader.table(stored.home, "job", "training", "a table", ["activity"], subjects=["E1"])
    assert list(made.groupby("subject").size().items()) == [("E1", stored.events["E1"])]
    assert sorted(set(made["key"])) == ["a", "b"] and str(made["at"].dt.tz) == "UTC" and abs(made["at"].max().timestamp() - time.time()) < 3_600
    with pytest.raises(reader.Refused):
        pandas_reader.table(stored.home, "job", "training", "a table", ["content"])


# While it runs


def test_a_release_ends_when_its_grant_does_and_not_while_another_gives_all_of_it(stored, stream):
    running, seconds = None, 4
    while running is None:
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
        ends = grant(role="all", expires=until.strftime("%Y-%m-%dT%H:%M:%SZ"))
        # By its rate the one that ends gives as much, and by its name it comes first.
        apply(stored, document(ends, grant("h", "both"), roles=[{"name": "all", "members": ["job", "guard"]}, {"name": "both", "members": ["guard"]}]))
        try:
            running = stream()
        except reader.Refused:
            # On a slow machine it had ended before it was asked for.
            assert datetime.datetime.now(datetime.timezone.utc) >= until - datetime.timedelta(seconds=1) and seconds < 40, seconds
            seconds *= 2
    other = stream(name="guard")
    assert not running.take(other), "it stands still, and ends by itself"
    assert running.ended.code == DENIED and "'g' ended" in running.ended.text
    assert other.more(), "the other goes on after that"
    assert other.rest().code == 0 and other.events == stored.all
    end = ended(stored, running.release.release)
    assert (end["code"], end["why"], int(end["events"]), int(end["chunks"])) == (DENIED, "expired", running.events, running.chunks)
    assert read(stored, check=False).code == 77
    by = {int(opened["release"]): [use["grant"] for use in opened["uses"]] for opened in entries(stored, "opened")}
    assert (by[running.release.release], by[other.release.release]) == (["g"], ["h"])


TEMPORARY = itertools.count()


@pytest.mark.parametrize("what", ["consent", "reader", "document", "directory", "registry"])
def test_a_release_ends_at_once_when_the_right_to_it_goes_and_the_ledger_says_how_much_left(stored, stream, tmp_path, what):
    suite = stored
    people = tmp_path / "people.csv"
    # A key that was taken away never comes back.
    temporary = f"temp-{next(TEMPORARY)}"
    suite.approved("register", temporary, "--reader", "--subject", "E8", "--site", "berlin", "--team", "press")
    held = document(grant(), grant("h", "press", **{"for": {"team": ["search", "ads"]}}), basis="consent", roles=[{"name": "press", "for": {"team": "press"}}])
    apply(suite, held)
    for subject in ("E1", "E2"):
        consent(suite, "grant", subject)
    wait_until(lambda: "left out" not in read(suite, check=False).err, "both have agreed")
    by = temporary if what in ("reader", "directory", "registry") else "job"
    running, other = stream(name=by), stream(name="job", purpose="training", subjects=["E1"])
    deed = {
        # Not of whose data is going out now: of somebody further back in the same release.
        "consent": lambda: consent(suite, "withdraw", "E2"),
        "reader": lambda: suite.cli("register", temporary, "--remove"),
        "document": lambda: apply(suite, {**held, "access": [grant(**{"for": {"team": "search"}}), grant("h", "press")]}),
        # What it says of whose data it is takes away; what it says of the reader does nothing.
        "directory": lambda: (people.write_text("subject,team,site\nE8,post,berlin\nE2,sales,berlin\n"), suite.cli("directory", "import", people)),
        "registry": lambda: suite.approved("register", temporary, "--reader", "--subject", "E8", "--site", "berlin", "--team", "post"),
    }[what]
    deed()
    # Nothing was asked for: it ends without.
    assert not running.take()
    assert running.ended.code == DENIED and running.ended.events == running.events, running.ended
    end = ended(suite, running.release.release)
    assert (end["code"], int(end["events"]), end["chunks"]) == (DENIED, running.events, 1) and end["why"] in ("no-record", "removed", "subject-not-covered", "no-grant"), end
    # The control: what has all that it rests on goes on to its end.
    assert other.rest().code == 0 and other.events == suite.events["E1"]
    consent(suite, "grant", "E2")
    suite.cli("directory", "remove", "E2")


# Rates


def test_a_rate_is_counted_from_the_ledger_and_a_restart_forgets_nothing(stored):
    suite = stored
    suite.restart("policy")
    apply(suite, document(grant("limited", rate={"events": suite.all + WORDS, "per": "week"})))
    assert len(read(suite).lines) == suite.all
    release = int(entries(suite, "opened")[-1]["release"])
    ended(suite, release)
    outcome = read(suite, check=False)
    assert outcome.code == 1 and "grant 'limited' allows in any week" in outcome.err and entries(suite, "denied")[-1]["why"] == "rate"
    suite.restart("policy")
    assert read(suite, check=False).code == 1, "a restart forgets nothing"
    # The control: less than what is left is given, and then nothing.
    assert len(read(suite, "--subject", "E1", classes=("content",)).lines) == WORDS
    ended(suite, release + 1)
    assert read(suite, "--subject", "E1", classes=("content",), check=False).code == 1
    apply(suite, document(grant("limited", rate={"subjects": 1, "per": "hour"})))
    assert read(suite, "--subject", "E1", check=False).code == 1, "two were taken in this hour"
    apply(suite, document(grant("limited", rate={"subjects": 2, "per": "hour"})))
    assert len(read(suite).lines) == suite.all


# The ledger


def test_a_flood_of_denied_reads_makes_nine_entries_and_counts_every_one(stored):
    suite = stored
    apply(suite, document())
    suite.restart("policy")
    before = len(entries(suite, "denied"))
    with peer(suite) as flooding:
        for number in range(300):
            flooding.send("releaseRequest", id=os.urandom(16), purpose="training", justification="a flood", classes=["activity"], subjects=[f"E{number}"], credit=1)
            with pytest.raises(reader.Refused) as refused:
                flooding.expect("release", of="releaseRequest")
            assert refused.value.code == DENIED
    assert [int(e["count"]) for e in entries(suite, "denied")[before:]] == [1] * 8
    suite.terminate("policy")
    suite.start("policy")
    counted = entries(suite, "denied")[before:]
    assert [int(e["count"]) for e in counted] == [*[1] * 8, 292] and counted[8]["subject_count"] == 100, "whoever asked for E1 can be found, and no entry grows without end"
    assert suite.cli("ledger", "verify").code == 0


def test_when_the_ledger_cannot_be_written_nobody_reads(stored):
    suite = stored
    apply(suite, document(grant()))
    path = suite.home / "policy" / "vault.sqlite"

    def alter(sql):
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as vault, vault:
            vault.execute(sql)

    suite.terminate("policy")
    alter("CREATE TRIGGER unwritable BEFORE INSERT ON ledger_leaf BEGIN SELECT RAISE(ABORT, 'a test'); END")
    suite.start("policy")
    outcome = read(suite, check=False)
    assert outcome.code == 1 and outcome.out == "", outcome
    assert suite.services["policy"].wait() != 0, "nothing is known about what the disk holds: it ends"
    alter("DROP TRIGGER unwritable")
    suite.start("policy")
    # Control may know of its lease before policy knows of its readers.
    wait_until(lambda: len(read(suite, check=False).lines) == suite.all, "the control")


def unrecorded(served, recorded):
    """Releases of which a byte was served, and that stand in no entry."""
    return sorted(set(served) - set(recorded))


@pytest.mark.limit(900)
def test_of_releases_that_eight_readers_stream_while_policy_is_killed_none_is_missing_in_the_ledger(stored):
    """SLUICE_KILLS=50 for the figure of the README."""
    seed = int(os.environ.get("SLUICE_SEED") or random.randrange(1 << 32))
    print(f"seed {seed}: again with SLUICE_SEED={seed}")
    rng = random.Random(seed)
    suite = stored
    apply(suite, document(grant()))
    served, stopping, cut = [], threading.Event(), itertools.count()

    def stream_for_ever():
        while not stopping.is_set():
            try:
                with peer(suite) as connected:
                    while not stopping.is_set():
                        for origin, _ in reader.read(connected, ["activity", "content"], purpose="training", credit=1):
                            # Of each release once: it has brought a byte.
                            if not served or served[-1] != origin.release:
                                served.append(origin.release)
            except (reader.CutOff, reader.Refused, TimeoutError):
                next(cut)
                time.sleep(0.05)

    readers = [threading.Thread(target=stream_for_ever, daemon=True) for _ in range(8)]
    for one in readers:
        one.start()
    try:
        for kill in range(KILLS):
            have = len(served)
            wait_until(lambda: len(served) >= have + 8, "they stream", 60)
            time.sleep(rng.random() * 0.2)
            suite.restart("policy")
    finally:
        stopping.set()
    for one in readers:
        one.join(60)
        assert not one.is_alive()
    recorded = [int(e["release"]) for e in entries(suite, "opened")]
    print(f"{KILLS} kills, {len(set(served))} releases served, {len(recorded)} recorded, {next(cut)} streams cut: served and not recorded {len(unrecorded(served, recorded))}")
    assert len(set(served)) >= 8 * KILLS and unrecorded(served, recorded) == []
    assert len(recorded) == len(set(recorded)) and suite.cli("ledger", "verify").code == 0
    # The control: one that is taken away is missed.
    assert unrecorded(served, [n for n in recorded if n != served[-1]]) == [served[-1]]
