"""Peers that do not read while answers are due (FAULTS: N15)."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile import MiB, Process, at_each_port, batch, body, frame, new_stream, nonce, wait_until, wire

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.shim import Shim  # noqa: E402

ASKER = """
import sys, zmq
endpoint, server, public, secret, kind, number = sys.argv[1:]
socket = zmq.Context().socket(zmq.DEALER)
socket.linger, socket.sndhwm, socket.rcvhwm = 0, 0, 1
socket.rcvbuf = 4096
socket.curve_serverkey, socket.curve_publickey, socket.curve_secretkey = server.encode(), public.encode(), secret.encode()
socket.connect(endpoint)
hello, question = (bytes.fromhex(word) for word in kind.split(","))
socket.send(hello)
socket.recv()
print("greeted", flush=True)
for _ in range(int(number)):
    socket.send(question)
print("asked", flush=True)
# Never reads.
sys.stdin.read()
"""


askers = itertools.count()


def asker(suite, port, keys, question, number):
    hello = frame("hello", body("hello", protocol=1, start=nonce()))
    process = suite.adopt(Process(
        [sys.executable, "-c", ASKER, suite.endpoint(port), suite.public[port].decode(), keys[0].decode(), keys[1].decode(),
         f"{hello.hex()},{question.hex()}", number], suite.folder / f"asker-{next(askers)}.log", stdin=subprocess.PIPE))
    wait_until(lambda: "asked" in process.said or not process.is_running, "the asker has asked")
    assert process.is_running, process.said
    return process


def agents_key(suite):
    """Not the healthy agent's: to the suite two with one key are one, and hear the same."""
    if "slow_keys" not in suite.__dict__:
        keys = suite.enrol("slow")
        suite.agent_peer(keys).close()
        suite.slow_keys = keys
    return suite.slow_keys


QUESTIONS = {
    "ingest": lambda: frame("renew", body("renew", nonce=nonce(), wall_us=time.time_ns() // 1000)),
    "policy": lambda: frame("renew", body("renew", nonce=nonce())),
    "control": lambda: frame("query", body("query", status={})),
    "notify": lambda: frame("query", body("query", deliveries={})),
}


# How control names what it could not understand, and how often it is asked to see how much waits for one peer.
UNKNOWN, ASKED = "refused.unknown-kind", 6_000
# More than may wait for one peer, several times over.
NUMBERS = {"ingest": 5_000, "policy": 20_000, "control": 5_000, "notify": 5_000}


@pytest.mark.parametrize("how", ["never reads", "is stopped"])
@at_each_port
def test_a_peer_that_does_not_read_thousands_of_answers_costs_only_itself(suite, port, how):
    keys = agents_key(suite) if port == "ingest" else suite.operator("ops-1")
    with suite.undisturbed(grows=96 * MiB, rounds=10):
        process = asker(suite, port, keys, QUESTIONS[port](), NUMBERS[port])
        if how == "is stopped":
            process.signal(signal.SIGSTOP)
        # The service has taken them in when a later peer with the same key is answered, and more than once.
        other = suite.peer(port, keys).greet()
        for _ in range(20):
            other.send_frames(QUESTIONS[port]())
            assert other.answer().kind in ("grant", "answer")
        other.close()
        process.kill()


@pytest.mark.parametrize("bounded", [True, False], ids=["as it is", "the control, without a bound"])
def test_what_waits_for_a_peer_that_does_not_read_has_a_bound(request, tmp_path, bounded):
    """In messages: what it finds when it reads at last is less than it was due, and with no bound all of it."""
    suite = request.getfixturevalue("suite") if bounded else request.getfixturevalue("make_suite")(env=Shim(tmp_path).without("bound"))
    peer = suite.peer("control", suite.operator("ops-1"), receive_max=1, receive_buffer=4_096).greet()
    before = suite.counters("control")
    for _ in range(ASKED):
        peer.send_frames(QUESTIONS["control"]())
    # Counted when all that stands before it was taken in.
    peer.send_frames(frame(200))
    wait_until(lambda: suite.counters("control").get(UNKNOWN, 0) > before.get(UNKNOWN, 0), "control has taken in every question", every=0.3)
    found, heard = 0, None
    # There is room again when some of it was read: what is asked then is answered, behind all that waited.
    while heard is None or not heard.body.HasField("closures"):
        if heard is None or found % 100 == 0:
            peer.send("query", body("query", closures={}))
        heard = peer.receive(1)
        if heard is not None and heard.kind != "answer":
            heard = None
        found += heard is not None and heard.body.HasField("status")
    peer.close()
    print(f"{found} of {ASKED}")
    assert found == ASKED if not bounded else 0 < found < ASKED * 0.8


def test_a_reader_that_does_not_read_holds_up_no_commit_and_no_pause(suite):
    """16 chunks are all that can be under way, of the 20 that there are; a pause completes meanwhile."""
    suite.govern()
    keys = suite.enrol("writer")
    agent = suite.agent_peer(keys)
    stream = new_stream()
    blob = [os.urandom(20_000).hex() for _ in range(25)]
    for sequence in range(1, 21):
        now = time.time_ns() - 5_000_000
        columns = wire().Columns(
            version=1, unit_ns=1, at=[0] * 25, kind=[5], text=[word for n in range(25) for word in (n + 1, 6, 0, 0)], strings=blob)
        header, payload = batch(stream, sequence, times=[now] * 25, columns=columns, count=25, **{"class": "content"})
        heard = agent.ask("batch", header, payload)
        assert heard.kind == "stored", heard
    agent.close()
    asked = frame("releaseRequest", body(
        "releaseRequest", id=nonce(), purpose="test", justification="a test", classes=["content"], credit=16))
    with suite.undisturbed(grows=256 * MiB) as healthy:
        readers = [asker(suite, "policy", suite.operator("ops-1"), asked, 1) for _ in range(4)]
        for process in readers:
            process.signal(signal.SIGSTOP)
        stored = healthy.stored
        wait_until(lambda: healthy.stored > stored + 5, "batches go on being stored")
        done = suite.cli("pause", "--reads-only", "--class", "content", "--reason", "a test")
        assert done.returncode == 0
        suite.resume()
        for process in readers:
            process.kill()
