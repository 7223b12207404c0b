"""The policy document at work: on workstations before anything is written, and in policy again; by consent, or not at all."""

import json
import random
import secrets
import subprocess
import time

import yaml
from harness import wait_until
from harness.agent import Typist, now_ns, rfc3339, text
from harness.processes import binaries
from test_plaintext import in_files, in_memory, search

DOCUMENT = """
version: 1
classes:
  - {name: activity, retention: 90 days, audience: unlimited}
  - {name: content, retention: 90 days, audience: unlimited}
  - {name: conversation, retention: 90 days, audience: unlimited}
  - {name: credential, retention: never}
rules:
  - {class: activity, kind: [pointer, key, window, presence]}
  - {class: content, source: [document, prompt]}
  - {class: conversation, source: [chat, mail]}
  - {class: credential, source: document, detected: card}
capture:
  - {as: redact, kind: [key, text, window], for: everyone}
  - {as: keep, kind: pointer, for: everyone}
  - {as: count, kind: presence, for: everyone}
purposes:
  - {name: test, basis: legal-obligation, classes: [activity, content]}
  - {name: model-training, basis: consent, classes: [conversation]}
roles:
  - {name: testers, members: [job]}
access:
  - {name: testers-test, role: testers, purpose: test, classes: [activity, content], for: everyone, expires: never, rate: unlimited}
"""
READ = ("activity", "content")
CARD = "4532 0151 1283 0366"


def governed(make_suite, document=DOCUMENT):
    suite = make_suite()
    path = suite.folder / "policy.yaml"
    path.write_text(document)
    suite.approved("policy", "apply", path, "--yes")
    suite.approved("register", "job", "--reader")
    return suite


def read(suite, *classes):
    named = [word for name in classes or READ for word in ("--class", name)]
    return suite.cli("read", "--as", "job", "--purpose", "test", "--why", "a test", "--origin", *named)


def keys(suite):
    """The names of the keys typed that are in the vault, in order."""
    return [line["event"]["key"] for line in read(suite, "activity").lines if line["event"]["kind"] == "key"]


def under_rules(agent, *classes):
    """Waits until it keeps to a policy document's rules, and may capture these classes."""
    wait_until(lambda: (s := agent.fresh)["policy"] and not s["isRulesMissing"] and set(s["classes"]) == set(classes), f"{agent.name} may capture {classes}")
    return agent


def counters(suite, name="policy"):
    return {k: int(v) for k, v in suite.service_status(name)["counters"].items()}


def press(agent, typed):
    agent.type(*({"⌫": "Backspace", "⏎": "Enter"}.get(c, c) for c in typed))


def test_a_card_number_typed_with_two_corrections_across_two_batches_is_neither_in_the_vault_nor_in_the_spool_nor_on_the_wire(make_suite):
    suite = governed(make_suite)
    agent = under_rules(suite.agent("ann", "E1").run(), *READ)
    press(agent, "pay with 4532 0157⌫1 12")
    # What was typed before the number has gone, in a batch of its own, while its beginning waits.
    agent.expect_drained()
    assert keys(suite) == list("pay with ")
    assert agent.fresh["waiting"] > 0
    press(agent, "83 037⌫66 and that is all that there is to say⏎")
    wait_until(lambda: agent.fresh["waiting"] == 0, "it is known what was typed")
    agent.expect_drained()
    names = keys(suite)
    assert "".join(names) == "pay with BackspaceBackspace and that is all that there is to sayEnter"
    assert names.count("") == len(CARD) + 2, "each key of it is there, without its name"
    assert "events.differing" not in counters(suite), "the agent left nothing for policy to take out"


def test_the_control_of_the_test_above_without_a_document_the_number_is_in_the_vault(make_suite):
    suite = make_suite()
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    press(agent, CARD)
    agent.expect_drained()
    assert "".join(suite.keys()) == CARD


def test_what_is_found_in_a_text_lies_nowhere_and_the_rest_is_kept(make_suite):
    suite = governed(make_suite)
    agent = under_rules(suite.agent("ann", "E1").run(), *READ)
    planted = [CARD, "anna.berg@planted-example.com", "DE89370400440532013000"]
    # What the document keeps goes where what nobody governs goes: sealed past everybody but policy.
    before, waits = (f"kept{name}{secrets.token_hex(9)}" for name in ("before", "waits"))
    agent.send(*(text(f"{before} {words} kept-after", source="prompt") for words in planted), text(f"never-kept {CARD}", source="document"))
    agent.expect_drained()
    suite.kill("policy")
    agent.send(*(text(f"{waits} {words} kept-after", source="prompt") for words in planted))
    wait_until(lambda: agent.status["spoolBatches"] == 1, "it is spooled")
    assert in_files(suite.home, *planted, before, waits) == {}
    assert in_memory(suite.services["ingest"].id, *planted, before, waits) == []
    suite.start("policy")
    agent.expect_drained()
    released = read(suite, "content")
    texts = [line["event"]["text"] for line in released.lines]
    assert texts == [f"{when} [{kind}] kept-after" for when in (before, waits) for kind in ("card", "mail", "iban")]
    assert agent.fresh["refused"]["never-stored"] == 1
    for words in planted:
        assert not search(released.out.encode(), words)
    for words in (before, waits):
        assert search(released.out.encode(), words), "the control: readers get it, and the search finds it there"
    assert in_files(suite.home, *planted, before, waits) == {}
    for name in ("ingest", "control", "notify"):
        assert in_memory(suite.services[name].id, before, waits) == [], f"{name} holds what only policy may"
    # The other control: that there is a document it does hold, and what it hands agents of it.
    assert in_memory(suite.services["ingest"].id, "content")
    assert "events.differing" not in counters(suite)


def test_without_a_recorded_consent_nothing_is_captured_and_a_withdrawal_has_stopped_capture_within_a_lease(make_suite):
    suite = governed(make_suite)
    agent, other = suite.agent("ann", "E1").run(), suite.agent("ben", "E2").run()
    for one in (agent, other):
        under_rules(one, *READ)
    agent.send(text("not agreed", source="chat"), text("written", source="prompt"))
    agent.expect_drained()
    assert agent.fresh["refused"] == {"no-record": 1}
    assert suite.vault("SELECT class, SUM(count) FROM segment GROUP BY class") == [("content", 1)]

    for subject in ("E1", "E2"):
        suite.approved("consent", "grant", subject, "--purpose", "model-training")
    under_rules(agent, *READ, "conversation")
    under_rules(other, *READ, "conversation")
    typists = [Typist(a, make=lambda name, at: text(name, source="chat", at=at)).start() for a in (agent, other)]
    wait_until(
        lambda: suite.vault("SELECT DISTINCT subject FROM segment WHERE class = 'conversation' ORDER BY 1") == [("E1",), ("E2",)], "of both it is stored")
    suite.cli("consent", "withdraw", "E1", "--purpose", "model-training")
    stopped = now_ns() + suite.lease_ms * 1_000_000
    time.sleep(suite.lease_ms / 1000)
    Typist.expect_all(typists, 60)
    for typist in typists:
        typist.stop()
    given = now_ns()
    for one in (agent, other):
        one.expect_drained(given)
    last = dict(suite.vault("SELECT subject, MAX(last_ns) FROM segment WHERE class = 'conversation' GROUP BY subject"))
    assert last["E1"] < stopped < last["E2"], "nothing of E1 after a lease; of E2, who agrees, all the time"
    assert agent.fresh["refused"]["no-record"] > 30
    assert "no-record" not in other.fresh["refused"]
    assert set(agent.fresh["classes"]) == set(READ)


def test_without_a_recorded_notice_nothing_is_captured_and_again_after_it_is_withdrawn(make_suite):
    suite = governed(make_suite, DOCUMENT.replace("basis: consent", "basis: legitimate-interests"))
    # That somebody else was told counts for nothing.
    suite.approved("consent", "grant", "E2", "--purpose", "model-training", "--notice")
    agent = suite.agent("ann", "E1").run()
    captured = []

    def chat(*classes):
        entry = suite.status()["entries"]
        wait_until(lambda: suite.service_status("policy")["entries"] >= entry, "policy has heard of it")
        under_rules(agent, *classes).send(text("said", source="chat"), text("written", source="prompt"))
        agent.expect_drained()
        captured.append(dict(suite.vault("SELECT class, SUM(count) FROM segment GROUP BY class")))

    chat(*READ)
    assert suite.cli("consent", "show", "E1").out == "E1   agreed to nothing   was told of nothing\n"
    suite.approved("consent", "grant", "E1", "--purpose", "model-training", "--notice")
    chat(*READ, "conversation")
    assert suite.cli("consent", "show", "E1").out == "E1   agreed to nothing   was told of model-training\n"
    suite.cli("consent", "withdraw", "E1", "--purpose", "model-training", "--notice")
    chat(*READ)
    assert captured == [{"content": 1}, {"content": 2, "conversation": 1}, {"content": 3, "conversation": 1}]
    assert agent.fresh["refused"] == {"no-record": 2}


def test_a_document_as_large_as_may_be_is_applied_kept_to_and_read_by_and_a_byte_more_is_refused(make_suite):
    largest, path = 1 << 20, None

    def write(members, more=0):
        """Roles with so many members of 200 bytes, and two of whatever length is missing."""
        made = yaml.safe_load(DOCUMENT)
        names = [f"M{number:07}".ljust(200, "m") for number in range(members)]
        made["roles"] += [{"name": f"role-{start}", "members": names[start:start + 2_000]} for start in range(0, members, 2_000)]
        made["roles"].append({"name": "rest", "members": ["P" * (1 + more // 2), "Q" * (1 + more - more // 2)]})
        path.write_text(json.dumps(made))

    def bytes_of():
        """Of its canonical form."""
        done = subprocess.run([binaries() / "sluice", "policy", "check", path, "--canonical"], capture_output=True, timeout=60)
        assert done.returncode == 0, done
        return len(done.stdout)

    suite = make_suite()
    path = suite.folder / "large.json"
    # A name, its quotes and a comma.
    write(5_000)
    more, rest = divmod(largest - bytes_of(), 203)
    assert more < 1_000
    write(5_000 + more, rest)
    assert bytes_of() == largest
    suite.approved("policy", "apply", path, "--yes")
    suite.approved("register", "job", "--reader")
    agent = under_rules(suite.agent("ann", "E1").run(), *READ)
    document = suite.service_status("policy")["gauges"]["policy.document"]
    assert agent.fresh["policy"] == document > 0
    press(agent, f"{CARD} ok⏎")
    agent.expect_drained()
    assert "".join(keys(suite)) == " okEnter", "it is kept to, by the agent and by who reads"

    write(5_000 + more, rest + 1)
    refused = suite.cli("policy", "apply", path, "--yes", check=False)
    assert refused.code == 1 and "a policy document has at most 1048576 bytes in its canonical form, not 1048577" in refused.err, (refused.code, refused.err[-500:])
    assert suite.service_status("policy")["gauges"]["policy.document"] == document


def test_a_tighter_document_reaches_agents_and_status_shows_which_one_is_kept_to(make_suite):
    suite = governed(make_suite)
    agent = under_rules(suite.agent("ann", "E1").run(), *READ)
    before = agent.fresh
    shown = subprocess.run([binaries() / "sluice-agent", "status", "--home", agent.home], capture_output=True, text=True, check=True).stdout
    assert f"POLICY  entry {before['policy']}   rules {before['rules'][:16]}" in shown, shown
    path = suite.folder / "tighter.yaml"
    path.write_text(DOCUMENT.replace("{as: keep, kind: pointer, for: everyone}", "{as: timing, kind: pointer, for: everyone}"))
    suite.approved("policy", "apply", path, "--yes")
    wait_until(lambda: (s := agent.fresh)["rules"] != before["rules"] and s["policy"] > before["policy"] and s["classes"], "the next document is kept to")
    agent.send({"at": rfc3339(now_ns()), "kind": "pointer", "action": "move", "x": 41, "y": 42})
    agent.expect_drained()
    places = {(line["event"]["x"], line["event"]["y"]) for line in read(suite, "activity").lines if line["event"]["kind"] == "pointer"}
    assert places == {(0, 0)}
    assert agent.fresh["minimised"] > 0


LOOSE = DOCUMENT.replace("{as: redact, kind: [key, text, window], for: everyone}", "{as: keep, kind: [key, text, window], for: everyone}")


def words(source, count):
    """Of a size that a step of the second look takes a few of. Of letters that make no word: an `ext` before a number makes a telephone of it."""
    return " ".join("".join(source.choices("jqvwxyz", k=source.randint(2, 9))) for _ in range(count))


def test_what_is_stored_becomes_less_when_one_operator_applies_a_stricter_document_and_a_kill_in_the_middle_only_delays_it(make_suite):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    source = random.Random(seed)
    suite = governed(make_suite, LOOSE)
    agents = [suite.agent(name, f"E-{name}").run() for name in ("ann", "bob", "cid", "dan")]
    for agent in agents:
        under_rules(agent, *READ)
    rounds = 12
    for number in range(rounds):
        agent = agents[number % len(agents)]
        agent.send(text(f"{words(source, 6_000)} {CARD} after-{number}", source="prompt"), text(f"never {CARD} of-{number}", source="prompt"))
        if agent is agents[-1]:
            # Each of them has a segment more.
            sent = now_ns()
            for agent in agents:
                agent.expect_drained(sent)
    stored = suite.vault("SELECT COUNT(*), SUM(count) FROM segment")
    assert stored == [(rounds, 2 * rounds)]
    assert sum(CARD in line["event"]["text"] for line in read(suite, "content").lines) == 2 * rounds, "the control: it is there"

    # It ends in the middle of what it does as soon as it hears of the document.
    suite.restart("policy", env={"SLUICE_FAULT": "rescan-after-commit:2"})
    path = suite.folder / "stricter.yaml"
    path.write_text(DOCUMENT)
    outcome = suite.cli("policy", "apply", path, "--yes").out
    assert "APPLIED" in outcome, f"one operator is enough: {outcome}"
    wait_until(lambda: not suite.services["policy"].is_running, "policy ends where it was told to")
    suite.start("policy")
    wait_until(lambda: (g := suite.service_status("policy")["gauges"]).get("rescan.segments") == rounds and not g.get("rescan.running"), "the rest is judged as well")
    gauges = suite.service_status("policy")["gauges"]
    assert (gauges["rescan.changed"], gauges.get("rescan.unreadable", 0), gauges["vault.segments"]) == (rounds, 0, rounds), gauges
    texts = [line["event"]["text"] for line in read(suite, "content").lines]
    assert len(texts) == 2 * rounds and not any(CARD in one for one in texts)
    assert sum(one.endswith(f" [card] after-{number}") for number in range(rounds) for one in texts) == rounds
    assert suite.cli("ledger", "verify").code == 0
    # The same once more is nothing to do, also at the next start.
    suite.restart("policy")
    wait_until(lambda: suite.service_status("policy")["gauges"].get("policy.document"), "it goes by the document")
    assert suite.service_status("policy")["gauges"].get("rescan.segments", 0) == 0


def test_status_shows_how_far_what_is_stored_was_judged_again_and_a_document_that_says_the_same_of_capture_has_nothing_judged(make_suite):
    suite = governed(make_suite, LOOSE)
    agent = under_rules(suite.agent("ann", "E1").run(), *READ)
    agent.send(text(f"x {CARD} y", source="prompt"))
    agent.expect_drained()
    judged = "judged again"
    before = suite.log("policy").read_text().count(judged)
    path = suite.folder / "others.yaml"
    path.write_text(LOOSE.replace("members: [job]", "members: [nobody]"))
    suite.approved("policy", "apply", path, "--yes")
    entry = suite.status()["entries"]
    wait_until(lambda: suite.service_status("policy")["entries"] >= entry, "policy goes by it")
    assert suite.log("policy").read_text().count(judged) == before, "who may read is nothing to what is stored"
    # Of whom an incident holds what there is, it waits, and status says so.
    incident = suite.pause("--subject", "E1")["closure"]["incident"]
    suite.approved("hold", "place", "E1", "--incident", incident)
    path.write_text(DOCUMENT.replace("members: [job]", "members: [nobody]"))
    assert "APPLIED" in suite.cli("policy", "apply", path, "--yes").out
    wait_until(lambda: "AGAIN   what there is of 1 people is judged again when the incidents end" in suite.cli("status").out, "it waits for the incident")
    assert suite.vault("SELECT COUNT(*) FROM rescan_held") == [(1,)]
    suite.cli("hold", "lift", "--all", "--incident", incident)
    wait_until(lambda: "AGAIN" not in suite.cli("status").out and suite.log("policy").read_text().count(judged) > before + 1, "then it goes on")
