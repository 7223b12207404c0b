"""Policy tries pages as an ordinary employee: what hangs, redirects for ever, never ends or leads to a private address is bounded and no finding; what everybody gets is one."""

import http.server
import threading

import pytest
from harness import wait_until
from test_findings import closed, limited
from test_releases import apply, grant


class Pages(http.server.ThreadingHTTPServer):
    """Each path does what it is called."""

    daemon_threads = True

    def __init__(self):
        self.asked, self.sent, self.headers_of, self.open = {}, {}, {}, threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path, host="127.0.0.1"):
        return f"http://{host}:{self.server_address[1]}/{path}"

    def handle_error(self, request, client_address):
        """Whoever is cut off is no error."""


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        pages, path = self.server, self.path.strip("/")
        pages.asked[path] = pages.asked.get(path, 0) + 1
        pages.headers_of[path] = dict(self.headers)
        if path == "hangs":
            pages.open.wait(60)
        elif path == "circle":
            self.answer(302, Location="/circle")
        elif path == "elsewhere":
            self.answer(302, Location=pages.url("private", "localhost"))
        elif path == "far":
            # One redirect more than is followed.
            self.answer(302, Location="/far1")
        elif path.startswith("far") and path != "far4":
            self.answer(302, Location=f"/far{int(path[3:]) + 1}")
        elif path == "near":
            self.answer(302, Location="/near1")
        elif path.startswith("near") and path != "near3":
            self.answer(302, Location=f"/near{int(path[4:]) + 1}")
        elif path == "endless":
            self.send_response(200)
            self.send_header("Content-Length", str(10 << 30))
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65_536)
                    pages.sent[path] = pages.sent.get(path, 0) + 65_536
            except OSError:
                pass
        elif path == "login":
            self.answer(200, b"sign in to see reviews")
        elif path == "late":
            # The marker, a byte behind what is read.
            self.answer(200, b"x" * 65_536 + b"REVIEW")
        elif path == "denied":
            self.answer(403, b"REVIEW")
        else:
            self.answer(200, b"a page with a REVIEW in it")


@pytest.fixture
def pages():
    server = Pages()
    yield server
    server.open.set()
    server.shutdown()
    server.server_close()


def reaction(*urls):
    return [{"detector": "outsider", "close": "reading", "of": "class", "urls": list(urls)}]


def page(url, private=("127.0.0.1",), marker="REVIEW", **more):
    return {"url": url, **({"marker": marker} if marker else {}), "class": "review", **({"private": list(private)} if private else {}), **more}


def test_pages_that_hang_redirect_never_end_or_are_private_are_bounded_and_one_that_everybody_gets_is_found(make_suite, pages):
    suite = make_suite(start=False)
    (suite.home / "policy").mkdir(mode=0o700, exist_ok=True)
    (suite.home / "policy" / "outsider.headers").write_text("Authorization: Bearer an-employee\n")
    (suite.home / "policy" / "outsider.headers").chmod(0o600)
    suite.start()
    grants = [grant("few", classes=["review", "activity"])]
    short = [page(pages.url(path)) for path in ("hangs", "circle", "elsewhere", "far", "endless", "login", "late", "denied")]
    apply(suite, limited(*grants, leaks=reaction(*short, page(pages.url("private", "localhost"), private=()), page(pages.url("unnamed"), private=("localhost",)))), "short.json")
    wait_until(lambda: pages.asked.get("denied", 0) >= 2 and pages.asked.get("hangs", 0) >= 2, "each is tried, and again")
    wait_until(lambda: suite.service_status("policy")["counters"].get("probes.pages", 0) >= 20, "two rounds")
    assert closed(suite) == [], "one short of a finding, each"
    assert "private" not in pages.asked and "unnamed" not in pages.asked, "no private address is asked but by name"
    # The one is asked right after the other, and a round may be under way.
    wait_until(lambda: pages.asked["circle"] == 4 * pages.asked["denied"], "three redirects")
    assert "far4" not in pages.asked, "three redirects"
    assert pages.sent["endless"] < 64 << 20, "little more than what is in flight"
    assert pages.headers_of["login"]["Authorization"] == "Bearer an-employee"
    counters = suite.service_status("policy")["counters"]
    # hangs, circle, elsewhere, far, private, unnamed: of these nothing is known.
    assert counters["probes.pages.failed"] >= 12, counters
    said = suite.log("policy").read_text()
    unknown = [*(pages.url(path) for path in ("hangs", "circle", "elsewhere", "far")), pages.url("private", "localhost"), pages.url("unnamed")]
    assert [said.count(f" {url} cannot be tried as an ordinary employee") for url in unknown] == [1] * 6, "each once"
    # endless, late: their markers may stand behind what is read. Neither guarded nor a finding, and shown.
    assert counters["probes.pages.undecided"] >= 4, counters
    assert said.count("whether an ordinary employee gets it cannot be told") >= 2, said
    assert "pages of the policy's leaks cannot be judged" in suite.cli("status").out
    # What everybody gets, three redirects on, by a name.
    apply(suite, limited(*grants, leaks=reaction(*short, page(pages.url("near", "localhost"), private=("localhost",)))), "near.json")
    wait_until(lambda: closed(suite), "it is found")
    assert closed(suite) == [("detector outsider", {"classes": ["review"]})]
    [closure] = suite.cli("closures", "--json").json["closures"]
    assert pages.url("near", "localhost") in closure["reason"]
