"""Hostile and broken peers for the real services: raw sockets, and ZeroMQ peers that say what nobody should.

    suite = make_suite()                                    # `sluice up` on ports of its own; ends with the test
    with suite.undisturbed() as calm:                       # processes live on, memory bounded, healthy peers served
        stranger = suite.peer("ingest", new_keys())
        ...
    desk = suite.enrol("desk")                              # a key that control knows
    peer = suite.peer("ingest", desk).greet()
    assert peer.ask("batch", header, payload).code == Refusal.malformed
"""

import base64
import collections
import contextlib
import datetime
import functools
import importlib
import importlib.util
import inspect
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import zmq
import zstandard

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import asking, governing  # noqa: E402
from harness.agent import is_drained  # noqa: E402
from harness.processes import Process, binaries, free_port_base, give_back_port_base, with_our_death  # noqa: E402
from harness.signing import Operator  # noqa: E402
from harness.waiting import PATIENCE, wait_until  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("control", "ingest", "policy", "notify")
MiB = 1 << 20

# The default run is short. SLUICE_HOSTILE_FACTOR=100 multiplies the numbers of random inputs; the seed can be given as well.
FACTOR = float(os.environ.get("SLUICE_HOSTILE_FACTOR", "1"))
SEED = int(os.environ.get("SLUICE_HOSTILE_SEED", "0")) or random.SystemRandom().randrange(1 << 32)


def seeded(name):
    """A source of randomness that can be had again: the seed is shown when the test fails."""
    print(f"seed: SLUICE_HOSTILE_SEED={SEED} ({name})")
    return random.Random(f"{SEED}-{name}")


def at_once(work, places):
    """`work(place)` for each of them, all at the same time; what fails says where. The first failure is raised when all have ended."""
    failed = {}

    def run(place):
        try:
            work(place)
        except BaseException as error:  # noqa: BLE001 - pytest's own failures are no Exceptions, and the test must hear of them
            error.add_note(f"at: {place}")
            failed[place] = error

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place in places:
        if place in failed:
            if len(failed) > 1:
                failed[place].add_note(f"and at: {', '.join(str(p) for p in failed if p != place)}")
            raise failed[place]


def at_each_port(test):
    """A test of one port (its argument `port`), done at the four ports at once: each is another process, and its peers are its own."""

    @functools.wraps(test)
    def at_all(**fixtures):
        at_once(lambda port: test(port=port, **fixtures), SERVICES)

    signature = inspect.signature(test)
    at_all.__signature__ = signature.replace(parameters=[p for p in signature.parameters.values() if p.name != "port"])
    return at_all


# Processes


def children(parent):
    """Ids of the processes that `parent` has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                if (entry / "stat").read_text().rsplit(")", 1)[1].split()[1] == str(parent):
                    found.append(int(entry.name))
    return found


def memory(process):
    """Resident bytes."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files(process):
    return len(os.listdir(f"/proc/{process}/fd"))


# Bodies


def _by_itself(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sealing = _by_itself(ROOT / "Tests" / "Interop" / "sealing.py")


@functools.cache
def wire():
    """The contract's messages, generated for Python when the tests run: (module by name, kinds by name, refusals by name)."""
    source = ROOT / "Shared" / "Wire"
    folder = tempfile.mkdtemp(prefix="sluice-wire-")
    names = ["gate", "session", "capture", "governance", "release"]
    arguments = [f"-I{source}", f"--python_out={folder}", *(f"{source}/{name}.proto" for name in names)]
    if shutil.which("protoc"):
        subprocess.run(["protoc", *arguments], check=True)
    else:
        try:
            protoc = importlib.import_module("grpc_tools.protoc")
        except ImportError:
            pytest.skip("neither protoc (apt: protobuf-compiler) nor grpcio-tools (PyPI) is here")
        assert protoc.main(["protoc", *arguments]) == 0
    sys.path.insert(0, folder)
    merged = {}
    for name in names:
        module = importlib.import_module(f"{name}_pb2")
        merged.update({key: value for key, value in vars(module).items() if not key.startswith("_")})
    shutil.rmtree(folder)
    return type("Wire", (), merged)


class Numbers(dict):
    __getattr__ = dict.__getitem__


Kind = Numbers(
    hello=1, welcome=2, refused=3, busy=4, renew=5, grant=6, narrow=7, stopped=8, nudge=9, goodbye=10, batch=16, relay=17, stored=18,
    storedGroup=19, vaultKey=20, serverKey=21, rules=22, join=24, joinRequest=25, joined=26, entries=32, command=33, outcome=34, progress=35, certificate=36, query=37, answer=38, finding=39, releaseRequest=48, release=49,
    chunk=50, credit=51, releaseEnded=52, directory=53, directoryStored=54, notices=64, noticesHeld=65)
BODIES = dict(
    hello="Hello", welcome="Welcome", refused="Refused", busy="Busy", renew="Renew", grant="Grant", narrow="Narrow", stopped="Stopped",
    nudge="Nudge", goodbye="Goodbye", batch="Batch", vaultKey="VaultKey", serverKey="ServerKey", rules="Rules", relay="Relay", stored="Stored", storedGroup="StoredGroup", join="Join", joinRequest="JoinRequest",
    joined="Joined", entries="Entries",
    command="SignedCommand", outcome="Outcome", progress="Progress", certificate="Certificate", query="Query", answer="Answer", finding="Finding",
    releaseRequest="ReleaseRequest", release="Release", chunk="Chunk", credit="Credit", releaseEnded="ReleaseEnded", directory="Directory", directoryStored="DirectoryStored",
    notices="NoticeBatch", noticesHeld="NoticesHeld")
Refusal = Numbers(
    unknownKind=1, unsupportedVersion=2, malformed=3, tooLarge=4, notAllowed=5, helloFirst=6, unknownNode=7, routingID=8, paused=16,
    noLease=17, outOfOrder=18, unreadable=19, differs=20, future=21, wrongClass=22, quarantined=23, storeFull=32, sealed=33, notFound=34, invalid=35,
    journalFull=36, leaseEnded=37, tokenUnknown=38, tokenUsed=39, tokenExpired=40, tooMany=41, denied=44, unknownKey=48, revokedKey=49, badSignature=50,
    notTheAuthor=51, otherLedger=52, expired=53, notYetValid=54, staleIndex=55, indexAhead=56, replayed=57, notApproved=58)
NAMES = {number: name for name, number in Kind.items()}


def body(kind, **fields):
    return getattr(wire(), BODIES[kind])(**fields)


def frame(kind, message=b"", version=1, magic=b"SL"):
    data = message if isinstance(message, bytes) else message.SerializeToString()
    return magic + bytes([version, Kind[kind] if isinstance(kind, str) else kind]) + data


def nonce():
    return os.urandom(16)


def keys_event(times, names=None):
    """`Columns` of key presses at these nanoseconds, in order, and the header's figures."""
    names = names or [f"k{n}" for n in range(len(times))]
    first = times[0]
    deltas = [times[0] - first] + [b - a for a, b in zip(times, times[1:])]
    columns = wire().Columns(
        version=1, unit_ns=1, at=deltas, kind=[2], key_action=[1] * len(times), key=[n + 1 for n in range(len(names))], strings=names)
    return columns, first, max(times), len(times)


def compress(columns):
    """One compressor each time: the library's own are for one thread, and the healthy peer has its own."""
    return zstandard.ZstdCompressor(level=1).compress(columns)


class Header:
    """Of a batch: bytes that do not change any more, and what goes beside them."""

    def __init__(self, fields, oldest):
        self.fields, self.oldest = fields, oldest
        self.bytes = fields.SerializeToString()

    def __getattr__(self, name):
        return getattr(self.fields, name)

    def SerializeToString(self):  # noqa: N802 - as the bodies have it
        return body("batch", header=self.bytes, oldest=self.oldest).SerializeToString()


class Sealer(sealing.Sealer):
    """Seals a sequence as often as it is asked to: an honest agent does it once."""

    def seal(self, payload, stream, sequence, header):
        self.last.pop(stream, None)
        return super().seal(payload, stream, sequence, header)


def batch(stream, sequence, times=None, names=None, columns=None, payload=None, oldest=None, **fields):
    """A header and a payload that fit, the payload before it is sealed; named fields lie."""
    if times is None:
        now = time.time_ns() - 2_000_000
        times = [now - 2_000, now - 1_000, now]
    made, first, last, count = keys_event(times, names)
    raw = (columns or made).SerializeToString() if not isinstance(columns, bytes) else columns
    payload = compress(raw) if payload is None else payload
    header = dict(
        {"stream": stream, "sequence": sequence, "class": "activity", "first_ns": first, "last_ns": last, "count": count, "epoch": 0,
         "payload_bytes": len(payload) + sealing.OVERHEAD, "columns_bytes": len(raw)}, **fields)
    return Header(wire().BatchHeader(**header), sequence if oldest is None else oldest), payload


def new_stream():
    return random.SystemRandom().randrange(1, 1 << 63)


# Peers


def new_keys():
    public, secret = zmq.curve_keypair()
    return public, secret


class Heard:
    """A message: its kind, its body, its payload."""

    def __init__(self, frames):
        head = frames[0]
        assert head[:3] == b"SL\x01", head[:16]
        self.kind = NAMES[head[3]]
        self.body = body(self.kind)
        self.body.ParseFromString(head[4:])
        self.payload = frames[1] if len(frames) > 1 else None

    @property
    def code(self):
        """Of a refusal; 0 otherwise."""
        return self.body.code if self.kind == "refused" else 0

    def __repr__(self):
        return f"{self.kind} {str(self.body)[:300]!r}"


REFUSED_HANDSHAKES = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


class Peer:
    """A DEALER with a key. One thread. What an agent sends as a batch is sealed as that agent, and within its lease.

    A test that dawdles between two messages would lose a lease that no agent loses: a batch that fits is sent after a renewal,
    when a third of the lease is over. Who never had one, and what is sent as bytes, goes out as it is.
    """

    def __init__(self, endpoint, server, keys, routing_id=None, receive_max=100_000, context=None, sealer_of=None, receive_buffer=None, watched=False):
        self.sealer_of, self.welcome = sealer_of, None
        self.renewal, self.leased, self.unread = None, None, collections.deque()
        self.rules = b""  # Those that its permit names: it says to have them, and keeps to none.
        self.context = context or zmq.Context.instance()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.sndhwm = 0
        self.socket.rcvhwm = receive_max
        if receive_buffer:
            self.socket.rcvbuf = receive_buffer
        self.socket.reconnect_ivl = 300
        self.socket.curve_publickey, self.socket.curve_secretkey = keys
        self.socket.curve_serverkey = server
        if routing_id is not None:
            self.socket.routing_id = routing_id
        self.monitor = self.socket.get_monitor_socket(REFUSED_HANDSHAKES) if watched else None
        self.socket.connect(endpoint)

    def send(self, kind, message=b"", payload=None):
        if kind == "renew" and not isinstance(message, bytes):
            self.renewal = message, time.monotonic()
        if kind == "batch" and isinstance(message, Header) and payload is not None:
            return self.send_sealed(message, self.seal(message, payload))
        return self.send_frames(frame(kind, message), *([] if payload is None else [payload]))

    def send_sealed(self, header, payload, oldest=None):
        """A batch of exactly these bytes."""
        self.keep_lease()
        header = header if oldest is None else body("batch", header=header, oldest=oldest)
        return self.send_frames(frame("batch", header), payload)

    def keep_lease(self):
        """Renews, saying what was said last, when a third of the lease is over. What is heard meanwhile is heard later."""
        while self.leased and time.monotonic() > self.leased[0] + self.leased[1] / 3:
            last, then = self.renewal
            message = type(last)()
            message.CopyFrom(last)
            message.nonce, message.rules = nonce(), self.rules
            if message.wall_us < 1 << 62:
                message.wall_us += int((time.monotonic() - then) * 1e6)
            self.send("renew", message)
            while True:
                heard = self._hear(PATIENCE)
                assert heard is not None, "a renewal is not answered"
                if heard.kind == "grant" and heard.body.nonce == message.nonce:
                    break
                if heard.kind == "refused" and heard.body.kind == Kind.renew:
                    self.leased = None
                    return
                self.unread.append(heard)
            if not heard.body.lease_ms:
                # Ingest waits for its own.
                time.sleep(0.05)

    def send_frames(self, *frames):
        self.socket.send_multipart(frames)
        return self

    def seal(self, header, payload):
        return self.sealer_of(self.welcome.node).seal(payload, header.stream, header.sequence, header.bytes)

    def receive(self, within=PATIENCE):
        """The next message; None after so long without one."""
        return self.unread.popleft() if self.unread else self._hear(within)

    def _hear(self, within):
        if not self.socket.poll(within * 1000):
            return None
        heard = Heard(self.socket.recv_multipart())
        if heard.kind == "grant":
            self.rules = heard.body.permit.rules
        if heard.kind == "grant" and heard.body.lease_ms and self.renewal and heard.body.nonce == self.renewal[0].nonce:
            self.leased = self.renewal[1], heard.body.lease_ms / 1000
        return heard

    def expect(self, *kinds, within=PATIENCE, where=lambda heard: True):
        """The next message of these kinds; others are passed over, but a refusal never."""
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            heard = self.receive(left)
            if heard is None:
                break
            if (heard.kind in kinds or heard.kind == "refused") and where(heard):
                return heard
        raise AssertionError(f"no {' or '.join(kinds)} came within {within} s")

    def ask(self, kind, message=b"", payload=None, within=PATIENCE):
        """Sends, and returns the next message that is not pushed unasked.

        A batch again after `busy`: ingest may know of an agent before policy does.
        """
        return self._until_taken_up(lambda: self.send(kind, message, payload), within)

    def ask_sealed(self, header, payload, oldest=None, within=PATIENCE):
        """The same of a batch of exactly these bytes."""
        return self._until_taken_up(lambda: self.send_sealed(header, payload, oldest), within)

    def _until_taken_up(self, send, within):
        deadline = time.monotonic() + within
        while True:
            send()
            heard = self.answer(within)
            if not (heard.kind == "busy" or self.came_late(heard)) or time.monotonic() > deadline:
                return heard
            time.sleep(heard.body.retry_ms / 1000)

    def came_late(self, heard):
        """Whether it refuses for want of a lease that may have ended on the way: whoever took so long, sends it again."""
        return heard.code == Refusal.noLease and self.leased is not None and time.monotonic() > sum(self.leased)

    def answer(self, within=PATIENCE):
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            heard = self.receive(left)
            if heard is None:
                break
            if heard.kind not in ("narrow", "nudge", "progress", "certificate", "entries", "rules"):
                return heard
        raise AssertionError(f"no answer came within {within} s")

    def silence(self, within=1.0):
        """Nothing is heard."""
        heard = self.receive(within)
        assert heard is None, heard
        return self

    def greet(self, **fields):
        heard = self.ask("hello", body("hello", protocol=1, software="test", start=nonce(), **fields))
        assert heard.kind == "welcome", heard
        self.welcome = heard.body
        return self

    def renew(self, **fields):
        """Renews until a lease is granted: ingest itself may have to wait for its own."""

        def renewed():
            asked = nonce()
            self.send("renew", body("renew", nonce=asked, wall_us=time.time_ns() // 1000, **{"rules": self.rules, **fields}))
            heard = self.expect("grant", where=lambda h: h.kind == "refused" or h.body.nonce == asked)
            assert heard.kind == "grant", heard
            return heard.body if heard.body.lease_ms or not self.is_agent else None

        return wait_until(renewed, "a lease")

    @property
    def is_agent(self):
        return self.welcome.ordinal > 0

    def knock(self, within=PATIENCE):
        """Says hello. The answer; None as soon as its handshake is refused, or after so long. For who is `watched`."""
        # Whose handshake is refused by now has nobody to send to, and libzmq would wait for ever.
        self.socket.sndtimeo = 0
        with contextlib.suppress(zmq.Again):
            self.send("hello", body("hello", protocol=1, software="test", start=nonce()))
        self.socket.sndtimeo = -1
        poller = zmq.Poller()
        for socket in (self.socket, self.monitor):
            poller.register(socket, zmq.POLLIN)
        if self.socket not in dict(poller.poll(within * 1000)):
            return None
        heard = self.receive()
        if heard.kind == "welcome":
            self.welcome = heard.body
        return heard

    def unwatch(self):
        if self.monitor is not None:
            self.socket.disable_monitor()
            self.monitor.close(0)
            self.monitor = None

    def close(self):
        self.unwatch()
        self.socket.close(0)


class Healthy(threading.Thread):
    """Somebody at each port who does what is right, and takes note of what comes back."""

    def __init__(self, suite):
        super().__init__(daemon=True)
        self.suite = suite
        self.asked = dict.fromkeys(SERVICES, 0)
        self.answered = dict.fromkeys(SERVICES, 0)
        self.trouble = []
        self.leases = 0
        self.stored = 0
        self._ending = threading.Event()
        self._ready = threading.Event()

    def run(self):
        try:
            self._run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test must hear of it
            self.trouble.append(repr(error))
            self._ready.set()

    def _run(self):
        context = zmq.Context()
        peers = {"ingest": self.suite.agent_peer(self.suite.healthy_keys, context=context)}
        for name in ("control", "policy", "notify"):
            peers[name] = self.suite.peer(name, self.suite.operator("ops-2"), context=context)
            peers[name].greet()
        stream, sequence = new_stream(), 0
        self._ready.set()
        while not self._ending.wait(0.2):
            sequence += 1
            header, payload = batch(stream, sequence)
            for name in SERVICES:
                self.asked[name] += 1
            asked = nonce()
            # All at once, then all answers: one that hangs does not hide the others.
            peers["control"].send("query", body("query", status=wire().StatusQuery()))
            peers["notify"].send("query", body("query", deliveries=wire().DeliveriesQuery()))
            peers["policy"].send("renew", body("renew", nonce=asked))
            peers["ingest"].send("renew", body("renew", nonce=asked, wall_us=time.time_ns() // 1000, rules=peers["ingest"].rules))
            # The agent first: who waits for the others meanwhile would let its lease end.
            granted = self._hear("ingest", peers["ingest"], "grant")
            if granted is not None and granted.kind == "grant":
                if granted.body.lease_ms:
                    self.leases += 1
                else:
                    self.trouble.append("a grant without a lease")
                peers["ingest"].send("batch", header, payload)
                heard = self._hear("ingest", peers["ingest"], "stored", "busy")
                if heard is not None and heard.kind == "stored":
                    self.stored += 1
                elif heard is not None and (heard.kind == "busy" or heard.kind == "refused"):
                    sequence -= 1
            self._hear("control", peers["control"], "answer")
            self._hear("notify", peers["notify"], "answer")
            self._hear("policy", peers["policy"], "grant")
        for peer in peers.values():
            peer.close()
        context.term()

    def _hear(self, name, peer, *kinds):
        try:
            heard = peer.expect(*kinds)
        except AssertionError as error:
            self.trouble.append(f"{name}: {error}")
            return None
        if heard.kind == "refused" and not peer.came_late(heard):
            self.trouble.append(f"{name}: {heard}")
        else:
            self.answered[name] += 1
        return heard

    def begin(self):
        self.start()
        assert self._ready.wait(60), "the healthy peers did not get in"
        assert not self.trouble, self.trouble
        return self

    def finish(self):
        self._ending.set()
        self.join(30)


# The suite


class Suite:
    """`sluice up`, with the processes that it has started."""

    def __init__(self, folder, lease_ms=3000, agents=0, host=None, env=None):
        self.folder = Path(folder)
        self.home = self.folder / "home"
        self.port_base = free_port_base()
        self.lease_ms = lease_ms
        self.processes = []
        self.host = host
        self.healthy = None
        self.is_governed = False
        self.lock, self.seal_lock, self.govern_lock = threading.Lock(), threading.Lock(), threading.Lock()
        wire()  # Made once, before threads ask for it.
        self.up = self.adopt(Process(
            [binaries() / "sluice", "up", "--home", self.home, "--agents", agents, "--port-base", self.port_base, "--lease", lease_ms],
            self.folder / "up.log", env))
        wait_until(lambda: "serves after" in self.up.said or not self.up.is_running, "'sluice up' serves")
        assert self.up.is_running, self.up.said
        self.settings = json.loads((self.home / "suite.json").read_text())
        registry = json.loads((self.home / "registry.json").read_text())
        self.public = {node["name"]: node["key"].encode() for node in registry["nodes"]}
        self.origin = registry["anchors"]["control"].split("+")[0]
        self.vault_public = base64.b64decode(registry["anchors"]["vault"])
        self.sealers = {}
        self.started = self.service_ids()
        self.healthy_keys = self.enrol("healthy")

    def adopt(self, process):
        self.processes.append(process)
        return process

    def service_ids(self):
        """The services' process ids, by name."""
        found = {}
        for child in children(self.up.id):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
                name = os.path.basename(words[0])
                if name.startswith("sluice-") and name != "sluice-agent":
                    found["join" if words[1] == "join" else name.removeprefix("sluice-")] = child
        return found

    def port(self, name):
        return int(self.settings[name].rsplit(":", 1)[1])

    def endpoint(self, name):
        return f"tcp://127.0.0.1:{self.port(name)}"

    def log(self, name):
        return (self.home / "logs" / f"{name}.log").read_text(errors="replace")

    def close(self):
        if self.healthy is not None:
            self.healthy.finish()
        for process in reversed(self.processes):
            process.end()
        give_back_port_base(self.port_base)

    # Keys and peers

    def keys_of(self, name):
        """A key pair out of the home: an operator's or a service's."""
        secret = (self.home / "keys" / f"{name}.secret").read_text().strip().encode()
        return zmq.curve_public(secret), secret

    operator = keys_of

    def enrol(self, name, subject=None, site="berlin", team="search"):
        keys = new_keys()
        self.approved("register", name, "--subject", subject or name.upper(), "--site", site, "--team", team, f"--key={keys[0].decode()}")
        return keys

    def peer(self, service, keys, server=None, **more):
        return Peer(self.endpoint(service), server or self.public[service], keys, sealer_of=self.sealer, **more)

    def sealer(self, name):
        """One for each agent, for the whole suite: what is sealed twice is the same twice."""
        with self.seal_lock:
            if name not in self.sealers:
                self.sealers[name] = Sealer(self.vault_public, self.origin, name)
            return self.sealers[name]

    def agent_peer(self, keys, **more):
        """An agent that has greeted and holds a lease. A key is known to ingest a moment after control has answered."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            peer = self.peer("ingest", keys, watched=True, **more)
            heard = peer.knock()
            if heard is not None and heard.kind == "welcome":
                peer.unwatch()
                peer.lease = peer.renew()
                return peer
            peer.close()
            time.sleep(0.05)
        raise AssertionError("ingest does not let the agent in")

    def shuts_out(self, service, keys, **more):
        """Whether the handshake with this key is refused."""
        peer = self.peer(service, keys, watched=True, **more)
        try:
            heard = peer.knock()
            assert heard is None or heard.kind in ("welcome", "refused"), heard
            return heard is None
        finally:
            peer.close()

    # Commands

    def command(self, *arguments):
        return [str(binaries() / "sluice"), *(str(a) for a in arguments), "--home", str(self.home)]

    def govern(self):
        """Has a document in force, for who reads: see `governing`. Commands do it by themselves."""
        with self.govern_lock:
            self.is_governed = self.is_governed or governing.govern(binaries() / "sluice", self.home)
        return self

    def cli(self, *arguments, check=True, within=60):
        if arguments[0] in governing.READS:
            self.govern()
        ran = lambda: subprocess.run(  # noqa: E731
            with_our_death(self.command(*arguments)), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within)
        done = ran()
        if check and arguments[0] == "read" and "reading is paused" in done.stderr:
            # Policy hears of a resume a moment after whoever commanded it.
            done = wait_until(lambda: "reading is paused" not in (again := ran()).stderr and again, "policy has heard of the resume")
        assert not check or done.returncode == 0, f"sluice {' '.join(map(str, arguments))}: {done}"
        return done

    def approved(self, *arguments, check=True):
        """A command that widens, proposed by ops-1 and approved by ops-2: what the approval left."""
        done = self.cli(*arguments, "--json", check=check)
        if done.returncode or "proposal" not in json.loads(done.stdout):
            return done
        return self.cli("approve", json.loads(done.stdout)["proposal"]["proposal"], "--as", "ops-2", "--json", check=check)

    def resume(self, check=True):
        return self.approved("resume", "--all", "--reason", "a test", check=check)

    def sign(self, index=0, by="ops-1", **deed):
        """A command of these fields, signed by an operator."""
        command = getattr(wire(), "Command")(**deed)
        return body("command", **Operator(self.home, by).command(command.SerializeToString(), index=index))

    def approve(self, proposal, index, by="ops-2"):
        """An approval of a proposal that was answered on the wire."""
        return body("command", **Operator(self.home, by).approval(proposal.proposal, proposal.signed.statement, index=index))

    def newest(self):
        """Of control's entries. What acts already is waited for: it is durable a moment later, and who signs names what there is."""
        return int(wait_until(lambda: (status := self.status()) and not int(status["entries_waiting"]) and status, "all that acts is recorded")["entries"])

    def status(self):
        return asking.status(self.home) or json.loads(self.cli("status", "--json").stdout)

    def counters(self, name):
        """What a service has counted, as control shows it."""
        status = self.status()
        if name == "control":
            return {k: int(v) for k, v in status.get("counters", {}).items()}
        service = next(s for s in status["services"] if s["name"] == name)
        return {k: int(v) for k, v in service.get("counters", {}).items()}

    def expect_counted(self, name, counter, before, at_least=1):
        """Services report every third of a lease."""
        return wait_until(
            lambda: self.counters(name).get(counter, 0) >= before.get(counter, 0) + at_least,
            f"{name} counts {counter} up by {at_least} from {before.get(counter, 0)}", every=0.2)

    def read(self, *classes, check=True):
        named = [word for c in classes or ("activity", "content", "conversation", "review") for word in ("--class", c)]
        done = self.cli("read", "--purpose", "test", "--why", "a test", "--origin", *named, check=check)
        return [json.loads(line) for line in done.stdout.split("\n") if line]

    # Claims

    def expect_alive(self):
        """Every service is the process that it was: `sluice up` would restart a dead one in silence."""
        now = self.service_ids()
        for name, process in self.started.items():
            assert now.get(name) == process, f"{name} has died:\n" + "\n".join(self.log(name).splitlines()[-40:])
        assert self.up.is_running
        return self

    @contextlib.contextmanager
    def undisturbed_but(self, name, **more):
        """As `undisturbed`, but for one service, that may end and be started again."""
        mine = self.started.pop(name)
        try:
            with self.undisturbed(**more) as healthy:
                self.started[name] = mine
                yield healthy
                self.started.pop(name)
        finally:
            self.started[name] = self.service_ids().get(name, mine)

    @contextlib.contextmanager
    def undisturbed(self, grows=64 * MiB, rounds=3):
        """What happens inside leaves the processes alive, their memory within bounds, and healthy peers at every port served."""
        self.expect_alive()
        # One for the whole life of the suite: to begin anew costs a second.
        with self.lock:
            if self.healthy is None or not self.healthy.is_alive():
                self.healthy = Healthy(self).begin()
            healthy = self.healthy
        troubles, stored = len(healthy.trouble), healthy.stored
        before = {name: memory(process) for name, process in self.started.items()}
        peak = dict(before)
        watching = threading.Event()

        def watch():
            while not watching.wait(0.1):
                for name in before:
                    with contextlib.suppress(OSError):
                        peak[name] = max(peak[name], memory(self.started[name]))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield healthy
            self.expect_alive()
            # They are served after it as well.
            after = dict(healthy.answered)
            wait_until(
                lambda: len(healthy.trouble) > troubles or all(healthy.answered[name] >= after[name] + rounds for name in SERVICES),
                "healthy peers at every port are answered")
        finally:
            watching.set()
            watcher.join(5)
        self.expect_alive()
        assert len(healthy.trouble) == troubles, healthy.trouble[troubles:]
        assert healthy.stored > stored, "the healthy agent's batches were not stored"
        for name in SERVICES:
            assert peak[name] - before[name] <= grows, f"{name} grew by {(peak[name] - before[name]) >> 20} MiB from {before[name] >> 20}"


# Raw bytes


def dial(port, within=5):
    raw = socket.create_connection(("127.0.0.1", port), timeout=within)
    raw.settimeout(within)
    return raw


def greeting(mechanism=b"CURVE", version=(3, 1), as_server=0):
    """A ZMTP 3 greeting: 64 bytes."""
    return b"\xff" + bytes(8) + b"\x7f" + bytes(version) + mechanism.ljust(20, b"\0") + bytes([as_server]) + bytes(31)


def is_closed(raw, within=PATIENCE):
    """Whether the other side closes, with whatever it says before."""
    raw.settimeout(within)
    try:
        while raw.recv(65536):
            pass
        return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def record_hello(server):
    """The HELLO command that libzmq's own client sends to this server key, and its greeting: real bytes to mutate."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)
    peer = Peer(f"tcp://127.0.0.1:{listener.getsockname()[1]}", server, new_keys())
    raw, _ = listener.accept()
    raw.settimeout(20)
    raw.sendall(greeting(as_server=1))
    said = b""
    # Greeting, then a command frame: flags, length, body.
    while len(said) < 64 or len(said) < 66 + said[65:66].ljust(1, b"\xff")[0]:
        said += raw.recv(65536)
    raw.close()
    listener.close()
    peer.close()
    return said[64:]


class Proxy(threading.Thread):
    """Between a peer and a service: bytes towards the service go through `mutate(connection, offset, data)`."""

    def __init__(self, port, mutate):
        super().__init__(daemon=True)
        self.port, self.mutate = port, mutate
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0.1)
        self.endpoint = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = 0
        self._ending = threading.Event()
        self.start()

    def run(self):
        while not self._ending.is_set():
            try:
                client, _ = self.listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.connections += 1
            server = dial(self.port)
            client.settimeout(None)
            server.settimeout(None)
            threading.Thread(target=self._pump, args=(client, server, self.connections), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, 0), daemon=True).start()

    def _pump(self, source, sink, number):
        offset = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                changed = self.mutate(number, offset, data) if number else data
                offset += len(data)
                if changed is None:
                    break
                sink.sendall(changed)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            source.close()

    def close(self):
        self._ending.set()
        self.listener.close()


# Agents that are real


def rfc3339(ns):
    seconds, rest = divmod(ns, 1_000_000_000)
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:09d}Z"


def key(name, at=None, **more):
    return {"at": rfc3339(at or time.time_ns()), "kind": "key", "action": "down", "key": name, **more}


class Agent:
    """`sluice-agent run` on a folder that `sluice register` has made."""

    env = None

    def __init__(self, suite, name, subject=None):
        self.suite, self.name, self.subject = suite, name, subject or name.upper()
        self.home = suite.home / "agents" / name
        self.errors = self.home / "errors.log"
        self.process = None
        self.given = None  # Lines of events, of a first run that was given nothing else.
        self.wrapper = []
        suite.approved("register", name, "--subject", self.subject, "--site", "berlin", "--team", "search")

    def configure(self, **fields):
        path = self.home / "agent.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
        return self

    def run(self, *more, stdin=subprocess.PIPE):
        self.given = 0 if stdin == subprocess.PIPE and not (self.home / "spool.sqlite").exists() else None
        self.process = self.suite.adopt(Process(
            [*self.wrapper, binaries() / "sluice-agent", "run", "--home", self.home, *more], self.home / "errors.log", self.env, stdin=stdin))
        return self

    def listen(self):
        self.path = self.home / "tool.sock"
        return self.run("--socket", self.path, stdin=subprocess.DEVNULL)

    def connect(self):
        def connected():
            raw = socket.socket(socket.AF_UNIX)
            try:
                raw.connect(str(self.path))
                return raw
            except OSError:
                raw.close()
                return None

        return wait_until(connected, "the agent's socket")

    def write(self, data):
        self.given = None
        return self._write(data)

    def _write(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.process.popen.stdin.write(data)
        self.process.popen.stdin.flush()
        return self

    def type(self, *names):
        if self.given is not None:
            self.given += len(names)
        return self._write("".join(json.dumps(key(name)) + "\n" for name in names))

    @property
    def status(self):
        """What it last wrote of itself, which is what `sluice-agent status --json` shows; {} before there is one. Written twice a second."""
        try:
            return json.loads((self.home / "status.json").read_text())
        except (OSError, ValueError):
            return {}

    def said_of_itself(self):
        """What `sluice-agent status` prints."""
        return subprocess.run(
            with_our_death([binaries() / "sluice-agent", "status", "--home", self.home]), capture_output=True, text=True, timeout=60).stdout

    def expect(self, condition, what, within=PATIENCE):
        """A status written after this call, by this process, of which `condition` holds."""
        asked = time.time_ns() // 1000

        def seen():
            status = self.status
            assert status and status["pid"] == self.process.id and status["atMicroseconds"] > asked, status
            assert condition(status), status
            return status

        return wait_until(seen, f"{self.name}: {what}", within)

    def expect_capturing(self, capturing=True, within=PATIENCE):
        self.expect(lambda s: bool(s["classes"]) == capturing, f"capturing={capturing}", within)
        return self

    def expect_judged(self, lines, within=PATIENCE):
        """Every line that was given is accounted for."""
        return self.expect(lambda s: s["accepted"] + sum(s["refused"].values()) == lines, f"{lines} lines accounted for", within)

    def accept(self, *names):
        """Types them, and each again until it is taken: on a slow machine a lease may end now and then, and this is not about that."""
        for name in names:
            before = self.expect(lambda s: s["classes"], "may capture")
            self.type(name)
            while (now := self._judged(before))["accepted"] == before["accepted"]:
                before = self.expect(lambda s: s["classes"], "may capture again")
                self.type(name)
        return now

    @property
    def judged(self):
        """Lines that its last status accounts for."""
        return self.status["accepted"] + sum(self.status["refused"].values())

    def _judged(self, before):
        """A status that knows of one line more."""
        lines = before["accepted"] + sum(before["refused"].values())
        return self.expect(lambda s: s["accepted"] + sum(s["refused"].values()) > lines, "it is judged")

    def expect_drained(self, within=PATIENCE):
        """What it had accepted before is sealed, sent and acknowledged."""
        since_us = time.time_ns() // 1000
        return self.expect(lambda s: is_drained(s, since_us, self.given, self.home, self.suite.home / "policy" / "vault.sqlite"), "drained", within)

    def end_input(self, within=90):
        self.process.popen.stdin.close()
        return self.process.popen.wait(within)

    @property
    def complaints(self):
        return self.errors.read_text(errors="replace")
