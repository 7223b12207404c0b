"""Who has no key, or does not even speak the protocol, at each of the four ports (FAULTS: A01, N08, N10, N11, N12)."""

import contextlib
import socket
import struct
import subprocess
import sys
import time

import pytest
import zmq
from hostile import (
    FACTOR, SERVICES, Peer, Process, Proxy, at_each_port, at_once, binaries, body, dial, frame, greeting, is_closed, new_keys, nonce, open_files, record_hello, seeded,
    wait_until)

HELLO = lambda: frame("hello", body("hello", protocol=1, start=nonce()))  # noqa: E731


def keys_for(suite, port):
    """A key that this port admits."""
    return suite.healthy_keys if port == "ingest" else suite.operator("ops-1")


def is_welcome(suite, port, keys, **more):
    """Whether a Hello with this key is answered, and its handshake not refused."""
    return not suite.shuts_out(port, keys, **more)


@at_each_port
def test_an_unknown_key_gets_no_answer_and_is_counted(suite, port):
    with suite.undisturbed():
        before = suite.counters(port)
        assert not is_welcome(suite, port, new_keys())
        assert is_welcome(suite, port, keys_for(suite, port)), "the control: a registered key is welcome"
        suite.expect_counted(port, "handshakes.refused", before)


@at_each_port
def test_an_agents_key_opens_no_port_but_ingest(suite, port):
    with suite.undisturbed():
        before = suite.counters(port)
        assert is_welcome(suite, port, suite.healthy_keys) == (port == "ingest")
        if port != "ingest":
            suite.expect_counted(port, "handshakes.refused", before)


@at_each_port
def test_the_right_key_with_the_wrong_server_key_gets_no_answer(suite, port):
    with suite.undisturbed():
        other = next(name for name in SERVICES if name != port)
        assert not is_welcome(suite, port, keys_for(suite, port), server=suite.public[other])
        assert not is_welcome(suite, port, keys_for(suite, port), server=new_keys()[0])
        assert is_welcome(suite, port, keys_for(suite, port)), "the control"


@at_each_port
def test_a_peer_without_curve_gets_no_answer(suite, port):
    with suite.undisturbed():
        for username in (None, b"ops-1"):
            with zmq.Context() as context, context.socket(zmq.DEALER) as plain:
                plain.linger = 0
                if username:
                    plain.plain_username, plain.plain_password = username, b"secret"
                plain.connect(suite.endpoint(port))
                plain.send(HELLO())
                assert not plain.poll(700)


GREETINGS = {
    "NULL": greeting(b"NULL"),
    "PLAIN": greeting(b"PLAIN"),
    "GSSAPI": greeting(b"GSSAPI"),
    "no mechanism": greeting(b""),
    "20 letters": greeting(b"C" * 20),
    "as server": greeting(as_server=1),
    "as server 255": greeting(as_server=255),
    "ZMTP 1.0": b"\x01\x00" + b"\x05\x00HELL" * 3,
    "ZMTP 1.0 with an id": b"\x06\x00agent" + b"\x0b\x00" + HELLO()[:10],
    "ZMTP 2.0": b"\xff" + bytes(8) + b"\x7f\x01\x05\x00\x00" + b"\x00\x0a" + bytes(10),
    "ZMTP 3.0 NULL with READY": greeting(b"NULL", (3, 0)) + b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER",
    "ZMTP 9.9": greeting(version=(9, 9)) + bytes(200),
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n",
    "HTTP with a body": b"POST /pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000),
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(range(32)) + bytes(165),
    "SSH": b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n" + bytes(500),
    "SMTP": b"EHLO localhost\r\nQUIT\r\n",
    "a frame of 8 EiB": b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(52, b"\0") + b"\x02\x7f" + b"\xff" * 7,
    "a long command of 8 GiB": greeting() + b"\x06" + struct.pack(">Q", 8 << 30) + b"\x05HELLO" + bytes(1_000),
    "an empty command": greeting() + b"\x04\x00",
    "a message before the handshake": greeting() + b"\x00\x05hello",
    "READY before HELLO": greeting() + b"\x04\x06\x05READY",
    "ERROR first": greeting() + b"\x04\x0a\x05ERROR\x03abc",
    "zeros": bytes(4_096),
    "ones": b"\xff" * 4_096,
}


@at_each_port
def test_what_is_not_our_protocol_is_closed_and_disturbs_nobody(suite, port):
    """Each closed at the latest when the handshake's three seconds are over."""
    with suite.undisturbed():
        opened = {}
        for name, said in GREETINGS.items():
            raw = dial(suite.port(port))
            with contextlib.suppress(OSError):
                raw.sendall(said)
            opened[name] = raw
        left = [name for name, raw in opened.items() if not is_closed(raw, 30)]
        for raw in opened.values():
            raw.close()
        assert not left, f"still open: {left}"


@at_each_port
def test_a_greeting_cut_at_any_length_disturbs_nobody(suite, port):
    """One half is closed by us after the cut, the other half waits: the port closes it. And a HELLO cut at any length."""
    hello = greeting() + record_hello(suite.public[port])
    with suite.undisturbed():
        files = open_files(suite.started[port])
        waiting = []
        for length in range(len(hello)):
            raw = dial(suite.port(port))
            with contextlib.suppress(OSError):
                raw.sendall(hello[:length])
            if length % 2:
                raw.close()
            else:
                waiting.append(raw)
        assert all(is_closed(raw, 30) for raw in waiting)
        for raw in waiting:
            raw.close()
        wait_until(lambda: open_files(suite.started[port]) <= files + 4, "descriptors are given back")


def test_who_connects_and_never_speaks_is_closed_after_three_seconds(suite):
    """300 at each port, and one byte every 0.3 s beside them (N10).

    Counted in bytes: whoever is slow, we or the service, the pace is ours.
    """
    with suite.undisturbed() as healthy:
        files = {port: open_files(suite.started[port]) for port in SERVICES}
        silent = [dial(suite.port(port)) for port in SERVICES for _ in range(300)]
        slow = [dial(suite.port(port)) for port in SERVICES]
        answered = dict(healthy.answered)
        said = greeting()
        lasted = {}
        for byte in range(len(said)):
            for place, raw in enumerate(slow):
                if place in lasted:
                    continue
                try:
                    raw.sendall(said[byte:byte + 1])
                    raw.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            if not raw.recv(4_096):
                                raise ConnectionResetError
                except OSError:
                    lasted[place] = byte
            if len(lasted) == len(slow):
                break
            time.sleep(0.3)  # The pace is what is tested.
        assert len(lasted) == len(slow), "who sends a byte now and then gets through the whole greeting"
        # Who has said nothing was there before them.
        assert all(is_closed(raw, 30) for raw in silent)
        # Not at once either: an honest peer on a slow line has its three seconds, which is nine bytes on an idle machine.
        assert min(lasted.values()) >= 2, lasted
        for raw in silent + slow:
            raw.close()
        wait_until(lambda: all(open_files(suite.started[p]) <= files[p] + 4 for p in SERVICES), "descriptors are given back")
        assert all(healthy.answered[port] > answered[port] for port in SERVICES), "healthy peers were served meanwhile"


def test_a_socket_without_the_limit_keeps_who_never_speaks():
    """The control of the test above: with no HANDSHAKE_IVL it would fail."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        router.handshake_ivl = 0
        router.curve_server = True
        router.curve_publickey, router.curve_secretkey = new_keys()
        raw = dial(router.bind_to_random_port("tcp://127.0.0.1"))
        assert not is_closed(raw, 5)
        raw.close()


@at_each_port
def test_a_port_scan_of_two_thousand_connections_disturbs_nobody(suite, port):
    with suite.undisturbed():
        files = open_files(suite.started[port])
        for number in range(2_000):
            raw = socket.create_connection(("127.0.0.1", suite.port(port)), timeout=20)
            if number % 2:
                # A reset instead of an orderly end.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
        wait_until(lambda: open_files(suite.started[port]) <= files + 4, "descriptors are given back")


def mutated(random, data):
    """Some bytes changed, cut, doubled or moved."""
    data = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 5, 20))):
        place = random.randrange(len(data) or 1)
        match random.randrange(6):
            case 0:
                data[place:place + 1] = bytes([random.randrange(256)])
            case 1:
                data[place:place + 1] = bytes([(data[place] if data else 0) ^ 1 << random.randrange(8)])
            case 2:
                del data[place:]
            case 3:
                data[place:place] = random.randbytes(random.choice((1, 2, 8, 64, 300)))
            case 4:
                del data[place:place + random.randrange(1, 16)]
            case 5:
                data[place:place] = data[place:place + random.randrange(1, 64)]
        if not data:
            break
    return bytes(data)


def opening(chance, hello):
    """What some program, or somebody who tries, might say first. `hello`: what libzmq says after its greeting."""
    match chance.randrange(5):
        case 0:
            return chance.randbytes(chance.choice((1, 10, 11, 12, 64, 65, 300, 5_000)))
        case 1:
            return mutated(chance, greeting())
        case 2:
            return greeting() + mutated(chance, hello)
        case 3:
            return mutated(chance, chance.choice(list(GREETINGS.values()))[:2_000])
        case _:
            initiate = b"\x08INITIATE" + chance.randbytes(chance.choice((0, 1, 96, 104, 248, 250, 600)))
            return greeting() + hello + (
                bytes([4, len(initiate)]) + initiate if len(initiate) < 256 else b"\x06" + struct.pack(">Q", len(initiate)) + initiate)


@pytest.mark.limit(600 + int(60 * FACTOR))
def test_thousands_of_random_and_mutated_openings_kill_nothing(suite):
    """N12: garbage, mutated greetings, mutated HELLO commands, a replayed HELLO with a made-up INITIATE."""
    chance = seeded("openings")
    hello = {port: record_hello(suite.public[port]) for port in SERVICES}
    with suite.undisturbed():
        files = {port: open_files(suite.started[port]) for port in SERVICES}
        held = []
        for _ in range(int(5_000 * FACTOR)):
            port = chance.choice(SERVICES)
            said = opening(chance, hello[port])
            try:
                raw = dial(suite.port(port), 20)
                raw.sendall(said)
            except ConnectionError:
                continue
            if chance.random() < 0.1:
                held.append(raw)
                if len(held) > 200:
                    held.pop(0).close()
            else:
                raw.close()
        for raw in held:
            raw.close()
        wait_until(lambda: all(open_files(suite.started[p]) <= files[p] + 4 for p in SERVICES), "descriptors are given back")


# Speaks enough of ZMTP to be spoken to, and believes what it is told: a length, a name. It cares for peers that go away.
BELIEVER = """
import socket, struct
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    raw, _ = listener.accept()
    raw.settimeout(5)
    stream = raw.makefile("rb")
    try:
        said = stream.read(64)
        if len(said) < 64:
            continue
        mechanism = said[12:32].rstrip(bytes(1)).decode("ascii")
        while flags := stream.read(1):
            length = struct.unpack(">Q", stream.read(8))[0] if flags[0] & 2 else stream.read(1)[0]
            body = memoryview(bytearray(length))
            stream.readinto(body)
    except OSError:
        continue
    finally:
        stream.close()
        raw.close()
"""


def test_the_control_the_same_openings_end_a_server_that_believes_them_and_a_port_without_curve_lets_strangers_in(tmp_path):
    """N12: what all of this would do to another."""
    chance = seeded("openings")
    hello = record_hello(new_keys()[0])
    believer = Process([sys.executable, "-c", BELIEVER], tmp_path / "believer.log", stdout=subprocess.PIPE)
    port = int(believer.popen.stdout.readline())
    try:
        for number in range(5_000):
            with contextlib.suppress(OSError), dial(port) as raw:
                raw.sendall(opening(chance, hello))
                raw.shutdown(socket.SHUT_WR)
                # Closed when it has looked at all of it, or is no more.
                is_closed(raw, 10)
            if not believer.is_running:
                break
        assert believer.popen.wait(10) == 1 and "Error" in believer.said, believer.said
        print(f"ended by opening {number}")
    finally:
        believer.end()
        believer.popen.stdout.close()
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 0
        router.handshake_ivl = 3_000
        raw = dial(router.bind_to_random_port("tcp://127.0.0.1"))
        raw.sendall(greeting(b"NULL"))
        said = b""
        while b"READY" not in said:
            said += raw.recv(4_096)
        raw.sendall(b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER")
        raw.sendall(b"\x00\x05hello")
        assert router.poll(20_000) and router.recv_multipart()[1:] == [b"hello"], "who has no key is heard"
        raw.close()


@at_each_port
def test_a_handshake_with_mutated_bytes_lets_nobody_in(suite, port):
    """HELLO and INITIATE of a registered peer, changed on the way; unchanged (the control) it gets in through the same proxy."""
    chance = seeded(f"handshake-{port}")
    with suite.undisturbed():
        for number in range(int(25 * FACTOR) + 1):
            wanted = 0 if number == 0 else chance.choice((64 + 202, 64 + 202, 64))
            flips = [(wanted + chance.randrange(2, 180), 1 << chance.randrange(8)) for _ in range(chance.choice((1, 1, 3)))]

            def mutate(connection, offset, data, number=number, flips=flips):
                if number == 0:
                    return data
                changed = bytearray(data)
                for place, bit in flips:
                    if offset <= place < offset + len(changed):
                        changed[place - offset] ^= bit
                return bytes(changed)

            proxy = Proxy(suite.port(port), mutate)
            peer = Peer(proxy.endpoint, suite.public[port], keys_for(suite, port), watched=True)
            # Some changes leave the port waiting for more, until the handshake's three seconds are over.
            heard = peer.knock(30 if number == 0 else 0.25)
            peer.close()
            proxy.close()
            if number == 0:
                assert heard and heard.kind == "welcome", "the control: the proxy itself is no obstacle"
            else:
                # Bits of HELLO's padding and version are not all looked at; then it is an honest handshake.
                assert heard is None or all(p < 64 + 202 for p, _ in flips), (flips, heard)


@at_each_port
def test_a_connection_cut_or_reset_during_the_handshake_leaves_nothing_behind(suite, port):
    """N08: the proxy breaks after each of many lengths."""
    with suite.undisturbed():
        files = open_files(suite.started[port])
        keys = keys_for(suite, port)
        for cut in (1, 10, 11, 12, 63, 64, 65, 70, 200, 265, 266, 267, 300, 500):
            def mutate(connection, offset, data, cut=cut):
                return data[:cut - offset] if offset + len(data) <= cut else None

            proxy = Proxy(suite.port(port), mutate)
            peer = Peer(proxy.endpoint, suite.public[port], keys)
            peer.send_frames(HELLO())
            assert peer.receive(0.1) is None
            peer.close()
            proxy.close()
        wait_until(lambda: open_files(suite.started[port]) <= files + 4, "descriptors are given back")


@pytest.mark.limit(400)  # Two suites and eight services are started by it, all at once.
def test_a_service_that_runs_out_of_descriptors_survives_and_serves_others(make_suite):
    """N11: notify by hand with few descriptors, and more connections than that. With 4,000 (the control) nobody is kept out."""
    suites = {files: make_suite() for files in (64, 4_000)}
    at_once(lambda files: run_out(suites[files], files), suites)


def run_out(suite, files):
    suite.up.end()
    services = {
        name: suite.adopt(Process(
            (["prlimit", f"--nofile={files}:{files}"] if name == "notify" else [])
            + [binaries() / f"sluice-{name}", "--home", suite.home], suite.folder / f"{name}.log"))
        for name in ("control", "policy", "ingest", "notify")
    }
    wait_until(
        lambda: len([s for s in suite.status()["services"] if s.get("connected")]) == 3
        and "listening" in services["notify"].said, "all serve")
    held = suite.peer("notify", suite.operator("ops-2"))
    held.greet()
    before = open_files(services["notify"].id)
    most, flood = before, []
    for _ in range(200):
        with contextlib.suppress(OSError):
            flood.append(dial(suite.port("notify"), 2))
        most = max(most, open_files(services["notify"].id))
    asked = body("query", deliveries={})
    # Who is there already is served meanwhile.
    for _ in range(5):
        assert held.ask("query", asked).kind == "answer"
    # What is short is counted, not timed: the one is full, the other (the control) has taken more than the first can.
    most = max(most, open_files(services["notify"].id))
    assert most >= files - 2 if files < 1_000 else most > 64, (files, before, most)
    late = suite.peer("notify", suite.operator("ops-1"))
    late.send_frames(HELLO())
    got_in_at_once = late.receive(1.0 if files < 1_000 else 30)
    if files > 1_000:
        assert got_in_at_once is not None, "the control: nobody is kept out"
    for raw in flood:
        raw.close()
    # And who came meanwhile gets in when there is room.
    if got_in_at_once is None:
        late.close()

        def gets_in():
            peer = suite.peer("notify", suite.operator("ops-1"))
            try:
                peer.send_frames(HELLO())
                return peer.receive(5)
            finally:
                peer.close()

        assert wait_until(gets_in, "a peer gets in after the flood").kind == "welcome"
    assert held.ask("query", asked).kind == "answer"
    assert all(process.is_running for process in services.values()), {n: p.said[-2_000:] for n, p in services.items() if not p.is_running}
