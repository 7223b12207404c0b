"""The exposure of an incident: a widening that two operators approve lets a second reader read; who could and who did comes out to the event."""

import base64
import contextlib
import csv
import datetime
import email
import email.policy
import hashlib
import io
import json
import os
import re
import sqlite3
import threading

import pytest
from harness import wait_until
from harness.agent import text
from test_ledgers import expect_cosigned
from test_releases import DENIED, peer, reader
from test_transcript import on_terminal

PAUSED = 16

REVIEWS = {"E1": 5, "E2": 3, "E3": 2}

# What an operator may write of an incident, and nobody's notice or part may say.
NAMES = "Zoe Zander (E3) showed reviews of E2 to the partner"


def document(members):
    return {
        "version": 1,
        "classes": [{"name": "activity", "retention": "3000 days", "audience": "unlimited"}, {"name": "review", "retention": "3000 days", "audience": "unlimited"}],
        "rules": [{"class": "activity", "kind": ["pointer", "key", "window", "presence"]}, {"class": "review", "source": "review"}],
        "capture": [{"for": "everyone", "as": "keep"}],
        "purposes": [{"name": "people-review", "basis": "legal-obligation", "classes": ["review"]}],
        "roles": [{"name": "partners", "members": members}],
        "access": [{"name": "cycle", "role": "partners", "purpose": "people-review", "classes": ["review"], "for": "everyone", "expires": "never", "rate": "unlimited"}],
    }


def put_in_force(suite, made):
    """The entry that applied it."""
    path = suite.folder / "policy.json"
    path.write_text(json.dumps(made))
    suite.approved("policy", "apply", path, "--yes")
    return int(suite.cli("policy", "show", "--json").json["entry"])


def apply(suite, members):
    """The entry that applied it."""
    before = int(suite.service_status("policy")["gauges"].get("policy.document", 0))
    put_in_force(suite, document(members))
    wait_until(lambda: int(suite.service_status("policy")["gauges"].get("policy.document", 0)) != before, "policy goes by the document")
    return int(suite.service_status("policy")["gauges"]["policy.document"])


def read(suite, by, *more, check=True):
    return suite.cli("read", "--as", by, "--purpose", "people-review", "--why", "a test", "--class", "review", *more, check=check)


def exposure(suite, *more):
    return suite.cli("exposure", suite.incident, "--json", *more).lines


def kind(lines, name):
    return [line for line in lines if line["kind"] == name]


@pytest.fixture(scope="module")
def leaked(make_module_suite):
    """Ten reviews of three people. A partner reads before the widening, a clerk after it, and everything is paused; then what is not the incident's."""
    suite = make_module_suite()
    agents = [suite.agent(subject.lower(), subject, team="search").run().expect(capturing=True) for subject in REVIEWS]
    suite.approved("register", "partner", "--reader", "--subject", "E9")
    suite.approved("register", "clerk", "--reader")
    suite.approved("register", "idle", "--reader")
    suite.narrow = apply(suite, ["partner"])
    # What is captured before an agent goes by the document is refused: nobody has given it a class.
    for agent in agents:
        wait_until(lambda: (s := agent.status) and s["policy"] == suite.narrow and s["classes"], "it goes by the document")  # noqa: B023 - asked at once
    for agent, count in zip(agents, REVIEWS.values()):
        agent.send(*(text("she does well", "review") for _ in range(count)))
    wait_until(lambda: suite.vault_count() == sum(REVIEWS.values()), "they are stored")
    for agent in agents:
        assert agent.end_input() == 0
    wait_until(lambda: read(suite, "partner", check=False).code == 0, "policy has heard of the partner")
    suite.before = int(suite.cli("who-read", "E1", "--json").json["release"])
    assert read(suite, "clerk", check=False).code == 77
    suite.wide = apply(suite, ["partner", "clerk"])
    assert len(read(suite, "clerk", "--subject", "E1", "--subject", "E3").lines) == REVIEWS["E1"] + REVIEWS["E3"]
    certificate = suite.pause("--class", "review", reason=NAMES)
    suite.incident = int(certificate["closure"]["incident"])
    assert read(suite, "clerk", check=False).code != 0
    return suite


def test_who_could_and_who_did_come_out_to_the_event(leaked):
    lines = exposure(leaked)
    (head,) = kind(lines, "exposure")
    assert head["classes"] == ["review"] and head["incident"] == leaked.incident
    assert (head["exposed_subjects"], head["exposed_events"], head["could_keys"]) == (3, 10, 2)
    assert (head["did_readers"], head["did_subjects"], head["did_events"]) == (1, [2, 2], [7, 7])
    windows = [window for could in kind(lines, "could") for window in could["windows"]]
    assert {(window["grant"], tuple(window["policies"])) for window in windows} == {("cycle", (leaked.wide, leaked.wide))}
    assert {key["reader"] for audience in kind(lines, "audience") for key in audience["keys"]} == {"partner", "clerk"}
    rows = {line["subject"]: line for line in kind(lines, "subject")}
    assert {subject: row["events"] for subject, row in rows.items()} == REVIEWS
    assert {subject: [part["events"] for part in row["did"]] for subject, row in rows.items()} == {"E1": [[5, 5]], "E2": [], "E3": [[2, 2]]}
    (release,) = kind(lines, "release")
    assert (release["reader"], release["policy"], release["left"]) == ("clerk", leaked.wide, 7)
    gaps = {line["gap"]: line for line in kind(lines, "gap")}
    assert gaps["released-before"]["releases"] == [leaked.before] and set(gaps) == {"released-before", "directory-before"}


def people_file(folder):
    path = folder / "others.csv"
    path.write_text("id,site,team,name\nE1,berlin,search,Ann Ash\nE2,berlin,search,Bob Birch\nE3,berlin,search,Zoe Zander\nE9,berlin,search,Dan Dow\n")
    return path


def test_it_is_for_people_for_spreadsheets_and_for_each_person_and_the_same_each_time(leaked, tmp_path):
    assert exposure(leaked) == exposure(leaked)
    out = leaked.cli("exposure", leaked.incident).out
    assert "could read   2 people, 2 with a key" in out and "did read     1 reader, 2 subjects, 7 events in 1 release" in out
    assert f"policy {leaked.wide}" in out and "ops-1, ops-2" in out and f"1 release had left before: {leaked.before}" in out
    rows = list(csv.DictReader(io.StringIO(leaked.cli("exposure", leaked.incident, "--csv").out)))
    assert [(row["subject"], row["events"], row["could_keys"], row["did_events_least"], row["did_events_most"]) for row in rows] == [
        ("E1", "5", "2", "5", "5"), ("E2", "3", "2", "0", "0"), ("E3", "2", "2", "2", "2")]
    own = leaked.cli("exposure", leaked.incident, "--subject", "E1")
    assert "grant cycle to partners" in own.out and "clerk" in own.out and "E2" not in own.out and "E3" not in own.out
    entry = kind(exposure(leaked, "--subject", "E1"), "release")[0]["entry"]
    assert f"read-{entry}.tlog-proof" in own.out and "--proofs FOLDER writes them" in own.out
    assert "E3" not in leaked.cli("exposure", leaked.incident, "--subject", "E1", "--json").out
    # A title names whom it likes, and so may what an operator is called: neither is in what one person is given.
    assert NAMES in out, "the control: whoever handles the incident sees it"
    for form in ((), ("--json",), ("--csv",), ("--people", people_file(tmp_path))):
        said = leaked.cli("exposure", leaked.incident, "--subject", "E1", *form).out
        assert not [name for name in ("Zoe", "Zander", "showed", "E2", "E3", "ops-1", "ops-2") if name in said], said


def test_the_preview_of_the_notices_has_the_numbers_of_the_exposure_and_names_nobody_else(leaked, tmp_path):
    people = tmp_path / "people.csv"
    people.write_text('id,name,mail,site,team,locale\nE1,Ann Ash,ann@example.org,berlin,search,de-DE\nE2,Bob Birch,,berlin,search,en\nE3,Cleo Cox,"cleo@example.org, eve@example.com",berlin,search,fr\n')
    head = kind(exposure(leaked, "--people", people), "exposure")[0]
    preview = leaked.cli("notices", "preview", leaked.incident, "--people", people, "--json").json
    assert (preview["subjects"], preview["exposed_events"], preview["did_subjects"]) == (head["exposed_subjects"], head["exposed_events"], head["did_subjects"]) == (3, 10, [2, 2])
    assert (preview["languages"], preview["reachable"], preview["without_address"], [one["subject"] for one in preview["refused_addresses"]]) == ({"de": 1, "en": 2}, ["E1"], ["E2"], ["E3"])
    assert "3 people would be told" in leaked.cli("notices", "preview", leaked.incident).out
    refused = leaked.cli("notices", "preview", leaked.incident, "E1", check=False)
    assert refused.code == 1 and "whom to ask" in refused.err and refused.err.count("\n") == 1, refused
    (leaked.home / "notices.json").write_text(json.dumps({"contactName": "Dana Fischer", "contactPoint": "dpo@example.org"}))
    for subject in REVIEWS:
        told = leaked.cli("notices", "preview", leaked.incident, subject, "--people", people, "--json").json
        own = exposure(leaked, "--people", people, "--subject", subject)
        names = ("exposed_events", "could_people", "could_keys", "did_releases", "did_readers", "did_events")
        assert {name: told[name] for name in names} == {name: kind(own, "exposure")[0][name] for name in names}
        assert [one["events"] for one in told["kinds"]] == [line["events"] for line in kind(own, "subject")] == [REVIEWS[subject]]
        assert told["proofs"] == [f"read-{release['entry']}.tlog-proof" for release in kind(own, "release")]
        assert not [word for word in ("Zoe", "Zander", "showed") if word in told["text"] + told["html"] + told["title"]]
        assert not [word for other in REVIEWS if other != subject for word in (f"{other})", f"{other},", {"E1": "Ann", "E2": "Bob", "E3": "Cleo"}[other]) if word in told["text"] + told["html"]]
    assert "E9" not in told["text"] and "clerk" not in told["text"], "readers by their role"
    assert "nothing of E9 was exposed" in leaked.cli("notices", "preview", leaked.incident, "E9", check=False).err


def leaf_of(suite, entry):
    """Of the ledger of reads: 33 bytes."""
    ((salt, body),) = suite.vault("SELECT salt, body FROM ledger_body WHERE number = ?", entry - 1)
    return b"\1" + hashlib.sha256(salt + body).digest()


def check_proof(suite, entry, text):
    """By other libraries, with the keys of policy and of control: that this entry is in the ledger; and that nobody's id is in the file."""
    ledger = pytest.importorskip("ledger", reason="the Python packages 'cryptography' and 'pymerkle' are not installed")
    first, extra, *rest = text.split("\n")
    leaf = base64.b64decode(extra.removeprefix("extra "))
    assert leaf == leaf_of(suite, entry) and rest[0] == f"index {entry - 1}"
    anchors = json.loads((suite.home / "registry.json").read_text())["anchors"]
    bare = "\n".join([first, *rest])
    origin, size, times = ledger.verify(bare, leaf, [anchors["policy"], anchors["controlWitness"]])
    assert size >= entry and len(times) == 1 and origin == anchors["policy"].split("+")[0]
    with pytest.raises(AssertionError):
        ledger.verify(bare, leaf[:-1] + bytes([leaf[-1] ^ 1]), [anchors["policy"]])


def test_the_proof_files_of_ones_reads_are_written_once_and_anybody_can_check_them(leaked, tmp_path):
    folder = tmp_path / "for" / "E1"
    expect_cosigned(leaked, "reads", at_least=leaked.cli("ledger", "verify", "--ledger", "reads", "--json").json["entries"])
    (release,) = kind(exposure(leaked, "--subject", "E1"), "release")
    name = f"read-{release['entry']}.tlog-proof"
    said = leaked.cli("exposure", leaked.incident, "--subject", "E1", "--proofs", folder).out
    assert [path.name for path in folder.iterdir()] == [name] and f"proof files  in {folder}: {name}" in said
    # Whom else it was of does not stand in it, as it does in what the operator keeps.
    written = (folder / name).read_text()
    check_proof(leaked, release["entry"], written)
    assert b"E3" in base64.b64decode(leaked.cli("ledger", "prove", release["entry"], "--ledger", "reads").out.split("\n")[1].removeprefix("extra ")), "the control"
    again = leaked.cli("exposure", leaked.incident, "--subject", "E1", "--proofs", folder, check=False)
    assert (again.code, again.out) == (1, "") and f"{name} is there already, and nothing was written" in again.err and (folder / name).read_text() == written, again
    # What is printed for programs stays the same, with them or without.
    assert exposure(leaked, "--subject", "E1", "--proofs", tmp_path / "json") == exposure(leaked, "--subject", "E1") and (tmp_path / "json" / name).exists()
    unread = leaked.cli("exposure", leaked.incident, "--subject", "E2", "--proofs", tmp_path / "none")
    assert "proof files  none: no read is on record" in unread.out and not (tmp_path / "none").exists()
    assert leaked.cli("exposure", leaked.incident, "--proofs", tmp_path / "all", check=False).code == 64 and not (tmp_path / "all").exists()
    (tmp_path / "file").write_text("")
    refused = leaked.cli("exposure", leaked.incident, "--subject", "E1", "--proofs", tmp_path / "file", check=False)
    assert refused.code == 1 and refused.err.count("\n") == 1, refused


def test_before_the_widening_the_partner_alone_could(leaked):
    applied = next(line for line in (json.loads(one) for one in leaked.cli("ledger", "show", f"{leaked.narrow}", "--json").out.splitlines()))
    since, until = (leaked.cli("ledger", "show", f"{index}", "--json").json["at_us"] for index in (leaked.narrow, leaked.wide))
    assert "policy_applied" in applied
    lines = exposure(leaked, "--since", stamp(since), "--until", stamp(until))
    assert kind(lines, "exposure")[0]["could_keys"] == 1
    assert {key["reader"] for audience in kind(lines, "audience") for key in audience["keys"]} == {"partner"}
    assert [release["reader"] for release in kind(lines, "release")] == ["partner"]
    assert kind(lines, "exposure")[0]["did_events"] == [10, 10]


def stamp(microseconds):
    return datetime.datetime.fromtimestamp(int(microseconds) / 1e6, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def clock(microseconds):
    return datetime.datetime.fromtimestamp(int(microseconds) // 1_000_000, datetime.timezone.utc).strftime("%H:%M:%S")


def test_an_incident_is_shown_with_its_steps_and_the_draft_has_its_numbers(leaked):
    shown = leaked.cli("incident", "show", leaked.incident).out
    assert "exposed      review" in shown and "contained" in shown and "certificate" in shown
    draft = leaked.cli("incident", "report", leaked.incident).out
    assert "| review | 3 | 10 |" in draft and "| clerk | 1 | 7 |" in draft and "33(3)(d)" in draft
    assert leaked.cli("exposure", "999", check=False).code == 1


def root(leaves):
    """RFC 6962, section 2.1."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(leaves[:half]) + root(leaves[half:])).digest()


def mails(suite):
    """The notices in the Maildir, by whom they are to."""
    found = {}
    for folder in ("new", "cur"):
        for path in (suite.home / "notify" / "mail" / folder).glob("*"):
            mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            found.setdefault(str(mail["to"]), []).append(mail)
    return found


def test_each_exposed_person_and_nobody_else_has_one_notice_that_two_operators_have_signed_for(leaked, tmp_path):
    people = tmp_path / "people.csv"
    people.write_text("id,name,mail,site,team,locale\nE1,Ann Ash,ann@example.org,berlin,search,de-DE\nE2,Bob Birch,bob@example.org,berlin,search,en\nE3,Cleo Cox,,berlin,search,fr\nE9,Dan Dow,dan@example.org,berlin,search,en\n")
    (leaked.home / "notices.json").write_text(json.dumps({"contactName": "Dana Fischer", "contactPoint": "dpo@example.org"}))
    words = (leaked.incident, "--people", people)
    early = leaked.cli("notices", "send", *words, check=False)
    assert early.code == 1 and "assess" in early.err, "the control: people are told what it came to"
    leaked.cli("incident", "assess", leaked.incident)
    proposal = leaked.cli("notices", "send", *words, "--json").json["proposal"]
    digest = leaked.cli("notices", "preview", *words, "--json").json["digest"]
    assert len(digest) == 64 and any(digest in line and "3 people" in line for line in proposal["gains"]), proposal
    number = proposal["proposal"]
    assert leaked.cli("notices", "send", *words, "--json").json["proposal"]["proposal"] == number, "it waits, and is not proposed twice"
    assert leaked.cli("approve", number, "--yes", check=False).code == 1, "who proposes does not approve"
    # Whoever is to approve computes it, and another directory comes to something else.
    other = tmp_path / "other.csv"
    other.write_text(people.read_text().replace("bob@example.org", "eve@example.org"))
    refused = leaked.cli("approve", number, "--as", "ops-2", "--yes", "--directory", other, check=False)
    assert refused.code == 1 and "another digest" in refused.err, refused
    approved = leaked.cli("approve", number, "--as", "ops-2", "--yes", "--directory", people)
    assert digest in approved.out and "the same digest" in approved.out
    assert not any("@example.org" in to for to in mails(leaked)), "decided, and not handed over"

    handed = leaked.cli("notices", "send", *words, "--json").json
    assert (handed["count"], handed["held"], handed["taken"], handed["digest"]) == (3, 3, True, digest)

    def standing():
        (one,) = leaked.cli("notices", leaked.incident, "--json").json["rounds"]
        return int(one.get("delivered", 0)) + int(one.get("unreachable", 0)) == 3 and one

    told = wait_until(standing, "each is delivered or unreachable")
    assert (int(told["delivered"]), [one["subject"] for one in told["unreached"]]) == (2, ["E3"]), told
    assert leaked.cli("notices", "send", *words, "--json").json == handed, "the same again changes nothing"
    have = mails(leaked)
    assert {to: len(copies) for to, copies in have.items() if "@example.org" in to} == {"ann@example.org": 1, "bob@example.org": 1}
    leaves = []
    for subject in REVIEWS:
        (sent,) = leaked.cli("notice", "show", leaked.incident, subject, "--json").json["sent"]
        leaves.append(base64.b64decode(sent["notice"]))
        shown = leaked.cli("notice", "preview", leaked.incident, subject, "--people", people, "--json").json
        own = kind(exposure(leaked, "--people", people, "--subject", subject), "exposure")[0]
        assert (sent["text"], sent["html"], shown["exposed_events"], own["exposed_events"]) == (shown["text"], shown["html"], REVIEWS[subject], REVIEWS[subject])
        assert sent["files"] == [f"read-{one['entry']}.tlog-proof" for one in kind(exposure(leaked, "--subject", subject), "release")]
        if sent["address"]:
            (mail,) = have[sent["address"]]
            assert mail.get_body(("plain",)).get_content().split() == sent["text"].split() and str(REVIEWS[subject]) in sent["text"]
            assert [part.get_filename() for part in mail.iter_attachments()] == sent["files"] and sent["attempts"]
            # A proof shows that it is on record, and neither what nor of whom else.
            for part in mail.iter_attachments():
                extra = base64.b64decode(part.get_content().split(b"extra ")[1].split(b"\n")[0])
                assert len(extra) == 33 and extra[0] == 1
        leaked.cli("exposure", leaked.incident, "--subject", subject, "--proofs", tmp_path / subject)
        attached = {part.get_filename(): part.get_content() for part in mail.iter_attachments()} if sent["address"] else {}
        assert not attached or {path.name: path.read_bytes() for path in (tmp_path / subject).iterdir()} == attached, "the same files"
    assert root(leaves).hex() == digest, "what went out is what was signed"
    assert "delivered 2" in leaked.cli("notices", leaked.incident).out and "ann@example.org" in leaked.cli("notices", "--open").out
    leaked.cli("incident", "notified", leaked.incident)
    assert leaked.cli("incident", "show", leaked.incident, "--json").json["state"] == "notified"


@pytest.mark.parametrize("point, cleo", [("after-notices-taken-before-answer", "cleo@example.org"), ("after-notices-spread", "cleo.cox@example.org")])
def test_killed_when_a_round_is_taken_or_queued_each_new_one_comes_once_and_nobody_has_the_same_twice(leaked, tmp_path, point, cleo):
    people = tmp_path / "people.csv"
    people.write_text(f"id,name,mail,site,team,locale\nE1,Ann Ash,ann@example.org,berlin,search,de-DE\nE2,Bob Birch,bob@example.org,berlin,search,en\nE3,Cleo Cox,{cleo},berlin,search,fr\n")
    words = (leaked.incident, "--people", people)
    number = leaked.cli("notices", "send", *words, "--json").json["proposal"]["proposal"]
    leaked.cli("approve", number, "--as", "ops-2", "--yes", "--directory", people)
    leaked.restart("notify", env={"SLUICE_FAULT": f"{point}:1"})
    leaked.cli("notices", "send", *words, "--json", check=False)
    assert leaked.services["notify"].wait(60) == 137, "it has died at the point"
    leaked.start("notify")

    # Nobody hands it over again.
    def told():
        one = leaked.cli("notices", leaked.incident, "--json").json["rounds"][-1]
        return int(one.get("delivered", 0)) == 3 and one

    wait_until(told, "all three have theirs")
    copies = {to: len(found) for to, found in mails(leaked).items()}
    assert (copies["ann@example.org"], copies["bob@example.org"], copies[cleo]) == (1, 1, 1), "what the round before brought is not sent again"
    sent = leaked.cli("notice", "show", leaked.incident, "E1", "--json").json["sent"]
    assert len({one["id"] for one in sent}) == 1 and {one["state"] for one in sent} == {"delivered"} and all(one["attempts"] for one in sent)


def test_where_policy_says_so_one_operator_sends_at_once_and_tells_no_more_of_readers_than_it_allows(leaked, tmp_path):
    people = tmp_path / "people.csv"
    settings = leaked.home / "notices.json"
    contact = {"contactName": "Dana Fischer", "contactPoint": "dpo@example.org"}
    settings.write_text(json.dumps(contact))
    words = (leaked.incident, "--people", people)
    leaked.cli("incident", "assess", leaked.incident)

    def directory(host):
        """Another one, and so another digest."""
        people.write_text("id,name,mail,site,team,locale\n" + "".join(f"{subject},Somebody,{subject.lower()}@{host},berlin,search,en\n" for subject in REVIEWS))

    def decided():
        lines = (json.loads(line) for line in leaked.cli("ledger", "show", "--json").out.splitlines())
        return [line for line in lines if "notices_decided" in line]

    def terms(**notices):
        made = {**document(["partner", "clerk"]), **({"notices": notices} if notices else {})}
        path = tmp_path / "terms.json"
        path.write_text(json.dumps(made))
        return path, leaked.cli("policy", "diff", path).out

    # Of whom a row names nobody, nobody is counted.
    people.write_text("id,name,mail,site,team,locale\nE1,Ann,ann@example.org,berlin,search,en\n,,,,,\n")
    refused = leaked.cli("notices", "preview", *words, check=False)
    assert refused.code == 1 and "row 3 names nobody" in refused.err and refused.err.count("\n") == 1, refused

    # The control: without a word of it, it takes two.
    directory("two.example.org")
    waiting = leaked.cli("notices", "send", *words, "--json").json["proposal"]
    assert waiting["state"] == "open" and len(waiting["gains"]) == 1
    leaked.cli("withdraw", waiting["proposal"])

    # To let one takes two, and is told in a sentence.
    path, told = terms(send="at once", readers="person")
    assert "WIDENS" in told and "one operator alone sends people their notices" in told and "by person" in told, told
    refused = leaked.cli("notices", "preview", leaked.incident, "E1", "--people", people, "--readers", "person", check=False)
    assert refused.code == 1 and "--readers asks to tell of readers by person, and the policy document allows role" in refused.err and refused.err.count("\n") == 1, refused
    settings.write_text(json.dumps({**contact, "readers": "person"}))
    refused = leaked.cli("notices", "preview", leaked.incident, "E1", "--people", people, check=False)
    assert refused.code == 1 and "notices.json asks to tell of readers by person" in refused.err, refused
    settings.write_text(json.dumps(contact))
    proposal = leaked.cli("policy", "apply", path, "--yes", "--json").json["proposal"]
    assert any("one operator alone sends" in line for line in proposal["gains"]), proposal
    leaked.cli("approve", proposal["proposal"], "--as", "ops-2", "--yes")

    # One decides, and hands over in the same command; who could read is told by name.
    directory("one.example.org")
    before = len(decided())
    preview = leaked.cli("notices", "preview", *words, "--json").json
    said = leaked.cli("notices", "preview", leaked.incident, "E1", "--people", people, "--json").json
    assert "clerk" in said["text"], "what policy allows is what counts where notices.json says nothing"
    assert "clerk" not in leaked.cli("notices", "preview", leaked.incident, "E1", "--people", people, "--readers", "count", "--json").json["text"]
    asked = leaked.cli("notices", "send", *words, check=False)
    assert asked.code == 1 and "3 people get a notice of incident" in asked.err and "say --yes" in asked.err and asked.err.count("\n") == 1, asked
    assert "[y/N]" in on_terminal(leaked.command("notices", "send", *words), {}, answer="n") and len(decided()) == before, "nothing is decided by who does not say so"
    handed = leaked.cli("notices", "send", *words, "--yes", "--json").json
    assert (handed["count"], handed["held"], handed["taken"], handed["digest"]) == (3, 3, True, preview["digest"])
    entry = decided()[-1]
    assert len(decided()) == before + 1 and int(entry["index"]) == int(handed["decision"]) and entry["author"] == "ops-1"
    assert not leaked.cli("proposals", "--json").json.get("proposals"), "nothing waits for anybody"
    # No other operator signed for it: they hear of it.
    told = wait_until(lambda: [mail for mail in mails(leaked).get("operators@localhost", []) if "alone decided" in mail["subject"]], "operators are told")
    text = told[0].get_body(("plain",)).get_content()
    assert len(told) == 1 and "ops-1 alone decided that 3 people get their notices" in told[0]["subject"] and handed["digest"] in text and "notices: {send: at once}" in text, text
    wait_until(lambda: {f"{subject.lower()}@one.example.org" for subject in REVIEWS} <= mails(leaked).keys(), "each has theirs")
    assert leaked.cli("notices", "send", *words, "--json").json == handed, "the same again sends nothing"
    assert all(len(mails(leaked)[f"{subject.lower()}@one.example.org"]) == 1 for subject in REVIEWS)
    # Whoever reads the ledger comes to the same.
    assert leaked.cli("ledger", "verify").code == 0

    # To take it away takes one, and from then on it takes two again.
    path, told = terms(readers="count")
    assert "NARROWS" in told, told
    assert "proposal" not in leaked.cli("policy", "apply", path, "--yes", "--json").json
    directory("again.example.org")
    assert leaked.cli("notices", "preview", leaked.incident, "E1", "--people", people, "--readers", "role", check=False).code == 1
    assert "clerk" not in leaked.cli("notices", "preview", leaked.incident, "E1", "--people", people, "--json").json["text"]
    waiting = leaked.cli("notices", "send", *words, "--json").json["proposal"]
    assert waiting["state"] == "open" and len(decided()) == before + 1
    leaked.cli("withdraw", waiting["proposal"])
    assert not any(to.endswith("@again.example.org") or to.endswith("@two.example.org") for to in mails(leaked))
    leaked.cli("incident", "notified", leaked.incident)


def test_each_step_of_an_incident_is_an_entry_with_its_author_and_its_clock_is_72_hours(leaked):
    """The states of the design, each once: open, contained, assessed, notified, closed; and open again."""
    number = leaked.incident
    steps = lambda: leaked.cli("incident", "show", number, "--json").json["steps"]  # noqa: E731
    moved = lambda all_of_them: [one["text"] for one in all_of_them if one["what"] == "moved"]  # noqa: E731
    if not any(one["what"] == "notified" for one in steps()):
        pytest.skip("the test of the notices has not told anybody")
    leaked.cli("incident", "note", number, "--text", "told the works council", "--as", "ops-2")
    refused = leaked.cli("incident", "close", number, check=False)
    assert refused.code == 1 and "closed" not in moved(steps()), "what it closed is in force"
    leaked.resume()
    leaked.cli("incident", "close", number, "--as", "ops-2")
    leaked.cli("incident", "reopen", number)
    found = steps()
    # Control sees that it is contained; whatever else it says of it somebody has signed.
    assert moved(found) == ["contained", "assessed", "notified", "closed", "open"], found
    authors = {(one["what"], one["text"] if one["what"] == "moved" else ""): one["author"] for one in reversed(found)}
    expected = {("opened", ""): "ops-1", ("moved", "contained"): "control", ("assessed", ""): "ops-1", ("moved", "assessed"): "ops-1", ("decided", ""): "ops-2", ("notified", ""): "ops-1", ("moved", "notified"): "ops-1", ("noted", ""): "ops-2"}
    expected |= {("moved", "closed"): "ops-2", ("moved", "open"): "ops-1"}
    assert {step: authors.get(step) for step in expected} == expected, found
    # Each is where it says, in the ledger of governance, by whom it says.
    recorded = {int(entry["index"]): entry for entry in (json.loads(line) for line in leaked.cli("ledger", "show", "1..", "--json").out.splitlines())}
    assert [int(one["entry"]) for one in found] == sorted(int(one["entry"]) for one in found) and len({int(one["entry"]) for one in found}) >= len(expected)
    assert {one["what"]: recorded[int(one["entry"])]["author"] for one in found} == {one["what"]: one["author"] for one in found}
    said, draft = leaked.cli("incident", "show", number).out, leaked.cli("incident", "report", number).out
    incident = leaked.cli("incident", "show", number, "--json").json
    end = stamp(int(incident["opened_us"]) + 72 * 3_600 * 1_000_000)
    assert f"the 72 hours end {end}" in draft, draft
    assert all(f"| {one['entry']} |" in draft for one in found if one["what"] != "resumed"), "the measures are those steps"
    assert f"found {clock(incident['opened_us'])}" in said
    assert leaked.cli("ledger", "verify").code == 0


def test_it_runs_where_nothing_else_does_and_a_ledger_that_is_not_there_is_a_gap(leaked):
    # A directory that policy has, and whoever assesses was not given, is another gap than one that there never was.
    people = leaked.folder / "people.csv"
    people.write_text("subject,name,team,site\nE9,Somebody,search,berlin\n")
    leaked.cli("directory", "import", people)
    whole = exposure(leaked)
    assert {"directory-unknown", "directory-before"} & {line["gap"] for line in kind(whole, "gap")} == {"directory-unknown"}
    leaked.terminate_all()
    assert exposure(leaked) == whole
    vault = leaked.home / "policy" / "vault.sqlite"
    # The last read is struck out, and what is left of the ledger is sound in itself.
    database = sqlite3.connect(vault)
    for table, number in (("ledger_leaf", "number"), ("ledger_body", "number")):
        database.execute(f"DELETE FROM {table} WHERE {number} = (SELECT MAX({number}) FROM {table})")
    database.commit()
    database.close()
    assert "reads-unknown" in {line["gap"] for line in kind(exposure(leaked), "gap")}
    # What is there of it is proven as before; an entry that says something else now is not, though its leaf is there.
    (entry,) = {one["entry"] for one in kind(exposure(leaked, "--subject", "E1"), "release")}
    with contextlib.closing(sqlite3.connect(vault)) as database:
        ((body,),) = database.execute("SELECT body FROM ledger_body WHERE number = ?", (entry - 1,)).fetchall()
        for number, (held, code) in enumerate(((body, 0), (body + b"\xf8\x01\x01", 1), (body, 0))):
            with database:
                database.execute("UPDATE ledger_body SET body = ? WHERE number = ?", (held, entry - 1))
            folder = leaked.folder / f"proven-{number}"
            outcome = leaked.cli("exposure", leaked.incident, "--subject", "E1", "--proofs", folder, check=False)
            assert outcome.code == code and folder.exists() == (code == 0), outcome
            assert code == 0 or f"no proof file was written: entry {entry} of the ledger of reads is not what control has cosigned" in outcome.err, outcome
    vault.rename(vault.with_suffix(".away"))
    lines = exposure(leaked)
    assert "reads-unknown" in {line["gap"] for line in kind(lines, "gap")} and kind(lines, "release") == []
    out = leaked.cli("exposure", leaked.incident).out
    assert "who did read is not known" in out and "no indication" not in out
    # What was allowed as well: its last entry is not what was signed, and then it is struck out, where policy has cosigned it.
    vault.with_suffix(".away").rename(vault)

    def damage(sql):
        with contextlib.closing(sqlite3.connect(leaked.home / "control" / "ledger.sqlite")) as database, database:
            assert database.execute(sql).rowcount == 1

    assert "governance-unknown" not in {line["gap"] for line in kind(exposure(leaked), "gap")}, "the control: of control's ledger nothing is missing yet"
    last = "WHERE number = (SELECT MAX(number) FROM"
    for sql in (f"UPDATE ledger_body SET body = zeroblob(8) {last} ledger_body)", f"DELETE FROM ledger_leaf {last} ledger_leaf)"):
        damage(sql)
        assert "governance-unknown" in {line["gap"] for line in kind(exposure(leaked), "gap")}, sql
        out = leaked.cli("exposure", leaked.incident).out
        assert "what was allowed is not known whole" in out and "no indication" not in out, out
    # Before the incident: there is none in what can be believed, and that is said.
    damage("UPDATE ledger_body SET body = zeroblob(8) WHERE number = 5")
    outcome = leaked.cli("exposure", leaked.incident, check=False)
    assert (outcome.code, outcome.out) == (1, "") and re.search(r"what can be believed of the ledger: entry \d+ cannot be understood", outcome.err), outcome


class Curious:
    """Asks for the reviews of one subject again and again, until reading is paused, and counts what comes."""

    def __init__(self, suite, name, subject):
        self.peer, self.subject, self.got, self.denied = peer(suite, name), subject, 0, 0
        self.refusal, self.failure = None, None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._over.wait(0.02) and self.refusal is None:
                self._ask()
        except Exception as failure:  # noqa: BLE001 - raised where it is waited for
            self.failure = failure

    def _ask(self):
        self.peer.send(
            "releaseRequest", id=os.urandom(16), purpose="people-review", justification="curious", classes=["review"], subjects=[self.subject], credit=16)
        try:
            while True:
                # What was recorded as reading closed ends before it begins: its end is all that is said of it.
                kind, body, _ = self.peer.expect("release", "chunk", "releaseEnded", of="releaseRequest")
                if kind == "chunk":
                    self.got += body.count
                elif kind == "releaseEnded":
                    code = body.code
                    break
        except reader.Refused as refused:
            code = refused.code
            self.denied += code == DENIED
        self.refusal = PAUSED if code == PAUSED else None

    def close(self):
        self._over.set()
        self._thread.join(30)
        self.peer.close()


def tell(suite):
    """The seed case, from the mistake to who was exposed to whom. Returns how many reviews left by it."""
    staff = [f"E{number}" for number in range(1, 21)]
    people = suite.folder / "people.csv"
    # For whoever assesses. Policy is not given it: by it `audience` would close before anybody can read.
    people.write_text("subject,name,team,site\n" + "".join(f"{one},Somebody,search,berlin\n" for one in staff))
    agents = [suite.agent(name, subject).run().expect(capturing=True) for name, subject in (("ann", "E1"), ("bob", "E2"))]
    for agent, count in zip(agents, (5, 3)):
        agent.send(*(text("she does well", "review") for _ in range(count)))
    wait_until(lambda: suite.vault_count() == 8, "they are stored")
    suite.approved("register", "partner", "--reader")
    suite.approved("register", "clerk", "--reader", "--subject", "E3", "--site", "berlin", "--team", "search")
    limited = document(["partner"])
    limited["classes"][1]["audience"] = 3
    # Each pair of a purpose and a class is tried in turn: with two of them the clerk has four seconds.
    limited["purposes"].append({**limited["purposes"][0], "name": "coaching"})
    limited["leaks"] = [{"detector": "outsider", "close": "both", "of": "everything"}]
    put_in_force(suite, limited)
    wait_until(lambda: read(suite, "partner", check=False).code == 0, "few may read")
    before = int(suite.cli("who-read", "E1", "--json").json["release"])
    probes = lambda: suite.service_status("policy")["counters"].get("probes.denied", 0)  # noqa: E731
    clerk = Curious(suite, "clerk", "E1")
    try:
        wait_until(lambda: clerk.denied and probes(), "the clerk is denied, and so is an ordinary employee")
        assert clerk.got == 0 and clerk.refusal is None and not suite.cli("closures", "--json").json.get("closures"), "the control: what few may read is no finding"
        # The mistake: it is all that is done from here on.
        wide = put_in_force(suite, {**limited, "access": [*limited["access"], {**limited["access"][0], "name": "wiki-export", "role": "everyone"}]})
        wait_until(lambda: clerk.refusal or clerk.failure, "it is found, and the clerk refused")
    finally:
        clerk.close()
    assert clerk.failure is None and clerk.refusal == PAUSED
    (closure,) = wait_until(lambda: suite.cli("closures", "--json").json.get("closures"), "control has closed")
    assert (closure["author"], closure["selector"]) == ("detector outsider", {}), closure
    for agent in agents:
        agent.expect(capturing=False)
    wait_until(lambda: suite.cli("incident", "show", 1, "--json").json["state"] == "contained", "its certificate is complete")
    certificate = suite.expect_in_time(suite.cli("certificate", closure["epoch"], "--json").json)
    assert {stop["node"]: stop["how"] for stop in certificate["agents"]} == dict.fromkeys(("ann", "bob"), "STOP_HOW_ACKNOWLEDGED")
    assert read(suite, "partner", check=False).code == 1, "nobody reads, neither who might before"

    suite.incident, left = 1, clerk.got
    wait_until(lambda: "not-ended" not in {line["gap"] for line in kind(exposure(suite), "gap")}, "how each release ended is on record")
    lines = exposure(suite, "--people", people)
    (head,) = kind(lines, "exposure")
    # Everybody of the directory, and the partner, who is a job; of these two have a key. The operators have one, and no grant.
    assert (head["could_people"], head["could_keys"]) == (len(staff) + 1, 2), head
    assert (head["exposed_subjects"], head["exposed_events"]) == (2, 8)
    assert (head["did_readers"], head["did_subjects"], head["did_events"]) == (bool(left), [bool(left)] * 2, [left] * 2), (head, left)
    assert {(window["grant"], tuple(window["policies"])) for could in kind(lines, "could") for window in could["windows"]} == {("cycle", (wide, wide)), ("wiki-export", (wide, wide))}
    rows = {line["subject"]: line for line in kind(lines, "subject")}
    assert {subject: row["events"] for subject, row in rows.items()} == {"E1": 5, "E2": 3}
    assert {subject: sum(part["events"][0] for part in row["did"]) for subject, row in rows.items()} == {"E1": left, "E2": 0}
    releases = kind(lines, "release")
    assert {(one["reader"], one["policy"]) for one in releases} <= {("clerk", wide)} and sum(one["left"] for one in releases) == left
    assert next(line for line in kind(lines, "gap") if line["gap"] == "released-before")["releases"] == [before], "what the partner had is named, and is not the leak's"
    # Without the directory whoever has no key is not counted, and that is said.
    without = exposure(suite)
    assert kind(without, "exposure")[0]["could_people"] == 2 and "directory-before" in {line["gap"] for line in kind(without, "gap")}
    assert suite.cli("ledger", "verify").code == 0
    return left


def test_a_widening_that_two_approve_by_mistake_is_found_by_itself_stops_everything_and_who_could_and_who_did_come_out_to_the_event(make_suite):
    for _ in range(3):
        # That each agent acknowledges is asked for: a slow machine must not outsleep its lease.
        suite = make_suite(lease_ms=3000)
        left = tell(suite)
        suite.close()
        if left:
            break
        # Whether the clerk or the probe is first is nobody's to say: a story in which nobody has read is told again.
    assert left > 0, "three times it was found before anybody had read"
