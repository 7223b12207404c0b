"""The places that policy has for releases: as many as there are and no more, and whoever goes makes room (FAULTS: N15).

A session lives for four leases: in a suite of its own, where they are short.
"""

import pytest
from hostile import Refusal, Suite, batch, body, new_stream, nonce, wait_until
from test_registered_peers import agent, guest, works  # noqa: F401 - fixtures


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    suite = Suite(tmp_path_factory.mktemp("places"), lease_ms=1_500)
    yield suite
    suite.close()


def running(suite):
    """Releases, as policy has last reported."""
    gauges = next(s for s in suite.status()["services"] if s["name"] == "policy").get("gauges")
    assert gauges, "it has reported"
    return int(gauges.get("releases.running", 0))


def stay(*readers):
    """Says what keeps their sessions: a test may take longer than one lives."""
    for reader in readers:
        reader.send("renew", body("renew", nonce=nonce()))


def test_no_more_releases_run_than_policy_holds_however_fast_they_are_asked_for(suite, guest, agent):
    most = 16
    suite.govern()
    for _ in range(2):
        assert agent.ask("batch", *batch(new_stream(), 1)).kind == "stored"
    # Those of readers who have gone end with their sessions.
    wait_until(lambda: running(suite) == 0, "nobody reads any more", 90, every=0.2)
    before = suite.counters("policy")
    reader = guest("policy")
    # Of each one chunk goes out, and the next waits for credit: none of them ends by itself.
    for _ in range(most + 8):
        reader.send("releaseRequest", body("releaseRequest", id=nonce(), purpose="test", justification="a test", classes=["activity"], credit=1))
    numbers, refused = [], 0
    while len(numbers) + refused < most + 8:
        heard = reader.answer()
        if heard.kind == "release":
            numbers.append(heard.body.release)
        elif heard.kind != "chunk":
            assert heard.code == Refusal["storeFull"], heard
            refused += 1
    assert (len(numbers), refused) == (most, 8)
    stay(reader)
    suite.expect_counted("policy", "reads.refused", before, 8)
    # The control: those that ended make room.
    for number in numbers:
        reader.send("credit", body("credit", release=number, chunks=16))
    ended = 0
    while ended < most:
        ended += reader.answer().kind == "releaseEnded"
    # A release counts until its end is recorded, which is a moment after the reader has heard of it; whose session has ended meanwhile says hello again.
    asked = {"purpose": "test", "justification": "a test", "classes": ["activity"], "credit": 1}
    wait_until(lambda: guest("policy").ask("releaseRequest", body("releaseRequest", id=nonce(), **asked)).kind == "release", "there is room again", every=1)


def test_more_releases_than_run_at_once_are_refused_until_one_ends(suite, guest, agent):
    """Readers that never read on: 16 hold all there are; one that goes makes room."""
    suite.govern()
    stream = new_stream()
    for sequence in range(1, 4):
        assert agent.ask("batch", *batch(stream, sequence)).kind == "stored"
    # What peers that have gone were reading, four leases ago at most, is still under way.
    wait_until(lambda: running(suite) == 0, "no release is running", 90, every=0.2)
    with suite.undisturbed():
        readers = [guest("policy") for _ in range(16)]
        for reader in readers:
            asked = body("releaseRequest", id=nonce(), purpose="test", justification="a test", classes=["activity"], subjects=["GUEST"], credit=1)
            heard = reader.ask("releaseRequest", asked)
            assert heard.kind == "release", heard
        stay(*readers)
        late = guest("policy")
        asked = body("releaseRequest", id=nonce(), purpose="test", justification="a test", classes=["activity"], subjects=["GUEST"], credit=1)
        assert late.ask("releaseRequest", asked).code == Refusal.storeFull
        for reader in readers:
            reader.close()

        # Their sessions end after four leases; the late one keeps its own.
        def served():
            works("policy", late)
            late.send("releaseRequest", asked)
            heard = late.expect("release")
            return heard.kind == "release"

        wait_until(served, "a release after the others have gone", 90, every=0.5)
