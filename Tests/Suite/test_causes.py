"""Since when an exposure counts, where nobody says it: too late a beginning would leave out who read."""

from test_findings import begin, limited
from test_releases import apply, entries, grant, read

CLERKS = [{"name": "clerks", "members": ["clerk"]}]


def exposed(suite, incident, *more):
    return suite.cli("exposure", incident, "--json", *more).lines


def entry(suite):
    return int(suite.cli("policy", "show", "--json").json["entry"])


def pause(suite, *words):
    return int(suite.pause(*words)["closure"]["incident"])


def test_an_exposure_begins_with_what_widened_its_class_and_not_with_what_widened_another_later_and_no_later_than_what_was_seen_outside(make_suite):
    suite = begin(make_suite())
    assert read(suite, classes=("review",)).lines
    early = entries(suite, "opened")[-1]["release"]
    clerks = grant("clerks", role="clerks", classes=["review"])
    apply(suite, limited(*suite.grants, clerks, roles=CLERKS))
    wide = entry(suite)
    assert read(suite, by="clerk", classes=("review",)).lines
    late = entries(suite, "opened")[-1]["release"]
    apply(suite, limited(*suite.grants, clerks, grant("other", role="clerks", classes=["activity"]), roles=CLERKS))
    assert entry(suite) > wide
    incident = pause(suite, "--class", "review")
    out = suite.cli("exposure", incident).out
    assert f"since        policy {wide} at " in out and "(ops-1, ops-2): the audience of review went 1 → 2; before it policy " in out, out
    assert [line["release"] for line in exposed(suite, incident) if line["kind"] == "release"] == [late]
    # The control: where what came last is in question, too, it is that.
    assert f"since        policy {wide} at " not in suite.cli("exposure", incident, "--class", "activity").out
    for words in (("incident", "show"), ("incident", "report")):
        assert "the audience of review went 1 → 2" in suite.cli(*words, incident).out
    suite.cli("incident", "assess", incident, "--class", "activity")
    shown = suite.cli("incident", "show", incident, "--people", suite.folder / "nobody.csv").out
    assert "exposed      NOT KNOWN: " in shown and "nobody.csv" in shown, "nothing at all would read as if there had been none"
    suite.resume()

    report = suite.cli("leak", "report", "--release", early, "--reason", "on a paste site", "--json").json
    incident = int(report["closure"]["incident"])
    assert {line["release"] for line in exposed(suite, incident) if line["kind"] == "release"} == {early, late}
    assert f"since        release {early} of " in suite.cli("exposure", incident).out
    suite.resume()
