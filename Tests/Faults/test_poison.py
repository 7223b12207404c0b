"""Numbers at the ends of their types, from peers that hold a key. Where a service dies of it the next test has a new suite.

One message must never do that: the sender sends it again, and the service dies again (I03, W P01).
"""

import itertools
import time

import pytest
from hostile import Refusal, batch, body, new_stream, nonce, wait_until

MOST, HIGH = (1 << 64) - 1, 1 << 63


guests = itertools.count()


def enrol(suite):
    return suite.enrol(f"guest-{next(guests)}", subject="GUEST")


@pytest.mark.parametrize("fields", [
    pytest.param({"sequence": HIGH, "oldest": HIGH}, id="sequence 2^63"),
    pytest.param({"sequence": MOST, "oldest": MOST}, id="sequence 2^64-1"),
    pytest.param({"epoch": MOST}, id="epoch 2^64-1"),
    pytest.param({"epoch": HIGH}, id="epoch 2^63"),
    pytest.param({"stream": MOST}, id="stream 2^64-1"),
    pytest.param({"stream": 0}, id="stream 0"),
    pytest.param({"sequence": HIGH - 1, "oldest": HIGH - 1}, id="sequence 2^63-1"),
    pytest.param({"oldest": MOST}, id="oldest 2^64-1"),
    pytest.param({"first_ns": -HIGH}, id="first_ns -2^63"),
    pytest.param({"first_ns": -HIGH, "last_ns": -HIGH}, id="both times -2^63"),
    pytest.param({"count": 0xFFFFFFFF, "columns_bytes": 0xFFFFFFFF}, id="counts 2^32-1"),
])
def test_a_batch_with_numbers_at_their_ends_is_answered_and_ends_nothing(suite, fields):
    with suite.undisturbed():
        agent = suite.agent_peer(enrol(suite))
        arguments = {"stream": new_stream(), "sequence": 1, **fields}
        header, payload = batch(arguments.pop("stream"), arguments.pop("sequence"), **arguments)
        agent.send("batch", header, payload)
        heard = agent.receive(8)
        suite.expect_alive()
        assert heard and heard.kind in ("stored", "refused"), heard
        agent.close()


@pytest.mark.parametrize("wall_us", [HIGH - 1, -HIGH, HIGH // 500, -(HIGH // 500), 0])
def test_an_agents_clock_at_the_end_of_time_ends_nothing(suite, wall_us):
    with suite.undisturbed():
        agent = suite.agent_peer(enrol(suite))
        for _ in range(9):
            assert agent.ask("renew", body("renew", nonce=nonce(), wall_us=wall_us)).kind == "grant"
        agent.send("batch", *batch(new_stream(), 1))
        heard = agent.receive(8)
        suite.expect_alive()
        assert heard and heard.kind in ("stored", "refused"), heard
        agent.close()


def test_agents_reports_of_the_largest_numbers_end_nothing(make_suite):
    suite = make_suite()
    with suite.undisturbed():
        agents = [suite.agent_peer(enrol(suite)) for _ in range(2)]
        for agent in agents:
            heard = agent.ask("renew", body(
                "renew", nonce=nonce(), wall_us=time.time_ns() // 1000, epoch=MOST,
                agent={"events_accepted": MOST, "events_refused": {"closed": MOST, "future": HIGH}, "spool_batches": MOST, "spool_bytes": MOST,
                       "spool_oldest_us": -HIGH}))
            assert heard.kind == "grant"
        # The next report to control sums them.
        seen = suite.status()["wall_us"] + 4_000_000
        wait_until(lambda: suite.status()["wall_us"] > seen, "two reports later")
        suite.expect_alive()
        done = suite.cli("status", check=False)
        assert done.returncode == 0, "people can still look: " + done.stderr[-500:]


def test_an_agents_report_of_many_reasons_is_bounded_on_its_way_to_control(make_suite):
    """I07: labels. 100,000 of them must not reach every status, nor cut ingest off from control by their size."""
    suite = make_suite()
    with suite.undisturbed():
        agent = suite.agent_peer(enrol(suite))
        reasons = {f"reason-{n}-" + "x" * 20: 1 for n in range(100_000)}
        assert agent.ask("renew", body("renew", nonce=nonce(), wall_us=time.time_ns() // 1000, agent={"events_refused": reasons})).kind == "grant"
        seen = suite.status()["wall_us"] + 4_000_000
        wait_until(lambda: suite.status()["wall_us"] > seen, "two reports later")
        shown = suite.counters("ingest")
        assert len(shown) < 1_000, f"{len(shown)} counters are shown"
        agent.close()


def test_words_of_agents_that_fill_the_reports_do_not_cost_ingest_its_lease(make_suite):
    """Five agents, four megabytes of reasons each: more than the largest message that control takes."""
    suite = make_suite()
    with suite.undisturbed(grows=1 << 30):
        agents = [suite.agent_peer(enrol(suite)) for _ in range(5)]
        for place, agent in enumerate(agents):
            reasons = {f"{place}-{n}-" + "x" * 60_000: 1 for n in range(65)}
            assert agent.ask("renew", body("renew", nonce=nonce(), wall_us=time.time_ns() // 1000, agent={"events_refused": reasons})).kind == "grant"
        # Four leases of honest work: a lease that ended in between is a `grant` without one, and the healthy agent notes it.
        until = time.monotonic() + 12
        while time.monotonic() < until:
            for agent in agents:
                agent.ask("renew", body("renew", nonce=nonce(), wall_us=time.time_ns() // 1000))
        suite.expect_alive()


@pytest.mark.parametrize("question", [
    {"certificate": MOST}, {"certificate": HIGH}, {"journal": {"after": MOST}}, {"journal": {"after": HIGH}}, {"journal": {"after": HIGH - 1}},
    {"agents": {"after": "\U0010ffff" * 1_000}},
], ids=str)
def test_a_question_with_numbers_at_their_ends_is_answered_and_ends_nothing(suite, question):
    with suite.undisturbed():
        operator = suite.peer("control", suite.operator("ops-1")).greet()
        operator.send("query", body("query", **question))
        heard = operator.receive(8)
        suite.expect_alive()
        assert heard and heard.kind in ("answer", "entries", "refused"), heard
        operator.close()


@pytest.mark.parametrize("fields", [{"epoch": MOST}, {"epoch": HIGH}, {"entries": MOST}, {"closures": [MOST]}], ids=str)
def test_a_service_that_claims_the_last_epoch_seals_and_an_operator_opens_again(make_suite, fields):
    """Sealing is the design's answer; ending is not, and an operator's unsealing must still have an epoch to go to."""
    suite = make_suite()
    service = suite.peer("control", suite.keys_of("notify")).greet(**fields)
    heard = service.ask("renew", body("renew", nonce=nonce(), **fields))
    assert heard.kind == "grant", heard
    suite.expect_alive()
    if suite.status()["gate"].get("sealed"):
        done = suite.cli("resume", "--all", "--unseal", "--reason", "a test", check=False)
        assert done.returncode == 0, done
    suite.expect_alive()
    service.close()
    wait_until(lambda: not suite.status()["gate"].get("sealed"), "open again")
    suite.cli("pause", "--all", "--reason", "a test")
    suite.expect_alive()


def test_a_release_credit_of_everything_at_once_ends_nothing(suite):
    agent = suite.agent_peer(enrol(suite))
    stream = new_stream()
    for sequence in range(1, 40):
        assert agent.ask("batch", *batch(stream, sequence)).kind == "stored"
    with suite.undisturbed():
        reader = suite.peer("policy", suite.operator("ops-1")).greet()
        heard = reader.ask("releaseRequest", body(
            "releaseRequest", id=nonce(), purpose="p", justification="j", classes=["activity"], subjects=["GUEST"], credit=1))
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


@pytest.mark.parametrize("deed", [
    pytest.param({"pause": {"reason": "x", "direction": 2, "selector": {"readers": ["r" * 3_000_000]}}}, id="a reader's name of 3 MB"),
    pytest.param({"pause": {"reason": "x", "direction": 2, "selector": {"purposes": ["p" * 3_000_000]}}}, id="a purpose of 3 MB"),
    pytest.param({"leak": {"reason": "x", "class": "review", "source": "s" * 3_000_000}}, id="a leak's source of 3 MB"),
])
def test_a_closure_does_not_become_so_large_that_nobody_is_granted_a_lease(make_suite, deed):
    """Each grant holds the whole gate. Three megabytes in each, three times a lease and for each service, stopped everything."""
    suite = make_suite()
    with suite.undisturbed(grows=512 << 20):
        operator = suite.peer("control", suite.operator("ops-1")).greet()
        for _ in range(6):
            heard = operator.ask("command", body("command", id=nonce(), **deed))
            assert heard.kind in ("outcome", "refused"), heard
        assert heard.code == Refusal.invalid, "a value that people must read has 200 bytes, not three million"
        operator.close()
