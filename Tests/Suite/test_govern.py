"""Policy, consent, erasure and holds: what narrows takes one and acts at once, what widens takes two."""

import contextlib
import io
import json
import shutil
import socket
import sqlite3
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest
from harness import on_tmpfs, wait_until
from harness.agent import text
from harness.tools import fill
from test_disks import MEGABYTE, fill_more

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "policy"

BASE = {
    "version": 1,
    "classes": [{"name": "activity", "retention": "30 days", "audience": 2}],
    "rules": [{"class": "activity", "kind": ["key", "pointer", "window", "presence"]}],
    "capture": [{"for": "everyone", "as": "keep"}],
    "purposes": [
        {"name": "training", "basis": "consent", "classes": ["activity"]}, {"name": "test", "basis": "legal-obligation", "classes": ["activity"]},
        {"name": "security", "basis": "legitimate-interests", "classes": ["activity"]}],
    "roles": [{"name": "ml", "members": ["ops-1", "ben", "cleo"]}],
    "access": [{"name": "ml", "role": "ml", "purpose": "test", "classes": ["activity"], "for": "everyone", "expires": "never", "rate": "unlimited"}],
}


def policy(tmp_path, name="policy", **changes):
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps({**BASE, **changes}))
    return path


def entries(suite):
    return suite.status()["entries"]


def test_a_narrower_policy_is_applied_by_one_and_a_wider_one_by_two_who_see_the_difference(make_suite, tmp_path):
    suite = make_suite()
    assert "no document was applied" in suite.cli("policy", "show").out
    people = tmp_path / "people.csv"
    people.write_text("id,site,team\nben,berlin,ml\ncleo,berlin,ml\nE1,berlin,search\n")
    # More could read than the document allows: it is not even proposed, unless that is said by name.
    refused = suite.cli("policy", "apply", policy(tmp_path), "--directory", people, check=False)
    assert refused.code == 1 and "--over-limit activity" in refused.err and not suite.cli("proposals", "--json").json.get("proposals"), refused
    made = suite.cli("policy", "apply", policy(tmp_path), "--directory", people, "--over-limit", "activity", "--json").json
    number = made["proposal"]["proposal"]
    assert any("by grant \"ml\"" in line for line in made["proposal"]["gains"]) and any("activity" in line and "itself allows" in line for line in made["proposal"]["gains"]), made
    assert "no document was applied" in suite.cli("policy", "show").out, "one person alone has widened nothing"
    assert suite.cli("approve", number, "--as", "ops-1", check=False).code == 1
    shown = suite.cli("approve", number, "--as", "ops-2", "--directory", people).out
    assert "activity   audience" in shown and "OVER       activity" in shown and "WIDENS" in shown, shown
    applied = suite.cli("policy", "show", "--json").json
    assert applied["document"]["roles"] == [{"members": ["ben", "cleo", "ops-1"], "name": "ml"}] and applied["over"] == ["activity"]
    assert json.loads(suite.cli("policy", "show", "--yaml").out) == applied["document"]

    # Less takes one: at once.
    narrower = policy(tmp_path, "narrower", roles=[{"name": "ml", "members": ["ops-1", "ben"]}], classes=[{"name": "activity", "retention": "10 days", "audience": 2}])
    said = suite.cli("policy", "apply", narrower).out
    assert "APPLIED" in said and "NARROWS" in said, said
    later = suite.cli("policy", "show", "--json").json
    assert later["document"]["roles"][0]["members"] == ["ben", "ops-1"] and later["entry"] > applied["entry"] and later["over"] == []
    # The same again changes nothing; and back again widens, which no directory of others hides.
    before = entries(suite)
    suite.cli("policy", "apply", narrower)
    assert entries(suite) == before
    back = suite.cli("policy", "apply", policy(tmp_path), "--json").json
    assert back["proposal"]["state"] == "open" and len(back["proposal"]["gains"]) == 2, back
    assert suite.cli("policy", "show", "--json").json["entry"] == later["entry"]
    assert f"proposal {back['proposal']['proposal']}" in suite.cli("proposals").out and "apply the policy" in suite.cli("proposals").out
    suite.cli("withdraw", back["proposal"]["proposal"])
    # A mistake, or something that is no policy, is told with its place and goes nowhere.
    broken = policy(tmp_path, "broken", capture=[{"for": "everyone", "as": "keeep"}])
    assert suite.cli("policy", "apply", broken, check=False).code == 1
    assert suite.cli("ledger", "verify").code == 0
    suite.restart("control")
    assert suite.cli("policy", "show", "--json").json == later


def test_a_consent_takes_two_and_its_withdrawal_one_also_from_a_file(make_suite, tmp_path):
    suite = make_suite()
    suite.approved("policy", "apply", policy(tmp_path))
    signed = tmp_path / "signed.txt"
    signed.write_text("".join(f"E{n}\n" for n in range(4500)))
    assert suite.cli("consent", "grant", "E1", "--purpose", "trainig", check=False).code == 1
    proposals = suite.cli("consent", "grant", "--file", signed, "--purpose", "training", "--json").lines
    assert len(proposals) == 2, "more than a command may name"
    assert suite.cli("consent", "show", "E1", "--json").json["records"] == [{"subject": "E1"}]
    for made in proposals:
        assert "and 3997 more" in made["proposal"]["gains"][0] or "and 497 more" in made["proposal"]["gains"][0], made["proposal"]["gains"]
        suite.cli("approve", made["proposal"]["proposal"], "--as", "ops-2")
    shown = suite.cli("consent", "show", "E1", "E4499", "E9999", "--json").json["records"]
    assert [r.get("consents") for r in shown] == [["training"], ["training"], None]
    assert "withdrawn" in suite.cli("consent", "withdraw", "E1", "--purpose", "training").out
    assert "agreed to nothing" in suite.cli("consent", "show", "E1").out
    # What would withdraw nothing is no success.
    again = suite.cli("consent", "withdraw", "E1", "--purpose", "training", check=False)
    assert again.code == 1 and "nothing was withdrawn" in again.err, again
    suite.approved("consent", "grant", "E1", "--purpose", "security", "--notice")
    assert "was told of security" in suite.cli("consent", "show", "E1").out
    assert suite.cli("ledger", "verify").code == 0


def full(suite, disk, pauses=60):
    """Fills control's disk until its journal cannot be written; only what nobody here looks at is paused."""
    filler = fill(disk)
    for number in range(pauses):
        (disk / "reserve").unlink(missing_ok=True)
        fill_more(filler)
        suite.pause("--subject", "NOBODY", reason=f"{number} " + "x" * 1500)
        if suite.status().get("journal"):
            return filler
    pytest.fail("the journal was never full")


def gauge(suite, service, name):
    return suite.service_status(service)["gauges"].get(name, 0)


@pytest.mark.limit(240)
def test_on_a_full_disk_a_withdrawal_and_an_erasure_are_in_force_at_once_and_destroy_nothing_yet(make_suite, tmp_path):
    suite = make_suite(start=False)
    with on_tmpfs(suite.home / "control", 12 * MEGABYTE) as disk:
        try:
            suite.start()
            suite.agent("nobody", "NOBODY")
            suite.approved("policy", "apply", policy(tmp_path))
            suite.approved("consent", "grant", "E7", "--purpose", "training")
            filler = full(suite, disk)
            told = suite.cli("consent", "withdraw", "E7", "--purpose", "training", check=False)
            assert told.code == 1 and "IN FORCE, BUT NOT DURABLE" in told.err, told
            assert "agreed to nothing" in suite.cli("consent", "show", "E7").out
            for service in ("policy", "ingest"):
                wait_until(lambda: gauge(suite, service, "narrowed.unrecorded") == 1, f"{service} has heard of it")
            told = suite.cli("forget", "E7", "--yes", check=False)
            assert told.code == 1 and "IN FORCE, BUT NOT DURABLE" in told.err, told
            assert "PENDING E7 forgotten" in suite.cli("status").out
            for service in ("policy", "ingest"):
                wait_until(lambda: gauge(suite, service, "narrowed.unrecorded") == 2, f"{service} has heard of that")
            # Who starts now hears of it too, without a lease for what is not recorded.
            suite.restart("policy")
            wait_until(lambda: gauge(suite, "policy", "narrowed.unrecorded") == 2, "policy has heard of both again")
            assert gauge(suite, "policy", "erasures.running") == 0 and "E7" not in json.dumps(erasures(suite)), "what cannot be taken back waits for its entry"
            # What widens does not act.
            assert suite.cli("consent", "grant", "E8", "--purpose", "training", check=False).code == 1
            filler.unlink()
            wait_until(lambda: not suite.status().get("journal") and not suite.status().get("pending"), "the journal is written again")
            for service in ("policy", "ingest"):
                wait_until(lambda: gauge(suite, service, "narrowed.unrecorded") == 0, f"{service} has it by its entry")
            wait_until(lambda: erasures(suite) == [("E7", 2)], "the erasure is carried out")
            assert all(int(s["counters"].get("narrow.refused", 0)) == 0 for s in suite.status()["services"])
            assert suite.cli("ledger", "verify").code == 0
        finally:
            suite.close()


def erasures(suite):
    return suite._database(suite.home / "policy" / "keys.sqlite", "SELECT subject, state FROM erasure", ())


def rows(suite, subject):
    return suite.vault("SELECT COALESCE(SUM(count), 0) FROM segment WHERE subject = ?", subject)[0][0]


def two_people(suite):
    ann, bob = suite.agent("ann", "E1").run(), suite.agent("bob", "E2").run()
    ann.expect(capturing=True).type("a", "b", "c")
    bob.expect(capturing=True).type("x")
    wait_until(lambda: suite.vault_count() == 4, "all is stored")
    return ann, bob


def test_who_is_forgotten_is_gone_also_from_a_backup_with_its_keys_and_the_ledgers_verify(make_suite, tmp_path):
    suite = make_suite()
    ann, _ = two_people(suite)
    suite.terminate("policy")
    shutil.copytree(suite.home / "policy", tmp_path / "backup")
    suite.start("policy")
    refused = suite.cli("forget", "E1", check=False)
    assert refused.code == 1 and "--yes" in refused.err, "nobody is asked here, and it cannot be taken back"
    assert rows(suite, "E1") == 3
    said = suite.cli("forget", "E1", "--yes").out
    assert "ERASED" in said and "3 events" in said, said
    assert rows(suite, "E1") == 0 and rows(suite, "E2") == 1
    assert "erased by entry" in suite.cli("consent", "show", "E1").out
    ann.type("d")
    wait_until(lambda: int(suite.service_status("policy")["counters"].get("events.dropped.erased", 0)) == 1, "what comes is dropped, and counted")

    # Last month's backup, with the keys that should not have been archived.
    suite.terminate("policy")
    shutil.rmtree(suite.home / "policy")
    shutil.copytree(tmp_path / "backup", suite.home / "policy")
    assert erasures(suite) == [] and rows(suite, "E1") == 3, "the control: it holds everything"
    suite.start("policy")
    wait_until(lambda: rows(suite, "E1") == 0 and erasures(suite) == [("E1", 2)], "it is erased again")
    with sqlite3.connect(f"file:{suite.home}/policy/keys.sqlite?mode=ro", uri=True) as keys:
        assert keys.execute("SELECT DISTINCT subject FROM data_key").fetchall() == [("E2",)]
    assert suite.cli("ledger", "verify").code == 0

    # Taken back by two: what comes from then on stays, also over a start.
    suite.approved("readmit", "E1")
    entry = suite.status()["entries"]
    wait_until(lambda: suite.service_status("policy")["entries"] >= entry, "policy has heard of it")
    ann.expect(capturing=True).type("e", "f")
    wait_until(lambda: rows(suite, "E1") == 2, "what comes is stored again")
    suite.restart("policy")
    ann.expect(capturing=True).type("g")
    wait_until(lambda: rows(suite, "E1") == 3, "and is not taken for what was erased")
    # And again: a second erasure is another one.
    suite.cli("forget", "E1", "--yes")
    assert rows(suite, "E1") == 0
    assert suite.cli("ledger", "verify").code == 0


def test_a_hold_of_an_incident_delays_an_erasure_and_says_so(make_suite):
    suite = make_suite()
    ann, _ = two_people(suite)
    incident = suite.pause("--subject", "E2")["closure"]["incident"]
    proposal = suite.cli("hold", "place", "E1", "--incident", incident, "--json").json["proposal"]
    assert "past an erasure" in proposal["gains"][0]
    suite.cli("approve", proposal["proposal"], "--as", "ops-2")
    assert f"incident {incident}   1 held: E1" in suite.cli("hold", "list").out
    waits = suite.cli("forget", "E1", "--yes", check=False)
    assert waits.code == 1 and "WAITS" in waits.out and f"incident {incident} holds" in waits.out, waits
    assert f"held for incident {incident}" in suite.cli("consent", "show", "E1").out
    ann.type("d")
    wait_until(lambda: int(suite.service_status("policy")["counters"].get("events.dropped.erased", 0)) == 1, "nothing new is stored")
    assert rows(suite, "E1") == 3 and gauge(suite, "policy", "erasures.waiting") == 1
    # It waits over a start, and its incident cannot be closed over its head.
    suite.restart("policy")
    assert rows(suite, "E1") == 3 and erasures(suite) == [("E1", 0)]
    suite.resume()
    refused = suite.cli("incidents", "--close", incident, check=False)
    assert refused.code == 1 and "holds what there is of 1" in refused.err, refused
    suite.cli("hold", "lift", "--all", "--incident", incident)
    wait_until(lambda: rows(suite, "E1") == 0 and erasures(suite) == [("E1", 2)], "it goes on")
    assert rows(suite, "E2") == 1 and "nothing is held" in suite.cli("hold", "list").out
    suite.cli("incidents", "--close", incident)
    assert suite.cli("ledger", "verify").code == 0


def test_a_diff_is_from_what_is_in_force_and_one_from_a_file_is_from_that(make_suite, tmp_path):
    suite = make_suite()
    mine = policy(tmp_path)
    assert "NARROWS" not in suite.cli("policy", "diff", mine).out, "from the standard one, by which nobody reads"
    suite.approved("policy", "apply", mine, "--yes")
    assert suite.cli("policy", "diff", mine).out == "nothing changes\n"
    other = policy(tmp_path, "other", access=[])
    lost = suite.cli("policy", "diff", other, "--json").json
    assert lost["losses"] and not lost["widens"]
    assert suite.cli("policy", "diff", other, "--from", other).out == "nothing changes\n"


def test_the_example_lets_a_person_have_what_is_held_on_them_and_nobody_else_by_that_purpose(make_suite, tmp_path):
    suite = make_suite()
    suite.approved("policy", "apply", EXAMPLE / "policy.yaml", "--yes")
    agent = suite.agent("ann", "E1042").run()
    wait_until(lambda: (s := agent.fresh)["policy"] and s["classes"], "it captures by the example")
    agent.send(text("words of hers", "document"))
    agent.expect_drained()
    done = subprocess.run(suite.command("export", "E1042"), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(io.BytesIO(done.stdout)) as archive:
        assert [json.loads(line)["text"] for line in archive.read("content.ndjson").splitlines()] == ["words of hers"]
        assert json.loads(archive.read("reads.ndjson").splitlines()[-1])["grants"] == ["subject-access"]
        assert "Nothing that is stored of you is missing." in archive.read("README.txt").decode()
    # Captured in a second place, of which the document lets nobody read: the file says that it is not whole.
    agent = suite.agent("bob", "E1042", team="sales").run()
    wait_until(lambda: (s := agent.fresh)["policy"] and s["classes"], "it captures by the example")
    agent.send(text("words elsewhere", "document"))
    agent.expect_drained()
    narrower = tmp_path / "narrower.yaml"
    narrower.write_text((EXAMPLE / "policy.yaml").read_text().replace("purpose: subject-access\n", "purpose: subject-access\n    except: {team: sales}\n"))
    suite.cli("policy", "apply", narrower, "--yes")
    wait_until(lambda: suite.service_status("policy").get("entries", 0) == suite.status()["entries"], "policy has followed")
    done = subprocess.run(suite.command("export", "E1042"), capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(io.BytesIO(done.stdout)) as archive:
        assert [json.loads(line)["text"] for line in archive.read("content.ndjson").splitlines()] == ["words of hers"]
        said = archive.read("README.txt").decode()
        assert "MISSING: a part of what is stored of you" in said and "Nothing that is stored of you is missing" not in said, said
    # The control: it is the purpose that is granted, not the reader.
    refused = suite.cli("read", "--purpose", "model-training", "--why", "a test", "--class", "content", check=False)
    assert refused.code == 77


class Relay:
    """A way to a port that can be held: what goes back along it waits, and is not lost."""

    def __init__(self, port):
        self.flows = threading.Event()
        self.flows.set()
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                for source, sink, waits in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._copy, args=(source, sink, waits), daemon=True).start()

    def _copy(self, source, sink, waits):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if waits:
                    self.flows.wait()
                sink.sendall(data)

    def close(self):
        self.flows.set()
        self.listener.close()


def test_what_was_done_by_an_earlier_erasure_is_not_told_of_a_later_one(make_suite):
    suite = make_suite()
    relay = Relay(suite.port("control"))
    suite.terminate("policy")
    path = suite.home / "suite.json"
    settings = path.read_text()
    path.write_text(json.dumps({**json.loads(settings), "control": f"tcp://127.0.0.1:{relay.port}"}))
    suite.start("policy")
    path.write_text(settings)
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    agent.type("a")
    agent.expect_drained()
    assert "ERASED     1 of 1 people" in suite.cli("forget", "E1", "--yes").out
    suite.approved("readmit", "E1")
    wait_until(lambda: suite.service_status("policy")["entries"] == suite.status()["entries"], "policy has heard of it")
    # What it says from here on is of the first erasure: it has not heard of another.
    relay.flows.clear()
    outcome = suite.cli("forget", "E1", "--yes", "--wait", 3, check=False)
    assert outcome.code == 1 and "ERASED" not in outcome.out and "not done yet of 1 people" in outcome.err, outcome
    relay.flows.set()
    assert "ERASED     1 of 1 people" in suite.cli("forget", "E1", "--yes").out
    relay.close()
