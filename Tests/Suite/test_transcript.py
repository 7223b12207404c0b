"""What an operator types, and what comes back."""

import base64
import json
import os
import pty
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import standardwebhooks
from harness import Process, Typist, now_ns, verify, verify_key, wait_until
from harness.agent import key, text
from harness.processes import ROOT, binaries
from harness.webhook import RESET

SCOPES = {"ann": ("E1", "berlin", "search"), "bob": ("E2", "berlin", "ads"), "cid": ("E3", "paris", "search")}


def key_or_review(name, at):
    """Every second event is of class review, the others of class activity."""
    return text(name, "review", at) if int(name.rsplit("-", 1)[1]) % 2 else key(name, at)


@pytest.fixture(scope="module")
def busy(make_module_suite):
    """A suite with three people at work, who never stop."""
    # That each acknowledges is asked for: a slow machine must not outsleep it.
    suite = make_module_suite(lease_ms=2000)
    for name, (subject, site, team) in SCOPES.items():
        suite.agent(name, subject, site, team).run()
    for agent in suite.agents.values():
        agent.expect(capturing=True)
        Typist(agent, 0.02, key_or_review).start()
    wait_until(lambda: len(newest(suite)) == 6, "three people's events of two classes are in the vault")
    return suite


@pytest.fixture
def suite(busy):
    """The same, open before the test and after it."""
    yield busy
    if busy.status()["gate"].get("closures"):
        busy.resume()
    wait_until(lambda: set(busy.agent_states().values()) == {"current"}, "all agents are current again")


def newest(suite):
    """The end of the latest event of each subject and class, ns."""
    return {(s, c): ns for s, c, ns in suite.vault("SELECT subject, class, MAX(last_ns) FROM segment GROUP BY subject, class")}


def of(certificate):
    return {a["node"]: a["how"] for a in certificate.get("agents", [])}


# Status


def test_status_shows_gate_agents_flow_and_vault(suite):
    # Reports come with renewals, three in a lease.
    wait_until(lambda: suite.status().get("agents_current") == 3, "status counts three agents")
    wait_until(lambda: suite.service_status("policy")["gauges"]["vault.events"] > 0, "status counts events")
    # On a slow machine one of them may be late with a renewal at the moment.
    lines = wait_until(lambda: (shown := suite.cli("status").out.splitlines()) and re.match(r"AGENTS  3 connected   3 current$", shown[1]) and shown, "it shows three")
    assert re.match(r"GATE    open     epoch \d+     lease 2\.0 s     control up ", lines[0]), lines
    assert re.match(r"FLOW    [\d,]+ events/s in   [\d,]+ refused   ack p50 .*  p99 .*", lines[2]), lines
    assert re.match(r"VAULT   [\d,.]+( M)? events   .*iB   oldest ", lines[3]), lines


def test_status_as_json_has_the_same_facts(suite):
    status = suite.status()
    assert status["lease_ms"] == 2000
    wait_until(lambda: {s["name"] for s in suite.status()["services"] if s.get("connected")} == {"ingest", "policy", "notify"}, "all three hold leases")
    assert status["agents_registered"] == 3
    wait_until(lambda: suite.service_status("policy")["gauges"]["vault.events"] >= 100, "status counts events")
    gauge = suite.service_status("policy")["gauges"]["vault.events"]
    assert gauge <= suite.vault_count(), "it counts what is there"


# Pause, certificate, resume


def test_a_pause_of_everything_ends_in_a_complete_certificate(suite):
    before = suite.epoch()
    outcome = suite.cli("pause", "--all", "--reason", "reviews visible company-wide")
    first, last = outcome.out.splitlines()[0], next(line for line in reversed(outcome.out.splitlines()) if line.startswith("STOPPED"))
    epoch = int(re.match(r"epoch (\d+), by ops-1, \d\d:\d\d:\d\d\.\d{3}", first)[1])
    assert epoch > before
    assert re.search(r"services   3/3 +in ", outcome.out) and re.search(r"agents     3/3 +in ", outcome.out), outcome.out
    assert re.fullmatch(rf"STOPPED EVERYWHERE in \S+ m?s    incident \d+ opened    certificate {epoch}", last), last

    shown = suite.cli("certificate", epoch)
    assert f"certificate {epoch}   complete" in shown.out and "reviews visible company-wide" in shown.out
    assert all(f"agent      {name}" in shown.out for name in SCOPES)
    certificate = suite.cli("certificate", epoch, "--json").json
    assert set(of(certificate).values()) == {"STOP_HOW_ACKNOWLEDGED"}
    assert certificate["durable_in"]
    suite.expect_in_time(certificate)

    assert f"{epoch}   since" in suite.cli("closures").out
    assert "CLOSED" in suite.cli("status").out and "1 closed" in suite.cli("status").out
    # A disk that takes longer than a second is not waited for by who prints the certificate.
    incidents = wait_until(lambda: (all := suite.cli("incidents", "--json").json["incidents"])[-1]["state"] == "contained" and all, "it is contained")
    assert incidents[-1]["closure"] == epoch and incidents[-1]["certificates"] == [epoch]
    assert suite.cli("incidents", "--close", incidents[-1]["incident"], check=False).code == 1, "its closure is in force"

    resumed = suite.resume(epoch)
    assert resumed["epoch"] > epoch
    assert suite.cli("closures").out == "nothing is closed\n"
    closed = suite.cli("incidents", "--close", incidents[-1]["incident"], "--json").json["incidents"]
    assert closed[-1]["state"] == "closed"


def test_a_pause_is_signed_with_the_name_of_who_commanded_it(suite):
    assert suite.pause("--all", "--as", "ops-2")["closure"]["author"] == "ops-2"


def test_a_pause_streams_progress_as_json_and_ends_with_the_certificate(suite):
    lines = suite.cli("pause", "--all", "--reason", "x", "--json").lines
    assert "incident" in lines[0]
    assert lines[-1]["complete"] and lines[-1]["epoch"] == lines[0]["epoch"]


# Scopes


@pytest.mark.parametrize("options, closed", [
    (("--site", "berlin"), lambda s, c: s in ("E1", "E2")),
    (("--team", "search"), lambda s, c: s in ("E1", "E3")),
    (("--site", "berlin", "--team", "search"), lambda s, c: s == "E1"),
    (("--subject", "E2", "--subject", "E3"), lambda s, c: s in ("E2", "E3")),
    (("--class", "review"), lambda s, c: c == "review"),
    (("--class", "activity", "--site", "paris"), lambda s, c: s == "E3" and c == "activity"),
    (("--all", "--capture-only"), lambda s, c: True),
    (("--all", "--reads-only"), lambda s, c: False),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_a_scope_stops_what_it_names_and_nothing_else(suite, options, closed):
    certificate = suite.pause(*options)
    start = certificate["closure"]["from_us"] * 1000
    open_pairs = {pair for pair in newest(suite) if not closed(*pair)}
    # Long enough for whatever was gathered before to have come in, and for what goes on to show.
    until = now_ns() + 500_000_000
    wait_until(
        lambda: now_ns() > until + 1_200_000_000 and all(newest(suite)[pair] > until for pair in open_pairs), "what is outside the scope goes on")
    still = {pair: ns for pair, ns in newest(suite).items() if closed(*pair)}
    assert all(ns < start for ns in still.values()), "the vault holds what was captured after the command"

    # Control: the same question, asked of what goes on, has the other answer; and after the resume of all.
    assert not open_pairs or not all(newest(suite)[pair] < start for pair in open_pairs)
    suite.resume()
    resumed = now_ns()
    wait_until(lambda: all(ns > resumed for ns in newest(suite).values()), "everything goes on after the resume")
    for subject, name in suite.vault("SELECT DISTINCT subject, class FROM segment"):
        rows = suite.vault(
            "SELECT COUNT(*) FROM segment WHERE subject = ? AND class = ? AND last_ns >= ? AND first_ns < ?", subject, name, start, until)
        assert (rows[0][0] == 0) == bool(closed(subject, name)), (subject, name, rows)


def test_capture_only_leaves_reading_alone_and_reads_only_stops_it(suite):
    suite.pause("--all", "--capture-only")
    assert suite.read(classes=("activity",)).code == 0
    suite.resume()
    suite.pause("--all", "--reads-only")
    refused = suite.read(classes=("activity",), check=False)
    assert (refused.code, refused.out) == (1, "") and "paused" in refused.err
    suite.resume()
    assert suite.read(classes=("activity",)).code == 0


def test_a_pause_of_one_class_lets_the_others_be_read(suite):
    suite.pause("--class", "review", "--reads-only")
    assert suite.read(classes=("review",), check=False).code == 1
    assert suite.read(classes=("activity",)).code == 0
    both = suite.read(check=False)
    assert "review" not in {json.loads(line)["class"] for line in both.out.splitlines()}


def test_a_pause_for_one_reader_or_purpose_leaves_others_and_capture_alone(suite):
    suite.pause("--reader", "ops-2")
    assert suite.read("--as", "ops-2", classes=("activity",), check=False).code == 1
    assert suite.read("--as", "ops-1", classes=("activity",)).code == 0
    suite.pause("--purpose", "test")
    assert suite.read("--as", "ops-1", classes=("activity",), check=False).code == 1
    now = now_ns()
    wait_until(lambda: all(ns > now for ns in newest(suite).values()), "capture goes on")


@pytest.mark.parametrize("option, value", [("--site", "atlantis"), ("--team", "none"), ("--subject", "E9"), ("--class", "gossip")])
def test_a_scope_that_does_not_exist_stops_nothing_and_is_refused_in_one_line(suite, option, value):
    epoch = suite.epoch()
    outcome = suite.cli("pause", option, value, "--reason", "x", check=False)
    assert (outcome.code, outcome.out) == (1, "")
    assert len(outcome.err.splitlines()) == 1 and value in outcome.err and "nothing was stopped" in outcome.err
    assert suite.epoch() == epoch


# Agents


def test_agents_lists_who_holds_a_lease_and_can_be_narrowed(suite):
    wait_until(lambda: suite.agent_states() == {name: "current" for name in SCOPES}, "all of them, and nobody else")
    assert re.search(r"^ann   current   subject E1   site berlin   team search$", suite.cli("agents", "--site", "berlin").out, re.M)
    narrowed = suite.cli("agents", "--site", "berlin", "--team", "ads", "--json").json["agents"]
    assert [a["node"]["name"] for a in narrowed] == ["bob"]
    assert suite.cli("agents", "--site", "atlantis").out == "no agent is registered here\n"


def test_a_removed_agent_stops_within_its_lease_and_the_others_go_on(suite):
    agent = suite.agent("guest", "E4", "oslo", "temps").run().expect(capturing=True)
    suite.cli("register", "guest", "--remove")
    agent.expect(capturing=False)
    assert "guest" not in suite.agent_states()
    assert suite.cli("register", "guest", "--remove", check=False).code == 1
    agent.process.end()


# Two persons


def printed(suite, *arguments):
    """What a command prints, a line each, with times and counts that differ from run to run taken out."""
    return [re.sub(r"\d\d:\d\d:\d\d", "TIME", line) for line in suite.cli(*arguments).out.splitlines()]


def test_adding_an_operator_and_enrolling_a_machine_are_shown_and_approved_in_words(make_suite, tmp_path):
    suite = make_suite()
    (tmp_path / "passphrase").write_text("long enough\n")
    (tmp_path / "passphrase").chmod(0o600)
    made = suite.cli("key", "new", "ops-3", "--out", tmp_path / "ops-3", "--passphrase-file", tmp_path / "passphrase").out.splitlines()
    fingerprint = re.search(r"SHA256:\S+", made[0])[0]
    assert made == [
        f"made {tmp_path}/ops-3.key, .secret and .pub   {fingerprint}", f"an operator who is there already: sluice operator add ops-3 --key {tmp_path}/ops-3.pub"]
    said = printed(suite, "operator", "add", "ops-3", "--key", tmp_path / "ops-3.pub")
    number = int(re.match(r"proposal (\d+):", said[0])[1])
    what = f"add operator ops-3 ({fingerprint}), by ops-1, TIME"
    gain = f"  makes ops-3 (person ops-3) an operator, key {fingerprint}"
    assert said == [
        f"proposal {number}: {what}   needs 1 more of 2   expires in 24 h", gain, f"another operator: sluice approve {number} --as NAME --home {suite.home}"]
    assert printed(suite, "approve", number, "--as", "ops-2") == [
        f"proposal {number}: {what}", gain, f"proposal {number}: {what}   applied by ops-1 and ops-2"]
    # Again: what it is now, and when; not that something was changed under whoever approves.
    again = suite.cli("approve", number, "--as", "ops-2", check=False)
    assert again.code == 1 and again.out == "" and len(again.err.splitlines()) == 1
    assert re.search(rf"proposal {number} was approved by ops-2 and carried out at \d\d:\d\d:\d\d: there is nothing left to approve", again.err), again
    assert printed(suite, "proposals", "--all")[-1] == f"proposal {number}: by ops-1, TIME   applied by ops-1 and ops-2"

    enrolled = suite.cli("enrol", "--subject", "E1042", "--site", "berlin", "--team", "search")
    token = enrolled.out.strip()
    number += 1
    assert re.fullmatch(r"sluice-join-[\w-]+", token)
    assert enrolled.err.splitlines() == [
        f"dead until approved: sluice approve {number} --as ANOTHER-OPERATOR; then good once, for 15m",
        f"for this machine alone, which calls itself {suite.settings['join']}; for others: --address tcp://HOST:PORT"]
    what = "enrol an agent of E1042, by ops-1, TIME"
    gain = "  lets one agent in, subject E1042, site berlin, team search, by a token"
    assert printed(suite, "approve", number, "--as", "ops-2") == [
        f"proposal {number}: {what}", gain, f"proposal {number}: {what}   applied by ops-1 and ops-2"]
    suite.start("join")
    joined = subprocess.run(
        [binaries() / "sluice-agent", "join", token, "--home", tmp_path / "desk"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert joined.returncode == 0, joined
    assert re.fullmatch(rf"joined as [0-9a-f]{{16}}\nsluice-agent run --home {tmp_path}/desk\n", joined.stdout)


def test_what_was_taken_off_the_table_is_not_approved_and_says_by_whom(make_suite):
    suite = make_suite()
    epoch = suite.pause("--reads-only", "--reader", "nobody")["epoch"]
    number = suite.cli("resume", epoch, "--reason", "x", "--json").json["proposal"]["proposal"]
    assert suite.cli("withdraw", number).out == f"withdrawn: proposal {number}\n"
    done = suite.cli("approve", number, "--as", "ops-2", check=False)
    assert done.code == 1 and done.err == f"sluice: proposal {number} was withdrawn by ops-1: propose it again\n", done


def test_the_first_start_says_loudly_whose_keys_it_made(tmp_path):
    from harness import Suite

    suite = Suite(tmp_path)
    try:
        said = (suite.folder / "up.log").read_text()
        assert "MADE THE FIRST TWO OPERATORS, ops-1 and ops-2: what is widened takes both." in said, said
        assert f"Their keys lie in the clear in {suite.home}/keys. Give ops-2.key and ops-2.secret to ANOTHER PERSON" in said
        assert "sluice key protect ops-1" in said
        # The control: a second start has made nobody. It is as a newcomer's: the environment says where, and it brings its own agents.
        log, here = suite.folder / "again.log", {"SLUICE_HOME": str(suite.home)}
        again = suite.adopt(Process([binaries() / "sluice", "up", "--port-base", suite.port_base, "--lease", suite.lease_ms], log, here))
        wait_until(lambda: "In another terminal: sluice status\n" in again.said or not again.is_running, "'sluice up' serves")
        assert "MADE THE FIRST" not in again.said
        listed = dict(re.findall(r"^  (\w+) +(\S+) +\w+", again.said, re.M))
        assert listed.keys() == {*suite.settings.keys() - {"leaseMilliseconds"}, "hooks"}, again.said
        assert {name: listed[name] for name in suite.settings if name in listed}.items() <= suite.settings.items()

        def status(*more):
            return subprocess.run([binaries() / "sluice", "status", *more], capture_output=True, text=True, timeout=60, env={**os.environ, **here}).stdout

        def stored():
            shown = json.loads(status("--json"))
            return next(s for s in shown["services"] if s["name"] == "policy").get("gauges", {}).get("vault.events", 0) and shown["agents_current"] == 3

        wait_until(stored, "three agents replay, and what they replay is stored")
        wait_until(lambda: re.search(r"^AGENTS  3 connected   3 current$", status(), re.M), "so it is shown")
        assert again.end() == 0 and "stopping: agents, " in again.said
    finally:
        suite.close()


@pytest.mark.parametrize("script", ["run", "test"])
def test_without_a_toolchain_the_first_command_says_in_one_line_what_is_missing(tmp_path, script):
    for name in ("bash", "dirname", "cat"):
        (tmp_path / name).symlink_to(shutil.which(name))

    def started(*words):
        return subprocess.run([ROOT / "deploy" / script, *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, env={"PATH": str(tmp_path)})

    done = started()
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "sluice needs a Swift 6 toolchain on PATH: see swift.org/install\n")
    # The control: with one that is too old it is that which is said; so it was looked for, and nothing else was amiss.
    (tmp_path / "swift").write_text("#!/bin/bash\necho Swift version 5.9\n")
    (tmp_path / "swift").chmod(0o755)
    old = started()
    assert old.returncode == 1 and len(old.stderr.splitlines()) == 1 and "6.2 or later" in old.stderr and "is 5.9" in old.stderr, old
    assert started("--help").returncode == 0


# The command line


def leaves(program):
    """Every command that runs, with its options and its help, as the argument parser says that they are."""
    done = subprocess.run([binaries() / program, "--experimental-dump-help"], capture_output=True, text=True, check=True)

    def walk(command, path):
        inner = [one for one in command.get("subcommands", []) if one["commandName"] != "help" and one.get("shouldDisplay", True)]
        path = (*path, command["commandName"])
        return [leaf for one in inner for leaf in walk(one, path)] or [(path, command)]

    return walk(json.loads(done.stdout)["command"], ())


# Why they print no JSON: what they take in and give out is lines already, for as long as they run.
STREAMING = {("sluice-agent", "run"), ("sluice-agent", "replay")}
# Services: `sluice up` starts them, and what they say is a log.
SERVICES = ("sluice-control", "sluice-ingest", "sluice-policy", "sluice-notify", "sluice-hooks")


@pytest.mark.parametrize("program", ["sluice", "sluice-agent"])
def test_every_command_takes_json_and_shows_an_example(program):
    found = leaves(program)
    assert len(found) >= {"sluice": 25, "sluice-agent": 4}[program], [path for path, _ in found]
    named = {path: {name["name"] for argument in command["arguments"] for name in argument.get("names", [])} for path, command in found}
    shown = {path for path in named if not path[1].startswith("bench-")}
    assert {path for path in shown if "json" not in named[path]} == {path for path in shown if path in STREAMING}
    assert [path for path, command in found if path in shown and "EXAMPLE" not in command.get("discussion", "")] == []


@pytest.mark.parametrize("program", SERVICES)
def test_every_service_shows_an_example(program):
    assert [path for path, command in leaves(program) if "EXAMPLE" not in command.get("discussion", "")] == []


def subcommands():
    def names(*path):
        text = subprocess.run([binaries() / "sluice", *path, "--help"], capture_output=True, text=True).stdout
        listed = re.search(r"SUBCOMMANDS:\n((?:  .*\n)*)", text)
        return re.findall(r"^  ([a-z][a-z-]*)", listed[1], re.M) if listed else []

    found, outer = [], [name for name in names() if name != "help"]
    with ThreadPoolExecutor(4) as beside:
        for name, inner in zip(outer, beside.map(names, outer)):
            found += [(name, other) for other in inner] or [(name,)]
    return found


def test_every_command_has_help_with_an_example():
    found = subcommands()
    assert {("up",), ("status",), ("pause",), ("resume",), ("read",), ("leak", "report"), ("certificate", "show"), ("certificate", "verify"), ("ledger", "verify")} <= set(found), found
    lacking = []
    helped = lambda path: subprocess.run([binaries() / "sluice", *path, "--help"], capture_output=True, text=True)  # noqa: E731
    with ThreadPoolExecutor(4) as beside:
        shown = list(beside.map(helped, found))
    for path, done in zip(found, shown):
        assert done.returncode == 0
        if "EXAMPLE" not in done.stdout or not re.search(rf"sluice {' '.join(path)}", done.stdout.split("EXAMPLE", 1)[-1]):
            lacking.append(path)
    assert lacking == []
    for program in ("agent", "control", "ingest", "policy", "notify", "hooks"):
        done = subprocess.run([binaries() / f"sluice-{program}", "--help"], capture_output=True, text=True)
        assert done.returncode == 0 and ("EXAMPLE" in done.stdout or "SUBCOMMANDS" in done.stdout), program


@pytest.mark.parametrize("shell, checker", [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "-n"])])
def test_completion_scripts_parse(shell, checker):
    from harness import missing

    script = subprocess.run([binaries() / "sluice", "--generate-completion-script", shell], capture_output=True, text=True)
    assert script.returncode == 0 and "pause" in script.stdout
    missing(shell)
    checked = subprocess.run([*checker, "/dev/stdin"], input=script.stdout, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    broken = subprocess.run([*checker, "/dev/stdin"], input=script.stdout + "\nif (((\n", capture_output=True, text=True)
    assert broken.returncode != 0, "the control: a broken script does not parse"


@pytest.mark.parametrize("arguments, code", [
    (("pause", "--reason", "x"), 64), (("pause", "--all"), 64), (("pause", "--all", "--site", "berlin", "--reason", "x"), 64),
    (("pause", "--all", "--capture-only", "--reads-only", "--reason", "x"), 64), (("resume", "--reason", "x"), 64), (("nonsense",), 64),
    (("certificate", "x"), 64), (("up", "--lease", "10"), 64), (("register", "x"), 64), (("register", "x", "--subject", "E", "--key", "short"), 64),
    (("certificate", "4242"), 1), (("resume", "4242", "--reason", "x"), 1), (("resume", "--all", "--reason", "x"), 1),
    (("incidents", "--close", "4242"), 1), (("pause", "--all", "--reason", ""), 1), (("status", "--as", "nobody"), 1),
    (("leak", "report", "--class", "gossip", "--reason", "x"), 1),
    (("read", "--purpose", "p", "--why", "w", "--class", "gossip"), 77), (("read", "--purpose", "", "--why", "w", "--class", "review"), 1),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_what_cannot_be_done_says_so_and_has_an_exit_status(suite, arguments, code):
    outcome = suite.cli(*arguments, check=False)
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.strip()
    if code == 1:
        assert len(outcome.err.splitlines()) == 1, outcome.err


def test_without_a_suite_a_command_says_in_one_line_what_is_missing(make_suite):
    dead = make_suite(start=False)
    outcome = dead.cli("status", check=False)
    assert outcome.code == 1 and len(outcome.err.splitlines()) == 1 and "sluice up" in outcome.err
    nowhere = subprocess.run([binaries() / "sluice", "status", "--home", dead.home / "nowhere"], capture_output=True, text=True)
    assert nowhere.returncode == 1 and len(nowhere.stderr.splitlines()) == 1 and "sluice up" in nowhere.stderr


def on_terminal(command, env, answer=""):
    """Runs a command on a terminal of its own; returns what it showed. `answer`: what is typed before it asks."""
    main, other = pty.openpty()
    try:
        process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env={**os.environ, **env}, start_new_session=True)
        os.close(other)
        other = None
        if answer:
            os.write(main, f"{answer}\n".encode())
        shown = b""
        while True:
            try:
                data = os.read(main, 4096)
            except OSError:
                break
            if not data:
                break
            shown += data
        process.wait(30)
        return shown.decode()
    finally:
        os.close(main)
        if other is not None:
            os.close(other)


def test_colour_is_for_terminals_and_obeys_no_color(suite):
    command = suite.command("status")
    assert "\x1b[" in on_terminal(command, {"TERM": "xterm", "NO_COLOR": ""}), "the control: a terminal gets colour"
    assert "\x1b[" not in on_terminal(command, {"TERM": "xterm", "NO_COLOR": "1"})
    assert "\x1b[" not in on_terminal(command, {"TERM": "dumb", "NO_COLOR": ""})
    assert "\x1b[" not in suite.cli("status", env={"TERM": "xterm"}).out


def test_words_of_others_cannot_move_the_cursor(suite):
    suite.pause("--all", reason="red \x1b[31malert\x1b[0m\nSTOPPED\r")
    for command in ("status", "closures", "incidents"):
        shown = suite.cli(command).out
        assert "alert" in shown and "\x1b" not in shown and "\r" not in shown
        assert not re.search(r"^STOPPED", shown, re.M)


def test_every_command_speaks_json_one_object_a_line(suite):
    epoch = suite.pause("--all")["epoch"]
    for arguments in (
        ("status",), ("closures",), ("incidents",), ("agents",), ("deliveries",), ("certificate", epoch), ("pause", "--all", "--reason", "x"),
        ("resume", "--all", "--reason", "x"), ("register", "ann", "--subject", "E1", "--site", "berlin", "--team", "search"),
        ("leak", "report", "--class", "review", "--reason", "x"),
    ):
        outcome = suite.cli(*arguments, "--json")
        assert outcome.lines and all(isinstance(line, dict) for line in outcome.lines), arguments
    suite.resume()
    read = suite.read("--json", "--since", "5s", classes=("activity",))
    assert all(isinstance(line, dict) for line in read.lines)
    agent = subprocess.run(
        [binaries() / "sluice-agent", "status", "--home", suite.agents["ann"].home, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(agent.stdout)["isRunning"] is True


def test_json_says_zero_and_false_where_a_script_asks_for_them(make_suite):
    suite = make_suite()
    status = suite.status()
    # `sluice status --json | jq .agents_current` is the example of its help: null is no number of agents.
    assert status.get("agents_current") == 0
    assert status["gate"].get("epoch") == 0


# Leaks and hooks


def test_a_leak_report_stops_its_class_opens_an_incident_and_reaches_the_hook_once(make_suite, make_receiver):
    receiver = make_receiver(refuse={1: 500, 2: RESET})
    suite = make_suite(hooks=[receiver.hook])
    agent = suite.agent("ann", "E1").run().expect(capturing=True)
    Typist(agent, 0.02, key_or_review).start()
    wait_until(lambda: len(newest(suite)) == 2, "both classes flow")

    report = suite.cli("leak", "report", "--class", "review", "--reason", "reviews on the wiki", "--json")
    certificate = report.json
    assert certificate["complete"] and certificate["closure"]["selector"] == {"classes": ["review"]}
    after = now_ns()
    wait_until(lambda: newest(suite)["E1", "activity"] > after, "activity goes on")
    assert newest(suite)["E1", "review"] < certificate["closure"]["from_us"] * 1000
    incident = wait_until(lambda: (last := suite.cli("incidents", "--json").json["incidents"][-1])["state"] == "contained" and last, "it is contained")
    assert (incident["leak"], incident["class"]) == (True, "review")
    suite.resume()

    kinds = {"gate.paused", "incident.opened", "certificate.completed", "gate.resumed"}
    wait_until(lambda: {c["type"] for _, c in receiver.delivered()} >= kinds, "the hook was told everything, also what it refused at first")
    opened = receiver.delivered("incident.opened")
    assert len(opened) == 1
    data = opened[0][1]["data"]
    assert (data["is_leak"], data["data_class"], data["incident"], data["title"]) == (True, "review", incident["incident"], "reviews on the wiki")

    # What was answered with 500, or cut off in the middle, came again, the same: it is one message.
    def asked(of):
        return [(s, b) for s, h, b in receiver.requests if h["webhook-id"] == of]

    refused = [(status, h["webhook-id"]) for status, h, _ in receiver.requests if status != 200]
    assert [status for status, _ in refused] == [500, RESET]
    for status, of in refused:
        wait_until(lambda: asked(of)[-1][0] == 200, "it comes again")  # noqa: B023 - asked at once
        assert [s for s, _ in asked(of) if s == 200] == [200] and len({b for s, b in asked(of) if s != RESET}) == 1, asked(of)
    # Who tries the hook hears what it says, and tells it nothing else.
    key, said = suite.cli("notify", "test", "webhook", "test").out.splitlines()
    assert said == "test has taken it: HTTP 200" and key.endswith("whpk_" + base64.b64encode(receiver.key.public_key().public_bytes_raw()).decode())
    assert len(receiver.delivered("notify.test")) == 1
    missing = suite.cli("notify", "test", "webhook", "tset", check=False)
    assert missing.code and "it names test" in missing.err
    # And nothing that was taken comes twice, also after a restart: when notify has that on its disk. A kill before it has sends again.
    wait_until(lambda: suite.cli("deliveries", "--json").json.get("delivered", 0) >= len(kinds), "what was taken is on record")
    suite.restart("notify")
    wait_until(lambda: suite.cli("deliveries", "--json").json.get("delivered", 0) >= len(kinds), "notify is back with what it knows")
    suite.pause("--class", "content")
    wait_until(lambda: len(receiver.delivered("gate.paused")) == 2, "the next message comes")
    ids = [i for i, _ in receiver.delivered()]
    assert len(ids) == len(set(ids))

    for status, headers, body in receiver.requests:
        assert status == RESET or verify(receiver.secret, headers, body) and standardwebhooks.Webhook(receiver.secret).verify(body, headers)
        assert status == RESET or verify_key(receiver.key.public_key(), headers, body), "and with the key, which the receiver needs no secret for"
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 300
    # Controls: another key, another body.
    _, headers, body = receiver.requests[0]
    assert not verify("whsec_" + "A" * 32, headers, body)
    assert not verify(receiver.secret, headers, body + b" ") and not verify_key(receiver.key.public_key(), headers, body + b" ")


def test_a_hook_that_is_away_is_told_when_it_is_back_and_nothing_else_waits_for_it(make_suite, make_receiver):
    receiver = make_receiver()
    dead = {"name": "dead", "url": "http://127.0.0.1:1/", "secrets": [receiver.secret], "allow_private": True}
    suite = make_suite(hooks=[dead, receiver.hook])
    suite.expect_in_time(suite.pause())
    wait_until(lambda: len(receiver.delivered()) >= 3, "the living hook is told")
    shown = wait_until(lambda: suite.cli("deliveries", "--json").json.get("deliveries"), "what waits is listed")
    assert {d["channel"] for d in shown} == {"dead"} and all(d["last_error"] for d in shown if d.get("attempts"))
