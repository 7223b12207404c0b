"""The two ledgers, edited, cut, put back and forked on disk: what is not as it was recorded is refused, named, counted and shown, and serves nobody.

Each has its control: the same without the damage is believed.
"""

import base64
import hashlib
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from checks import twice
from harness import Typist, binaries, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Interop"))
import reader  # noqa: E402
import wire  # noqa: E402


ROUNDS = int(os.environ.get("SLUICE_ROUNDS", "3"))


def ledger(suite, name):
    """As `sluice status` shows it."""
    return next(one for one in suite.status()["ledgers"] if one["origin"].endswith("/" + name))


def expect_cosigned(suite, name, at_least=1, within=60):
    """Waits until the other service has cosigned all of it."""
    return wait_until(
        lambda: (one := ledger(suite, name)).get("size", 0) >= at_least and one.get("witnessed", 0) == one["size"] and not one.get("trouble") and one,
        f"{name} is cosigned", within)


def expect_no_lease(suite):
    """What its earlier run was granted ends; nothing is granted to this one."""
    wait_until(lambda: not suite.service_status("policy").get("connected"), "policy holds no lease")


def log_lines(suite, service, words):
    return [line for line in suite.log(service).read_text(errors="replace").splitlines() if words in line]


def said_once(suite, service, words):
    """Waits until the line is there, which may be a moment after what it is about is shown elsewhere."""
    return len(wait_until(lambda: log_lines(suite, service, words), f"{service} says so")) == 1


def verify(home, *more):
    done = subprocess.run([binaries() / "sluice", "ledger", "verify", "--json", "--home", str(home), *more], capture_output=True, text=True, timeout=60)
    return done.returncode, {one["ledger"]: one for one in map(json.loads, done.stdout.splitlines())}


def populate(make_suite, **more):
    """A suite in which somebody was paused, registered and read."""
    suite = make_suite(**more)
    agent = suite.agent("ann", "E-ann").run().expect(capturing=True)
    agent.type("a", "b", "c")
    wait_until(lambda: suite.vault_count() == 3, "three keys are stored")
    suite.pause("--all")
    suite.resume()
    for _ in range(3):
        assert len(suite.read(classes=("activity",)).lines) == 3
    return suite


@pytest.fixture(scope="module")
def stopped(make_module_suite):
    """Such a suite, that was stopped in order when both ledgers were cosigned."""
    suite = populate(make_module_suite)
    expect_cosigned(suite, "reads", 6)
    expect_cosigned(suite, "governance", 6)
    assert suite.agents["ann"].end_input() == 0
    suite.terminate_all()
    return suite


@pytest.fixture
def populated(make_suite, stopped):
    """Another that goes on from there; its agent does not run."""
    return make_suite(after=stopped)


def opened(suite):
    """The entries of the read ledger, as JSON."""
    return [json.loads(line) for line in suite.cli("ledger", "show", "1..", "--ledger", "reads", "--json").out.splitlines()]


# Recorded before released


def test_every_read_is_in_the_ledger_before_its_first_byte_and_so_is_its_end(populated):
    suite = populated
    expect_cosigned(suite, "reads", 6)
    entries = opened(suite)
    assert [("opened" in e, "ended" in e) for e in entries] == [(True, False), (False, True)] * 3
    first = entries[0]["opened"]
    assert (first["release"], first["reader"], first["purpose"], first["classes"], first["events_max"]) == (1, "ops-1", "test", ["activity"], 3)
    assert entries[1]["ended"] == {"release": 1, "reader": "ops-1", "chunks": entries[1]["ended"]["chunks"], "events": 3, "given": [{"grant": "test", "events": 3}]}
    # The ledger and the table are one transaction: neither has what the other has not.
    assert [n for n, in suite.vault("SELECT number FROM release ORDER BY number")] == [e["opened"]["release"] for e in entries if "opened" in e]
    assert json.loads(suite.cli("certificate", "1", "--json").out)["complete"]


def test_of_readers_who_race_each_has_a_record_of_their_own_before_its_end(populated):
    suite = populated
    before = len(opened(suite))
    racing = [suite.begin("read", "--purpose", "race", "--why", f"reader {n}", "--class", "activity", output=f"race-{n}.log") for n in range(12)]
    assert [process.wait(60) for process in racing] == [0] * 12
    entries = wait_until(lambda: len(e := opened(suite)[before:]) == 24 and e, "twelve records and twelve ends")
    records = {e["opened"]["justification"]: e["opened"]["release"] for e in entries if "opened" in e}
    assert sorted(records) == sorted(f"reader {n}" for n in range(12)) and len(set(records.values())) == 12
    place = {(kind, e[kind]["release"]): n for n, e in enumerate(entries) for kind in ("opened", "ended") if kind in e}
    assert all(place["opened", n] < place["ended", n] for n in records.values())
    assert [int(e["number"]) for e in entries] == list(range(before + 1, before + 25)), "ordered by index, whatever clocks say"


def unrecorded(got, entries):
    """Reads, by their reason, that have brought something and stand in no entry."""
    records = {e["opened"]["justification"] for e in entries if "opened" in e}
    return sorted(why for why, out in got.items() if out and why not in records)


def at_policy(suite):
    """A session of ops-1's."""
    key = next(node["key"] for node in json.loads((suite.home / "registry.json").read_text())["nodes"] if node["name"] == "policy")
    return reader.Peer(suite.settings["policy"], key.encode(), wire.read_secret(suite.home / "keys" / "ops-1.secret"))


@pytest.mark.parametrize("point, is_recorded", [("before-release-record", False), ("after-release-record", True), ("after-release-read", True)])
def test_a_read_that_was_cut_off_by_a_kill_is_on_the_record_before_a_row_is_read(populated, point, is_recorded):
    """FAULTS L02: policy ends inside the transaction that records, after its commit, and when rows were read and nothing was sent."""
    suite = populated
    before = len(opened(suite))
    suite.restart("policy", env={"SLUICE_FAULT": f"{point}:1"})
    with at_policy(suite) as peer:
        peer.send("releaseRequest", id=os.urandom(16), purpose="killed", justification="a test", classes=["activity"], credit=16)
        assert suite.services["policy"].wait() == 137, "it has come to that point"
        heard = []
        while (one := peer.receive(0.3)) is not None:
            heard.append(one[0])
        assert heard == [], "nobody got a byte"
    # What it says at its next start is what was durable then.
    suite.start("policy")
    entries = opened(suite)[before:]
    assert [e["opened"]["purpose"] for e in entries] == ["killed"] * is_recorded
    assert [number for number, in suite.vault("SELECT number FROM release ORDER BY number")] == list(range(1, 4 + is_recorded)), "table and ledger agree"
    with at_policy(suite) as peer:
        assert len(list(reader.read(peer, ["activity"]))) == 3, "the control: who asks the same of it now is given all"


def test_of_reads_that_are_killed_at_any_moment_none_has_a_byte_without_a_record(populated):
    """FAULTS L02, from outside: whatever a reader has got, the ledger knows of it after the kill."""
    seed = int(os.environ.get("SLUICE_SEED") or random.randrange(1 << 32))
    print(f"seed {seed}: again with SLUICE_SEED={seed}")
    rng = random.Random(seed)
    suite = populated
    got, rounds = {}, 0
    # Until there were some of both: who had got it all, and who had got nothing.
    while rounds < ROUNDS or rounds < 25 and not (any(got.values()) and not all(got.values())):
        rounds += 1
        readers = {
            f"round {rounds}, reader {n}": suite.begin("read", "--purpose", "killed", "--why", f"round {rounds}, reader {n}", "--class", "activity", output=f"r{rounds}-{n}.log")
            for n in range(4)}
        # The first ends: so the others are anywhere.
        wait_until(lambda: not all(reader.is_running for reader in readers.values()), "one has read")
        time.sleep(rng.random() * 0.02)
        suite.kill("policy")
        # Who has got all of it prints it and ends; the others would wait for ten seconds more, and print nothing.
        end = time.monotonic() + 1
        while time.monotonic() < end and any(reader.is_running for reader in readers.values()):
            time.sleep(0.01)
        for why, reader in readers.items():
            if reader.is_running:
                reader.kill()
            got[why] = reader.finish()[1]
        suite.start("policy")
    entries = opened(suite)
    assert any(got.values()) and unrecorded(got, entries) == []
    # The control: the same check misses a record that is taken away.
    last = max((e for e in entries if got.get(e.get("opened", {}).get("justification"))), key=lambda e: int(e["number"]))
    assert unrecorded(got, [e for e in entries if e is not last]) == [last["opened"]["justification"]]


# On disk


TAMPERING = {
    "governance": "control/ledger.sqlite",
    "reads": "policy/vault.sqlite",
}


@pytest.fixture(scope="module")
def stopped_home(stopped):
    return stopped.home


def copied(home, folder):
    """What `ledger verify` reads: the two databases, and the keys that are public."""
    for part in ("control", "policy"):
        shutil.copytree(home / part, folder / part)
    shutil.copy(home / "registry.json", folder)
    return folder


@pytest.mark.parametrize("name", list(TAMPERING))
def test_what_is_whole_verifies_and_says_how_much_it_is(stopped_home, tmp_path, name):
    code, report = verify(copied(stopped_home, tmp_path / "copy"))
    assert code == 0 and report[name]["whole"]
    assert report[name]["entries"] >= 6 and report[name]["cosigned"] == report[name]["entries"]
    assert report["governance"]["signatures"] >= 4


DEEDS = {
    "edited": "UPDATE ledger_body SET body = CAST(body || x'00' AS BLOB) WHERE number = 3",
    "deleted": "DELETE FROM ledger_leaf WHERE number = 2; DELETE FROM ledger_body WHERE number = 2",
    "reordered": "UPDATE ledger_body SET number = -1 WHERE number = 2; UPDATE ledger_body SET number = 2 WHERE number = 3; "
    "UPDATE ledger_body SET number = 3 WHERE number = -1",
    "truncated": "DELETE FROM ledger_leaf WHERE number >= 4; DELETE FROM ledger_body WHERE number >= 4; DELETE FROM ledger_hash WHERE level = 0 AND number >= 4",
}


@pytest.mark.parametrize("name", list(TAMPERING))
@pytest.mark.parametrize("deed, sql, entry, words", [
    ("edited", DEEDS["edited"], 4, "entry 4 is not what was recorded"),
    ("edited-leaf", "UPDATE ledger_leaf SET leaf = CAST(x'01' || zeroblob(32) AS BLOB) WHERE number = 3", 4, "entry 4"),
    ("salted", "UPDATE ledger_body SET salt = zeroblob(32) WHERE number = 2", 3, "entry 3 is not what was recorded"),
    ("deleted", DEEDS["deleted"], 3, "entry 3 is missing"),
    ("body-deleted", "DELETE FROM ledger_body WHERE number = 2", 3, "entry 3 is missing"),
    ("reordered", DEEDS["reordered"], 3, "entry 3 holds what was recorded as entry 4"),
    ("truncated", DEEDS["truncated"], 5, "missing"),
], ids=["edited", "edited-leaf", "salted", "deleted", "body-deleted", "reordered", "truncated"])
def test_a_row_that_was_changed_on_disk_is_named(stopped_home, tmp_path, name, deed, sql, entry, words):
    home = copied(stopped_home, tmp_path / "copy")
    with sqlite3.connect(home / TAMPERING[name]) as database:
        database.executescript(sql)
    database.close()
    code, report = verify(home)
    assert code == 1 and not report[name]["whole"]
    assert (report[name]["entry"], words in report[name]["fault"]) == (entry, True), report[name]
    other = next(one for one in TAMPERING if one != name)
    assert report[other]["whole"], "the other is as it was"


def rebuilt(path, change):
    """Writes a ledger anew, hashes and all, as somebody would who knows how it is made."""
    import hashlib

    def sha(data):
        return hashlib.sha256(data).digest()

    database = sqlite3.connect(path)
    rows = change(database.execute("SELECT salt, body FROM ledger_body ORDER BY number").fetchall())
    for table in ("ledger_leaf", "ledger_body", "ledger_hash"):
        database.execute(f"DELETE FROM {table}")
    level = []
    for number, (salt, body) in enumerate(rows):
        leaf = b"\x01" + sha(salt + body)
        database.execute("INSERT INTO ledger_leaf VALUES (?, ?)", (number, leaf))
        database.execute("INSERT INTO ledger_body VALUES (?, ?, ?)", (number, salt, body))
        level.append(sha(b"\x00" + leaf))
    height = 0
    while level:
        database.executemany("INSERT INTO ledger_hash VALUES (?, ?, ?)", [(height, n, h) for n, h in enumerate(level)])
        level = [sha(b"\x01" + level[n] + level[n + 1]) for n in range(0, len(level) - 1, 2)]
        height += 1
    database.commit()
    database.close()


@pytest.mark.parametrize("name", list(TAMPERING))
def test_a_ledger_that_was_written_anew_to_agree_with_itself_is_another_than_was_cosigned(stopped_home, tmp_path, name):
    # Control: written anew as it was, it is the same ledger.
    same = copied(stopped_home, tmp_path / "same")
    rebuilt(same / TAMPERING[name], lambda rows: rows)
    assert verify(same)[0] == 0
    for deed, change in {
        "salted anew": lambda rows: [*rows[:-1], (b"\x07" * 32, rows[-1][1])],
        "shorter": lambda rows: rows[:-1],
        "an entry left out": lambda rows: [*rows[:3], *rows[4:]],
    }.items():
        home = copied(stopped_home, tmp_path / deed.replace(" ", "-"))
        rebuilt(home / TAMPERING[name], change)
        code, report = verify(home)
        assert code == 1 and not report[name]["whole"], deed


def once(said, *words):
    """The one line in which a service has said why it ended."""
    lines = [line for line in said.splitlines() if line.startswith("Error: ") or " critical " in line]
    assert len(lines) == 1 and all(word in lines[0] for word in words), said[-2_000:]
    return lines[0]


@pytest.mark.parametrize("deed, words", [
    ("edited", "entry 4"), ("deleted", "entry 3"), ("reordered", "entry 3"), ("truncated", "there are 4"),
])
def test_control_whose_ledger_was_changed_on_disk_does_not_start_and_says_which_entry(populated, deed, words):
    suite = populated
    ann = suite.agents["ann"].run().expect(capturing=True)
    expect_cosigned(suite, "governance", 6)
    # The control: untouched it starts.
    suite.restart("control")
    suite.terminate("control")
    with sqlite3.connect(suite.home / TAMPERING["governance"]) as database:
        database.executescript(DEEDS[deed])
    database.close()
    for _ in range(2):
        suite.start("control", wait=False)
        assert suite.services["control"].wait() == 1
        said = suite.log("control").read_bytes()[suite.services["control"].log_start:].decode()
        once(said, words, "damaged", "restore a backup")
    shown = suite.cli("status", check=False)
    assert shown.code == 1 and shown.out == "" and len(shown.err.splitlines()) == 1 and "Its log ends with: " in shown.err and words in shown.err, shown
    # Nobody goes on by what it had said: what is granted ends.
    ann.expect(capturing=False)
    assert suite.read(classes=("activity",), check=False).code == 1


@pytest.mark.parametrize("deed, words", [
    ("edited", "entry 4 is not what was recorded"), ("deleted", "entry 3 is missing"), ("reordered", "entry 3 holds what was recorded as entry 4"),
    ("truncated", "there are 4"),
])
def test_policy_whose_ledger_of_reads_was_changed_on_disk_ends_and_says_which_entry(populated, deed, words):
    suite = populated
    expect_cosigned(suite, "reads", 6)
    # The control: untouched it is whole, and says so, and is read from.
    suite.terminate("policy")
    suite.start("policy")
    wait_until(lambda: log_lines(suite, "policy", "the ledger of reads is whole: 6 entries"), "it is checked")
    assert len(suite.read(classes=("activity",)).lines) == 3
    expect_cosigned(suite, "reads", 8)
    suite.terminate("policy")
    with sqlite3.connect(suite.home / TAMPERING["reads"]) as database:
        database.executescript(DEEDS[deed])
    database.close()
    released = len(opened_in(suite))
    suite.start("policy", wait=False)
    assert suite.services["policy"].wait() == 1
    said = suite.log("policy").read_bytes()[suite.services["policy"].log_start:].decode()
    once(said, words, "vault.sqlite is damaged", "restore a backup")
    expect_no_lease(suite)
    shown = suite.cli("status").out
    assert re.search("^MISSING policy", shown, re.M)
    assert re.search(f"^ENDED   policy's log ends with: .*{words}", shown, re.M), shown
    assert len(opened_in(suite)) == released, "nothing was released"


def opened_in(suite):
    """Rows of the read ledger, whatever they hold."""
    return suite.vault("SELECT number FROM ledger_body")


def test_without_control_status_says_why_it_ended(populated):
    suite = populated
    suite.terminate("control")
    plain = suite.cli("status", check=False)
    assert plain.code == 1 and len(plain.err.splitlines()) == 1 and "sluice up" in plain.err and "log" not in plain.err, plain
    with sqlite3.connect(suite.home / "control" / "ledger.sqlite") as database:
        database.executescript(DEEDS["edited"])
    database.close()
    suite.start("control", wait=False)
    suite.services["control"].wait()
    shown = suite.cli("status", check=False)
    assert shown.code == 1 and shown.out == "" and len(shown.err.splitlines()) == 1, shown
    assert "Its log ends with: " in shown.err and "entry 4" in shown.err and "damaged" in shown.err, shown


# Put back


def put_back(suite, name, service, folder):
    """Ends the service, and brings its database back as it was saved in `folder`."""
    suite.kill(service)
    for file in (suite.home / Path(TAMPERING[name])).parent.glob(Path(TAMPERING[name]).name + "*"):
        file.unlink()
    for file in folder.iterdir():
        shutil.copy(file, (suite.home / TAMPERING[name]).parent)


def saved(suite, name, folder):
    """A copy as a backup makes it, while the service runs."""
    folder.mkdir()
    source = sqlite3.connect(f"file:{suite.home / TAMPERING[name]}?mode=ro", uri=True)
    source.execute("VACUUM INTO ?", (str(folder / Path(TAMPERING[name]).name),))
    source.close()
    return folder


def test_a_vault_from_yesterdays_backup_gets_no_lease_until_two_operators_say_so(populated, tmp_path):
    suite = populated
    before = expect_cosigned(suite, "reads", 6)["size"]
    backup = saved(suite, "reads", tmp_path / "backup")
    # Control: what has lost nothing is believed after a restart.
    suite.restart("policy")
    assert len(suite.read(classes=("activity",)).lines) == 3
    after = expect_cosigned(suite, "reads", before + 2)["size"]

    put_back(suite, "reads", "policy", backup)
    suite.start("policy", wait=False)
    trouble = wait_until(lambda: ledger(suite, "reads").get("trouble"), "control does not believe it")
    assert f"it has {before} entries, and {after} were cosigned" in trouble
    expect_no_lease(suite)
    assert "LEDGER" in suite.cli("status").out and "NOT BELIEVED" in suite.cli("status").out
    refused = suite.read(classes=("activity",), check=False)
    assert refused.code == 1 and "lease" in refused.err
    assert suite.status()["counters"]["ledger.reads.refused"] == 1
    assert said_once(suite, "control", "policy's ledger is not believed"), "said once, however often it is asked"
    assert said_once(suite, "policy", "control does not believe the read ledger")
    code, report = verify(suite.home, "--ledger", "reads")
    assert code == 1 and "missing" in report["reads"]["fault"]
    # A pause does not wait for any of it.
    suite.expect_in_time(suite.pause("--all"))
    suite.resume()

    # One operator cannot; two can, and it stands in the ledger for good.
    proposed = suite.cli("ledger", "restore", "reads", "--reason", "a test", "--json").json["proposal"]
    assert proposed["state"] == "open" and not suite.service_status("policy").get("connected")
    suite.cli("approve", proposed["proposal"], "--as", "ops-2")
    suite.expect_serving(("policy",))
    assert len(suite.read(classes=("activity",)).lines) == 3
    expect_cosigned(suite, "reads", before + 2)
    assert any(f"gives up {after} entries of the read ledger for the {before}" in line for line in suite.cli("ledger", "show", "1..").out.splitlines())
    assert verify(suite.home)[0] == 0
    for service in ("policy", "control"):
        suite.restart(service)
        suite.expect_serving()


def test_a_vault_that_was_backed_up_while_it_was_written_comes_back_whole_and_what_is_lost_is_counted(make_suite, tmp_path):
    """FAULTS D13."""
    # Before anybody types: while new rules come, nothing is captured.
    suite = make_suite().govern()
    agent = suite.agent("ann", "E-ann").run().expect(capturing=True)
    typist = Typist(agent, every=0.01).start()
    newest = lambda: suite.vault("SELECT COALESCE(MAX(sequence), 0) FROM stream")[0][0]
    wait_until(lambda: newest() >= 2, "two batches are stored")
    readers = [suite.begin("read", "--purpose", "test", "--why", f"reader {n}", "--class", "activity", output=f"reader-{n}.log") for n in range(4)]
    backup = saved(suite, "reads", tmp_path / "backup")
    batches = suite._database(backup / "vault.sqlite", "SELECT MAX(sequence) FROM stream", ())[0][0]
    wait_until(lambda: newest() >= batches + 2, "two more are stored")
    assert [reader.wait(60) for reader in readers] == [0] * 4
    expect_cosigned(suite, "reads", 8)
    typist.stop()
    agent.expect_drained()
    stored = suite.keys()
    assert twice(stored) == [] and len(stored) == len(typist.sent)
    assert suite.service_status("policy")["counters"].get("batches.lost", 0) == 0
    expect_cosigned(suite, "reads", 10)

    put_back(suite, "reads", "policy", backup)
    suite.start("policy", wait=False)
    wait_until(lambda: ledger(suite, "reads").get("trouble"), "control does not believe it")
    expect_no_lease(suite)
    # What comes meanwhile waits, and is asked for again and again: nothing is accepted before two have said so.
    agent.type("meanwhile")
    wait_until(lambda: agent.fresh["spoolBatches"] == 1, "it waits")
    proposed = suite.cli("ledger", "restore", "reads", "--reason", "a test", "--json").json["proposal"]
    suite.cli("approve", proposed["proposal"], "--as", "ops-2")
    suite.expect_serving(("policy",))
    agent.expect_drained()
    *back, last = suite.keys()
    assert last == "meanwhile" and back == stored[:len(back)] and 0 < len(back) < len(stored), "what was committed when the copy was made, in order, and nothing else"
    # What was acknowledged since is gone, and nobody says otherwise.
    lost = wait_until(lambda: suite.service_status("policy")["counters"].get("batches.lost", 0), "it is counted")
    assert lost == newest() - 1 - batches
    assert re.search(f"^LOST +{lost} batches", suite.cli("status").out, re.M)
    assert said_once(suite, "policy", f"batches {batches + 1} to {newest() - 1} of agent ann")
    assert verify(suite.home)[0] == 0
    # The control: the copy itself is whole.
    with sqlite3.connect(backup / "vault.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_read_ledger_that_was_rewritten_gets_no_lease(populated):
    suite = populated
    size = expect_cosigned(suite, "reads", 6)["size"]
    suite.kill("policy")
    path = suite.home / TAMPERING["reads"]
    rebuilt(path, lambda rows: [(b"\x07" * 32, rows[0][1]), *rows[1:]])
    with sqlite3.connect(path) as database:
        # Who can write the vault takes its own memory away as well: control's is out of reach.
        database.execute("UPDATE anchor SET cosigned = NULL")
    database.close()
    suite.start("policy", wait=False)
    trouble = wait_until(lambda: ledger(suite, "reads").get("trouble"), "control does not believe it")
    assert f"its {size} entries are others than those that were cosigned" in trouble
    expect_no_lease(suite)
    assert suite.status()["counters"]["ledger.reads.refused"] == 1
    assert said_once(suite, "control", "policy's ledger is not believed")
    shown = suite.cli("status").out
    assert re.search("^LEDGERS .*reads .*NOT BELIEVED", shown, re.M) and re.search(r"^REFUSED .*\d+ ledgers", shown, re.M), shown


def forked(path):
    """Somebody holds control's disk: the newest entry of its ledger is another, at the same place."""
    rebuilt(path, lambda rows: [*rows[:-1], (b"\x07" * 32, rows[-1][1])])


def cut(path):
    with sqlite3.connect(path) as database:
        database.executescript(DEEDS["truncated"])
    database.close()


@pytest.mark.parametrize("deed, words", [(forked, "another history than was followed"), (cut, "it was put back")], ids=["forked", "cut"])
def test_who_follows_control_and_is_shown_another_ledger_ends_says_why_once_and_status_shows_it(populated, deed, words):
    """Rightly signed: whoever did it has control's key as well, and has taken control's own memory away."""
    suite = populated
    ann = suite.agents["ann"].run().expect(capturing=True)
    size = expect_cosigned(suite, "governance")["size"]
    followers = ("ingest", "policy", "notify")
    suite.kill("control")
    path = suite.home / TAMPERING["governance"]
    deed(path)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE journal SET cosigned = NULL")
    database.close()
    begun = {name: suite.log(name).stat().st_size for name in followers}
    suite.start("control", wait=False)
    for name in followers:
        assert suite.services[name].wait() == 1, name
        once(suite.log(name).read_bytes()[begun[name]:].decode(), words, "follows anew when it is started again")
    wait_until(lambda: suite.cli("status", check=False).code == 0, "control answers")
    for name in followers:
        # What it was granted may last for a moment yet.
        wait_until(lambda: re.search(f"^ENDED   {name}'s log ends with: .*{words}", suite.cli("status").out, re.M), f"it is shown why {name} ended")
    ann.expect(capturing=False)
    # Started again, policy remembers what it had cosigned, whatever it follows; and so control holds its own signature against itself.
    suite.start(*followers, wait=False)
    trouble = wait_until(lambda: ledger(suite, "governance").get("trouble"), "policy does not believe it")
    assert str(size) in trouble, trouble
    wait_until(lambda: "entries were lost" in (suite.status()["gate"].get("sealed") or ""), "control is sealed")
    assert suite.status()["counters"]["ledger.governance.refused"] == 1
    assert said_once(suite, "policy", "control's ledger is not believed")
    shown = suite.cli("status").out
    assert re.search("^LEDGERS governance .*NOT BELIEVED", shown, re.M) and re.search(r"^REFUSED .*\d+ ledgers", shown, re.M) and "SEALED" in shown, shown
    assert ann.fresh["classes"] == [] and suite.read(classes=("activity",), check=False).code == 1


def test_a_ledger_of_control_from_yesterdays_backup_is_refused_by_policys_witness_until_two_operators_give_the_other_up(populated, tmp_path):
    suite = populated
    before = expect_cosigned(suite, "governance")["size"]
    backup = saved(suite, "governance", tmp_path / "backup")
    suite.pause("--all")
    suite.resume()
    after = expect_cosigned(suite, "governance", before + 4)["size"]
    # Everybody begins anew: nothing but policy's own disk remembers what was cosigned.
    for name in ("ingest", "notify", "policy"):
        suite.kill(name)
    put_back(suite, "governance", "control", backup)
    suite.start(wait=False)
    wait_until(lambda: "entries were lost" in (suite.status()["gate"].get("sealed") or ""), "control is sealed")
    expect_no_lease(suite)
    trouble = wait_until(lambda: ledger(suite, "governance").get("trouble"), "policy does not believe it")
    assert "was put back" in trouble or "others than those" in trouble
    assert said_once(suite, "policy", "control's ledger is not believed")
    assert suite.status()["counters"]["ledger.governance.refused"] == 1
    shown = suite.cli("status").out
    assert re.search("^LEDGERS governance .*NOT BELIEVED", shown, re.M) and re.search(r"^REFUSED .*\d+ ledgers", shown, re.M) and "SEALED" in shown, shown
    assert suite.cli("read", "--purpose", "t", "--why", "t", "--class", "activity", check=False).code == 1
    # Pausing goes on.
    assert suite.pause("--all", check=False) is not None

    proposed = suite.cli("ledger", "restore", "governance", "--reason", "a test", "--json").json["proposal"]
    assert f"giving up the history of {after} entries" in suite.cli("proposals").out
    assert wait_until(lambda: ledger(suite, "governance").get("trouble"), "one operator changes nothing")
    suite.cli("approve", proposed["proposal"], "--as", "ops-2")
    suite.expect_serving()
    # What policy says of it comes with its next report.
    wait_until(lambda: not ledger(suite, "governance").get("trouble"), "policy believes it again")
    suite.resume(*[str(c["epoch"]) for c in suite.status()["gate"]["closures"]])
    assert len(suite.read(classes=("activity",)).lines) == 3
    expect_cosigned(suite, "governance")
    assert f"gives up the history of {after} entries" in suite.cli("ledger", "show", "1..").out
    assert verify(suite.home)[0] == 0


def leaf_ids(suite):
    """What messages about the entries of control's ledger are called, in order: SPEC, section 16."""
    return ["msg_" + hashlib.sha256(b"\0" + leaf).hexdigest() for leaf, in suite.journal("SELECT leaf FROM ledger_leaf ORDER BY number")]


def expect_told(suite, receiver, pauses, resumes):
    """Every pause and every resume that ever was has arrived, once, under a name of its own, and nothing waits."""
    def told():
        kinds = Counter(content["type"] for _, content in receiver.delivered())
        return (kinds["gate.paused"], kinds["gate.resumed"]) >= (pauses, resumes) and not suite.cli("deliveries", "--json").json.get("waiting")

    wait_until(told, "all is delivered")
    ids = [name for name, _ in receiver.delivered()]
    assert twice(ids) == []
    kinds = Counter(content["type"] for _, content in receiver.delivered())
    assert (kinds["gate.paused"], kinds["gate.resumed"]) == (pauses, resumes)
    return ids


def notify_gauges(suite):
    return {"ledger.trouble": 0, **suite.service_status("notify").get("gauges", {})}


def populated_and_told(make_suite, receiver, both=False):
    """A suite whose hook has heard of three pauses, with a backup of control's ledger from before the last two."""
    suite = populate(make_suite, hooks=[receiver.hook])
    expect_cosigned(suite, "governance")
    backup = saved(suite, "governance", suite.folder / "backup")
    if both:
        expect_cosigned(suite, "reads", 6)
        saved(suite, "reads", suite.folder / "backup-reads")
    for _ in range(2):
        suite.pause("--all")
        suite.resume()
    expect_cosigned(suite, "governance")
    ids = expect_told(suite, receiver, 3, 3)
    assert set(ids) <= set(leaf_ids(suite)), "named after entries"
    return suite, backup, ids


@pytest.mark.parametrize("notify", ["running", "away"])
def test_after_a_restoration_notify_goes_on_from_the_fork_and_tells_nothing_twice(make_suite, make_receiver, notify):
    receiver = make_receiver()
    suite, backup, before = populated_and_told(make_suite, receiver)
    given_up = leaf_ids(suite)
    if notify == "away":
        suite.kill("notify")
    put_back(suite, "governance", "control", backup)
    suite.start("control", wait=False)
    kept = leaf_ids(suite)
    assert given_up[:len(kept)] == kept and len(given_up) > len(kept)
    for name in ("notify", "ingest", "policy"):
        # Who has followed what is gone ends, and begins anew when it is started again.
        if name in suite.services and (notify == "running" or name != "notify"):
            suite.services[name].wait()
            suite.start(name, wait=False)
    wait_until(lambda: "entries were lost" in (suite.status()["gate"].get("sealed") or ""), "control is sealed")
    # Who signs gives up a history by its name: policy has said which.
    wait_until(lambda: ledger(suite, "governance").get("abandons"), "policy has shown what it had cosigned")
    proposed = suite.cli("ledger", "restore", "governance", "--reason", "a test", "--json").json["proposal"]
    assert [name for name, _ in receiver.delivered()] == before, "one operator changes nothing"
    suite.cli("approve", proposed["proposal"], "--as", "ops-2")
    suite.expect_serving(("control", "policy", "ingest"))
    if notify == "away":
        suite.start("notify", wait=False)
    suite.expect_serving()
    # The pauses that were lost are in force nowhere; these are new, and stand where others stood.
    suite.pause("--all")
    suite.resume()
    after = expect_told(suite, receiver, 4, 4)
    assert after[:len(before)] == before
    new = after[len(before):]
    assert set(new) <= set(leaf_ids(suite)[len(kept):]) and not set(new) & set(given_up)
    places = [int(content["data"]["entry"]) for name, content in receiver.delivered() if name in new]
    assert min(places) <= len(given_up), "the control: by their places alone they would be other messages again"
    assert notify_gauges(suite)["ledger.trouble"] == 0
    assert said_once(suite, "notify", "control's ledger was restored")
    # And again at each start.
    suite.restart("notify")
    suite.pause("--all")
    assert expect_told(suite, receiver, 5, 4)[:len(after)] == after


def test_a_shorter_ledger_that_nobody_has_approved_is_told_to_nobody_and_shown(make_suite, make_receiver):
    """Both disks were put back, so that nobody but notify knows what is gone."""
    receiver = make_receiver()
    suite, backup, before = populated_and_told(make_suite, receiver, both=True)
    length = int(suite.status()["entries"])
    for name in ("notify", "ingest"):
        suite.kill(name)
    put_back(suite, "governance", "control", backup)
    put_back(suite, "reads", "policy", suite.folder / "backup-reads")
    suite.start()
    kept = leaf_ids(suite)
    assert len(kept) < length
    wait_until(lambda: notify_gauges(suite)["ledger.trouble"] == 1, "notify shows it")
    assert "nothing new is told" in suite.cli("status").out
    # Nor does it go on when the ledger is as long again.
    pauses = 0
    while int(suite.status()["entries"]) <= length + 4:
        suite.pause("--all")
        suite.resume()
        pauses += 1
    wait_until(lambda: suite.service_status("notify")["entries"] == suite.status()["entries"], "notify has read them all")
    begun = suite.status()["wall_us"]
    wait_until(lambda: suite.service_status("notify")["seen_us"] > begun + 1_000_000, "it has said what it makes of them")
    assert [name for name, _ in receiver.delivered()] == before and notify_gauges(suite)["ledger.trouble"] == 1
    assert suite.service_status("notify")["counters"]["ledger.governance.refused"] == 1
    assert said_once(suite, "notify", "nothing new is told"), "said once"
    # The control, and the way out: with an outbox that knows nothing everything is told, what is known under the name that it had.
    suite.kill("notify")
    for file in (suite.home / "notify").glob("outbox.sqlite*"):
        file.unlink()
    suite.start("notify")
    wait_until(lambda: [c["type"] for _, c in receiver.delivered()].count("gate.paused") >= 3 + 1 + pauses, "it tells all of it")
    again = [name for name, _ in receiver.delivered()][len(before):]
    assert twice(again) == [] and set(again) <= set(leaf_ids(suite))
    assert set(again) & set(before) == set(before) & set(kept) != set()


def test_a_witness_that_was_away_catches_up_with_what_it_missed(populated):
    suite = populated
    size = expect_cosigned(suite, "governance")["size"]
    suite.kill("policy")
    for _ in range(3):
        suite.cli("pause", "--all", "--capture-only", "--reason", "while the witness is away", "--json", check=False)
        suite.resume()
    behind = ledger(suite, "governance")
    assert behind["witnessed"] <= size < behind["size"] and not behind.get("trouble"), "shown, and no reason to stop control"
    suite.start("policy")
    expect_cosigned(suite, "governance", behind["size"])


MEMORY = {  # Of each witness: where it keeps what it has cosigned last, and of which ledger that is.
    "policy": ("reads", "UPDATE anchor SET seen = ?", "SELECT seen FROM anchor", "governance"),
    "control": ("governance", "UPDATE journal SET witnessed = ?", "SELECT witnessed FROM journal", "reads"),
}


def remembered(suite, witness):
    """The checkpoint that a witness has kept, as bytes, and its size."""
    note, = suite._database(suite.home / TAMPERING[MEMORY[witness][0]], MEMORY[witness][2], ())[0]
    return note, int(note.split(b"\n")[1])


def remember(suite, witness, note):
    """Puts back the memory of a witness, and nothing else."""
    suite.kill(witness)
    with sqlite3.connect(suite.home / TAMPERING[MEMORY[witness][0]]) as database:
        database.execute(MEMORY[witness][1], (note,))
    database.close()


@pytest.mark.parametrize("witness", list(MEMORY))
def test_a_witness_that_was_put_back_alone_catches_up_and_stops_nobody(populated, witness):
    """FAULTS L05: it remembers less than it has said; the other's ledger continues that."""
    suite = populated
    other = MEMORY[witness][3]
    expect_cosigned(suite, "reads", 6)
    expect_cosigned(suite, other)
    early, size = remembered(suite, witness)
    suite.pause("--all")
    suite.resume()
    assert len(suite.read(classes=("activity",)).lines) == 3
    late = expect_cosigned(suite, other, size + 2)["size"]
    remember(suite, witness, early)
    assert remembered(suite, witness)[1] == size < late
    suite.start(witness)
    wait_until(lambda: remembered(suite, witness)[1] >= late, "it has cosigned all of it again")
    assert len(suite.read(classes=("activity",)).lines) == 3
    suite.pause("--all")
    suite.resume()
    expect_cosigned(suite, other, late + 2)
    status = suite.status()
    assert not any(one.get("trouble") for one in status["ledgers"])
    assert not [name for name in status.get("counters", {}) if name.startswith("ledger.")]
    # The control: what it remembers counts. With another root at that size it believes nobody.
    note, held = remembered(suite, witness)
    lines = note.split(b"\n")
    lines[2] = base64.b64encode(hashlib.sha256(b"another history").digest())
    remember(suite, witness, b"\n".join(lines))
    suite.start(witness, wait=False)
    if witness == "policy":
        # Its own cosignature is on it: that it was changed shows before anybody else is blamed.
        assert suite.services[witness].wait() == 1
        assert "vault.sqlite is damaged: what it has cosigned of control's ledger was changed" in suite.services[witness].said
        return
    wait_until(lambda: ledger(suite, other).get("trouble"), "it believes nobody")
    [said] = wait_until(lambda: log_lines(suite, witness, "others than those that were cosigned"), "it says why")
    assert f"{held} entries" in said


# Keys


def test_a_witness_with_a_key_that_nobody_knows_vouches_for_nothing(make_suite, tmp_path):
    suite = make_suite(start=False)
    # Policy with a registry of its own, that names other keys than the suite began with.
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(suite.home, elsewhere)
    suite.start()
    expect_cosigned(suite, "governance")
    suite.kill("policy")
    registry = json.loads((elsewhere / "registry.json").read_text())
    strange = strangers_key(tmp_path, registry["anchors"]["policyWitness"])
    registry["anchors"]["policyWitness"] = strange["verifier"]
    (elsewhere / "registry.json").write_text(json.dumps(registry))
    shutil.copy(strange["path"], elsewhere / "keys" / "policy.witness")
    (elsewhere / "keys" / "policy.witness").chmod(0o600)
    shutil.rmtree(elsewhere / "policy", ignore_errors=True)
    shutil.copytree(suite.home / "policy", elsewhere / "policy")
    with sqlite3.connect(elsewhere / "policy" / "vault.sqlite") as database:
        database.execute("UPDATE anchor SET seen = NULL")
    database.close()
    home, suite.home = suite.home, elsewhere
    suite.start("policy", wait=False)
    suite.home = home
    suite.cli("pause", "--all", "--reason", "something to cosign", "--json", check=False)
    trouble = wait_until(lambda: ledger(suite, "governance").get("trouble"), "the strange cosignature is refused")
    assert "not by the key" in trouble
    assert suite.status()["counters"]["ledger.governance.refused"] == 1
    assert said_once(suite, "control", "does not vouch for this ledger")
    shown = suite.cli("status").out
    assert re.search("^LEDGERS governance .*NOT BELIEVED", shown, re.M) and re.search(r"^REFUSED .*\d+ ledgers", shown, re.M), shown
    assert ledger(suite, "governance")["witnessed"] < ledger(suite, "governance")["size"]


def strangers_key(folder, verifier):
    """A key under the same name as another's, that this suite did not begin with."""
    import base64
    import hashlib

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    name = verifier.split("+", 1)[0]
    algorithm = base64.b64decode(verifier.split("+", 2)[2])[:1]
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    number = hashlib.sha256(name.encode() + b"\n" + algorithm + public).digest()[:4].hex()
    path = folder / "strange.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    return {"path": path, "verifier": f"{name}+{number}+{base64.b64encode(algorithm + public).decode()}"}


# Certificates


def test_a_stop_certificate_is_a_file_that_anybody_can_check_and_one_letter_less_is_none(populated, tmp_path):
    suite = populated
    path = tmp_path / "pause.certificate"
    text = suite.cli("certificate", "1", "--file").out
    path.write_text(text)
    vkey = json.loads((suite.home / "registry.json").read_text())["anchors"]["control"]
    suite.terminate_all()

    def check(content, key=vkey):
        path.write_text(content)
        return subprocess.run([binaries() / "sluice", "certificate", "verify", str(path), "--key", key], capture_output=True, text=True, timeout=20)

    done = check(text)
    assert done.returncode == 0 and "verified" in done.stdout, done
    assert text.startswith("sluice stop certificate v1\n") and "\ncomplete yes\n" in text
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        for changed in (line[:-2] + ("x" if line[-2:-1] != "x" else "y") + "\n", ""):
            assert check("".join([*lines[:number], changed, *lines[number + 1:]])).returncode == 1, line
    strange = strangers_key(tmp_path, vkey)
    assert check(text, strange["verifier"]).returncode == 1
    # Nor is a checkpoint a certificate, though the same key has signed it.
    with sqlite3.connect(suite.home / "control" / "ledger.sqlite") as database:
        note, = database.execute("SELECT cosigned FROM journal").fetchone()
    database.close()
    assert check(note.decode()).returncode == 1
    assert check(text).returncode == 0
