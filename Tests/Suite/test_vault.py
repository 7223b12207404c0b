"""The vault: erased for good wherever it is interrupted, swept within bounds, its keys apart and exchangeable; a person's own data for the person."""

import contextlib
import io
import json
import os
import random
import shutil
import sqlite3
import subprocess
import time
import zipfile

import pytest
from harness import Shim, wait_until
from harness.processes import Process, binaries
from test_exposure import check_proof
from test_ledgers import expect_cosigned
from test_releases import apply, document, grant, wire

KILLS = int(os.environ.get("SLUICE_KILLS", "12"))
SUBJECTS, SEGMENTS = 4, 1500


def vault(suite, deed, *more):
    """Works on the vault's files while no service runs on them."""
    return [binaries() / "sluice", "bench-vault", deed, "--home", suite.home, *more]


def check(suite):
    done = subprocess.run([str(w) for w in vault(suite, "check")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def policy(suite, *more, log="policy-alone.log"):
    return suite.adopt(Process([binaries() / "sluice-policy", "--home", suite.home, *more], suite.folder / log, appending=False))


def sql(path, statement):
    database = sqlite3.connect(path)
    try:
        found = database.execute(statement).fetchall()
        database.commit()
        return found
    finally:
        database.close()


@pytest.fixture(scope="module")
def once_filled(make_module_suite):
    suite = make_module_suite(start=False)
    subprocess.run([str(w) for w in vault(suite, "fill", "--subjects", SUBJECTS, "--segments", SEGMENTS)], check=True, timeout=60)
    assert check(suite)["readable"] == {f"B{n}": SEGMENTS for n in range(SUBJECTS)}
    return suite


@pytest.fixture
def filled(make_suite, once_filled):
    """A home whose vault holds 100 days of four people, and nothing that runs."""
    return make_suite(start=False, after=once_filled)


def copies(suite, tmp_path):
    """A fresh copy of the vault for each round."""
    original = tmp_path / "original"
    shutil.copytree(suite.home / "policy", original)

    def fresh():
        shutil.rmtree(suite.home / "policy")
        shutil.copytree(original, suite.home / "policy")

    return fresh


def killed(arguments, output, after):
    """Runs it, and kills it `after` seconds after it said that it begins. Returns what it had said."""
    process = Process(arguments, output, appending=False)
    wait_until(lambda: "begins" in process.said or not process.is_running, "it begins", every=0.001)
    deadline = time.monotonic() + after
    while time.monotonic() < deadline and process.is_running:
        time.sleep(0.0005)
    if process.is_running:
        process.kill()
    return process.said


def random_source():
    seed = random.randrange(1 << 32)
    print("seed", seed)
    return random.Random(seed)


@pytest.mark.limit(400)
def test_an_erasure_that_is_killed_anywhere_has_not_begun_or_is_finished_by_the_next_start(filled, tmp_path):
    source = random_source()
    fresh = copies(filled, tmp_path)
    whole = time.monotonic()
    assert "keys" in killed(vault(filled, "forget"), tmp_path / "out", 60)
    whole = time.monotonic() - whole
    everyone = {f"B{n}": SEGMENTS for n in range(SUBJECTS)}
    others = {name: count for name, count in everyone.items() if name != "B0"}
    found = {"not begun": 0, "begun": 0, "done": 0}
    # How long it takes differs from run to run: until some fell where it matters.
    while sum(found.values()) < KILLS or found["begun"] < max(1, KILLS // 10) and sum(found.values()) < 5 * KILLS:
        fresh()
        # Half of them into the first moments, where it begins.
        said = killed(vault(filled, "forget"), tmp_path / "out", source.uniform(0, whole if source.random() < 0.5 else whole / 20))
        # Policy starts, as after a crash of its own: nobody tells it of the erasure.
        state = check(filled)
        assert state["unreadable"] == 0
        if state["readable"] == everyone:
            assert "keys" not in said and state["erasures"] == [], "what was confirmed is not undone"
            found["not begun"] += 1
            continue
        assert state["readable"] == others, "never half"
        erasure, = state["erasures"]
        if erasure["state"] == "done":
            found["done"] += 1
            continue
        found["begun"] += 1
        process = policy(filled)
        wait_until(lambda: "erased B0" in process.said, "policy finishes it")
        process.end()
        assert sql(filled.home / "policy" / "vault.sqlite", "SELECT COUNT(*) FROM segment WHERE subject = 'B0'") == [(0,)]
        state = check(filled)
        assert state["readable"] == others and state["segments"] == SEGMENTS * (SUBJECTS - 1)
        assert state["erasures"] == [{"subject": "B0", "state": "done", "segments": SEGMENTS}]
    print(found)
    assert found["begun"] >= max(1, KILLS // 10), "the kills fell where it matters"

    # Control: a key that goes without an erasure is seen as what it is.
    fresh()
    sql(filled.home / "policy" / "keys.sqlite", "DELETE FROM data_key WHERE subject = 'B0'")
    assert check(filled)["unreadable"] == SEGMENTS


def ended_at(suite, point, words, output):
    """Runs it until it comes to this place, where it ends as by kill -9."""
    process = Process(words, output, {"SLUICE_FAULT": point}, appending=False)
    assert process.wait(60) == 137, (point, process.said)


@pytest.mark.parametrize("point, done", [("erase-after-keys:1", 0), ("erase-after-rows:1", 100), ("erase-after-rows:7", 700), ("erase-after-rows:15", 1500)])
def test_an_erasure_that_ends_at_any_of_its_places_is_finished_by_the_next_start(filled, tmp_path, point, done):
    ended_at(filled, point, vault(filled, "forget", "--rows", 100), tmp_path / "out")
    others = {f"B{n}": SEGMENTS for n in range(1, SUBJECTS)}
    rows = "SELECT COUNT(*) FROM segment WHERE subject = 'B0'"
    assert sql(filled.home / "policy" / "vault.sqlite", rows) == [(SEGMENTS - done,)], "it has come to that place"
    state = check(filled)
    assert state["readable"] == others and state["unreadable"] == 0, "nothing of them opens, whatever stands there"
    erasure, = state["erasures"]
    assert erasure["state"] == "rows" and erasure["segments"] == done
    process = policy(filled)
    wait_until(lambda: "erased B0" in process.said, "policy finishes it")
    process.end()
    assert sql(filled.home / "policy" / "vault.sqlite", rows) == [(0,)]
    state = check(filled)
    assert state["readable"] == others and state["segments"] == SEGMENTS * (SUBJECTS - 1)
    assert state["erasures"] == [{"subject": "B0", "state": "done", "segments": SEGMENTS}]


@pytest.mark.parametrize("point", ["sweep-after-rows:1", "sweep-after-rows:5", "sweep-after-rows:LAST"])
def test_a_sweep_that_ends_between_its_rows_and_their_keys_is_made_good_by_the_next(filled, tmp_path, point):
    def keys():
        return sql(filled.home / "policy" / "keys.sqlite", "SELECT subject, month FROM data_key ORDER BY 1, 2")

    fresh = copies(filled, tmp_path)
    # A time between two segments, whenever each run looks at the clock.
    sweep = vault(filled, "sweep", "--rows", 512, "--retention", 50)
    whole = Process(sweep, tmp_path / "whole", appending=False)
    assert whole.wait(60) == 0
    steps, expected, left = whole.said.count("rows "), check(filled), keys()
    assert 5 <= steps and expected["segments"] < SUBJECTS * SEGMENTS * 0.6
    fresh()
    assert keys() != left, "the control: keys go with their months"
    ended_at(filled, point.replace("LAST", str(steps)), sweep, tmp_path / "out")
    state = check(filled)
    assert state["unreadable"] == 0, "no row stands there without its key"
    assert state["segments"] == sql(filled.home / "policy" / "vault.sqlite", "SELECT COUNT(*) FROM segment")[0][0]
    assert Process(sweep, tmp_path / "out", appending=False).wait(60) == 0
    state = check(filled)
    # A segment or two of each have come of age since the first run.
    assert state["unreadable"] == 0 and 0 <= expected["segments"] - state["segments"] <= 2 * SUBJECTS
    assert keys() == left


@pytest.mark.parametrize("point, is_new", [("rewrap-before-commit:1", False), ("rewrap-after-commit:1", True)])
def test_a_master_key_that_is_exchanged_is_the_old_or_the_new_at_each_place(filled, tmp_path, point, is_new):
    keys, readable = filled.home / "keys" / "vault", check(filled)["readable"]
    old = (keys / "policy.master").read_text()
    wrapped = "SELECT wrapped FROM data_key ORDER BY number"
    before = sql(filled.home / "policy" / "keys.sqlite", wrapped)
    ended_at(filled, point, [binaries() / "sluice", "master-key", "new", "--home", filled.home], tmp_path / "out")
    assert (keys / "policy.master").read_text() == old and (keys / "policy.master.next").exists()
    assert check(filled)["readable"] == readable, "with both keys there it opens"
    after = sql(filled.home / "policy" / "keys.sqlite", wrapped)
    assert len(after) == len(before) and sum(a != b for a, b in zip(after, before)) == is_new * len(before), "all of them, or none"
    # The control: with the other of the two alone it does not.
    (keys / "policy.master").rename(tmp_path / "old")
    (keys / "policy.master.next").rename(tmp_path / "new")
    for name, opens in (("old", not is_new), ("new", is_new)):
        shutil.copy(tmp_path / name, keys / "policy.master")
        done = subprocess.run([str(w) for w in vault(filled, "check")], capture_output=True, text=True, timeout=60)
        assert (done.returncode == 0) == opens, (name, done.stderr)
    shutil.copy(tmp_path / "old", keys / "policy.master")
    shutil.copy(tmp_path / "new", keys / "policy.master.next")
    subprocess.run([binaries() / "sluice", "master-key", "new", "--home", filled.home], check=True, timeout=60, capture_output=True)
    assert not (keys / "policy.master.next").exists() and check(filled)["readable"] == readable


def test_keys_from_an_older_backup_are_refused_with_what_to_do_and_taken_once_by_their_state(filled, tmp_path):
    keys = filled.home / "policy" / "keys.sqlite"
    shutil.copy(keys, tmp_path / "older")
    assert "keys" in killed(vault(filled, "forget"), tmp_path / "out", 60)
    shutil.copy(tmp_path / "older", keys)
    for end in ("-wal", "-shm"):
        keys.with_name(f"keys.sqlite{end}").unlink(missing_ok=True)
    process = policy(filled)
    assert process.wait() != 0
    line, = process.said.strip().splitlines()
    assert "is older than the vault" in line
    state = line.rsplit("--older-keys ", 1)[1].strip()
    assert sql(keys, "SELECT number FROM generation") == [(int(state),)]
    refused = policy(filled, "--older-keys", int(state) + 1)
    assert refused.wait() != 0 and "is older than the vault" in refused.said
    process = policy(filled, "--older-keys", state)
    wait_until(lambda: "listening" in process.said or not process.is_running, "policy serves")
    assert process.is_running, process.said
    process.end()
    # From then on they are the newest.
    process = policy(filled)
    wait_until(lambda: "listening" in process.said or not process.is_running, "policy serves")
    assert process.is_running, process.said


def test_after_a_backup_from_before_an_erasure_nothing_of_the_person_is_read_and_the_ledger_verifies(make_suite, tmp_path):
    suite = make_suite()
    suite.agent("ann", "E1042").run().expect(capturing=True).type("hers")
    suite.agent("bob", "E2").run().expect(capturing=True).type("his")
    wait_until(lambda: suite.vault_count() == 2, "both are stored")
    assert sorted(suite.keys()) == ["hers", "his"]
    suite.terminate("policy")
    path = suite.home / "policy" / "vault.sqlite"
    # As a backup is made: with what is in the log yet.
    with contextlib.closing(sqlite3.connect(path)) as whole, contextlib.closing(sqlite3.connect(tmp_path / "backup")) as kept:
        whole.backup(kept)
    subprocess.run([str(w) for w in vault(suite, "forget", "--subject", "E1042")], check=True, timeout=60)
    shutil.copy(tmp_path / "backup", path)
    for end in ("-wal", "-shm"):
        path.with_name(f"vault.sqlite{end}").unlink(missing_ok=True)
    rows = "SELECT COUNT(*) FROM segment WHERE subject = 'E1042'"
    assert sql(path, rows) == [(1,)], "the control: the row is back"
    suite.start("policy")
    assert suite.keys() == ["his"]
    wait_until(lambda: suite.vault(rows) == [(0,)], "it is erased again")
    assert suite.cli("ledger", "verify").code == 0


def test_a_backup_of_the_vault_from_before_an_erasure_is_erased_again_at_the_start(filled, tmp_path):
    shutil.copy(filled.home / "policy" / "vault.sqlite", tmp_path / "backup")
    assert "keys" in killed(vault(filled, "forget"), tmp_path / "out", 60)
    shutil.copy(tmp_path / "backup", filled.home / "policy" / "vault.sqlite")
    for end in ("-wal", "-shm"):
        (filled.home / "policy" / f"vault.sqlite{end}").unlink(missing_ok=True)
    rows = "SELECT COUNT(*) FROM segment WHERE subject = 'B0'"
    assert sql(filled.home / "policy" / "vault.sqlite", rows) == [(SEGMENTS,)], "the control: the rows are back"
    process = policy(filled)
    wait_until(lambda: "erased B0" in process.said, "policy erases it again")
    process.end()
    assert sql(filled.home / "policy" / "vault.sqlite", rows) == [(0,)]
    assert "B0" not in check(filled)["readable"]


@pytest.mark.limit(300)
def test_policy_killed_while_it_sweeps_deletes_what_is_past_its_time_and_nothing_else(filled, tmp_path):
    source = random_source()
    fresh = copies(filled, tmp_path)
    # Without control it has not heard what incidents hold, and deletes nothing.
    alone = policy(filled, "--retention", "activity=50")
    wait_until(lambda: "listening" in alone.said or not alone.is_running, "policy opens the vault")
    alone.end()
    assert check(filled)["segments"] == SUBJECTS * SEGMENTS
    filled.start("control", wait=False)
    for _ in range(max(2, KILLS // 10)):
        fresh()
        # Half of the time ago; the vault's clock goes on while this runs, so that the edge is between two.
        before = time.time_ns() - 50 * 86_400 * 10**9
        kills = 0
        for _ in range(40):
            process = policy(filled, "--retention", "activity=50")
            wait_until(lambda: "epoch" in process.said or not process.is_running, "policy has heard of control")
            time.sleep(source.uniform(0, 0.2))
            process.kill()
            kills += 1
            if sql_count(filled, before) == 0:
                break
        else:
            raise AssertionError("the sweep does not come to its end")
        after = time.time_ns() - 50 * 86_400 * 10**9
        state = check(filled)
        assert state["unreadable"] == 0, "no row stands there without its key"
        rows = sql(filled.home / "policy" / "vault.sqlite", "SELECT MIN(first_ns), COUNT(*), SUM(count) FROM segment")[0]
        assert rows[0] <= after + 100 * 86_400 * 10**9 // SEGMENTS, "nothing went that was not past its time"
        assert abs(rows[1] - SUBJECTS * SEGMENTS // 2) <= 2 * SUBJECTS
        assert (state["segments"], state["events"]) == rows[1:], "totals are as of the rows"
        print(f"{kills} kills")


def test_a_clock_set_back_over_an_edge_of_retention_moves_no_edge_and_one_that_leaps_ahead_is_not_believed(filled, tmp_path):
    """The vault holds a hundred days, as much of each: what is left says by what time it was swept."""
    suite, shim, day = filled, Shim(tmp_path), 86_400
    suite.start("control", wait=False)
    suite.start("policy", env=shim.env)
    path, index = tmp_path / "policy.json", 0

    def keep(days, approved=False):
        made = document()
        made["classes"] = [{"name": "activity", "retention": f"{days} days", "audience": "unlimited"}, *made["classes"][1:]]
        path.write_text(json.dumps(made))
        outcome = (suite.approved if approved else suite.cli)("policy", "apply", path, "--yes")
        assert approved or "APPLIED" in outcome.out, f"one operator shortens it: {outcome}"
        most = days * SUBJECTS * SEGMENTS // 100 + 2 * SUBJECTS
        wait_until(lambda: (left := sql_count_all(suite)) is not None and left <= most, f"what is older than {days} days goes")
        # What a sweep that is still under way takes beyond, the next look sees.
        assert sql_count_all(suite) >= most - 4 * SUBJECTS, f"nothing goes that is younger than {days} days"

    def wall():
        """As policy puts it down when it denies a read."""
        assert suite.cli("read", "--purpose", "none", "--why", "a test", "--class", "activity", check=False).code == 77
        return int(suite.cli("ledger", "show", "1..", "--ledger", "reads", "--json").lines[-1]["at_us"]) / 10**6

    keep(50, approved=True)
    shim.ahead(wall_seconds=-30 * day)
    # By that clock what is 40 days old now was ten days old.
    keep(40)
    assert wall() < time.time() - 29 * day, "the control: its clock has gone back"
    suite.kill("policy")
    suite.start("policy", env=shim.env)
    keep(35)
    shim.ahead(wall_seconds=30 * day)
    # By that clock all of it is past its time.
    keep(30)
    assert wall() > time.time() + 29 * day, "the control: its clock has leapt ahead"
    shim.ahead()
    keep(29)


def sql_count_all(suite):
    return sql_count(suite, (1 << 63) - 1)


def sql_count(suite, before=None):
    try:
        database = sqlite3.connect(f"file:{suite.home / 'policy' / 'vault.sqlite'}?mode=ro", uri=True, timeout=10)
        try:
            return database.execute("SELECT COUNT(*) FROM segment WHERE last_ns < ?", (before or 0,)).fetchone()[0]
        finally:
            database.close()
    except sqlite3.OperationalError:
        return None


@pytest.mark.limit(300)
def test_a_master_key_that_is_being_exchanged_when_the_power_goes_is_the_old_or_the_new(filled, tmp_path):
    source = random_source()
    # Many keys, so that it takes a while.
    subprocess.run([str(w) for w in vault(filled, "fill", "--subjects", 400, "--segments", 5, "--days", 150)], check=True, timeout=60)
    before = check(filled)["readable"]
    new = [binaries() / "sluice", "master-key", "new", "--home", filled.home]
    begun = time.monotonic()
    subprocess.run([str(w) for w in new], check=True, timeout=60, capture_output=True)
    whole = time.monotonic() - begun
    rounds = interrupted = 0
    while rounds < KILLS or not interrupted and rounds < 5 * KILLS:
        rounds += 1
        process = Process(new, tmp_path / "out", appending=False)
        time.sleep(source.uniform(0, whole * 1.2))
        if process.is_running:
            process.kill()
            interrupted += 1
        state = check(filled)
        assert state["readable"] == before and state["unreadable"] == 0
    subprocess.run([str(w) for w in new], check=True, timeout=60, capture_output=True)
    assert not (filled.home / "keys" / "vault" / "policy.master.next").exists()
    assert check(filled)["readable"] == before
    assert interrupted > 0
    # Control: another key than either opens nothing, and policy says so in a line and ends.
    (filled.home / "keys" / "vault" / "policy.master").write_text("ab" * 32)
    process = policy(filled)
    assert process.wait() != 0
    line, = process.said.strip().splitlines()
    assert "another master key" in line and "put the right one back" in line


def test_the_master_key_can_come_from_a_program_within_its_time(filled, tmp_path):
    master = filled.home / "keys" / "vault" / "policy.master"
    secret = tmp_path / "secret"
    shutil.copy(master, secret)
    master.unlink()

    def program(name, text):
        path = tmp_path / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o700)
        return path

    process = policy(filled, "--master-key-command", program("good", f"cat {secret}\n"))
    wait_until(lambda: "listening" in process.said or not process.is_running, "policy serves")
    assert process.is_running, process.said
    process.end()
    for name, text, words in (
        ("slow", "sleep 60\n", "gave no key within 1 s"), ("fails", f"cat {secret}; exit 3\n", "ended with exit code 3"), ("silent", "exit 0\n", "printed no key"),
        ("talks", "cat /dev/zero\n", "more than a key"), ("wrong", f"echo {'cd' * 32}\n", "another master key"),
    ):
        process = policy(filled, "--master-key-command", program(name, text), "--master-key-seconds", "1")
        assert process.wait() != 0, name
        assert len(process.said.strip().splitlines()) == 1 and words in process.said, process.said
    process = policy(filled, "--master-key-command", "/nowhere/at-all")
    assert process.wait() != 0 and "cannot run" in process.said


# P10: a vault that is gone


def vault_files(suite):
    return sorted((suite.home / "policy").glob("vault.sqlite*"))


def test_policy_whose_vault_is_gone_does_not_start_and_makes_no_empty_one(make_suite, tmp_path):
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    agent.type("before")
    agent.expect_drained()
    assert suite.terminate("policy") == 0
    away = tmp_path / "away"
    away.mkdir()
    for file in vault_files(suite):
        shutil.move(file, away)
    path = suite.home / "policy" / "vault.sqlite"
    for _ in range(3):
        done = subprocess.run([binaries() / "sluice-policy", "--home", suite.home], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        lines = (done.stdout + done.stderr).splitlines()
        assert done.returncode == 1 and len(lines) == 1, done
        assert str(path) in lines[0] and "put the vault back from a backup" in lines[0], lines
        assert vault_files(suite) == [], "nothing lies where it is to be put back"
    # What it guards stays shut: nothing is read, nothing is accepted, and what is captured waits at its machine.
    wait_until(lambda: "MISSING policy" in suite.cli("status").out, "it is shown")
    # It takes a while until who asks gives up.
    reading = suite.begin("read", "--purpose", "test", "--why", "a test", "--class", "activity")
    agent.type("meanwhile")
    wait_until(lambda: agent.fresh["spoolBatches"] == 1, "it waits")
    suite.expect_in_time(suite.pause("--all"))
    agent.expect(capturing=False)
    suite.resume()
    code, out, _ = reading.finish()
    assert (code, out) == (1, "")
    # The control: it is put back, and nothing is missing.
    for file in away.iterdir():
        shutil.move(file, path.parent)
    suite.start("policy")
    agent.expect_drained()
    assert suite.keys() == ["before", "meanwhile"]


@pytest.mark.parametrize("reads, words", [(1, "0 entries, and 2 were cosigned"), (0, "its vault has stored 0 segments, and 1 were cosigned")], ids=["read", "never read"])
def test_policy_whose_whole_folder_is_gone_gets_no_lease(make_suite, tmp_path, reads, words):
    """Nothing on its own disk knows of what was there. Control has cosigned the reads of it, and how much was stored."""
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    agent.type("before")
    agent.expect_drained()
    for _ in range(reads):
        assert suite.keys() == ["before"]
    if reads:
        expect_cosigned(suite, "reads", 2)
    stored = lambda: suite.service_status("policy")["gauges"]
    wait_until(lambda: stored()["vault.stored.witnessed"] == stored()["vault.stored"] == 1, "what is stored is cosigned")
    assert suite.terminate("policy") == 0
    shutil.move(suite.home / "policy", tmp_path / "away")
    for _ in range(2):
        suite.start("policy", wait=False)
        wait_until(lambda: "NOT BELIEVED" in suite.cli("status").out, "control does not believe it")
        suite.kill("policy")
    suite.start("policy", wait=False)
    agent.type("meanwhile")
    wait_until(lambda: agent.fresh["spoolBatches"] == 1, "it waits")
    shown = suite.cli("status").out
    assert "MISSING policy" in shown and "REFUSED" in shown and words in shown, shown
    assert suite.status()["counters"]["ledger.reads.refused"] >= 1
    assert suite.read(check=False).code == 1 and suite.vault_count() == 0, "nothing is accepted into the empty one"
    said = suite.log("policy").read_bytes()[suite.services["policy"].log_start:].decode()
    assert said.count("control does not believe the read ledger") == 1
    assert said.count("closures in force") <= 3, "said once, however often it asks for a lease"
    # The control: it is put back.
    suite.kill("policy")
    shutil.rmtree(suite.home / "policy")
    shutil.move(tmp_path / "away", suite.home / "policy")
    suite.start("policy")
    agent.expect_drained()
    assert suite.keys() == ["before", "meanwhile"]


PLANTED = (b"Lovelace", b"ada@example.com")


def ledgers_hold(suite):
    """All that the two ledgers hold: the files of the one, and of the other, which lies in the vault's, its entries; and both as they are shown."""
    governance = b"".join(path.read_bytes() for path in (suite.home / "control").glob("ledger.sqlite*"))
    reads = b"".join(body for body, in suite.vault("SELECT body FROM ledger_body"))
    shown = {name: suite.cli("ledger", "show", "1..", "--json", *more).out.encode() for name, more in (("governance", ()), ("reads", ("--ledger", "reads")))}
    assert len(governance) > 4096 and len(reads) > 100, "there is something to search"
    return {"governance": governance + shown["governance"], "reads": reads + shown["reads"]}


def sweep(home, at=1):
    """As if housekeeping had deleted something by its age; None: never."""
    with contextlib.closing(sqlite3.connect(home / "policy" / "vault.sqlite", timeout=10)) as database, database:
        database.execute("UPDATE housekeeping SET swept_us = ?", (at,))


def copied(suite, home):
    """What who-read reads, with the last release one of five thousand people whom its entry does not name."""
    (home / "policy").mkdir(parents=True)
    shutil.copy(suite.home / "registry.json", home)
    with contextlib.closing(sqlite3.connect(suite.home / "policy" / "vault.sqlite")) as vault, contextlib.closing(sqlite3.connect(home / "policy" / "vault.sqlite")) as copy, copy:
        vault.backup(copy)
        entries = [(number, wire.release.ReadEntry.FromString(body)) for number, body in copy.execute("SELECT number, body FROM ledger_body ORDER BY number")]
        number, last = next((number, entry) for number, entry in reversed(entries) if entry.WhichOneof("what") == "opened")
        assert list(last.opened.teams) == ["sales"] and last.opened.subject_count == 0, last
        last.opened.subject_count = 5_000
        copy.execute("UPDATE ledger_body SET body = ? WHERE number = ?", (last.SerializeToString(), number))
    return home


def test_people_come_into_the_directory_and_everything_on_a_person_goes_to_them_on_the_record(make_suite, tmp_path):
    suite = make_suite()
    agent = suite.agent("ann", "E1042").run().expect(capturing=True)
    suite.agent("bob", "E2").run().expect(capturing=True).type("not-hers")
    agent.type("a", "b", "c")
    wait_until(lambda: suite.vault_count() == 4, "all is stored")
    people = tmp_path / "people.csv"
    people.write_text('subject,name,mail,team,site,locale\nE1042,"Lovelace, ""Ada""",ada@example.com,search,berlin,en-GB\r\nE2,Bob,,search,berlin,de\n')
    assert suite.cli("directory", "import", people, "--json").json == {"stored": 2, "erased": 0}
    for path in (suite.home / "policy").iterdir():
        assert path.is_dir() or not any(word in path.read_bytes() for word in PLANTED), path
    for text, words in (
        ("subject,phone\nE1,1\n", "there is no 'phone'"), ("name\nx\n", "'subject' is missing"), ("subject,name\nE1\n", ":2: 1 values"),
        ("subject\nE1\nE1\n", "twice"), ('subject\n"E1\n', "not closed"), ('[{"subject": 1}]', "is no text"), ("", "is empty"),
    ):
        people.write_text(text)
        refused = suite.cli("directory", "import", people, check=False)
        assert refused.code == 1 and words in refused.err, refused

    suite.cli("read", "--purpose", "test", "--why", "somebody else's read", "--class", "activity")
    suite.cli("read", "--purpose", "test", "--why", "not hers", "--class", "activity", "--subject", "E2")
    done = subprocess.run(suite.command("export", "E1042"), capture_output=True, timeout=60)
    assert done.returncode == 0 and b"there is no proof" not in done.stderr, done.stderr
    with zipfile.ZipFile(io.BytesIO(done.stdout)) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("directory.json"))["name"] == 'Lovelace, "Ada"'
        events = [json.loads(line) for line in archive.read("activity.ndjson").splitlines()]
        assert [event["key"] for event in events] == ["a", "b", "c"]
        reads = [json.loads(line) for line in archive.read("reads.ndjson").splitlines()]
        assert [read["asked"] for read in reads] == ["everyone", "E1042"]
        assert reads[1]["purpose"] == "subject-access" and reads[1]["directory"] and not reads[0]["directory"]
        assert "3 events" in archive.read("README.txt").decode()
        # Each is proven, the one that made the file too, and no file that proves it holds somebody else's id.
        proofs = {name: archive.read(name).decode() for name in archive.namelist() if name.startswith("proofs/")}
        assert set(proofs) == {f"proofs/read-{read['entry']}.tlog-proof" for read in reads}
        for read in reads:
            check_proof(suite, read["entry"], proofs[f"proofs/read-{read['entry']}.tlog-proof"])
        text = archive.read("README.txt").decode()
        assert "2 proofs that these reads are in the ledger" in text and "there is none" not in text, text
    assert b"E2" in suite.vault("SELECT body FROM ledger_body WHERE number = ?", reads[0]["entry"] - 1)[0][0], "the control: the entry names them"
    assert len(reads) == len(suite.cli("who-read", "E1042", "--json").lines)
    assert "everyone" in suite.cli("who-read", "E1042").out and "no read" not in suite.cli("who-read", "E2").out
    assert suite.cli("ledger", "verify").code == 0
    # Neither ledger holds who she is: an id that means nothing without the directory.
    for name, held in ledgers_hold(suite).items():
        assert not any(word in held for word in PLANTED), name
        assert b"E1042" in held, f"the control: the search finds what the ledger of {name} holds"

    # An export is a read: a pause of reading stops it, and it leaves nothing that opens.
    suite.pause("--all", "--reads-only")
    done = subprocess.run(suite.command("export", "E1042"), capture_output=True, timeout=60)
    assert done.returncode == 1 and b"paused" in done.stderr and done.stdout == b""
    assert len(suite.cli("who-read", "E1042", "--json").lines) == 2

    # A read of a team in which there was nothing of anybody held nothing of them, whatever is deleted afterwards: its entry says so.
    suite.resume()
    suite.cli("read", "--purpose", "test", "--why", "nobody's team", "--class", "activity", "--team", "sales")
    sweep(suite.home)
    assert len(suite.cli("who-read", "E1042", "--json").lines) == 2
    # One of more people than it names, of a team that they are not known to have been in: listed from when something was deleted, and nobody can know any more.
    copy = copied(suite, tmp_path / "copy")
    for swept, listed in ((None, 2), (1, 3)):
        sweep(copy, swept)
        found = subprocess.run([binaries() / "sluice", "who-read", "E1042", "--home", copy], capture_output=True, text=True, timeout=60)
        assert found.returncode == 0 and len(found.stdout.splitlines()) == listed and ("team sales, perhaps" in found.stdout) == (swept is not None), found
    sweep(suite.home, None)
    suite.pause("--all", "--reads-only")

    # On its own, the entry goes; what was captured stays.
    suite.resume()
    suite.cli("directory", "remove", "E1042")
    done = subprocess.run(suite.command("export", "E1042"), capture_output=True, timeout=60)
    with zipfile.ZipFile(io.BytesIO(done.stdout)) as archive:
        assert "directory.json" not in archive.namelist() and "activity.ndjson" in archive.namelist()
        assert json.loads(archive.read("records.json")) == {"subject": "E1042"} and json.loads(archive.read("denied.ndjson"))["purpose"] == "subject-access", "what the pause refused"
        assert "Nothing that is stored of you is missing." in archive.read("README.txt").decode()

    # Who agreed, who was told, what holds it, and who wanted to read and was not let; and a class that the document in force does not have is named.
    stays = ["content", "conversation", "review"]
    made = document(grant(role="protection", purpose="subject-access", classes=stays), roles=[{"name": "protection", "members": ["ops-1"]}], classes=("content",))
    made["classes"] = [one for one in made["classes"] if one["name"] != "activity"]
    made["rules"], made["purposes"] = made["rules"][1:], [made["purposes"][0], {"name": "subject-access", "basis": "legal-obligation", "classes": stays}]
    incident = suite.cli("incidents", "--json").json["incidents"][-1]["incident"]
    suite.approved("hold", "place", "E1042", "--incident", incident)
    apply(suite, made)
    suite.approved("consent", "grant", "E1042", "--purpose", "training")
    suite.approved("consent", "grant", "E1042", "--purpose", "subject-access", "--notice")
    assert suite.cli("read", "--purpose", "training", "--why", "denied", "--class", "content", "--subject", "E1042", check=False).code == 77
    done = subprocess.run(suite.command("export", "E1042"), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(io.BytesIO(done.stdout)) as archive:
        assert json.loads(archive.read("records.json")) == {"subject": "E1042", "consents": ["training"], "notices": ["subject-access"], "holds": [str(incident)]}
        denied = [json.loads(line) for line in archive.read("denied.ndjson").splitlines()]
        assert [(one["reader"], one["purpose"], one["justification"]) for one in denied[1:]] == [("ops-1", "training", "denied")]
        assert "activity.ndjson" not in archive.namelist()
        assert "MISSING: 3 events of the class 'activity'. The policy in force has no such class" in archive.read("README.txt").decode()
        proven = {name for name in archive.namelist() if name.startswith("proofs/")}

    # What is not as control has cosigned it is proven by nothing, and the file says which that is: the read is listed all the same.
    entry = reads[0]["entry"]
    with contextlib.closing(sqlite3.connect(suite.home / "policy" / "vault.sqlite", timeout=10)) as database, database:
        database.execute("UPDATE ledger_body SET salt = zeroblob(length(salt)) WHERE number = ?", (entry - 1,))
    done = subprocess.run(suite.command("export", "E1042"), capture_output=True, timeout=60)
    assert done.returncode == 0 and f"of entry {entry} there is no proof".encode() in done.stderr, done.stderr
    with zipfile.ZipFile(io.BytesIO(done.stdout)) as archive:
        left = {name for name in archive.namelist() if name.startswith("proofs/")}
        listed = [json.loads(line)["entry"] for line in archive.read("reads.ndjson").splitlines()]
        assert f"proofs/read-{entry}.tlog-proof" in proven - left and listed[0] == entry
        assert left == {f"proofs/read-{one}.tlog-proof" for one in listed[1:]}
        assert f"Of entry {entry} there is none" in archive.read("README.txt").decode()


def test_what_comes_of_somebody_erased_is_not_stored_and_is_counted(make_suite):
    suite = make_suite()
    agent = suite.agent("ann", "E1042").run().expect(capturing=True)
    agent.type("a", "b")
    wait_until(lambda: suite.vault_count() == 2, "both are stored")
    suite.terminate("policy")
    subprocess.run([str(w) for w in vault(suite, "forget", "--subject", "E1042")], check=True, timeout=60)
    suite.start("policy")
    agent.expect(capturing=True).type("c", "d", "e")
    wait_until(lambda: int(suite.service_status("policy")["counters"].get("events.dropped.erased", 0)) == 3, "what comes is dropped, and counted")
    assert suite.vault_count() == 0 and suite.vault("SELECT COUNT(*) FROM segment") == [(0,)]
    # The control: somebody else's is stored.
    suite.agent("bob", "E2").run().expect(capturing=True).type("x")
    wait_until(lambda: suite.vault_count() == 1, "others go on")
    assert suite.cli("ledger", "verify").code == 0
