"""Drills: the real path on planted subjects, timed and on record; nobody else is stopped, and one that misses a bound is an incident."""

import re
import shlex
from pathlib import Path

import pytest
from harness import wait_until
from harness.agent import key
from test_releases import apply, document, grant


@pytest.fixture(scope="module")
def planted(make_module_suite, make_receiver):
    """A planted agent in Berlin, one in Paris that does not run, somebody who works beside them, and a hook."""
    receiver = make_receiver()
    suite = make_module_suite(hooks=[receiver.hook])
    suite.receiver = receiver
    suite.agent("drill-berlin", "planted/berlin", site="berlin", team="").run().expect(capturing=True)
    suite.agent("drill-paris", "planted/paris", site="paris", team="")
    suite.agent("ann", "E1", site="berlin").run().expect(capturing=True)
    return suite


def drill(suite, *words, check=True):
    outcome = suite.cli("drill", "--json", *words, check=check, within=90)
    return outcome.json if outcome.out else outcome


def drills(suite, *words):
    return suite.cli("drills", "--json", *words).json


def closures(suite):
    return suite.cli("closures", "--json").json["closures"]


def test_a_drill_walks_the_path_within_its_bounds_stops_nobody_and_leaves_everything_as_it_was(planted):
    suite = planted
    before = suite.cli("incidents", "--json").json["incidents"]
    made = drill(suite, "--site", "berlin", "--reads-closed", "5000", "--certificate", "20000", "--notice", "60000")
    ended = made["ended"]
    assert "missed" not in ended and ended["agents"] == ended["agents_all"] == 1 and ended["hooks"] == 1
    assert all(ended[name] > 0 for name in ("reads_closed_us", "certificate_us", "notice_us")), ended
    assert made["closure"]["selector"] == {"subjects": ["planted/berlin"]} and made["closure"]["author"] == "detector drill" and "incident" not in made["closure"]
    assert closures(suite) == [], "what it closed is open again"
    suite.agents["drill-berlin"].expect(capturing=True)
    certificate = suite.cli("certificate", made["closure"]["epoch"], "--json").json
    assert [stop["node"] for stop in certificate["agents"]] == ["drill-berlin"], "nobody else was stopped"
    assert suite.cli("incidents", "--json").json["incidents"] == before, "a drill is no incident"
    kinds = [content["type"] for _, content in suite.receiver.delivered()]
    wait_until(lambda: "drill.ended" in [content["type"] for _, content in suite.receiver.delivered()], "how it ended is told")
    assert [kind for kind in kinds if not kind.startswith("drill.") and kind != "gate.resumed"] == [], "whoever is woken by an incident is not woken by a drill"
    said = suite.cli("ledger", "show", "1..").out
    assert "begins drill 1" in said and "drill 1 is over" in said and "within its bounds" in said
    assert suite.cli("ledger", "verify").code == 0
    # Ann went on: what she does in the meantime and after it is stored.
    suite.agents["ann"].send(key("a"))
    wait_until(lambda: suite.keys("--subject", "E1") == ["a"], "it is stored")


def test_a_drill_that_misses_a_bound_is_an_incident_and_is_in_the_trend(planted):
    suite = planted
    number = len(drills(suite)["drills"]) + 1
    # Its agent does not run: what would stop there was not shown.
    outcome = suite.cli("drill", "--site", "paris", check=False, within=90)
    assert outcome.code == 1 and "MISSED" in outcome.out and "no planted agent of paris" in outcome.out, outcome
    opened = suite.cli("incidents", "--json").json["incidents"][-1]
    assert f"drill {number} at paris missed" in opened["title"] and not opened.get("leak") and opened["author"] == "control"
    # An agent that hangs has stopped by the end of its lease, at the latest, and has not said so.
    suite.agents["drill-berlin"].freeze()
    made = drill(suite, "--site", "berlin", check=False)
    suite.agents["drill-berlin"].thaw()
    assert any("no planted agent of berlin" in line for line in made["ended"]["missed"]), made
    # A bound in numbers: everything stops as it should, and not as fast as it was to.
    suite.agents["drill-berlin"].expect(capturing=True)
    made = drill(suite, "--site", "berlin", "--certificate", "1", "--notice", "60000", "--reads-closed", "5000", check=False)
    missed = made["ended"]["missed"]
    assert re.fullmatch(r"the complete certificate took \d+ m?s, and the bound is 1 ms", missed[0]) and made["ended"]["certificate_us"] > 1_000, made
    slow = suite.cli("incidents", "--json").json["incidents"][-1]
    assert slow["title"] == f"drill {number + 2} at berlin missed its bounds: {'; '.join(missed)}" and slow["incident"] > opened["incident"], slow
    trend = drills(suite)
    assert trend["ended"] == len(trend["drills"]) == number + 2 and trend["missed"] >= 2 and trend["medians"]["certificate_us"] > 0
    assert [d["began"]["drill"] for d in drills(suite, "--last", "1")["drills"]] == [number + 2]
    said = suite.cli("drills").out
    assert "MISSED" in said and "medians" in said and "and the bound is 1 ms" in said
    assert closures(suite) == [] and suite.cli("ledger", "verify").code == 0
    # Anybody's incident: noted and closed as others are.
    for one in (opened, slow):
        suite.cli("incident", "close", one["incident"])


def test_what_is_no_drill_is_refused_and_nothing_begins(planted):
    suite = planted
    before = suite.status()["entries"]
    for words, why in ((("--site", "oslo"), "no planted agent is at 'oslo'"), (("--site", "x" * 300), "1 to"), (("--site", "berlin", "--as", "drill-berlin"), "")):
        refused = suite.cli("drill", *words, check=False)
        assert refused.code != 0 and why in refused.err, refused
    for words in ((), ("--all", "--site", "berlin"), ("--site", "berlin", "--certificate", "0"), ("--site", "berlin", "--notice", "600001")):
        assert suite.cli("drill", *words, check=False).code == 64
    assert suite.cli("drills", "--last", "0", check=False).code == 64
    assert suite.status()["entries"] == before
    epoch = suite.pause("--site", "berlin")["epoch"]
    refused = suite.cli("drill", "--site", "berlin", check=False)
    assert refused.code == 1 and "stopped already" in refused.err, refused
    suite.resume(epoch)
    suite.agents["drill-berlin"].expect(capturing=True)


@pytest.mark.limit(240)
def test_a_drill_that_policy_or_control_does_not_live_through_ends_missed_and_is_lifted(planted):
    suite = planted
    # Policy hangs: nobody finds.
    suite.stop("policy")
    outcome = suite.cli("drill", "--site", "berlin", check=False, within=90)
    suite.cont("policy")
    suite.expect_serving()
    assert outcome.code == 1 and "MISSED" in outcome.out, outcome
    wait_until(lambda: drills(suite)["drills"][0].get("ended"), "it is over")
    # What policy finds of it when it is over is nobody's any more.
    wait_until(lambda: list((suite.home / "policy" / "findings").iterdir()) == [] and suite.service_status("policy").get("gauges", {}).get("findings.waiting", 1) == 0, "nothing is kept")
    suite.agents["drill-berlin"].expect(capturing=True)
    # Control is killed when it has closed: after its start the drill is over, and open again.
    suite.agents["drill-berlin"].freeze()
    process = suite.begin("drill", "--site", "berlin")
    wait_until(lambda: closures(suite), "it is closed")
    suite.restart("control")
    suite.agents["drill-berlin"].thaw()
    wait_until(lambda: closures(suite) == [], "it is open again")
    newest = drills(suite)["drills"][0]
    assert newest["ended"]["missed"] and "started again" in newest["ended"]["missed"][0], newest
    process.end(within=5)
    suite.agents["drill-berlin"].expect(capturing=True)
    assert suite.cli("ledger", "verify").code == 0


def test_what_the_policy_document_says_of_drills_holds_where_nothing_else_is_said(planted):
    suite = planted
    # A bound that nothing keeps to, so that it is seen whose it was.
    apply(suite, {**document(grant()), "drills": {"every": "day", "reads": "5 s", "certificate": "1 ms", "notice": "60 s"}})
    made = drill(suite, "--site", "berlin", check=False)
    assert made["began"]["bounds"] == {"reads_closed_us": 5_000_000, "certificate_us": 1_000, "notice_us": 60_000_000}
    assert any("and the bound is 1 ms" in line for line in made["ended"]["missed"]), made
    made = drill(suite, "--site", "berlin", "--certificate", "20000")
    assert made["began"]["bounds"]["certificate_us"] == 20_000_000 and not made["ended"].get("missed"), made
    listed = drills(suite)
    assert listed["policy"] == {"every": "day", "reads_closed_us": 5_000_000, "certificate_us": 1_000, "notice_us": 60_000_000} and "berlin" not in listed["due"], listed["policy"]
    assert "policy document: one every day" in suite.cli("drills").out
    # There was one today: a timer that comes more often has nothing to do.
    assert drill(suite, "--site", "berlin", "--due") == {"due": []} and len(drills(suite)["drills"]) == len(listed["drills"])
    # Where there was none yet, one is, and there alone.
    suite.agent("drill-lisbon", "planted/lisbon", site="lisbon", team="").run().expect(capturing=True)
    said = suite.cli("drills").out
    assert "lisbon" in drills(suite)["due"] and "berlin" not in drills(suite)["due"] and "DUE at lisbon" in said, said
    both = ("--site", "berlin", "--site", "lisbon", "--due")
    made = drill(suite, *both, "--certificate", "20000")
    assert made["began"]["sites"] == ["lisbon"] and made["ended"]["agents"] == 1 and not made["ended"].get("missed"), made
    assert drill(suite, *both) == {"due": []} and "lisbon" not in drills(suite)["due"]


UNIT = Path(__file__).resolve().parents[2] / "deploy" / "systemd" / "sluice-drill.service"


def test_the_timer_drills_where_the_policy_document_says_that_it_is_due_and_nowhere_else(planted):
    suite = planted
    (line,) = [line.removeprefix("ExecStart=") for line in UNIT.read_text().splitlines() if line.startswith("ExecStart=")]
    program, command, *words = shlex.split(line)
    assert program.endswith("/sluice") and command == "drill" and words[-3:] == ["--as", "drills", "--json"]
    words = [*words[:-3], "--certificate", "20000"]
    # The week is long enough that a slow machine does not come to its end.
    apply(suite, {**document(grant()), "drills": {"every": "week"}})
    if due := drills(suite)["due"]:
        assert drill(suite, *words, check=False)["began"]["sites"] == due, "there alone"
    wait_until(lambda: all(one.get("ended") for one in drills(suite)["drills"]), "it is over")
    held = len(drills(suite, "--last", "1000")["drills"])
    assert drills(suite)["due"] == [] and drill(suite, *words) == {"due": []}
    assert len(drills(suite, "--last", "1000")["drills"]) == held, "the next night there is none"
    # The control: the same without the schedule's word has one each time, and where the document has no schedule nobody guesses one.
    assert drill(suite, *(word for word in words if word != "--due"), check=False)["began"]["drill"] > held
    apply(suite, document(grant()))
    refused = suite.cli("drill", *words, check=False)
    assert refused.code == 1 and "does not say how often drills come" in refused.err, refused
