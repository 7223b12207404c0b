"""Processes as their keepers see them: they start or say why not, and end when they are asked to."""

import configparser
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zmq
from harness import Process, Shim, Typist, binaries, missing, wait_until
from harness.processes import ROOT
from harness.suite import program
from zmq.utils.monitor import recv_monitor_message

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Interop"))
import reader  # noqa: E402
import wire  # noqa: E402

SERVICES = ["control", "policy", "notify", "ingest"]
# Of `sluice up`: the door for strangers, and those for reports, too.
PROCESSES = [*SERVICES, "join", "hooks"]


@pytest.fixture(scope="module")
def loadable(make_module_suite):
    suite = make_module_suite()
    suite.agent("ann")
    return suite


@pytest.fixture
def loaded(loadable):
    """Everything runs, and somebody types. What a test before has ended is started again."""
    suite, agent = loadable, loadable.agents["ann"]
    if ended := [name for name in SERVICES if not suite.services[name].is_running]:
        suite.start(*ended)
    if not agent.process or not agent.process.is_running:
        agent.run()
    typist = Typist(agent.expect(capturing=True), 0.005).start()
    before = suite.vault_count()
    wait_until(lambda: suite.vault_count() > before + 50, "events flow")
    yield suite
    typist.stop()
    for name in SERVICES:
        suite.cont(name)


# P06


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_under_load_ends_in_order_when_it_is_asked_to(loaded, name, number):
    process = loaded.services[name]
    process.signal(number)
    # Far above what it takes, and what a service gives itself; it must not have to be killed.
    assert process.wait() == 0, process.said[-2000:]


@pytest.mark.parametrize("name", SERVICES)
def test_a_storm_of_signals_ends_a_service_all_the_same(loaded, name):
    process = loaded.services[name]
    for _ in range(50):
        if process.is_running:
            process.signal(signal.SIGINT)
            process.signal(signal.SIGTERM)
    # 0: it was done before the second was looked at; 4: the second one made it stop at once.
    assert process.wait() in (0, 4)


def test_an_agent_ends_with_0_when_it_is_asked_to_and_keeps_what_it_has(loaded):
    agent = loaded.agents["ann"]
    agent.process.signal(signal.SIGTERM)
    assert agent.process.wait() == 0
    loaded.typists[-1].stop()
    agent.run()
    agent.expect_drained()
    assert loaded.vault("SELECT COALESCE(SUM(lost), 0) FROM stream") == [(0,)]


def test_a_frozen_service_does_not_keep_the_others_from_ending(loaded):
    loaded.stop("control")
    for name in ("ingest", "policy", "notify"):
        loaded.services[name].signal(signal.SIGTERM)
        assert loaded.services[name].wait() == 0


@contextlib.contextmanager
def connecting(suite, secret, **options):
    """A socket of somebody's with this key, that is not connected to control yet."""
    nodes = {node["name"]: node["key"] for node in json.loads((suite.home / "registry.json").read_text())["nodes"]}
    with zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.linger = 0
        for name, value in options.items():
            setattr(peer, name, value)
        peer.curve_serverkey, peer.curve_secretkey, peer.curve_publickey = nodes["control"].encode(), secret, zmq.curve_public(secret)
        yield peer


@contextlib.contextmanager
def deaf(suite, questions=4_000):
    """A session of ops-1's with control to which more answers are due than any buffer takes: it reads none of them."""
    secret = wire.read_secret(suite.home / "keys" / "ops-1.secret")
    unknown = lambda: int(suite.status().get("counters", {}).get("refused.unknown-kind", 0))
    with connecting(suite, secret, sndhwm=0, rcvhwm=1, rcvbuf=4_096) as peer:
        peer.connect(suite.settings["control"])
        peer.send_multipart(wire.frames("hello", protocol=1, software="deaf", start=os.urandom(16)))
        assert peer.poll(20_000) and wire.parse(peer.recv_multipart())[0] == "welcome"
        before = unknown()
        for _ in range(questions):
            peer.send_multipart(wire.frames("query", status=wire.governance.StatusQuery()))
        # Counted when all that stands before it was taken in.
        peer.send(b"SL\x01\xc8")
        wait_until(lambda: unknown() > before, "control has taken in every question", every=0.3)
        yield


# What libzmq does when nobody says otherwise (-1), and what it is told (0).
KEEPER = """
import sys, zmq
context = zmq.Context()
router = context.socket(zmq.ROUTER)
router.linger, router.sndhwm = int(sys.argv[1]), 0
print(router.bind_to_random_port("tcp://127.0.0.1"), flush=True)
route, _ = router.recv_multipart()
for _ in range(2000):
    router.send_multipart([route, bytes(10_000)])
print("full", flush=True)
sys.stdin.read()
router.close()
context.term()
"""


def test_a_service_ends_though_a_peer_does_not_read_what_is_due_to_it(make_suite, tmp_path):
    """The control is a program whose sockets have libzmq's default: it waits for its peer for ever."""
    suite = make_suite(start=False)
    suite.start("control", wait=False)
    wait_until(lambda: "closed to unknown keys" in suite.services["control"].said, "control opens its port")
    with deaf(suite):
        suite.services["control"].signal(signal.SIGTERM)
        assert suite.services["control"].wait() == 0
    with zmq.Context() as context:
        keepers, peers = {}, []
        for linger in (-1, 0):
            process = keepers[linger] = suite.adopt(Process(
                [sys.executable, "-c", KEEPER, str(linger)], tmp_path / f"keeper{linger}.log", stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            peer = context.socket(zmq.DEALER)
            peers.append(peer)
            peer.linger, peer.rcvhwm, peer.rcvbuf = 0, 1, 4_096
            peer.connect(f"tcp://127.0.0.1:{int(process.popen.stdout.readline())}")
            peer.send(b"hello")
            assert process.popen.stdout.readline() == b"full\n"
        keepers[-1].popen.stdin.close()
        begun = time.monotonic()
        keepers[0].popen.stdin.close()
        assert keepers[0].wait() == 0
        # As long again, many times over.
        with pytest.raises(subprocess.TimeoutExpired):
            keepers[-1].wait(max(1, 5 * (time.monotonic() - begun)))
        for peer in peers:
            peer.close()


def test_up_ends_everything_in_order_and_leaves_no_process_behind(make_suite):
    suite = make_suite(start=False)
    up = suite.up()
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(up.id)], capture_output=True, text=True).stdout.split()
    assert len(children) == len(PROCESSES)
    up.signal(signal.SIGINT)
    assert up.wait(40) == 0
    assert "stopping" in up.said
    assert not [pid for pid in children if os.path.exists(f"/proc/{pid}")]


def test_up_killed_outright_leaves_no_process_behind(make_suite):
    suite = make_suite(start=False)
    up = suite.up()
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(up.id)], capture_output=True, text=True).stdout.split()
    assert len(children) == len(PROCESSES)
    up.kill()

    def is_running(pid):
        try:
            return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    wait_until(lambda: not any(is_running(pid) for pid in children), "its services have ended with it")
    # And they can be started again.
    suite.up()


# P07


def test_a_closed_pipe_ends_no_service(make_suite):
    suite = make_suite(start=False)
    pipes = {}
    for name in SERVICES:
        suite.services[name] = suite.adopt(
            Process([binaries() / f"sluice-{name}", "--home", suite.home], suite.folder / "unused", stderr=subprocess.PIPE))
        suite.services[name].started_us = time.time_ns() // 1000
        pipes[name] = suite.services[name].popen.stderr
    suite.expect_serving()
    for pipe in pipes.values():
        pipe.close()
    agent = suite.agent("ann").run().expect(capturing=True)
    # Each of these makes every service write a line.
    for _ in range(2):
        suite.pause()
        suite.resume()
    agent.expect(capturing=True)
    agent.type("a")
    assert agent.end_input() == 0
    assert suite.keys() == ["a"]
    assert all(process.is_running for process in suite.services.values())
    # Control: without its own care the signal would end such a process.
    done = subprocess.Popen(["sh", "-c", "sleep 0.3; while :; do echo x >&2; done"], stderr=subprocess.PIPE, restore_signals=True)
    done.stderr.close()
    assert done.wait() in (-signal.SIGPIPE, 128 + signal.SIGPIPE, 2)


def test_a_command_whose_reader_has_gone_is_not_killed_by_it(make_suite):
    suite = make_suite()
    for arguments in (("status",), ("agents", "--json"), ("pause", "--all", "--reason", "x"), ("closures",)):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(suite.command(*arguments), stdout=writer, stderr=subprocess.PIPE, timeout=60)
        os.close(writer)
        assert done.returncode >= 0, f"{arguments}: signal {-done.returncode}"
        assert b"Fatal" not in done.stderr and b"Crash" not in done.stderr, done.stderr[-2000:]
    # What was commanded is in force whether or not anybody read the answer.
    assert suite.status()["gate"]["closures"]


# P09, P10


def refuses(suite, name, *words, env=None, wrapper=()):
    """Starts a service, or the agent ann, that must not start: it ends by itself, not with 0, and its last line says why."""
    command = [*wrapper, *map(str, [binaries() / "sluice-agent", "run", "--home", suite.agents["ann"].home] if name == "agent" else [*program(name), "--home", suite.home])]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})})
    # Beside what it logged on the way there is one line.
    lines = [line for line in done.stderr.splitlines() if not line[:4].isdigit()]
    assert done.returncode not in (0, None) and done.returncode > 0, done
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0], lines[0]
    return lines[0]


def seconds(span):
    """As systemd reads `500ms`, `1s` and `30s`."""
    number, unit = re.fullmatch(r"(\d+)(ms|s)", span).groups()
    return int(number) / {"s": 1, "ms": 1_000}[unit]


def why_it_does_not_back_off(text):
    """What is wrong with how a unit starts a service again that ends; None if nothing is. systemd passes over what stands in another section."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read_string(text)
    service = unit["Service"]
    if service.get("Restart") != "on-failure":
        return "it is not started again"
    # Five starts in ten seconds are the default, and then never again: nobody would come back by themselves.
    if unit["Unit"].get("StartLimitIntervalSec") != "0":
        return "it is given up"
    first, most, steps = seconds(service.get("RestartSec", "100ms")), seconds(service.get("RestartMaxDelaySec", "0s")), int(service.get("RestartSteps", "0"))
    if not 0.5 <= first <= 1:
        return "it comes back at once, or late"
    # A third of a minute and more between the tries of what fails each time; and no longer than a person waits who has mended it.
    return None if steps >= 5 and 20 <= most <= 60 else "it does not wait longer each time"


def test_a_service_that_ends_at_each_start_is_started_again_for_ever_and_less_and_less_often():
    units = {path.stem.removeprefix("sluice-"): path.read_text() for path in (ROOT / "deploy" / "systemd").glob("sluice-*.service") if "Type=oneshot" not in path.read_text()}
    assert sorted(units) == sorted(PROCESSES)
    for name, text in units.items():
        assert why_it_does_not_back_off(text) is None, name
        # The control: each line is needed, and where it stands.
        for key in ("Restart", "RestartSec", "RestartSteps", "RestartMaxDelaySec", "StartLimitIntervalSec"):
            without, count = re.subn(rf"^{key}=.*\n", "", text, flags=re.M)
            assert count == 1 and why_it_does_not_back_off(without), (name, key)
            elsewhere = f"{without}\n[{'Service' if key == 'StartLimitIntervalSec' else 'Unit'}]\n" + re.search(rf"^{key}=.*\n", text, re.M)[0]
            assert why_it_does_not_back_off(elsewhere), (name, key)


@pytest.mark.parametrize("names", [("control",), ("policy",), ("notify",), ("ingest", "join", "hooks")], ids="-".join)
def test_a_second_instance_is_refused_and_the_first_is_not_disturbed(make_suite, names):
    suite = make_suite()
    if "hooks" in names:
        suite.start("join", "hooks")
    for name in names:
        refuses(suite, name, "another one runs on this folder already", "--home")
    suite.expect_serving()
    for name in names:
        assert suite.services[name].is_running
        # Control: after the first has ended a second may start.
        assert suite.terminate(name) == 0
    suite.start(*names)


def test_a_second_up_and_a_second_agent_are_refused(make_suite):
    suite = make_suite(start=False)
    suite.up()
    second = subprocess.run([binaries() / "sluice", "up", "--home", suite.home, "--agents", "0"], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and len(second.stderr.splitlines()) == 1 and "stop it first" in second.stderr
    agent = suite.agent("ann").listen().expect(capturing=True)
    third = subprocess.run([binaries() / "sluice-agent", "run", "--home", agent.home], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert third.returncode > 0 and "stop it first" in third.stderr


@pytest.mark.parametrize("names", [("control",), ("policy",), ("notify",), ("ingest", "join", "hooks")], ids="-".join)
def test_a_port_that_is_taken_is_named(make_suite, names):
    suite = make_suite(start=False)
    if "ingest" in names:
        # They open their ports when they have heard control.
        suite.start("control", "policy", wait=False)
    for name in names:
        port = suite.port(name) if name != "hooks" else suite.port("ingest") + 6
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()
            if name in ("ingest", "hooks"):
                process = suite.adopt(suite_process(suite, name))
                assert process.wait(40) > 0
                (said,) = [line for line in process.said.splitlines() if str(port) in line]
                assert re.search("another program (has|may have) this port", said), said
            else:
                refuses(suite, name, str(port), "another program has this port", "suite.json")


def suite_process(suite, name):
    return Process([*program(name), "--home", suite.home], suite.log(name))


# A01


@pytest.mark.parametrize("fault", [None, "handler", "domain"])
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_whose_port_lets_strangers_in_notices_it_and_ends(make_suite, tmp_path, name, fault):
    suite = make_suite(start=False)
    env = Shim(tmp_path).env
    if name == "ingest":
        # It opens its port when it has heard control.
        suite.start("control", "policy", wait=False)
    # A log of its own: the home has one already, of when it was made.
    process = suite.adopt(Process(
        [binaries() / f"sluice-{name}", "--home", suite.home], tmp_path / "service.log", env | ({"SLUICE_SHIM_DOOR": fault} if fault else {})))
    if not fault:
        # The control: with the same library before it, and its guard in order, it serves.
        wait_until(lambda: "closed to unknown keys" in process.said or not process.is_running, f"{name} opens its port")
        assert process.is_running, process.said
        return
    assert process.wait(40) > 0
    assert f"{suite.settings[name]} let an unknown key in: the service does not start" in process.said
    assert "closed to unknown keys" not in process.said


SUCCEEDED = zmq.EVENT_HANDSHAKE_SUCCEEDED
FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_DISCONNECTED


def lets_in(suite, secret, times=1):
    """Whether control's port lets the key in, so many times in a row."""
    found = set()
    with connecting(suite, secret, reconnect_ivl=50) as peer, peer.get_monitor_socket(SUCCEEDED | FAILED) as monitor:
        peer.connect(suite.settings["control"])
        for _ in range(times):
            assert monitor.poll(20_000), "neither yes nor no"
            found.add(recv_monitor_message(monitor)["event"] == SUCCEEDED)
            if True in found:
                break
        peer.disable_monitor()
    assert len(found) == 1, found
    return found.pop()


def greeted(suite, secret):
    """What a Hello with this key is answered, and the number of a refusal."""
    with connecting(suite, secret) as peer:
        peer.connect(suite.settings["control"])
        peer.send_multipart(wire.frames("hello", protocol=1, software="test", start=os.urandom(16)))
        assert peer.poll(20_000), "nothing is said to it"
        kind, body, _ = wire.parse(peer.recv_multipart())
        return kind, getattr(body, "code", 0)


@pytest.mark.parametrize("closes", [True, False], ids=["as it is", "the control, a port that does not insist on its guard"])
def test_a_port_whose_guard_ends_while_it_serves_lets_nobody_in_and_who_is_in_stays(make_suite, tmp_path, closes):
    """The ZAP handler is a thread of the service. With its end the port is closed, to everybody, until the service is started again."""
    suite, shim = make_suite(start=False), Shim(tmp_path)
    suite.start("control", env=shim.env if closes else shim.without("enforcement"), wait=False)
    wait_until(lambda: "closed to unknown keys" in suite.services["control"].said, "control opens its port")
    known, stranger = wire.read_secret(suite.home / "keys" / "ops-2.secret"), zmq.curve_keypair()[1]
    nodes = {node["name"]: node["key"] for node in json.loads((suite.home / "registry.json").read_text())["nodes"]}
    inside = reader.Peer(
        suite.settings["control"], nodes["control"].encode(), wire.read_secret(suite.home / "keys" / "ops-1.secret"), wire.LARGEST_CONTROL_FRAME)
    assert lets_in(suite, known) and not lets_in(suite, stranger), "with its guard in order"
    shim.end_guard()
    lets_in(suite, known)
    assert shim.guards_ended == 1
    shim.end_guard(False)
    assert lets_in(suite, stranger, times=3) == (not closes)
    if closes:
        assert not lets_in(suite, known, times=3), "nor is anybody else"
    else:
        # What stands behind it: whoever came in without a guard has no name, and nothing is done for them.
        assert greeted(suite, stranger) == ("refused", 7)
    inside.send("query", status=wire.governance.StatusQuery())
    assert inside.expect("answer", of="query"), "the session from before goes on"
    inside.close()
    suite.kill("control")
    suite.start("control", wait=False)
    wait_until(lambda: suite.cli("status", check=False).code == 0, "started again it lets in whom it knows")


def test_up_on_a_taken_port_says_so_in_one_line_and_ends(make_suite):
    suite = make_suite(start=False)
    with socket.socket() as other:
        other.bind(("127.0.0.1", suite.port("policy")))
        other.listen()
        done = subprocess.run(
            [binaries() / "sluice", "up", "--home", suite.home, "--agents", "0"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "another program has this port" in done.stderr, done.stderr


def test_a_home_that_may_not_be_used_is_named(make_suite, tmp_path):
    if os.geteuid() == 0:
        missing("setpriv")
        wrapper = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]
        programs = tmp_path / "bin"
        # The build may lie where nobody else may look.
        shutil.copytree(binaries(), programs, ignore=lambda folder, names: [n for n in names if not n.startswith("sluice") or "." in n])
        for folder in (programs, *tmp_path.parents):
            if str(folder).startswith("/tmp/") or folder == programs:
                folder.chmod(folder.stat().st_mode | 0o055)
        tmp_path.chmod(0o755)
    else:
        wrapper, programs = [], binaries()
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o700)
    if os.geteuid() != 0:
        shut.chmod(0)
    for command in (
        ["sluice", "up", "--agents", "0", "--home", str(shut / "home")], ["sluice-control", "--home", str(shut)],
        ["sluice", "status", "--home", str(shut)],
    ):
        done = subprocess.run(
            [*wrapper, str(programs / command[0]), *command[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert done.returncode > 0 and len(done.stderr.splitlines()) == 1, done
        assert str(shut) in done.stderr and ("ermission" in done.stderr), done.stderr
    shut.chmod(0o700)


def test_an_agents_and_an_operators_key_that_others_may_read_are_refused(make_suite):
    suite = make_suite()
    agent = suite.agent("ann")
    (agent.home / "agent.secret").chmod(0o644)
    done = subprocess.run([binaries() / "sluice-agent", "run", "--home", agent.home], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode > 0 and "may be read by others" in done.stderr
    (suite.home / "keys" / "ops-1.secret").chmod(0o640)
    outcome = suite.cli("status", check=False)
    assert outcome.code == 1 and len(outcome.err.splitlines()) == 1 and "may be read by others" in outcome.err
    (suite.home / "keys" / "ops-1.secret").chmod(0o600)
    assert suite.cli("status").code == 0


@pytest.mark.parametrize("content, word", [
    ("", "suite.json"), ("{", "suite.json"), ("[]", "suite.json"), ('{"leaseMilliseconds": 3000}', "suite.json"),
    (None, "leaseMilliseconds"), ("\x00\xff", "suite.json"),
], ids=["empty", "cut off", "a list", "half", "a lease of 5", "garbage"])
def test_settings_that_cannot_be_used_are_named(make_suite, content, word):
    suite = make_suite(start=False)
    path = suite.home / "suite.json"
    path.write_text(json.dumps({**suite.settings, "leaseMilliseconds": 5}) if content is None else content)
    for name in SERVICES:
        refuses(suite, name, word)


@pytest.mark.parametrize("content", ["", "{}", '{"nodes": [{"name": "x", "role": "king", "key": "y"}]}', '{"nodes": []}'])
def test_a_registry_that_cannot_be_used_is_named(make_suite, content):
    suite = make_suite(start=False)
    (suite.home / "registry.json").write_text(content)
    refuses(suite, "policy", "registry.json")


@pytest.mark.parametrize("hooks", ["{", '{"hooks": [{"name": "a", "url": "ftp://x/", "secrets": ["whsec_x"]}]}'])
def test_hooks_that_cannot_be_used_are_named(make_suite, hooks):
    suite = make_suite(start=False)
    path = suite.home / "notify.json"
    path.write_text(hooks)
    path.chmod(0o600)
    refuses(suite, "notify", "notify.json")
    path.chmod(0o644)
    refuses(suite, "notify", "notify.json", "chmod 600")


def test_documents_that_nest_without_end_are_refused_with_little_stack(make_suite, tmp_path):
    """FAULTS I02: 1 MiB for the main thread, and for each thread that asks for no more."""
    suite = make_suite(start=False)
    small = ["prlimit", "--stack=1048576:1048576"]
    depth = 100_000
    deep = {"array": b"[" * depth, "whole": b"[" * depth + b"]" * depth, "object": b'{"version":' * depth + b"1" + b"}" * depth}

    def run(program, *words):
        return subprocess.run(
            [*small, binaries() / program, *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    (tmp_path / "agent").mkdir(mode=0o700)
    kept = {name: (suite.home / name).read_bytes() for name in ("suite.json", "registry.json")}
    for what, content in deep.items():
        document = tmp_path / f"{what}.json"
        document.write_bytes(content)
        (tmp_path / "agent" / "agent.json").write_bytes(content)
        for program, words, name in (
            ("sluice", ("status", "--home", suite.home), "suite.json"), ("sluice-policy", ("--home", suite.home), "registry.json"),
            ("sluice-notify", ("--home", suite.home), "notify.json"), ("sluice-agent", ("run", "--home", tmp_path / "agent"), None),
            ("sluice", ("policy", "check", document), None), ("sluice", ("directory", "import", document, "--home", suite.home), None),
        ):
            if name:
                (suite.home / name).write_bytes(content)
                (suite.home / name).chmod(0o600)
            done = run(program, *words)
            named = name or (f"{what}.json" if program == "sluice" else "agent.json")
            assert done.returncode > 0 and named in done.stderr + done.stdout, (what, program, words, done)
            if name in kept:
                (suite.home / name).write_bytes(kept[name])
            elif name:
                (suite.home / name).unlink()
    # The controls: with as little, what is sound is taken; and who follows every level dies of it.
    assert run("sluice", "policy", "check", ROOT / "deploy" / "policy" / "policy.yaml").returncode == 0
    follow = "import json, sys; sys.setrecursionlimit(1 << 30); json.load(open(sys.argv[1]))"
    assert subprocess.run([*small, sys.executable, "-c", follow, tmp_path / "whole.json"], capture_output=True, timeout=60).returncode == -signal.SIGSEGV


DATABASES = {"control": "control/ledger.sqlite", "policy": "policy/vault.sqlite", "notify": "notify/outbox.sqlite", "agent": "agents/ann/spool.sqlite"}


@pytest.fixture(scope="module")
def once_rested(make_module_suite):
    suite = make_module_suite()
    agent = suite.agent("ann").run().expect(capturing=True)
    agent.type("a", "b", "c")
    assert agent.end_input() == 0
    suite.pause("--class", "review")
    wait_until(lambda: int(suite.service_status("notify").get("entries", 0)) >= 4, "notify has the pause")
    suite.terminate_all()
    return suite


@pytest.fixture
def rested(make_suite, once_rested):
    """A suite that has run, and does not now."""
    return make_suite(start=False, after=once_rested)


@pytest.mark.parametrize("name", list(DATABASES))
def test_a_database_from_a_newer_version_is_left_alone(rested, name):
    path = rested.home / DATABASES[name]

    def content():
        with contextlib.closing(sqlite3.connect(path)) as database:
            return list(database.iterdump()), database.execute("PRAGMA user_version").fetchone()

    with contextlib.closing(sqlite3.connect(path)) as database:
        if name == "notify":
            database.execute("INSERT INTO grdb_migrations VALUES ('999-of-next-year')")
        else:
            database.execute("PRAGMA user_version = 99")
        database.commit()
    before = content()
    refuses(rested, name, str(path), "newer")
    assert content() == before


@pytest.mark.parametrize("name", list(DATABASES))
def test_a_database_that_is_not_one_is_named(rested, name):
    path = rested.home / DATABASES[name]
    path.write_bytes(b"this is no database at all, whatever its name says" * 200)
    for more in ("-wal", "-shm"):
        path.with_name(path.name + more).unlink(missing_ok=True)
    refuses(rested, name, str(path), "not a database")


def test_a_journal_with_a_hole_in_it_is_not_served(rested):
    path = rested.home / DATABASES["control"]
    with sqlite3.connect(path) as database:
        removed = database.execute("DELETE FROM ledger_body WHERE number = 2").rowcount
    database.close()
    assert removed == 1
    refuses(rested, "control", "ledger", "entry 3", "missing")


def test_a_journal_with_a_flipped_page_is_not_served(rested):
    path = rested.home / DATABASES["control"]
    data = bytearray(path.read_bytes())
    # Every page but the first: whatever is in it.
    for page in range(4096, len(data), 4096):
        data[page:page + 64] = os.urandom(64)
    path.write_bytes(bytes(data))
    for more in ("-wal", "-shm"):
        path.with_name(path.name + more).unlink(missing_ok=True)
    refuses(rested, "control", str(path), "damaged", "backup")


# P08


def test_a_thousand_signals_a_second_to_every_thread_end_nothing_and_lose_nothing(make_suite, tmp_path):
    """Each interrupts whatever call waits, in the services and in an agent: EINTR is no end and no loss."""
    shim = Shim(tmp_path)
    # That the agent acknowledges is asked for, in a storm: it takes its time.
    suite = make_suite(start=False, lease_ms=3000)
    suite.start(env=shim.stormy)
    ann = suite.agent("ann").run(env=shim.stormy).expect(capturing=True)
    typist = Typist(ann, 0.005).start()
    begun = shim.signals
    wait_until(lambda: shim.signals > begun + 50_000 and typist.count > 500, "fifty thousand signals are taken")
    certificate = suite.expect_in_time(suite.pause())
    assert [a["how"] for a in certificate["agents"]] == ["STOP_HOW_ACKNOWLEDGED"]
    suite.resume()
    ann.expect(capturing=True)
    typist.expect_more(100).stop()
    wait_until(lambda: ann.status["accepted"] + sum(ann.status["refused"].values()) == len(typist.sent), "every key is accounted for")
    accepted = ann.expect_drained()["accepted"]
    found = suite.keys()
    # What the agent took between the command and its own stop is dropped by the fence, and counted.
    dropped = int(suite.service_status("policy")["counters"].get("events.dropped.closed", 0))
    assert len(found) + dropped == accepted > 500 and found == [key for key, _ in typist.sent if key in set(found)]
    assert ann.end_input() == 0 and suite.terminate_all() == dict.fromkeys(SERVICES, 0)
    # The control: they are signals that end who does not take them.
    plain = suite.adopt(Process([binaries() / "sluice-control", "--home", suite.home], suite.log("control")))
    wait_until(lambda: suite.log("control").read_text().count("closed to unknown keys") == 2 or not plain.is_running, "it runs")
    plain.signal(signal.SIGUSR2)
    assert plain.wait() == -signal.SIGUSR2
