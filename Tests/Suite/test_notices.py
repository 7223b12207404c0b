"""Notices to people: kill -9 at each step of a hand-over and of a delivery, and everybody told while everything is paused."""

import email
import email.utils
import json
import os
import re
import threading
import time
from collections import Counter

import pytest
from harness import Shim, on_tmpfs, verify, wait_until
from harness.asking import wire
from harness.notices import Gone, Refused, Round, assessed, session
from harness.tools import fill
from harness.waiting import PATIENCE
from test_clocks import SHIFTS, clock, faked, shift  # noqa: F401 - fixtures
from test_exposure import document as policy
from test_mail import doubled, ids, make_server, place, settle  # noqa: F401 - fixtures

PEOPLE = {f"E{number}": f"e{number}@example.org" for number in range(1, 7)}


@pytest.fixture(scope="module")
def suite(make_module_suite):
    return make_module_suite(start=False)


def people_of(name):
    """Other people for each test: what one was sent is not the next one's."""
    return {subject: f"{name}-{address}" for subject, address in PEOPLE.items()}


def begun(suite, place, server, name, **more):  # noqa: F811
    """Notify and all the others run, and a round is decided of which nothing is handed over."""
    settle(suite, place, server, connections=1)
    if "notify" in suite.services:
        suite.restart("notify")
    else:
        suite.start()
    return Round(suite, assessed(suite, reason=name), {**people_of(name), **more}).decide()


def has_died(suite):
    assert suite.services["notify"].wait(60) == 137, "it has died at the point"
    suite.start("notify")


def expect_each_once(round, server, copies=1):
    """Each has their notice, under one Message-ID; of one alone `copies` have come."""
    standing = wait_until(lambda: int((s := round.standing()).get("delivered", 0)) + int(s.get("unreachable", 0)) == len(round.notices) and s, "everybody has theirs or is listed")
    reached = {to for to in everybody(round) if to}
    assert int(standing["delivered"]) == len(reached)
    come = {to: ids(server.mails(to)) for to in reached}
    assert all(len(set(found)) == 1 for found in come.values()), f"one Message-ID each: {come}"
    assert len({found[0] for found in come.values()}) == len(reached), "and nobody's is another's"
    assert sorted(len(found) for found in come.values()) == [1] * (len(reached) - 1) + [copies], come
    return standing


def everybody(round):
    return [wire().governance.Notice.FromString(one).address for one in round.notices]


@pytest.mark.parametrize("point, handed, held", [
    # The first that is answered is the question how many there are.
    ("after-notices-held-before-answer:2", 2, 2), ("after-notices-held-before-answer:3", 2, 4), ("before-notices-checked:1", 6, 0), ("after-notices-taken-before-answer:1", 6, 6),
])
def test_killed_at_a_step_of_a_hand_over_notify_goes_on_where_it_stopped_and_tells_nobody_before(suite, place, make_server, point, handed, held):  # noqa: F811
    server = make_server()
    name = re.sub(r"[^a-z0-9]", "", point)
    round = begun(suite, place, server, name)
    suite.restart("notify", env={"SLUICE_FAULT": point})
    before = doubled(suite)
    assert round.held().held == 0
    with pytest.raises(Gone):
        for first in range(0, len(round.notices), handed):
            round.hand(first, handed)
    if held < 6:
        assert not any(server.mails(to, "seen") for to in everybody(round)), "nobody is told before all is there"
    has_died(suite)
    found = round.held()
    assert (found.held, found.taken) == (held, held == 6), "what is durable is what it goes on from"
    assert round.hand_over(2).taken
    expect_each_once(round, server)
    assert round.hand_over(2).taken and doubled(suite) == before, "nothing may have come twice"
    expect_each_once(round, server)


@pytest.mark.parametrize("point, at, copies", [("mail-in-hand", 1, 1), ("mail-in-hand", 4, 1), ("mail-answered", 1, 2), ("mail-answered", 6, 2)])
def test_killed_at_a_step_of_a_delivery_each_has_theirs_and_what_may_have_come_twice_is_counted(suite, place, make_server, point, at, copies):  # noqa: F811
    server = make_server()
    round = begun(suite, place, server, f"{point}-{at}", E9="")
    wait_until(lambda: int(suite.cli("deliveries", "--json").json["waiting"]) == 0, "nothing else is to be told")
    suite.restart("notify", env={"SLUICE_FAULT": f"{point}:{at}"})
    before = doubled(suite)
    assert round.hand_over().taken
    has_died(suite)
    standing = expect_each_once(round, server, copies)
    assert doubled(suite) == before + 1, "the one that was under way, and no other"
    assert [one["subject"] for one in standing["unreached"]] == ["E9"]
    sent = suite.cli("notice", "show", round.incident, "E1", "--json").json["sent"]
    assert [one["state"] for one in sent] == ["delivered"] and ids(server.mails(f"{point}-{at}-e1@example.org"))[0] == sent[0]["id"]


@pytest.mark.parametrize("point, at", [("hook-in-hand", 1), ("hook-in-hand", 2), ("hook-answered", 1), ("hook-answered", 2)])
def test_killed_at_a_step_of_a_webhook_each_event_comes_under_one_id_and_who_drops_the_second_has_it_once(make_suite, make_receiver, point, at):
    receiver = make_receiver()
    suite = make_suite(start=False, hooks=[receiver.hook])
    suite.start("control", "ingest", "policy", wait=False)
    suite.start("notify", env={"SLUICE_FAULT": f"{point}:{at}"})
    suite.pause("--all")
    has_died(suite)

    def told():
        with receiver.lock:
            return any(b"certificate." in body for _, _, body in receiver.requests) and list(receiver.requests)

    wait_until(told, "all of it is told")
    wait_until(lambda: suite.cli("deliveries", "--json").json["waiting"] == 0, "and recorded")
    requests = told()
    come = Counter(headers["webhook-id"] for _, headers, _ in requests)
    assert all(verify(receiver.secret, headers, body) for _, headers, body in requests)
    assert len({(headers["webhook-id"], body) for _, headers, body in requests}) == len(come), "the same bytes under the same id"
    twice = {one for one, copies in come.items() if copies > 1}
    if point == "hook-in-hand":
        # What was answered before may not have been recorded.
        assert twice <= {headers["webhook-id"] for _, headers, _ in requests[:at - 1]}
    else:
        assert requests[at - 1][1]["webhook-id"] in twice, "it was answered, and not recorded"
        assert twice <= {headers["webhook-id"] for _, headers, _ in requests[:at]} and max(come.values()) == 2


def test_what_is_half_handed_over_makes_room_when_the_same_is_decided_anew(suite, place, make_server):  # noqa: F811
    server = make_server()
    round = begun(suite, place, server, "anew")
    assert round.held().held == 0 and round.hand(0, 4).held == 4
    anew = Round(suite, round.incident, people_of("anew"), text="As it was after all.").decide()
    said = f"4 notices of entry {round.entry}, which ops-1 handed over, are dropped: something newer was decided"
    wait_until(lambda: said in suite.log("notify").read_text(), "nothing of it is kept for seven days")
    assert anew.hand_over().taken
    expect_each_once(anew, server)
    assert [int(one["decision"]) for one in suite.cli("notices", round.incident, "--json").json["rounds"]] == [anew.entry]


def test_one_operator_with_many_sessions_leaves_others_their_room_and_a_command_that_is_too_much_waits_and_says_for_what(suite, place, make_server, tmp_path):  # noqa: F811
    round = begun(suite, place, make_server(), "busy")
    shim = Shim(tmp_path)
    suite.restart("notify", env=shim.env)
    assert round.held().held == 0

    def at_once(question, count):
        """So many, of which none is answered before the disk is: those that were refused, and a way to wait for the others."""
        refused, answers = [], []

        def ask():
            try:
                answers.append(question())
            except Refused as why:
                refused.append(why)

        threads = [threading.Thread(target=ask) for _ in range(count)]
        for thread in threads:
            thread.start()

        def answered():
            for thread in threads:
                thread.join(PATIENCE)
            return answers

        return refused, answered

    shim.hold()
    try:
        refused, answered = at_once(lambda: round.hand(0, 2), 3)
        wait_until(lambda: len(refused) == 2 and shim.held, "of one operator's parts one goes to the disk")
        assert {(why.code, why.text) for why in refused} == {(41, "another part that ops-1 hands over goes to the disk: the next comes after its answer")}
        others = at_once(lambda: round.hand(name="ops-2"), 1)

        def asked():
            with session(suite.home, "notify") as ask:
                return ask("answer", "query", notices=wire().governance.NoticesQuery(incident=round.incident))

        too_many, told = at_once(asked, 5)
        wait_until(lambda: too_many, "of one operator's questions four wait")
        command = suite.begin("notices", round.incident, "--json")
        said = []
        reader = threading.Thread(target=lambda: said.append(command.popen.stderr.readline().decode()))
        reader.start()
        wait_until(lambda: said, "the command says what it waits for")
        assert said == ["sluice: notify is busy, and is asked again: 4 questions of ops-1's are under way: the next comes after one of their answers\n"]
    finally:
        shim.hold(False)
    status, out, err = command.finish()
    assert (status, err) == (0, "") and [int(one["held"]) for one in json.loads(out)["rounds"]] == [2], (out, err)
    assert [one.held for one in answered()] == [2] and len(told()) == 4 and len(too_many) == 1
    assert others[0] == [] and [one.held for one in others[1]()] == [2], "another operator's part was not refused"


def test_on_a_full_disk_a_part_is_refused_and_with_room_the_hand_over_goes_on(make_suite):
    suite = make_suite(start=False)
    with on_tmpfs(suite.home / "notify", 12 << 20) as disk:
        try:
            suite.start()
            long = os.urandom(150_000).hex()
            round = Round(suite, assessed(suite), PEOPLE, text=long).decide()
            assert round.held().held == 0 and round.hand(0, 2).held == 2
            filler = fill(disk)
            with pytest.raises(Refused) as refused:
                round.hand(2, 2)
            assert refused.value.code == 32, refused.value
            assert suite.services["notify"].is_running and round.held().held == 2, "what was there is there"
            assert not kept(suite)
            filler.unlink()
            assert round.hand_over(2).taken
            wait_until(lambda: kept(suite) == sorted(PEOPLE.values()), "each has theirs, once")
        finally:
            suite.close()


def mails(suite):
    """Those in the Maildir."""
    folder = suite.home / "notify" / "mail" / "new"
    return [email.message_from_bytes(path.read_bytes()) for path in folder.iterdir()] if folder.exists() else []


def kept(suite):
    """To whom the notices in the Maildir are."""
    return sorted(to for mail in mails(suite) if (to := mail["To"].strip("<> ")).endswith("@example.org"))


def test_notify_whose_wall_clock_is_set_tells_each_once_and_nobody_again(make_suite, clock):  # noqa: F811
    suite = make_suite(start=False)
    suite.start("control", "ingest", "policy", wait=False)
    suite.start("notify", env=faked(clock))
    incident, told = assessed(suite), []
    for number, seconds in enumerate(SHIFTS):
        shift(clock, seconds)
        people = {subject: f"n{number}-{address}" for subject, address in PEOPLE.items()}
        round = Round(suite, incident, people).decide()
        assert round.hand_over(4).taken
        told += people.values()
        wait_until(lambda: kept(suite) == sorted(told), f"with its clock set by {seconds} s each has theirs, once")
        written = {mail["To"].strip("<> "): email.utils.parsedate_to_datetime(mail["Date"]).timestamp() for mail in mails(suite)}
        assert all(abs(written[to] - time.time() - int(seconds)) < 120 for to in people.values()), "the control: its clock has jumped"
    # And by the right time again.
    suite.restart("notify")
    assert round.hand_over().taken
    wait_until(lambda: int(round.standing()["delivered"]) == len(people), "nobody waits")
    assert kept(suite) == sorted(told)


def test_with_nobody_to_tell_of_those_who_were_not_reached_that_is_said_wherever_it_is_seen(make_suite, place, make_server, tmp_path):  # noqa: F811
    suite, server = make_suite(start=False), make_server()
    settle(suite, place, server, operators=[])
    path = suite.home / "notify.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "escalation": {"after": 0.001}}))
    suite.start()
    round = Round(suite, assessed(suite), {"E1": "e1@example.org", "E9": ""}).decide()
    assert round.hand_over().taken
    gauges = wait_until(lambda: (found := suite.service_status("notify")["gauges"]).get("notices.untold") and found, "it is counted")
    assert (int(gauges["notices.untold"]), int(gauges["escalation.to"])) == (1, 0)
    assert "1 person has no notice in time, and nobody is told" in suite.cli("status").out
    assert "notify.json name nobody who would be told" in suite.cli("notices", round.incident).out
    assert b"nobody is told of people who have no notice in time, 1 now" in suite.log("notify").read_bytes()
    document = tmp_path / "policy.json"
    document.write_text(json.dumps({**policy(["nobody"]), "notices": {"escalate": "12 h"}}))
    assert "'notices: {escalate: …}' tells nobody" in suite.cli("policy", "apply", document, "--yes").out
    # The control: with somebody.
    path.write_text(json.dumps({**json.loads(path.read_text()), "escalation": {"after": 0.001, "to": ["dpo@example.com"]}}))
    suite.restart("notify")
    wait_until(lambda: server.mails("dpo@example.com"), "they are told")
    wait_until(lambda: (found := suite.service_status("notify")["gauges"]).get("escalation.to") and not int(found["notices.untold"]), "nobody is untold")
    assert "nobody is told" not in suite.cli("status").out and "would be told" not in suite.cli("notices", round.incident).out
    assert "tells nobody" not in suite.cli("policy", "apply", document, "--yes").out


def test_of_a_notice_whose_bytes_were_kept_for_long_enough_it_is_said_what_is_gone_and_why(make_suite, clock):  # noqa: F811
    suite = make_suite(start=False)
    suite.start("control", "ingest", "policy", wait=False)
    suite.start("notify", env=faked(clock))
    round = Round(suite, assessed(suite), PEOPLE).decide()
    assert round.hand_over().taken
    wait_until(lambda: int(round.standing().get("delivered", 0)) == len(PEOPLE), "each has theirs")
    shown = suite.cli("notice", "show", round.incident, "E1").out
    assert "this is about you" in shown and "e1@example.org" in shown and "removed" not in shown, "the control"
    suite.resume()
    suite.cli("incident", "close", round.incident)
    shift(clock, f"+{91 * 86_400}")
    suite.restart("notify", env=faked(clock))
    (one,) = wait_until(lambda: [one for one in suite.cli("notice", "show", round.incident, "E1", "--json").json["sent"] if int(one.get("removed_us", 0))], "its bytes are removed")
    assert (one["text"], one["html"], one["address"], one["notice"], one["state"], len(one["attempts"])) == ("", "", "", "", "delivered", 1), one
    shown = suite.cli("notice", "show", round.incident, "E1").out
    (line,) = [line for line in shown.splitlines() if "removed" in line]
    assert "its text, page, files and address were removed" in line and "91 days after its last attempt, as 'keep' in notify.json says" in line, shown
    assert "this is about you" not in shown and "e1@example.org" not in shown and "delivered" in shown, shown
    refused = suite.cli("notice", "show", round.incident, "E1", "--html", check=False)
    assert refused.code == 1 and "its text, page, files and address were removed" in refused.err and refused.err.count("\n") == 1, refused


@pytest.mark.limit(600)
def test_while_everything_is_paused_ten_thousand_people_are_told(make_suite):
    suite = make_suite()
    people = {f"E{number}": f"e{number}@example.org" for number in range(10_000)}
    round = Round(suite, assessed(suite), people).decide()
    assert round.hand_over().taken
    wait_until(lambda: int(round.standing().get("delivered", 0)) == len(people), "each has theirs", within=480, every=0.5)
    status = suite.status()
    assert status["gate"]["closures"], "the control: nothing flows"
    assert kept(suite) == sorted(people.values()), "each once, and nobody else"
