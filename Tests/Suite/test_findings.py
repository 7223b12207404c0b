"""A leak is noticed by policy itself: reads close there at once, control closes what the document says, an incident opens, and a kill in between changes nothing."""

import json
import os

import pytest
from harness import wait_until
from harness.agent import key, text
from test_releases import DENIED, Stream, apply, document, entries, grant, peer, read, reader

PAUSED = 16

# What an agent sends of these is a review.
RULES = [{"class": "activity", "kind": ["pointer", "key", "window", "presence"]}, {"class": "review", "source": ["review"]}]


def limited(*grants, audience=3, leaks=(), **more):
    """Reviews are for few."""
    made = {**document(*grants, classes=("activity", "review"), **more), "rules": RULES, "leaks": list(leaks)}
    made["classes"] = [{**c, "audience": audience if c["name"] == "review" else "unlimited"} for c in made["classes"]]
    return made


@pytest.fixture
def reviewed(make_suite):
    return begin(make_suite())


@pytest.fixture(scope="module")
def watched(make_module_suite):
    """For several detectors, one after the other: each leaves nothing closed."""
    suite = begin(make_module_suite())
    suite.approved("register", "placed", "--reader", "--subject", "E4", "--site", "berlin", "--team", "search")
    suite.approved("register", "newcomer", "--reader")
    return suite


def begin(suite):
    """E1 and E2 typed, E1 has a review, and there is one reader who may read it."""
    agents = [suite.agent(name, subject).run().expect(capturing=True) for name, subject in (("ann", "E1"), ("bob", "E2"))]
    agents[0].send(text("a review of somebody", "review"), key("a"))
    agents[1].send(key("b"))
    suite.approved("register", "job", "--reader")
    suite.approved("register", "clerk", "--reader", "--subject", "E3")
    suite.grants = [grant("few", classes=["review", "activity"])]
    apply(suite, limited(*suite.grants), "first.json")
    wait_until(lambda: suite.vault_count() >= 2, "they are stored")
    return suite


def counters(suite):
    return suite.service_status("policy")["counters"]


def incident(suite, number=1):
    return suite.cli("incident", "show", number, "--json").json


def found(suite, detector):
    """The steps of all incidents by which this detector closed something."""
    listed = suite.cli("incidents", "--json").json.get("incidents", [])
    return [step for one in listed for step in incident(suite, one["incident"]).get("steps", []) if step.get("detector") == detector]


def closed(suite):
    """What is closed, by whom."""
    return [(c["author"], c["selector"]) for c in suite.cli("closures", "--json").json.get("closures", [])]


def test_what_everybody_may_read_by_a_mistake_of_two_is_found_by_itself_and_everything_is_stopped(reviewed):
    suite = reviewed
    wait_until(lambda: suite.service_status("policy")["counters"].get("probes.denied", 0) > 2, "the outsider tries, and is denied")
    assert closed(suite) == [], "the control: what few may read is no finding"
    # Two operators let everybody read reviews: each a few a day, which makes it no better.
    apply(suite, limited(*suite.grants, grant("wiki-export", role="everyone", classes=["review"], rate={"subjects": 0, "per": "day"}), leaks=[{"detector": "outsider", "close": "both", "of": "everything"}]))
    wait_until(lambda: closed(suite), "it is found")
    assert closed(suite) == [("detector outsider", {})], "both directions, everybody"
    suite.agents["ann"].expect(capturing=False)
    shown = incident(suite)
    assert shown["state"] in ("open", "contained") and shown["author"] == "detector outsider" and shown["leak"] and "class review" in shown["title"]
    assert [s["what"] for s in shown["steps"]][0] == "found"
    wait_until(lambda: incident(suite)["state"] == "contained", "its certificate is complete")
    suite.expect_in_time(suite.cli("certificate", shown["closure"], "--json").json)
    assert read(suite, classes=("review",), check=False).code != 0, "nobody reads, neither who might before"
    said = suite.cli("incident", "show", 1).out
    assert "72 h end" in said and "found" in said and "contained" in said, said
    assert suite.cli("ledger", "verify").code == 0
    assert {c["author"] for c in suite.cli("closures", "--json").json["closures"]} == {"detector outsider"}
    assert len(suite.cli("incidents", "--json").json["incidents"]) == 1
    # Two say that it is mended: everything goes on.
    apply(suite, limited(*suite.grants), "mended.json")
    suite.resume()
    assert read(suite, classes=("review",)).code == 0
    suite.cli("incident", "note", 1, "--text", "the export's grant is gone")
    suite.cli("incident", "close", 1)
    assert incident(suite)["state"] == "closed"
    suite.cli("incident", "reopen", 1)
    assert [s["text"] for s in incident(suite)["steps"] if s["what"] in ("noted", "moved")] == ["contained", "the export's grant is gone", "closed", "open"]
    assert suite.cli("ledger", "verify").code == 0


def test_what_two_have_named_as_open_or_what_few_people_there_are_for_is_no_finding(reviewed, tmp_path):
    suite = reviewed
    probes = lambda: suite.service_status("policy")["counters"].get("probes.denied", 0)  # noqa: E731
    everybody = limited(*suite.grants, grant("all", role="everyone", classes=["review"]))
    people = tmp_path / "people.csv"
    people.write_text("subject,name,mail,team,site,locale\nE1,A,a@example.com,search,berlin,de\nE2,B,b@example.com,search,berlin,de\n")
    suite.cli("directory", "import", people)
    before = probes()
    apply(suite, everybody)
    wait_until(lambda: probes() > before + 2, "two people and the job, and three may")
    assert closed(suite) == []
    # Two more come: they are too many.
    people.write_text(people.read_text() + "".join(f"{name},C,c@example.com,search,berlin,de\n" for name in ("E3", "E4")))
    suite.cli("directory", "import", people)
    wait_until(lambda: closed(suite), "it is found")
    suite.resume()
    wait_until(lambda: closed(suite), "and again, for as long as it is so")
    # Said by name, it is what two have wanted.
    path = tmp_path / "named.json"
    path.write_text(json.dumps(everybody))
    suite.approved("policy", "apply", path, "--yes", "--over-limit", "review")
    suite.resume()
    assert read(suite, classes=("review",), check=False).code in (0, 77) and closed(suite) == []


def test_who_is_denied_often_is_found_at_the_limit_and_not_before_and_nobody_else_is_closed(reviewed):
    """Whoever it is reads something else meanwhile, which they may, holds that connection open, and asks on it."""
    suite = reviewed
    own = grant("own", role="clerks", classes=["activity"])
    leaks = [{"detector": "denied", "close": "reading", "of": "reader", "limit": {"reads": 3, "per": "hour"}}]
    apply(suite, limited(*suite.grants, own, roles=[{"name": "clerks", "members": ["clerk"]}], leaks=leaks))
    clerk, job = Stream(suite, "clerk"), Stream(suite, "job")
    assert clerk.take() and job.take(), "a chunk each, and there is more"

    def ask(classes=("review",)):
        clerk.peer.send("releaseRequest", id=os.urandom(16), purpose="training", justification="curious", classes=classes, credit=1)

    def refusal():
        return clerk.peer.expect("refused", of="releaseRequest")[1].code

    for _ in range(3):
        ask()
        assert refusal() == DENIED
    # What is said after the third is said after all that the third caused.
    assert suite.service_status("policy")["counters"].get("findings.denied", 0) == 0 and closed(suite) == [], "one short of it"
    ask()
    heard = {}
    while heard.keys() != {"refused", "releaseEnded"}:
        what, body, _ = clerk.peer.expect("refused", "releaseEnded", of="releaseRequest")
        heard[what] = body
    assert heard["refused"].code in (DENIED, PAUSED)
    assert (heard["releaseEnded"].release, heard["releaseEnded"].code) == (clerk.release.release, PAUSED), "the stream is cut, and nothing was asked of it"
    ask(["activity"])
    assert refusal() == PAUSED, "what they might read before, on the connection that they hold"
    # The control: another's stream, on the same data, runs to its end.
    assert job.rest().code == 0 and job.chunks == 2
    wait_until(lambda: closed(suite), "it is found")
    assert closed(suite) == [("detector denied", {"readers": ["clerk"]})]
    assert "clerk was denied 4 reads within a hour" in found(suite, "denied")[0]["text"]
    assert read(suite, classes=("review",)).code == 0, "who did nothing reads on"
    suite.agents["ann"].expect(capturing=True)
    clerk.close()
    job.close()


@pytest.mark.parametrize(("what", "limit", "last"), [("subjects", 1, 2), ("classes", 1, 2), ("events", 2, 4)])
def test_who_would_read_of_too_much_is_found_before_the_first_byte(reviewed, what, limit, last):
    suite = reviewed
    apply(suite, limited(*suite.grants, leaks=[{"detector": "breadth", "close": "reading", "of": "reader", "limit": {what: limit, "per": "day"}}]))
    assert read(suite, "--subject", "E1", classes=("activity",)).lines, "just short of it"
    assert read(suite, "--subject", "E1", classes=("activity",)).lines, "the same again is nobody else, and no other class; and it is two events in all"
    assert closed(suite) == []
    more = {"classes": (("--subject", "E1"), ("review",))}.get(what, ((), ("activity",)))
    outcome = read(suite, *more[0], classes=more[1], check=False)
    assert outcome.code != 0 and outcome.out == "", "nothing has left"
    wait_until(lambda: closed(suite), "it is found")
    assert closed(suite) == [("detector breadth", {"readers": ["job"]})]
    assert f"job would have read of {last} {what} within a day, and the limit is {limit}" in found(suite, "breadth")[0]["text"]
    assert suite.cli("ledger", "verify").code == 0


def test_an_audience_over_its_limit_is_found_when_the_directory_or_the_document_changes_before_anybody_reads(watched, tmp_path):
    suite = watched
    people = tmp_path / "people.csv"

    def directory(*guards):
        people.write_text("subject,name,mail,team,site,locale\n" + "".join(f"{name},A,a@example.com,safety,berlin,de\n" for name in guards))
        before = counters(suite).get("audiences.counted", 0)
        suite.cli("directory", "import", people)
        wait_until(lambda: counters(suite).get("audiences.counted", 0) > before, "it is counted")

    leaks = [{"detector": "audience", "close": "reading", "of": "class"}]
    apply(suite, limited(*suite.grants, grant("guards", role="guards", classes=["review"]), leaks=leaks))
    directory("E5", "E6")
    assert counters(suite).get("findings.audience", 0) == 0 and closed(suite) == [], "the job and two guards, and three may"
    directory("E5", "E6", "E7")
    wait_until(lambda: closed(suite), "it is found")
    assert closed(suite) == [("detector audience", {"classes": ["review"]})]
    assert "the audience of class review went 3 → 4 with a change of the directory or of readers, and its limit is 3" in found(suite, "audience")[0]["text"]
    assert read(suite, classes=("review",), check=False).code != 0 and read(suite, classes=("activity",)).code == 0
    directory("E5", "E6", "E7")
    assert counters(suite)["findings.audience"] == 1, "once"
    # Mended; and by a document, of which nobody has read a byte.
    apply(suite, limited(*suite.grants, leaks=leaks))
    suite.resume()
    assert read(suite, classes=("review",)).lines and read(suite, by="placed", classes=("review",), check=False).code == 77
    apply(suite, limited(*suite.grants, grant("wiki", role="everyone", classes=["review"]), leaks=leaks))
    outcome = read(suite, by="placed", classes=("review",), check=False)
    assert outcome.code != 0 and outcome.out == ""
    wait_until(lambda: ("detector audience", {"classes": ["review"]}) in closed(suite), "it is found")
    assert "the audience of class review went 1 → " in found(suite, "audience")[1]["text"]
    apply(suite, limited(*suite.grants))
    suite.resume()


def test_who_would_read_of_somebody_planted_and_is_not_cleared_is_found(watched):
    suite = watched
    canary = {"detector": "canary", "close": "reading", "of": "reader", "planted": ["E2"]}
    apply(suite, limited(*suite.grants, leaks=[canary]))
    assert read(suite, "--subject", "E1", classes=("activity",)).lines and closed(suite) == [], "of somebody who is not"
    outcome = read(suite, classes=("activity",), check=False)
    assert outcome.code != 0 and outcome.out == "" and "E2" not in outcome.err, "nothing has left, nor who it is"
    wait_until(lambda: closed(suite), "it is found")
    assert closed(suite) == [("detector canary", {"readers": ["job"]})]
    assert "job would have read of E2, planted" in found(suite, "canary")[0]["text"]
    apply(suite, limited(*suite.grants, leaks=[{**canary, "cleared": ["job"]}]))
    suite.resume()
    assert read(suite, classes=("activity",)).lines and closed(suite) == [], "who is cleared"


def test_who_would_read_an_event_that_is_planted_is_found_and_the_rest_of_that_subject_is_read_and_counts_for_nothing(watched):
    suite = watched
    decoy = suite.agent("decoy", "planted/decoy").run().expect(capturing=True)
    apply(suite, limited(*suite.grants, leaks=[{"detector": "canary", "close": "reading", "of": "reader", "events": [{"subject": "planted/decoy", "class": "review"}]}]))
    stored = suite.vault_count()
    wait_until(lambda: decoy.send(text("what nobody wrote", "review"), {"at": key("x")["at"], "kind": "window", "app": "Editor", "title": "a note"}) or suite.vault_count() >= stored + 2, "they are stored", every=0.3)
    made = read(suite, classes=("activity",)).lines
    assert made and read(suite, "--subject", "E1", classes=("review",)).lines and closed(suite) == [], "nothing that is planted"
    outcome = read(suite, classes=("review",), check=False)
    assert outcome.code != 0 and outcome.out == "" and "decoy" not in outcome.err, "nothing has left, nor who it is"
    wait_until(lambda: closed(suite), "it is found")
    assert closed(suite) == [("detector canary", {"readers": ["job"]})]
    last = found(suite, "canary")[-1]["text"]
    assert "job would have read of events of planted/decoy, class review, planted" in last
    number = suite.cli("incidents", "--json").json["incidents"][-1]["incident"]
    wait_until(lambda: len(entries(suite, "opened")) == len(entries(suite, "ended")), "how much has left is on record: until then an exposure gives bounds")
    exposed = suite.cli("exposure", number, "--json").lines
    assert [line["kind"] for line in exposed if "planted/decoy" in json.dumps(line)] == ["planted"] and "E1" in {line["subject"] for line in exposed if line["kind"] == "subject"}, "nobody is exposed"
    assert next(line["subjects"] for line in exposed if line["kind"] == "planted") == ["planted/decoy"] and suite.cli("exposure", number, "--json").lines == exposed
    said = "1 planted subject is nobody's and is not counted"
    assert all(said in suite.cli(*words, number).out for words in (("exposure",), ("incident", "show"), ("incident", "report")))
    assert "planted/decoy is planted, and nobody's" in suite.cli("exposure", number, "--subject", "planted/decoy").out and said not in suite.cli("exposure", number, "--subject", "E1").out
    apply(suite, limited(*suite.grants))
    suite.resume()


def test_who_would_read_of_many_more_than_ever_is_found_also_after_a_restart(watched):
    suite = watched
    more = {"name": "more", "members": ["newcomer"]}
    breadth = {"detector": "breadth", "close": "reading", "of": "reader", "past": {"times": 5, "least": 1}}
    apply(suite, limited(*suite.grants, grant("more", role="more", classes=["activity"]), roles=[more], leaks=[breadth]))
    assert read(suite, "--subject", "E1", by="newcomer").lines and read(suite, "--subject", "E1", by="newcomer").lines and closed(suite) == [], "whoever begins may, and twice of one is one"
    suite.restart("policy")
    wait_until(lambda: read(suite, "--subject", "E1", by="newcomer", check=False).code == 0, "policy serves again")
    outcome = read(suite, "--subject", "E2", by="newcomer", check=False)
    assert outcome.code != 0 and outcome.out == ""
    wait_until(lambda: closed(suite), "it is found")
    assert closed(suite) == [("detector breadth", {"readers": ["newcomer"]})]
    assert "newcomer would have read of 2 subjects in a day, of none in the 28 days before, and 1 is the limit" in found(suite, "breadth")[0]["text"]
    apply(suite, limited(*suite.grants))
    suite.resume()


def test_a_release_that_was_seen_outside_is_reported_by_its_number(watched):
    suite = watched
    assert read(suite, "--subject", "E1", classes=("review",)).lines
    made = entries(suite, "opened")[-1]
    assert suite.cli("leak", "report", "--release", 999_999, "--reason", "x", check=False).code == 1 and closed(suite) == [], "there is no such release"
    report = suite.cli("leak", "report", "--release", made["release"], "--reason", "on a paste site", "--json").json
    assert report["complete"] and report["closure"]["selector"] == {"classes": ["review"]}
    said = suite.cli("incidents", "--json").json["incidents"][-1]
    assert f"release {made['release']} to job of " in said["title"] and "was seen outside: on a paste site" in said["title"] and said["leak"]
    suite.resume()


def test_what_new_rules_find_of_a_higher_class_in_what_is_stored_is_found_over_the_limit(watched):
    suite = watched
    drift = [{"detector": "drift", "close": "reading", "of": "class", "limit": {"events": 2, "per": "week"}}]

    def put(*rules):
        apply(suite, {**limited(*suite.grants, leaks=drift), "rules": [*RULES, {"class": "activity", "source": ["chat"]}, *rules]})

    put()
    stored = suite.vault_count()
    # Until the agent goes by the document, nobody has given it a class.
    wait_until(lambda: suite.agents["ann"].send(text("a word", "chat")) or suite.vault_count() > stored, "it is stored", every=0.3)
    put({"class": "review", "kind": ["key"]})
    wait_until(lambda: counters(suite).get("events.drifted", 0) == 2, "two keys")
    assert counters(suite).get("findings.drift", 0) == 0 and closed(suite) == [], "at the limit"
    put({"class": "review", "kind": ["key"]}, {"class": "review", "source": ["chat"]})
    wait_until(lambda: closed(suite), "and one more")
    assert closed(suite) == [("detector drift", {"classes": ["activity"]})]
    said = found(suite, "drift")[0]["text"]
    assert "events of class activity were of a higher class (review " in said and "in what is stored) within a week, and the limit is 2" in said
    assert read(suite, classes=("activity",), check=False).code != 0 and read(suite, classes=("review",)).lines
    suite.resume()


def test_policy_killed_between_finding_and_closure_is_closed_after_its_restart(reviewed):
    suite = reviewed
    leaks = [{"detector": "denied", "close": "reading", "of": "everything", "limit": {"reads": 0, "per": "hour"}}]
    apply(suite, limited(*suite.grants, leaks=leaks))
    # Control does not answer any more, as far as policy can tell; its lease lasts a moment yet.
    suite.restart("policy", env={"SLUICE_FAULT": "after-finding-kept:1"})
    # It holds a lease before it has heard who reads: until then the clerk's key is nobody's.
    wait_until(lambda: suite.service_status("policy").get("entries", 0) == suite.status()["entries"], "it has followed")
    clerk = peer(suite, "clerk")
    suite.stop("control")
    clerk.send("releaseRequest", id=os.urandom(16), purpose="training", justification="curious", classes=["review"], credit=1)
    wait_until(lambda: not suite.services["policy"].is_running, "policy is killed")
    clerk.close()
    kept = list((suite.home / "policy" / "findings").iterdir())
    assert len(kept) == 1 and kept[0].stat().st_mode & 0o077 == 0
    suite.cont("control")
    suite.start("policy", wait=False)
    wait_until(lambda: closed(suite), "what was found is closed")
    assert [author for author, _ in closed(suite)] == ["detector denied"]
    wait_until(lambda: not list((suite.home / "policy" / "findings").iterdir()), "control has it for good")
    assert read(suite, classes=("review",), check=False).code != 0
    assert len(suite.cli("incidents", "--json").json["incidents"]) == 1


def test_control_killed_between_closure_and_broadcast_is_closed_after_its_restart(reviewed):
    suite = reviewed
    leaks = [{"detector": "denied", "close": "both", "of": "everything", "limit": {"reads": 0, "per": "hour"}}]
    apply(suite, limited(*suite.grants, leaks=leaks))
    suite.restart("control", env={"SLUICE_FAULT": "after-closure-before-push:1"})
    wait_until(lambda: not suite.status()["gate"].get("sealed"), "control has heard everybody")
    wait_until(lambda: suite.service_status("policy").get("entries", 0) == suite.status()["entries"], "policy has followed")
    assert closed(suite) == []
    clerk = peer(suite, "clerk")
    clerk.send("releaseRequest", id=os.urandom(16), purpose="training", justification="curious", classes=["review"], credit=1)
    wait_until(lambda: not suite.services["control"].is_running, "control is killed with the closure in its memory alone")
    clerk.close()
    # Nobody was told to stop, so each stops when its lease ends.
    suite.agents["ann"].expect(capturing=False)
    suite.start("control", wait=False)
    wait_until(lambda: closed(suite), "what was found is closed")
    assert [author for author, _ in closed(suite)] == ["detector denied"]
    assert len(suite.cli("incidents", "--json").json["incidents"]) == 1 and len(found(suite, "denied")) == 1
    assert read(suite, classes=("review",), check=False).code != 0
    suite.agents["ann"].expect(capturing=False)


def test_control_killed_after_a_finding_is_told_again_and_reads_stay_closed_meanwhile(make_suite):
    # Long enough for policy to hold its lease for as long as control is away.
    suite = begin(make_suite(lease_ms=6000))
    apply(suite, limited(*suite.grants, leaks=[{"detector": "denied", "close": "reading", "of": "everything", "limit": {"reads": 0, "per": "hour"}}]))
    clerk, job = peer(suite, "clerk"), peer(suite, "job")
    assert len(list(reader.read(job, ["review"], purpose="training"))) == 1, "the control: with control there, and nothing found"
    suite.kill("control")
    clerk.send("releaseRequest", id=os.urandom(16), purpose="training", justification="curious", classes=["review"], credit=1)
    clerk.expect("refused", of="releaseRequest")
    with pytest.raises(reader.Refused) as refused:
        list(reader.read(job, ["review"], purpose="training"))
    assert refused.value.code == PAUSED, "of policy's own accord, and not for want of a lease"
    job.close()
    wait_until(lambda: list((suite.home / "policy" / "findings").iterdir()), "it is on the disk")
    suite.start("control", wait=False)
    wait_until(lambda: closed(suite), "control closes")
    assert read(suite, classes=("review",), check=False).code != 0
    assert len(found(suite, "denied")) == 1
    clerk.close()
    # A finding that cannot be read closes everything.
    wait_until(lambda: not suite.status()["gate"].get("sealed"), "control has heard everybody")
    suite.resume()
    suite.terminate("policy")
    (suite.home / "policy" / "findings" / f"{'ab' * 16}.finding").write_bytes(b"\xff\xff")
    suite.start("policy", wait=False)
    wait_until(lambda: closed(suite), "everything is closed")
    assert closed(suite) == [("detector report", {})]
