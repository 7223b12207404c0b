"""Disks that are full: nothing is lost, nothing is released unrecorded, and a pause acts all the same."""

import contextlib
import os
import re
import sqlite3
import subprocess
import time

import pytest
from checks import out_of_order, twice
from harness import Process, Shim, Typist, binaries, missing, on_tmpfs, wait_until
from harness.agent import text
from harness.tools import fill
from test_releases import Stream

MEGABYTE = 1 << 20


def start_with_ann(suite):
    suite.start()
    return suite.agent("ann", "E1").run().expect(capturing=True)


def expect_acknowledged(certificate):
    """Each agent has said that it stopped: no lease had to end."""
    assert certificate["agents"] and {stop["how"] for stop in certificate["agents"]} == {"STOP_HOW_ACKNOWLEDGED"}, certificate
    return certificate


def test_with_the_vaults_disk_full_batches_wait_reads_are_refused_and_a_pause_acts(make_suite):
    suite = make_suite(start=False, lease_ms=3000)
    with on_tmpfs(suite.home / "policy", 6 * MEGABYTE) as disk:
        try:
            agent = start_with_ann(suite)
            typist = Typist(agent, 0.01).start()
            wait_until(lambda: suite.vault_count() > 50, "events flow")
            filler = fill(disk)
            wait_until(lambda: suite.service_status("policy")["gauges"].get("vault.full") == 1, "policy says that its disk is full")
            assert "DISK FULL" in suite.cli("status").out
            stored = suite.vault_count()
            wait_until(lambda: agent.fresh["spoolBatches"] >= 2, "batches wait at the agent")
            refused = suite.read(classes=("activity",), check=False)
            assert (refused.code, refused.out) == (1, "") and "full" in refused.err, refused
            certificate = expect_acknowledged(suite.expect_in_time(suite.pause()))
            assert certificate["durable_in"] == ["journal"]
            agent.expect(capturing=False)
            suite.resume()
            agent.expect(capturing=True)
            assert suite.vault_count() == stored
            assert suite.services["policy"].is_running

            filler.unlink()
            wait_until(lambda: suite.vault_count() > stored + 100, "it recovers by itself")
            typist.stop()
            agent.expect_drained()
            keys = suite.keys()
            assert twice(keys) == [] and out_of_order(keys) == [] and len(keys) > stored
            dropped = int(suite.service_status("policy")["counters"].get("events.dropped.closed", 0))
            assert len(keys) + dropped == agent.fresh["accepted"]
        finally:
            suite.close()


def test_with_the_journals_disk_full_a_pause_acts_at_once_and_the_vault_completes_its_certificate(make_suite):
    suite = make_suite(lease_ms=3000, start=False)
    with on_tmpfs(suite.home / "control", 12 * MEGABYTE) as disk:
        try:
            agent = start_with_ann(suite)
            filler = fill(disk)
            certificates = []
            # The reserve is there for the first of them; then there is nothing left.
            for number in range(60):
                (disk / "reserve").unlink(missing_ok=True)
                fill_more(filler)
                certificates.append(expect_acknowledged(suite.expect_in_time(suite.pause("--all", reason=f"{number} " + "x" * 1500))))
                # The vault may also have been the faster of the two.
                if certificates[-1]["durable_in"] == ["vault"] and suite.status().get("journal"):
                    break
            assert certificates[-1]["durable_in"] == ["vault"] and suite.status()["journal"], "the journal was never full"
            agent.expect(capturing=False)
            assert "JOURNAL" in suite.cli("status").out
            # What widens is durable first: it does not act.
            refused = suite.cli("resume", "--all", "--reason", "x", check=False)
            assert refused.code == 1 and agent.expect(capturing=False)
            filler.unlink()
            wait_until(lambda: not suite.status().get("journal"), "the journal is written again")
            epochs = {c["epoch"] for c in certificates}
            kept = {c["epoch"] for c in suite.cli("closures", "--json").json.get("closures", [])}
            # The resume was on its way; with room it may have come through.
            assert kept == epochs or not kept
            if kept:
                suite.resume()
            agent.expect(capturing=True)
            suite.restart("control")
            assert suite.cli("certificate", certificates[-1]["epoch"]).code == 0, "what waited has been written"
        finally:
            suite.close()


def test_a_pause_does_not_wait_for_a_journal_whose_disk_does_not_answer_and_a_resume_does(make_suite):
    suite = make_suite(start=False, lease_ms=3000)
    shim = Shim(suite.folder)
    suite.start("control", env=shim.env, wait=False)
    suite.start("policy", "notify", "ingest")
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    assert shim.held == 0
    shim.hold()
    certificate = expect_acknowledged(suite.expect_in_time(suite.pause()))
    assert certificate["durable_in"] == ["vault"] and shim.held > 0, "the journal waits for its disk, and nobody for the journal"
    agent.expect(capturing=False)
    shim.hold(False)
    # The control: the same disk holds up what widens.
    number = suite.cli("resume", "--all", "--reason", "a test", "--json").json["proposal"]["proposal"]
    held = shim.held
    shim.hold()
    approval = suite.begin("approve", number, "--as", "ops-2")
    wait_until(lambda: shim.held > held, "its entry waits")
    agent.expect(capturing=False)
    shim.hold(False)
    assert approval.finish()[0] == 0
    agent.expect(capturing=True)


def test_an_agent_revoked_while_the_ledger_cannot_be_written_gets_no_new_session(make_suite):
    """Ingest hears of it by a push alone, and must not go by a registry that does not say so yet."""
    suite = make_suite(start=False)
    with on_tmpfs(suite.home / "control", 12 * MEGABYTE) as disk:
        try:
            agent = start_with_ann(suite)
            filler = fill(disk)
            for number in range(60):
                (disk / "reserve").unlink(missing_ok=True)
                fill_more(filler)
                suite.pause("--all", "--reads-only", reason=f"{number} " + "x" * 1500)
                if suite.status().get("journal"):
                    break
            agent.expect(capturing=True)
            told = suite.cli("revoke", "agent", "ann", check=False)
            assert (told.code, told.out) == (1, "") and "NOT DURABLE" in told.err, told
            status = suite.status()
            assert int(status["entries_waiting"]) > 0, "the ledger says so already"
            assert status["pending"] == ["agent ann revoked, by ops-1"]
            assert "PENDING agent ann revoked" in suite.cli("status").out
            agent.expect(capturing=False)
            begun = time.time_ns() // 1000
            # Three leases, in which it greets and renews again and again.
            while (status := agent.fresh)["atMicroseconds"] < begun + 3_000 * suite.lease_ms:
                assert not status["classes"], "it has got a lease again"
            filler.unlink()
            wait_until(lambda: not suite.status().get("journal"), "the ledger is written again")
            assert not suite.status().get("pending")
            assert "ann" not in suite.agent_states() and not agent.fresh["classes"]
            suite.restart("control")
            assert "ann" not in suite.agent_states(), "it has been written by itself"
        finally:
            suite.close()


def test_what_was_taken_away_on_a_full_disk_stays_away_from_who_begins_anew_meanwhile(make_suite, tmp_path):
    """A follower that starts again reads in the ledger that they are there, and is told by control that they are not."""
    suite = make_suite(start=False)
    with on_tmpfs(suite.home / "control", 12 * MEGABYTE) as disk:
        try:
            agent = start_with_ann(suite)
            bob = suite.agent("bob", "E2").run().expect(capturing=True)
            (tmp_path / "passphrase").write_text("a passphrase")
            (tmp_path / "passphrase").chmod(0o600)
            suite.cli("key", "new", "ops-3", "--passphrase-file", tmp_path / "passphrase")
            suite.approved("operator", "add", "ops-3", "--key", suite.home / "keys" / "ops-3.pub")
            asked = ("--as", "ops-3", "--subject", "E1")
            wait_until(lambda: suite.read(*asked, check=False).code == 0, "ops-3 may read")
            filler = fill(disk)
            for number in range(60):
                (disk / "reserve").unlink(missing_ok=True)
                fill_more(filler)
                suite.cli("pause", "--reads-only", "--reader", f"nobody-{number}", "--reason", f"{number} " + "x" * 1500)
                if suite.status().get("journal"):
                    break
            assert "NOT DURABLE" in suite.cli("revoke", "agent", "ann", check=False).err
            assert "NOT DURABLE" in suite.cli("operator", "remove", "ops-3", check=False).err
            # Those that had heard of it at once.
            agent.expect(capturing=False)
            wait_until(lambda: suite.read(*asked, check=False).code != 0, "ops-3 may not")
            for name in ("ingest", "policy"):
                suite.restart(name)
            bob.expect(capturing=True)
            assert len(suite.status()["pending"]) == 2, "none of it is durable"
            # Three leases, in which it greets again and again.
            begun = time.time_ns() // 1000
            while (status := agent.fresh)["atMicroseconds"] < begun + 3_000 * suite.lease_ms:
                assert not status["classes"], "it has got a lease again"
                assert suite.read(*asked, check=False).code != 0, "ops-3 may read again"
            assert suite.read("--subject", "E1", check=False).code == 0, "the control: ops-1 may"
            filler.unlink()
            wait_until(lambda: not suite.status().get("pending"), "it is written by itself")
        finally:
            suite.close()


def test_nobody_is_told_that_a_removal_is_done_which_a_killed_control_has_forgotten(make_suite, tmp_path):
    """FAULTS P02, killed after the act and before the commit: it acts on everybody at once, and may still be lost."""
    shim = Shim(tmp_path)
    suite = make_suite(start=False)
    suite.start("control", env=shim.env, wait=False)
    suite.start("policy", "notify", "ingest")
    agent = suite.agent("ann", "E1").run().expect(capturing=True)

    def killed(commands, held):
        """Given in one control, which ends before or after their commits. Returns what was said of each, and what the next control knows."""
        shim.hold(held)
        begun = [suite.begin(*command) for command in commands]
        if held:
            wait_until(lambda: len(suite.status().get("pending", [])) == len(commands), "all of them act")
            agent.expect(capturing=False)
            assert shim.held > 0
        else:
            assert [command.wait() for command in begun] == [0] * len(commands)
        suite.kill("control")
        for command in begun:
            # Whoever waits would say it again to the next control.
            command.kill()
        said = [command.finish()[1] for command in begun]
        shim.hold(False)
        suite.start("control", env=shim.env)
        known = {o["name"] for o in suite.cli("operator", "list", "--json").json["operators"]} | set(suite.agent_states())
        return said, known | {int(p["proposal"]) for p in suite.cli("proposals", "--json").json.get("proposals", [])}

    (tmp_path / "pass").write_text("long enough\n")
    (tmp_path / "pass").chmod(0o600)
    suite.cli("key", "new", "ops-9", "--passphrase-file", tmp_path / "pass")
    suite.approved("operator", "add", "ops-9", "--key", suite.home / "keys" / "ops-9.pub")
    number = int(suite.cli("register", "bob", "--subject", "E2", "--json").json["proposal"]["proposal"])
    removals = [("revoke", "agent", "ann"), ("operator", "remove", "ops-9"), ("withdraw", number)]

    said, known = killed(removals, held=True)
    assert known >= {"ann", "ops-9", number}, "they were durable: this shows nothing"
    assert said == ["", "", ""], "told that it was done, and it is forgotten"
    # The control: with the commit they are told, and the next control knows.
    said, known = killed(removals, held=False)
    assert [text.split()[0] for text in said] == ["revoked", "removed", "withdrawn:"], said
    assert not known & {"ann", "ops-9", number}


def test_with_both_disks_full_a_pause_is_in_force_and_says_that_it_is_recorded_nowhere(make_suite):
    suite = make_suite(start=False)
    with on_tmpfs(suite.home / "control", 12 * MEGABYTE) as first, on_tmpfs(suite.home / "policy", 6 * MEGABYTE) as second:
        try:
            agent = start_with_ann(suite)
            typist = Typist(agent, 0.01).start()
            wait_until(lambda: suite.vault_count() > 20, "events flow")
            fillers = [fill(second), fill(first)]
            wait_until(lambda: suite.service_status("policy")["gauges"].get("vault.full") == 1, "the vault is full")
            outcome = None
            for number in range(60):
                (first / "reserve").unlink(missing_ok=True)
                fill_more(fillers[1])
                outcome = suite.cli("pause", "--all", "--reason", f"{number} " + "x" * 1500, check=False)
                if outcome.code != 0:
                    break
            assert outcome.code == 1, "one of the two could always record it"
            assert "neither journal nor vault could record it" in outcome.out + outcome.err
            assert not re.search("STOPPED EVERYWHERE", outcome.out)
            agent.expect(capturing=False)
            typist.stop()
            for filler in fillers:
                filler.unlink()
            epoch = suite.epoch()
            wait_until(lambda: suite.cli("certificate", epoch, check=False).code == 0, "with room it is recorded, and complete")
        finally:
            suite.close()


def test_a_pause_that_nobody_could_record_exits_with_1_and_names_who_was_silent_and_what_is_not_confirmed(make_suite, tmp_path):
    """Control cannot write, and policy, which could, is not there to be asked."""
    # That the two others acknowledge is asked for.
    suite = make_suite(start=False, lease_ms=2000)
    shim = Shim(tmp_path)
    suite.start("control", env=shim.env, wait=False)
    suite.start("policy", "notify", "ingest")
    nowhere = "in force, but neither journal nor vault could record it"

    def paused(*more):
        return suite.cli("pause", "--all", "--reason", "a test", *more, check=False)

    # Controls: one of the two is enough, whichever it is.
    shim.full()
    told = paused("--json")
    assert (told.code, told.json["complete"], told.json["durable_in"], told.json["unconfirmed"]) == (0, True, ["vault"], []), told
    shim.full(False)
    wait_until(lambda: not suite.status().get("journal"), "the journal is written again")
    suite.stop("policy")
    told = paused()
    assert told.code == 0 and "STOPPED EVERYWHERE" in told.out, told
    # On a machine that dawdles its lease may have ended before the command came: then nobody is waited for.
    assert re.search(r"silent +1 .*\n +policy\n", told.out) or re.search(r"services +3/3 ", told.out), told

    shim.full()
    # Its lease has ended by now: nobody waits for it, and it is not there to record anything.
    told = paused()
    assert told.code == 1 and told.err == "", told
    assert "NOT CONFIRMED" in told.out and "STOPPED" not in told.out, told
    assert re.search(rf"the pause is in force, its certificate (\d+) is not complete:\n  {nowhere}: free disk space", told.out), told
    epoch = int(re.search(r"its certificate (\d+)", told.out)[1])
    told = paused("--json")
    assert (told.code, told.err) == (1, ""), told
    certificate = told.json
    assert certificate["complete"] is False and certificate["durable_in"] == [] and certificate["epoch"] > epoch, certificate
    assert [line.split(":")[0] for line in certificate["unconfirmed"]] == [nowhere]
    assert {s["node"]: s["how"] for s in certificate["services"]}.items() >= {"ingest": "STOP_HOW_ACKNOWLEDGED", "notify": "STOP_HOW_ACKNOWLEDGED"}.items(), certificate
    assert next(s["how"] for s in certificate["services"] if s["node"] == "policy") != "STOP_HOW_ACKNOWLEDGED"
    shown = suite.cli("certificate", epoch, check=False)
    assert shown.code == 1 and f"missing    {nowhere}" in shown.out, shown
    assert {epoch, certificate["epoch"]} <= {c["epoch"] for c in suite.cli("closures", "--json").json["closures"]}, "they are in force"
    # With room both are recorded, and complete.
    shim.full(False)
    for number in (epoch, certificate["epoch"]):
        wait_until(lambda: suite.cli("certificate", number, check=False).code == 0, "it is complete")
    suite.cont("policy")


def ledger(suite, name):
    return next(one for one in suite.status()["ledgers"] if one["origin"].endswith("/" + name))


def expect_cosigned(suite, name, at_least=1):
    return wait_until(
        lambda: (one := ledger(suite, name)).get("size", 0) >= at_least and one.get("witnessed", 0) == one["size"] and not one.get("trouble") and one,
        f"{name} is cosigned")


def test_policy_cosigns_what_it_had_no_room_to_keep_once_there_is_room(make_suite):
    """Kept before it is said: with its disk full policy says nothing, and loses nothing of what it is to say."""
    suite = make_suite(start=False)
    with on_tmpfs(suite.home / "policy", 6 * MEGABYTE) as disk:
        try:
            suite.start()
            expect_cosigned(suite, "governance")
            filler = fill(disk)
            while suite.service_status("policy")["gauges"].get("vault.full") != 1:
                fill_more(filler)
                suite.pause("--all")
                suite.resume()
            cosigned = ledger(suite, "governance")["witnessed"]
            size = 0
            for _ in range(3):
                suite.pause("--all")
                suite.resume()
                held = ledger(suite, "governance")
                assert held["witnessed"] == cosigned < held["size"] and held["size"] > size, "it cosigns what it cannot keep"
                assert not held.get("trouble"), "shown as waiting, and no reason to stop anybody"
                size = held["size"]
            filler.unlink()
            # Nobody does anything: the one that waited is retried, and the newest follows.
            assert expect_cosigned(suite, "governance", size)["size"] == size
            suite.terminate("policy")
            with sqlite3.connect(disk / "vault.sqlite") as database:
                note, = database.execute("SELECT seen FROM anchor").fetchone()
            database.close()
            assert int(note.split(b"\n")[1]) == size, "it keeps what it has said"
        finally:
            suite.close()


def test_control_cosigns_reads_that_it_had_no_room_to_keep_once_there_is_room(make_suite):
    """Its answers fit into pages that a full disk leaves it; so here not one page is taken."""
    suite = make_suite(start=False)
    shim = Shim(suite.folder)
    suite.start("control", env=shim.env, wait=False)
    suite.start("policy", "notify", "ingest")
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    agent.type("a")
    agent.expect_drained()
    assert len(suite.read(classes=("activity",)).lines) == 1
    cosigned = expect_cosigned(suite, "reads", 2)["size"]
    assert shim.refused == 0
    shim.full()
    for _ in range(3):
        assert len(suite.read(classes=("activity",)).lines) == 1, "reads go on: what policy showed is right"
        refused = shim.refused
        wait_until(lambda: shim.refused >= refused + 3, "it is tried again with each renewal")
    held = ledger(suite, "reads")
    assert held["witnessed"] == cosigned < held["size"] and not held.get("trouble"), "it cosigns what it cannot keep"
    shim.full(False)
    # What policy had shown, and then what it could not show before that was answered.
    assert expect_cosigned(suite, "reads", cosigned + 6)["size"] == cosigned + 6
    suite.terminate("control")
    with sqlite3.connect(suite.home / "control" / "ledger.sqlite") as database:
        kept, = database.execute("SELECT witnessed FROM journal").fetchone()
    database.close()
    assert int(kept.split(b"\n")[1]) == cosigned + 6, "it keeps what it has said"


def test_a_closure_that_another_covers_is_lifted_on_a_full_disk_and_stops_nobody_else(make_suite):
    """It gains nothing, so it acts before it is recorded; the ledger that the services follow still has it."""
    suite = make_suite(start=False)
    shim = Shim(suite.folder)
    suite.start("control", env=shim.env, wait=False)
    suite.start("policy", "notify", "ingest")
    agent = suite.agent("ann", "E1", site="berlin").run().expect(capturing=True)
    suite.agent("bob", "E2", site="paris")
    suite.pause("--site", "paris")
    covered = suite.pause("--site", "paris", "--capture-only")["epoch"]
    shim.full()
    asked = suite.cli("resume", covered, "--reason", "a test", check=False)
    assert asked.code == 1 and "NOT DURABLE" in asked.out + asked.err, asked
    assert [c["epoch"] for c in suite.cli("closures", "--json").json["closures"]] != [], "the control: the other is in force"
    assert covered not in [int(c["epoch"]) for c in suite.cli("closures", "--json").json["closures"]], "it is lifted"
    for number in range(3):
        refused = shim.refused
        wait_until(lambda: shim.refused >= refused + 4, "a lease goes by")
        agent.type(f"event-{number}")
        wait_until(lambda: agent.fresh["accepted"] == number + 1, "capture goes on where nothing is closed")
    shim.full(False)
    agent.expect_drained()
    assert not [s["name"] for s in suite.status()["services"] if int(s.get("counters", {}).get("gate.contradicted", 0))], "nobody accuses control"


def fill_more(filler):
    with open(filler, "ab", buffering=0) as more:
        try:
            while more.write(b"\0" * 4096):
                pass
        except OSError:
            pass


def test_no_acknowledgement_and_no_release_leaves_before_its_commit_is_synced(make_suite):
    """FAULTS D03: of everything that policy does, in order, an fdatasync of the log comes before each answer. A release costs one."""
    missing("strace")
    # Renewals, after which the log is synced as well, come seldom.
    suite = make_suite(lease_ms=6000).govern()
    trace, log = suite.folder / "trace", suite.folder / "strace.log"
    # Attached to what we started: if strace is killed, its tracee is still ours to end.
    tracer = suite.adopt(Process([
        "strace", "-f", "-y", "-ttt", "-e", "trace=fdatasync,fsync,pwrite64,write", "-e", "signal=none", "-o", trace, "-p", suite.services["policy"].id], log))
    wait_until(lambda: "attached" in tracer.said or not tracer.is_running, "strace traces")
    if not tracer.is_running:
        pytest.skip(f"strace may not trace here: {tracer.said.strip()}")
    agent = suite.agent("ann").run().expect(capturing=True)
    for number in range(5):
        agent.type(f"a-{number}")
        wait_until(lambda: suite.vault_count() == number + 1, "it is stored")
        wait_until(lambda: agent.fresh["spoolBatches"] == 0, "it is acknowledged")
    opened = []
    for _ in range(6):
        asked = time.time()
        stream = Stream(suite, "ops-1", purpose="test")
        opened.append((asked, time.time()))
        assert stream.take() and stream.rest().code == 0 and stream.events == 5
        stream.close()
    suite.kill("policy")
    tracer.wait()
    lines = trace.read_text(errors="replace").splitlines()
    # In order: after the writes of a commit comes its sync, and only then does the writer wake the reactor, which sends.
    threads = {line.split()[0] for line in lines if "vault.sqlite-wal>" in line and "pwrite64" in line}
    own = [line for line in lines if line.split()[0] in threads]

    def woken_while_dirty(own):
        dirty, wrong, wakes = False, 0, 0
        for line in own:
            if "pwrite64(" in line and "vault.sqlite-wal>" in line:
                dirty = True
            elif "sync" in line and ("vault.sqlite-wal>" in line or "resumed" in line) and "= 0" in line:
                dirty = False
            elif re.search(r"write\(\d+<anon_inode:\[eventfd\]>", line):
                wakes += 1
                wrong += dirty
        return wrong, wakes

    wrong, wakes = woken_while_dirty(own)
    assert wakes >= 5 and wrong == 0
    # Control: the same trace without its syncs fails the same check.
    assert woken_while_dirty([line for line in own if "sync" not in line])[0] > 0
    # Between a request and its answer the log is synced, and once is enough. What policy does besides, with its renewals, may be synced between as well: not six times.
    synced = [float(line.split()[1]) for line in own if "sync" in line and ("vault.sqlite-wal>" in line or "resumed" in line) and "= 0" in line]
    between = [sum(asked < at < answered for at in synced) for asked, answered in opened]
    assert min(between) == 1, between


def woken_before_synced(lines, log):
    """Of the threads that write a log: how often they wake another with something unsynced, and how often at all."""
    threads = {line.split()[0] for line in lines if f"{log}>" in line and "pwrite64" in line}
    dirty, wrong, wakes = dict.fromkeys(threads, False), 0, 0
    for line in lines:
        thread = line.split()[0]
        if thread not in threads:
            continue
        if "pwrite64(" in line and f"{log}>" in line:
            dirty[thread] = True
        elif "sync" in line and (f"{log}>" in line or "resumed" in line) and "= 0" in line:
            dirty[thread] = False
        elif re.search(r"write\(\d+<anon_inode:\[eventfd\]>", line):
            wakes += 1
            wrong += dirty[thread]
    return wrong, wakes


@pytest.mark.parametrize("deed", ["resume", "enrol", "joined"])
def test_control_answers_nothing_that_widens_before_its_entry_is_synced(make_suite, tmp_path, deed):
    """FAULTS D03, of control's ledger: an index is told when what stands there is on the disk, whichever of the deeds that take two it is."""
    missing("strace")
    suite = make_suite()
    if deed == "joined":
        suite.start("join", wait=False)
        wait_until(lambda: b"for joining" in suite.log("join").read_bytes(), "machines may join")

    def enrolled():
        said = suite.cli("enrol", "--subject", "E1", "--json").json
        suite.cli("approve", said["proposal"]["proposal"], "--as", "ops-2")
        return said["token"]

    if deed == "resume":
        suite.pause("--all")
    token = enrolled() if deed == "joined" else None
    trace = suite.folder / "trace"
    tracer = suite.adopt(Process([
        "strace", "-f", "-y", "-e", "trace=fdatasync,fsync,pwrite64,write", "-e", "signal=none", "-o", trace, "-p", suite.services["control"].id],
        suite.folder / "strace.log"))
    wait_until(lambda: "attached" in tracer.said or not tracer.is_running, "strace traces")
    if not tracer.is_running:
        pytest.skip(f"strace may not trace here: {tracer.said.strip()}")
    before = int(suite.status()["entries"])
    if deed == "resume":
        assert suite.resume()["lifted"]
    elif deed == "enrol":
        enrolled()
    else:
        done = subprocess.run(
            [binaries() / "sluice-agent", "join", "-", "--home", tmp_path / "desk"], input=token + "\n", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and done.stdout.startswith("joined as "), done
    entries = int(suite.status()["entries"]) - before
    assert entries >= 1, "it stands in the ledger"
    suite.kill("control")
    tracer.wait()
    kept = suite.journal("SELECT COUNT(*) FROM ledger_leaf")[0][0]
    assert kept >= before + entries, "what was told is there after a kill"
    lines = trace.read_text(errors="replace").splitlines()
    wrong, wakes = woken_before_synced(lines, "control/ledger.sqlite-wal")
    # Entries that came together were made durable together, and are told of in one.
    assert wakes >= 1 and wrong == 0, (wakes, wrong)
    # Control: the same trace without its syncs fails the same check.
    assert woken_before_synced([line for line in lines if "sync" not in line], "control/ledger.sqlite-wal")[0] > 0


# At the start


@pytest.mark.parametrize("name, before", [("control", False), ("policy", False), ("notify", False), ("control", True)])
def test_a_service_that_starts_on_a_full_disk_says_that_it_is_full_and_what_to_do(make_suite, name, before):
    """At its first start, and where it has served before. Policy and notify, whose log and index may still lie there, serve then, and wait for room."""
    suite = make_suite(start=False)
    with on_tmpfs(suite.home / name, 12 * MEGABYTE) as disk:
        try:
            if before:
                suite.start()
                suite.terminate_all()
            filler = fill(disk)
            done = subprocess.run([binaries() / f"sluice-{name}", "--home", suite.home], capture_output=True, text=True, timeout=60)
            assert done.returncode != 0 and len(done.stderr.splitlines()) == 1, done
            assert "its disk is full; make room" in done.stderr and str(disk) in done.stderr, done
            # The control: with room it serves.
            filler.unlink()
            suite.start()
        finally:
            suite.close()


def test_an_agent_on_a_full_disk_ends_with_one_line_and_what_it_had_spooled_is_sent_when_there_is_room(make_suite):
    """While it runs and at its start: it takes no events that it cannot keep."""
    suite = make_suite()
    with on_tmpfs(suite.home / "agents" / "ann", 8 * MEGABYTE) as disk:
        try:
            agent = suite.agent("ann", "E1").run().expect(capturing=True)
            # Nothing is acknowledged: what is spooled stays there.
            suite.stop("policy")
            agent.type("kept-1", "kept-2")
            wait_until(lambda: agent.fresh["spoolBatches"], "they are spooled")
            filler = fill(disk)

            def ended():
                with contextlib.suppress(BrokenPipeError):
                    agent.send(text(os.urandom(15_000).hex(), "prompt"))
                return not agent.process.is_running

            wait_until(ended, "it ends", every=0.1)

            def expect_one_line(begun):
                said = [line for line in agent.process.said[begun:].splitlines() if " info " not in line]
                assert agent.process.wait() > 0 and len(said) == 1 and "full" in said[0], (agent.process.popen.returncode, said)

            expect_one_line(0)
            begun = len(agent.process.said)
            assert agent.run().process.wait() > 0
            expect_one_line(begun)
            # The control: with room it runs, and nothing of what was spooled is lost.
            filler.unlink()
            suite.cont("policy")
            agent.run().expect(capturing=True).type("after")
            agent.expect_drained()
            assert suite.keys() == ["kept-1", "kept-2", "after"]
        finally:
            suite.close()


@pytest.mark.parametrize("name", ["ingest", "join"])
def test_a_service_that_keeps_nothing_does_not_care_for_a_full_disk(make_suite, name):
    suite = make_suite(start=False)
    with on_tmpfs(suite.home / name, MEGABYTE) as disk:
        try:
            fill(disk)
            suite.start(*("control", "policy", "notify", "ingest"), *(["join"] if name == "join" else []))
        finally:
            suite.close()


def test_up_on_a_full_disk_says_so_in_one_line(make_suite, tmp_path):
    def up(home):
        return subprocess.run(
            [binaries() / "sluice", "up", "--home", home, "--agents", "0", "--port-base", str(suite.port_base)], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120)

    suite = make_suite(start=False)
    # At its first start, when it makes keys and settings, and at a later one, when it is control that finds no room.
    with on_tmpfs(tmp_path / "small", MEGABYTE) as disk:
        fill(disk)
        done = up(disk / "home")
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done
        assert "is full" in done.stderr and "make room" in done.stderr and str(disk) in done.stderr, done
    with on_tmpfs(suite.home / "control", 12 * MEGABYTE) as disk:
        try:
            suite.start()
            suite.terminate_all()
            fill(disk)
            done = up(suite.home)
            assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done
            assert "control does not start" in done.stderr and "its disk is full; make room" in done.stderr, done
        finally:
            suite.close()
