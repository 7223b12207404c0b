"""Names that lead inside, by a name server that says so (FAULTS: H02): nothing is sent there by webhooks, to Alertmanager or to pages, unless it was asked for by name."""

import http.server
import json
import threading

import pytest
from harness import Receiver, wait_until
from harness.nameserver import NameServer, asking_only_it
from harness.networks import Net, need_namespaces
from test_findings import closed, counters, limited
from test_pages import page, reaction
from test_releases import apply, grant

# Somebody's on the internet; in the namespace it is the test's. At the second nobody listens.
PUBLIC, SILENT = "93.184.215.14", "93.184.215.15"
# What nobody may be led to, and what may be asked for by name.
INSIDE, LOOPBACK, ALLOWED = "10.0.0.5", "127.0.0.1", "10.0.0.6"
PORT = 8080

ZONE = {
    "moves.test": [[PUBLIC], [INSIDE]],
    "both.test": [[INSIDE, LOOPBACK, PUBLIC]],
    "half.test": [[SILENT, INSIDE, LOOPBACK]],
    "alias.test": ["more.alias.test"],
    "more.alias.test": ["internal.test"],
    "internal.test": [[INSIDE]],
    "mapped.test": [[f"::ffff:{LOOPBACK}", f"::ffff:{INSIDE}"]],
    "allowed.test": [[ALLOWED]],
    "allowed-mapped.test": [[f"::ffff:{ALLOWED}"]],
    "allowed-alias.test": ["allowed.test"],
}
NOT_THE_INTERNETS = "its address is not the internet's"


@pytest.fixture
def net():
    need_namespaces("mount")
    net = Net()
    try:
        if why := net.make():
            pytest.skip(why)
        net.has(PUBLIC, SILENT, INSIDE, ALLOWED)
        yield net
    finally:
        net.end()


@pytest.fixture
def names(net):
    server = NameServer(net, ZONE)
    yield server
    server.close()


@pytest.fixture
def suite(make_suite, net):
    """One of whose services a part can run in the namespace: all meet on the way there."""
    suite = make_suite(start=False)
    suite.settings["control"] = f"tcp://{net.host}:{suite.port('control')}"
    (suite.home / "suite.json").write_text(json.dumps(suite.settings))
    return suite


def move(suite, service, net):
    """Has this service run in the namespace: the words for its start."""
    suite.settings[service] = f"tcp://{net.there}:{suite.port(service)}"
    (suite.home / "suite.json").write_text(json.dumps(suite.settings))
    return asking_only_it(net, suite.folder)


def refused(suite):
    """By the name of the hook: why the last attempt to tell it has failed."""
    return {one["channel"]: one["last_error"] for one in suite.cli("deliveries", "--json").json.get("deliveries", []) if one.get("last_error")}


def test_no_webhook_goes_inside_by_a_name_that_leads_there(suite, net, names):
    at = {address: net.within(lambda address=address: Receiver(place=(address, PORT))) for address in (PUBLIC, ALLOWED, INSIDE, LOOPBACK)}
    hooks = [{"name": name, "url": f"http://{name}.test:{PORT}/{name}", "secrets": [at[PUBLIC].secret]} for name in ("moves", "both", "half", "alias", "mapped")]
    # The controls: with leave by name each way inside is a way.
    hooks += [{"name": name, "url": f"http://{name}.test:{PORT}/{name}", "secrets": [at[ALLOWED].secret], "allow_private": True} for name in ("allowed", "allowed-mapped", "allowed-alias")]
    suite.write_hooks(hooks, alertmanager={"url": f"http://alias.test:{PORT}"})
    wrapper = move(suite, "notify", net)
    suite.start("notify", wrapper=wrapper, wait=False)
    suite.start("control", "policy", "ingest")
    suite.expect_serving()
    suite.pause("--all")

    def told(address, name, kind="gate.paused"):
        with at[address].lock:
            return any(path == f"/{name}" and status == 200 and json.loads(body)["type"] == kind for (status, _, body), path in zip(at[address].requests, at[address].paths))

    for name in ("moves", "both"):
        wait_until(lambda: told(PUBLIC, name), f"{name} is told where it leads to on the internet")
    assert names.asked["moves.test"] == 1, "asked once, and what was judged is what was connected to"
    for name in ("allowed", "allowed-mapped", "allowed-alias"):
        wait_until(lambda: told(ALLOWED, name), f"{name} is told inside, since that was asked for")
    for name in ("half", "alias", "mapped", "alertmanager"):
        wait_until(lambda: NOT_THE_INTERNETS in refused(suite).get(name, ""), f"{name} is refused, and listed with its reason")
    assert not {"moves", "both", "allowed", "allowed-mapped", "allowed-alias"} & set(refused(suite))
    # Another process knows of no answer: it asks, and the name has moved inside.
    suite.kill("notify")
    suite.start("notify", wrapper=wrapper)
    suite.resume()
    wait_until(lambda: told(PUBLIC, "both", "gate.resumed"), "both is told")
    wait_until(lambda: NOT_THE_INTERNETS in refused(suite).get("moves", ""), "the other is refused")
    assert names.asked["moves.test"] >= 2
    assert not told(PUBLIC, "moves", "gate.resumed")
    assert (at[INSIDE].connections, at[LOOPBACK].connections) == (0, 0), "nobody was connected to who was not asked for"


def test_no_page_is_tried_inside_by_a_name_that_leads_there(suite, net, names):
    public, allowed, inside, loopback = servers = [net.within(lambda address=address: Pages((address, PORT))) for address in (PUBLIC, ALLOWED, INSIDE, LOOPBACK)]
    try:
        suite.start("policy", wrapper=move(suite, "policy", net), wait=False)
        suite.start("control", "notify", "ingest")
        suite.expect_serving()
        url = lambda name: f"http://{name}.test:{PORT}/{name}"  # noqa: E731
        tried = [page(url(name), private=()) for name in ("moves", "both", "half", "alias", "mapped")]
        # The controls: asked for by name, each way inside is a way.
        tried += [page(url(name), private=(f"{name}.test",)) for name in ("allowed", "allowed-mapped", "allowed-alias")]
        apply(suite, limited(grant("few", classes=["review", "activity"]), leaks=reaction(*tried)), "first.json")
        said = lambda: suite.log("policy").read_text()  # noqa: E731
        for name in ("moves", "half", "alias", "mapped"):
            wait_until(lambda: f"{url(name)} cannot be tried as an ordinary employee: privateAddress" in said(), f"{name} leads inside")
        for name in ("allowed", "allowed-mapped", "allowed-alias"):
            wait_until(lambda: allowed.asked.get(name), f"{name} is tried inside, since that was asked for")
        assert public.asked["moves"] == 1, "before it moved"
        wait_until(lambda: public.asked.get("both", 0) >= 2, "and the one that leads to the internet too is tried there")
        assert f"{url('both')} cannot be tried" not in said()
        assert (inside.connections, loopback.connections) == (0, 0), "nobody was connected to who was not asked for"
        assert closed(suite) == [] and counters(suite)["probes.pages.failed"] >= 4
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class Pages(http.server.ThreadingHTTPServer):
    """Pages that nobody gets; it counts who comes."""

    daemon_threads = True

    def __init__(self, place):
        self.asked, self.connections = {}, 0
        super().__init__(place, Guarded)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def verify_request(self, request, client_address):
        self.connections += 1
        return True


class Guarded(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/")
        self.server.asked[name] = self.server.asked.get(name, 0) + 1
        self.send_response(403)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass
