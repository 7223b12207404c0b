"""Numbers at the ends of their types, from peers that hold a key. Where a service dies of it the next test has a new suite.

One message must never do that: the sender sends it again, and the service dies again (I03, W P01).
"""

import itertools
import time

from hostile import Refusal, at_once, batch, body, new_stream, nonce, wait_until

MOST, HIGH = (1 << 64) - 1, 1 << 63


guests = itertools.count()


def enrol(suite, subject="GUEST"):
    return suite.enrol(f"guest-{next(guests)}", subject=subject)


BATCHES = {
    "sequence 2^63": {"sequence": HIGH, "oldest": HIGH},
    "sequence 2^64-1": {"sequence": MOST, "oldest": MOST},
    "epoch 2^64-1": {"epoch": MOST},
    "epoch 2^63": {"epoch": HIGH},
    "stream 2^64-1": {"stream": MOST},
    "stream 0": {"stream": 0},
    "sequence 2^63-1": {"sequence": HIGH - 1, "oldest": HIGH - 1},
    "the same of another stream: 2^64 batches lost": {"sequence": HIGH - 1, "oldest": HIGH - 1},
    "the same of a third stream": {"sequence": HIGH - 1, "oldest": HIGH - 1},
    "oldest 2^64-1": {"oldest": MOST},
    "first_ns -2^63": {"first_ns": -HIGH},
    "both times -2^63": {"first_ns": -HIGH, "last_ns": -HIGH},
    "counts 2^32-1": {"count": 0xFFFFFFFF, "columns_bytes": 0xFFFFFFFF},
}
STORED = {"stream 2^64-1", "stream 0", *(name for name, fields in BATCHES.items() if fields.get("sequence") == HIGH - 1)}


def test_a_batch_with_numbers_at_their_ends_is_answered_and_ends_nothing(suite):
    with suite.undisturbed():
        agent = suite.agent_peer(enrol(suite))
        for name, fields in BATCHES.items():
            arguments = {"stream": new_stream(), "sequence": 1, **fields}
            header, payload = batch(arguments.pop("stream"), arguments.pop("sequence"), **arguments)
            heard = agent.ask("batch", header, payload)
            suite.expect_alive()
            assert heard.kind == ("stored" if name in STORED else "refused"), (name, heard)
        # The control: an honest one.
        assert agent.ask("batch", *batch(new_stream(), 1)).kind == "stored"
        agent.close()


def test_an_agents_clock_at_the_end_of_time_ends_nothing(suite):
    """An agent whose clock is behind by all time claims that its events are to come: they are refused. One that is as far ahead has past ones."""
    with suite.undisturbed():
        for wall_us, answer in ((HIGH - 1, "stored"), (-HIGH, "refused"), (HIGH // 500, "stored"), (-(HIGH // 500), "refused"), (0, "refused")):
            agent = suite.agent_peer(enrol(suite))
            # Of the last eight offsets the largest counts.
            for _ in range(8):
                assert agent.ask("renew", body("renew", nonce=nonce(), wall_us=wall_us)).kind == "grant"
            heard = agent.ask("batch", *batch(new_stream(), 1))
            suite.expect_alive()
            assert heard.kind == answer, (wall_us, heard)
            assert answer == "stored" or heard.code == Refusal.future, (wall_us, heard)
            agent.close()


def report(**fields):
    return body("renew", nonce=nonce(), wall_us=time.time_ns() // 1000, agent=fields)


def leave(agent):
    """Says goodbye, and is heard."""
    assert agent.send("goodbye").ask("renew").code == Refusal.helloFirst
    agent.close()


def expect_shown(suite, counter, number):
    """Ingest's report has come to control: with this, and so with everything of before."""
    wait_until(lambda: suite.counters("ingest").get(f"agents.events.{counter}", 0) == number, f"{counter} is {number}", every=0.2)


def test_agents_reports_of_the_largest_numbers_end_nothing(suite):
    with suite.undisturbed():
        agents = [suite.agent_peer(enrol(suite)) for _ in range(2)]
        for agent in agents:
            heard = agent.ask("renew", report(
                events_accepted=MOST, events_refused={"closed": MOST, "future": HIGH}, spool_batches=MOST, spool_bytes=MOST, spool_oldest_us=-HIGH))
            assert heard.kind == "grant"
        # The next report to control sums them: as much as a number can say.
        expect_shown(suite, "accepted", MOST)
        expect_shown(suite, "refused.closed", MOST)
        expect_shown(suite, "refused.future", MOST)
        suite.expect_alive()
        done = suite.cli("status", check=False)
        assert done.returncode == 0, "people can still look: " + done.stderr[-500:]
        for agent in agents:
            leave(agent)
        # The control: what is summed are those that are there.
        expect_shown(suite, "refused.closed", 0)


def test_an_agents_report_of_many_reasons_is_bounded_on_its_way_to_control(suite):
    """I07: labels. 100,000 of them must not reach every status, nor cut ingest off from control by their size."""
    with suite.undisturbed():
        agent = suite.agent_peer(enrol(suite))
        reasons = {f"reason-{n}-" + "x" * 20: 1 for n in range(100_000)}
        assert agent.ask("renew", report(events_refused={**reasons, "closed": 7})).kind == "grant"
        # All are counted, and the word that everybody knows is shown as it is.
        expect_shown(suite, "refused.other", 100_000)
        expect_shown(suite, "refused.closed", 7)
        shown = suite.counters("ingest")
        assert len(shown) < 100, f"{len(shown)} counters are shown"
        leave(agent)
        expect_shown(suite, "refused.other", 0)


def test_words_of_agents_that_fill_the_reports_do_not_cost_ingest_its_lease(suite):
    """Five agents, four megabytes of reasons each: more than the largest message that control takes."""
    with suite.undisturbed(grows=1 << 30):
        agents = [suite.agent_peer(enrol(suite)) for _ in range(5)]
        for place, agent in enumerate(agents):
            reasons = {f"{place}-{n}-" + "x" * 60_000: 1 for n in range(65)}
            assert agent.ask("renew", report(events_refused=reasons)).kind == "grant"
        # The report with all of them has come; a lease that had ended would be a `grant` without one, which the healthy agent notes.
        expect_shown(suite, "refused.other", 5 * 65)
        for agent in agents:
            assert agent.renew().lease_ms > 0
            leave(agent)


def test_a_question_with_numbers_at_their_ends_is_answered_and_ends_nothing(suite):
    with suite.undisturbed():
        operator = suite.peer("control", suite.operator("ops-1")).greet()
        for question, kind in (
            ({"certificate": MOST}, "refused"), ({"certificate": HIGH}, "refused"), ({"certificate": HIGH - 1}, "refused"),
            ({"journal": {"after": MOST}}, "entries"), ({"journal": {"after": HIGH}}, "entries"), ({"journal": {"after": HIGH - 1}}, "entries"),
            ({"agents": {"after": "\U0010ffff" * 1_000}}, "answer"),
        ):
            operator.send("query", body("query", **question))
            heard = operator.receive()
            suite.expect_alive()
            assert heard and heard.kind == kind, (question, heard)
            assert kind != "entries" or not heard.body.recorded, "there are none so far on"
        assert operator.send("query", body("query", journal={"after": 0})).receive().body.recorded, "the control: from the beginning there are some"
        operator.close()


def test_a_service_that_claims_the_last_epoch_seals_and_an_operator_opens_again(make_suite):
    """Sealing is the design's answer; ending is not, and an operator's unsealing must still have an epoch to go to."""
    claims = {
        "epoch 2^64-1": {"epoch": MOST}, "epoch 2^63": {"epoch": HIGH}, "entries 2^64-1": {"entries": MOST}, "closure 2^64-1": {"closures": [MOST]}}
    suites = dict(zip(claims, [make_suite() for _ in claims]))

    def claim(name):
        suite, fields = suites[name], claims[name]
        service = suite.peer("control", suite.keys_of("notify")).greet(**fields)
        heard = service.ask("renew", body("renew", nonce=nonce(), **fields))
        assert heard.kind == "grant", heard
        suite.expect_alive()
        # Who has more than the ledger proves that it has lost something.
        assert suite.status()["gate"].get("sealed"), name
        assert heard.body.lease_ms == 0, "who is sealed grants nothing"
        done = suite.approved("resume", "--unseal", "--reason", "a test", check=False)
        assert done.returncode == 0, done
        suite.expect_alive()
        service.close()
        wait_until(lambda: not suite.status()["gate"].get("sealed"), "open again")
        # There is room for more than one decision after it.
        for _ in range(2):
            suite.cli("pause", "--all", "--reason", "a test")
            suite.resume()
        suite.expect_alive()

    at_once(claim, claims)


def test_a_release_credit_of_everything_at_once_ends_nothing(suite):
    suite.govern()
    agent = suite.agent_peer(enrol(suite, subject="WRITER"))
    stream = new_stream()
    for sequence in range(1, 40):
        assert agent.ask("batch", *batch(stream, sequence)).kind == "stored"
    with suite.undisturbed():
        reader = suite.peer("policy", suite.operator("ops-1")).greet()
        heard = reader.ask("releaseRequest", body(
            "releaseRequest", id=nonce(), purpose="p", justification="j", classes=["activity"], subjects=["WRITER"], credit=1))
        assert heard.kind == "release", heard
        for _ in range(50):
            reader.send("credit", body("credit", release=heard.body.release, chunks=0xFFFFFFFF))
        number = 0
        while (chunk := reader.answer()).kind == "chunk":
            number += 1
            assert chunk.body.number == number
            reader.send("credit", body("credit", release=heard.body.release, chunks=1))
        assert chunk.kind == "releaseEnded" and chunk.body.code == 0 and number == 39, chunk
        reader.close()


def test_a_closure_does_not_become_so_large_that_nobody_is_granted_a_lease(suite):
    """Each grant holds the whole gate. Megabytes in each, three times a lease and for each service, stopped everything."""
    with suite.undisturbed(grows=512 << 20):
        operator = suite.peer("control", suite.operator("ops-1")).greet()
        for deed in (
            {"pause": {"reason": "x", "direction": 2, "selector": {"readers": ["r" * 900_000]}}},
            {"pause": {"reason": "x", "direction": 2, "selector": {"purposes": ["p" * 900_000]}}},
            {"leak": {"reason": "x", "class": "review", "source": "s" * 900_000}},
        ):
            heard = operator.ask("command", suite.sign(**deed))
            assert heard.code == Refusal.invalid, f"a value that people must read has 200 bytes, not nearly a million: {heard}"
        assert not suite.status()["gate"].get("closures")
        operator.close()
