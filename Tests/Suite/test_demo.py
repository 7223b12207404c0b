"""`sluice demo leak`: the story of the seed case, told as it happens; on a suite of its own, or, if that is said twice, on one that runs."""

import json
import os
import subprocess

from harness import wait_until
from harness.processes import binaries
from test_findings import closed, incident, limited
from test_releases import apply, grant


def demo(*words, folder, check=True):
    done = subprocess.run([binaries() / "sluice", "demo", "leak", *map(str, words)], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(folder)})
    assert not check or done.returncode == 0, done
    return done


def test_the_story_is_told_on_a_suite_of_its_own_that_ends_with_it(tmp_path):
    done = demo("--json", "--keep", folder=tmp_path)
    said = json.loads(done.stdout)
    home = said["home"]
    assert home.startswith(str(tmp_path)) and said["own_suite"] and said["complete"] and said["state"] == "contained"
    assert said["agents"] == said["agents_all"] == 3 and said["services"] == said["services_all"] == 3
    assert said["reads_closed_after_us"] > 0 and said["complete_after_us"] <= (said["lease_ms"] * 1.002 + 1000) * 1000
    order = [next(n for n, line in enumerate(said["told"]) if words in line["what"]) for words in ("is denied, on record", "by mistake", "FINDING", "reads closed", "PAUSED", "STOPPED EVERYWHERE", "reading is paused", "the policy is as it was")]
    assert order == sorted(order), said["told"]
    # Who could is everybody whom the directory lists, who did is who was given something: by the clerk's own count.
    assert (said["exposed_subjects"], said["exposed_events"], said["could_people"], said["could_keys"]) == (3, 10, 12, 2)
    assert said["did_events"] == [said.get("clerk_got", 0)] * 2 and said["did_readers"] <= 1

    def cli(*words):
        return subprocess.run([binaries() / "sluice", *words, "--home", home], capture_output=True, text=True, timeout=60)

    # Nothing runs any more, and the ledgers are whole and say the same.
    assert "does not answer" in cli("status").stderr
    assert cli("ledger", "verify").returncode == 0
    head = json.loads(cli("exposure", str(said["incident"]), "--people", f"{home}/demo-people.csv", "--json").stdout.splitlines()[0])
    assert (head["exposed_events"], head["did_events"]) == (10, said["did_events"])


def test_a_suite_that_runs_is_left_alone_unless_that_is_said_twice_and_then_stops_until_two_resume_it(make_suite, tmp_path):
    suite = make_suite()
    suite.agent("ann", "E1").run().expect(capturing=True)
    apply(suite, limited(grant("few", classes=["review", "activity"]), leaks=[{"detector": "outsider", "close": "both", "of": "everything"}]))
    document, entries = suite.cli("policy", "show", "--json").json["document"], suite.status()["entries"]
    for words in (("--home", suite.home), ("--yes",), ("--here", "--keep", "--home", suite.home)):
        assert demo(*words, folder=tmp_path, check=False).returncode == 64
    refused = demo("--here", "--home", suite.home, folder=tmp_path, check=False)
    assert refused.returncode == 1 and "1 agents" in refused.stderr and "--yes" in refused.stderr, refused
    assert suite.status()["entries"] == entries and closed(suite) == [], "nothing was done"
    told = demo("--here", "--yes", "--home", suite.home, folder=tmp_path).stdout
    assert "STOPPED EVERYWHERE" in told and "EVERYTHING IS STOPPED" in told and "sluice resume" in told, told
    assert closed(suite) == [("detector outsider", {})]
    wait_until(lambda: incident(suite)["state"] == "contained", "its certificate is in the ledger")
    suite.agents["ann"].expect(capturing=False)
    assert suite.cli("policy", "show", "--json").json["document"] == document, "as it was, by an ordinary command"
    again = demo("--here", "--yes", "--home", suite.home, folder=tmp_path, check=False)
    assert again.returncode == 1 and "closed" in again.stderr
    suite.resume()
    suite.agents["ann"].expect(capturing=True)
    wait_until(lambda: closed(suite) == [], "nothing is found any more")
    assert suite.cli("ledger", "verify").code == 0 and list(tmp_path.glob("sluice-demo-*")) == []
