"""Other systems report leaks over HTTP, and control closes what the rules say: bad bodies, replays, old secrets, storms, kills, and a control that is away."""

import base64
import datetime
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time

import pytest
import standardwebhooks
from harness import free_port_base, wait_until
from harness.processes import Process

OLD, TOKEN = "an-old-token-that-was-rotated-out", "the-token-of-this-very-test-run"
OLD_SECRET, SECRET = ("whsec_" + base64.b64encode(bytes([n] * 32)).decode() for n in (1, 2))
RULES = """
rules:
  - name: reviews-visible
    hook: alertmanager
    match: {alertname: "ReviewsVisible*", severity: critical}
    close: {direction: reading, classes: [review]}
    reason: reviews are visible outside the review cycle
  - name: keystrokes-outside
    hook: standard
    match: {type: leak.found, data.kind: "*keystrokes*"}
    close: {direction: both, teams: [search]}
    reason: the scanner has found keystrokes outside
  - name: mistyped
    hook: standard
    match: {type: leak.mistyped}
    close: {direction: reading, classes: [reviews]}
    reason: there is no such class
"""


@pytest.fixture(scope="module")
def hooked(make_module_suite):
    suite = make_module_suite(start=False)
    write(suite)
    suite.start()
    suite.start("hooks")
    suite.approved("register", "ann", "--subject", "E1", "--site", "berlin", "--team", "search")
    return suite


def write(suite, tokens=(TOKEN,), secrets=(SECRET,), rules=RULES):
    """What the doors go by; read again while they are open."""
    (suite.home / "hooks").mkdir(mode=0o700, exist_ok=True)
    for name, lines in (("alertmanager.tokens", tokens), ("standard.secrets", secrets)):
        new = suite.home / "hooks" / f"{name}.new"
        new.write_text("".join(f"{line}\n" for line in lines))
        new.chmod(0o600)
        new.rename(suite.home / "hooks" / name)
    (suite.home / "hooks.yaml").write_text(rules)


def port(suite):
    return suite.port_base + 7


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, dict(response.getheaders()), response.read()

    @property
    def json(self):
        return json.loads(self.body)


def post(suite, path, body, headers=None, method="POST", connection=None):
    """One request on a connection of its own, or on one that is there."""
    own = connection or http.client.HTTPConnection("127.0.0.1", port(suite), timeout=30)
    try:
        own.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
        return Answer(own.getresponse())
    finally:
        if connection is None:
            own.close()


def alert(name="ReviewsVisible", started="2026-11-26T10:00:00Z", status="firing", **labels):
    return {"status": status, "labels": {"alertname": name, "severity": "critical", **labels}, "annotations": {}, "startsAt": started, "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": "0"}


def group(*alerts, key="{}:{}"):
    return json.dumps({"version": "4", "groupKey": key, "truncatedAlerts": 0, "status": "firing", "receiver": "sluice", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "", "alerts": alerts})


def alerts(suite, *alerts, token=TOKEN, key="{}:{}", **more):
    return post(suite, "/hooks/alertmanager", group(*alerts, key=key), {"Authorization": f"Bearer {token}"}, **more)


def signed(suite, id, body, secret=SECRET, at=None, **more):
    """A message as the published library signs it."""
    at = at or datetime.datetime.now(datetime.timezone.utc)
    headers = {"webhook-id": id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": standardwebhooks.Webhook(secret).sign(id, at, body)}
    return post(suite, "/hooks/standard", body, {**headers, **more})


def counts(suite):
    return {name.removeprefix("hooks."): n for name, n in suite.status()["counters"].items() if name.startswith("hooks.")}


def closed(suite):
    return sorted((c["reason"], json.dumps(c["selector"])) for c in suite.cli("closures", "--json").json.get("closures", []))


def incidents(suite):
    return suite.cli("incidents", "--json").json.get("incidents", [])


def reopened(suite):
    """Everything is open, every incident is closed, and a test begins."""
    if closed(suite):
        suite.resume()
    for one in incidents(suite):
        if one["state"] != "closed":
            suite.cli("incidents", "--close", one["incident"])
    assert closed(suite) == []
    return suite


unique = iter(range(10**9))


def fresh(prefix="run"):
    return f"{prefix}-{os.getpid()}-{next(unique)}"


def test_a_reported_leak_closes_what_its_rule_says_opens_an_incident_and_is_taken_once(hooked):
    suite = reopened(hooked)
    before, known = counts(suite), len(incidents(suite))
    body = alert(pod=fresh()), alert("Other", pod=fresh())
    answer = alerts(suite, *body)
    assert (answer.status, answer.json) == (202, {"new": 2, "known": 0, "matched": 1})
    wait_until(lambda: closed(suite), "control closes")
    [(reason, selector)] = closed(suite)
    assert reason == "reviews are visible outside the review cycle: rule reviews-visible, hook alertmanager" and json.loads(selector) == {"classes": ["review"]}
    [closure] = suite.cli("closures", "--json").json["closures"]
    assert closure["author"] == "detector report" and "READ" in closure["direction"].upper()
    assert len(incidents(suite)) == known + 1
    # Again, by another connection, and with something new beside it.
    assert alerts(suite, *body).json == {"new": 0, "known": 2, "matched": 0}
    assert alerts(suite, alert(status="resolved"), *body).json["matched"] == 0, "what is over opens and closes nothing"
    wait_until(lambda: counts(suite).get("known", 0) - before.get("known", 0) >= 4 and counts(suite).get("waiting") == 0, "all of it is counted")
    after = counts(suite)
    assert after["matched"] - before.get("matched", 0) == 1 and after["unmatched"] - before.get("unmatched", 0) == 1
    assert len(incidents(suite)) == known + 1 and len(closed(suite)) == 1
    assert "no rule matches" in suite.cli("status").out and suite.cli("ledger", "verify").code == 0
    # Basic, for whoever has no other way.
    password = base64.b64encode(f"alertmanager:{TOKEN}".encode()).decode()
    assert post(suite, "/hooks/alertmanager", group(*body), {"Authorization": f"Basic {password}"}).json["known"] == 2


def test_a_report_that_no_rule_matched_closes_when_it_comes_again_and_the_rules_are_mended(hooked):
    suite = reopened(hooked)
    one = alert("WikiOpen", pod=fresh())
    assert alerts(suite, one).json == {"new": 1, "known": 0, "matched": 0}
    assert alerts(suite, one).json == {"new": 0, "known": 1, "matched": 0}
    write(suite, rules=RULES.replace("ReviewsVisible*", "WikiOpen"))
    wait_until(lambda: alerts(suite, one).json == {"new": 0, "known": 1, "matched": 1}, "the rules are read again, and so is it", every=0.5)
    wait_until(lambda: closed(suite), "control closes")
    assert alerts(suite, one).json == {"new": 0, "known": 1, "matched": 0}, "once"
    write(suite)
    reopened(suite)
    wait_until(lambda: alerts(suite, alert(pod=fresh())).json["matched"] == 1, "the old rules are in force again", every=0.5)
    wait_until(lambda: closed(suite), "control closes")
    reopened(suite)


def test_a_rule_that_names_what_nobody_knows_closes_everything(hooked):
    """It would stop nothing, and look like a stop."""
    suite = reopened(hooked)
    assert signed(suite, fresh("msg"), json.dumps({"type": "leak.mistyped"})).json["matched"] == 1
    wait_until(lambda: closed(suite), "control closes")
    assert [json.loads(s) for _, s in closed(suite)] == [{}]
    reopened(suite)


def test_a_signed_message_closes_by_its_fields_and_its_replay_closes_nothing(hooked):
    suite = reopened(hooked)
    body = json.dumps({"type": "leak.found", "data": {"kind": "a file with keystrokes", "host": "wiki"}})
    id = fresh("msg")
    assert signed(suite, id, body).json == {"new": 1, "known": 0, "matched": 1}
    wait_until(lambda: closed(suite), "control closes")
    assert [json.loads(s) for _, s in closed(suite)] == [{"teams": ["search"]}]
    suite = reopened(suite)
    assert signed(suite, id, body).json == {"new": 0, "known": 1, "matched": 0}
    assert signed(suite, fresh("msg"), json.dumps({"type": "leak.found", "data": {"kind": "a file"}})).json == {"new": 1, "known": 0, "matched": 0}
    wait_until(lambda: counts(suite).get("waiting") == 0, "nothing waits")
    assert closed(suite) == []


def test_who_cannot_show_who_they_are_is_not_read(hooked):
    suite = reopened(hooked)
    body = json.dumps({"type": "leak.found", "data": {"kind": "keystrokes"}})
    now = datetime.datetime.now(datetime.timezone.utc)
    before = counts(suite)

    def shifted(seconds):
        return now + datetime.timedelta(seconds=seconds)

    headers = {"webhook-id": "x", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": standardwebhooks.Webhook(SECRET).sign("x", now, body)}
    tried = [
        alerts(suite, alert(pod=fresh()), token=OLD), alerts(suite, alert(pod=fresh()), token=TOKEN + "x"), post(suite, "/hooks/alertmanager", group(alert())),
        signed(suite, fresh(), body, secret=OLD_SECRET), signed(suite, fresh(), body, at=shifted(-400)), signed(suite, fresh(), body, at=shifted(400)),
        signed(suite, fresh(), body, **{"webhook-signature": "v1," + base64.b64encode(bytes(32)).decode()}),
        post(suite, "/hooks/standard", body, {**headers, "webhook-id": "y"}), post(suite, "/hooks/standard", body + " ", headers), post(suite, "/hooks/standard", body),
        post(suite, "/hooks/standard", body, {**headers, "webhook-timestamp": "soon"}), post(suite, "/hooks/standard", body, {**headers, "webhook-signature": "v1a," + headers["webhook-signature"][3:]}),
    ]
    assert [answer.status for answer in tried] == [401] * len(tried)
    assert signed(suite, fresh(), body, at=shifted(-200)).status == 202, "the control: within five minutes"
    wait_until(lambda: counts(suite)["unauthenticated"] - before["unauthenticated"] == len(tried), "each is counted")
    wait_until(lambda: closed(suite), "the control closes")
    assert len(closed(suite)) == 1


def test_while_two_secrets_count_either_signs_and_one_that_was_taken_out_signs_no_more(hooked):
    suite = reopened(hooked)
    body = json.dumps({"type": "nothing"})

    def statuses():
        return [signed(suite, fresh(), body, secret=s).status for s in (OLD_SECRET, SECRET)] + [alerts(suite, alert("Other", pod=fresh()), token=t).status for t in (OLD, TOKEN)]

    assert statuses() == [401, 202, 401, 202]
    write(suite, tokens=(OLD, TOKEN), secrets=(OLD_SECRET, SECRET))
    wait_until(lambda: statuses() == [202] * 4, "both count, without a restart", every=0.5)
    write(suite)
    wait_until(lambda: statuses() == [401, 202, 401, 202], "the old ones count no more", every=0.5)


def test_what_is_no_report_is_refused_whole_and_the_doors_stay_open(hooked):
    suite = reopened(hooked)
    bearer = {"Authorization": f"Bearer {TOKEN}"}

    def status(body, **headers):
        return post(suite, "/hooks/alertmanager", body, {**bearer, **headers}).status

    deep = '{"a":' * 100_000 + "1" + "}" * 100_000
    assert [status(body) for body in (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"version":"3"}', deep.encode(), ("[" * 200_000).encode(), group(alert()).replace("startsAt", "startedAt"))] == [400] * 9
    assert [status(group(alert()), **{"Content-Type": kind}) for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx")] == [415] * 3
    assert status(group(alert()), **{"Content-Encoding": "gzip"}) == 415
    assert status(b"x" * ((1 << 20) + 1)) == 413
    # It says that it is short, or nothing, and goes on.
    with socket.create_connection(("127.0.0.1", port(suite)), timeout=30) as door:
        door.sendall(f"POST /hooks/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        try:
            for _ in range(200):
                door.sendall(chunk)
        except OSError:
            pass
        said = b""
        try:
            while data := door.recv(4_096):
                said += data
        except OSError:
            pass
    assert said.startswith(b"HTTP/1.1 413") or said == b"", said[:100]
    assert [post(suite, path, b"", method=method).status for method, path in (("GET", "/hooks/alertmanager"), ("POST", "/"), ("GET", "/../../etc/passwd"), ("DELETE", "/hooks/standard"), ("GET", "/health"))] == [405, 404, 404, 405, 200]
    with socket.create_connection(("127.0.0.1", port(suite)), timeout=30) as door:
        door.sendall(b"\x16\x03\x01\x02\x00" + bytes(range(256)) * 4 + b"\r\n\r\n")
        door.recv(4_096)
    assert alerts(suite, alert("Other", pod=fresh())).status == 202, "the doors are open"
    assert closed(suite) == []


def test_who_sends_slowly_is_let_go_and_keeps_nobody_out(hooked):
    """Ten seconds for a request, however it is dripped; 64 connections, 48 of this machine."""
    suite = reopened(hooked)
    crowded = counts(suite).get("crowded", 0)
    head = f"POST /hooks/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 1000\r\n\r\n".encode()
    doors = [socket.create_connection(("127.0.0.1", port(suite)), timeout=60) for _ in range(64)]
    for n, door in enumerate(doors):
        door.sendall(head if n % 2 else b"POST /hooks/alert")
    ended = set()

    def all_ended():
        for n, door in enumerate(doors):
            if n in ended:
                continue
            try:
                door.setblocking(False)
                if door.recv(4_096) == b"":
                    ended.add(n)
            except BlockingIOError:
                try:
                    door.send(b"x")  # One byte more.
                except OSError:
                    ended.add(n)
            except OSError:
                ended.add(n)
        return len(ended) == len(doors)

    wait_until(all_ended, "each is let go", every=0.5)
    for door in doors:
        door.close()
    assert alerts(suite, alert("Other", pod=fresh())).status == 202
    wait_until(lambda: counts(suite)["crowded"] - crowded >= 16, "what was more than this machine's share ended at once")


def test_a_flood_is_asked_to_wait_and_told_for_how_long(hooked):
    suite = reopened(hooked)
    connection = http.client.HTTPConnection("127.0.0.1", port(suite), timeout=30)
    refused, n = None, 0
    while refused is None and n < 20_000:
        answer = post(suite, "/hooks/nothing", b"", connection=None if n % 50 == 0 else None)
        n += 1
        if answer.status == 429:
            refused = answer
    connection.close()
    assert refused is not None, "strangers have their bound"
    assert int(refused.headers["Retry-After"]) >= 1
    assert alerts(suite, alert("Other", pod=fresh())).status == 202, "and nobody's allowance is used up by them"


LONG = bool(os.environ.get("SLUICE_LONG"))
REQUESTS, EACH = (1_000, 100) if LONG else (60, 25)


@pytest.mark.limit(400)
def test_a_storm_is_one_incident_and_counted_whole_and_the_suite_answers_meanwhile(hooked):
    """100,000 alerts in a minute with SLUICE_LONG=1."""
    suite = reopened(hooked)
    before, known = counts(suite), len(incidents(suite))
    run, began, asked = fresh("storm"), time.monotonic(), 0
    connection = http.client.HTTPConnection("127.0.0.1", port(suite), timeout=60)
    for request in range(REQUESTS):
        body = [alert(pod=f"{run}-{request}-{n}") for n in range(EACH)]
        while True:
            answer = alerts(suite, *body, key=run, connection=connection)
            if answer.status == 202:
                break
            assert answer.status in (429, 503), answer.body
            time.sleep(int(answer.headers["Retry-After"]))
        if request % (REQUESTS // 10) == 0:
            assert suite.cli("status", "--json", within=20).code == 0
            asked += 1
    connection.close()
    wait_until(lambda: counts(suite)["matched"] - before.get("matched", 0) == REQUESTS * EACH and counts(suite)["waiting"] == 0, "all of it is counted, and control has it")
    took = time.monotonic() - began
    assert asked == 10 and len(closed(suite)) == 1
    assert len(incidents(suite)) == known + 1, "one incident"
    steps = suite.cli("incident", "show", known + 1, "--json").json["steps"]
    told = [int(found.group(1)) if (found := re.search(r"\((\d+) reports\)", step["text"])) else 1 for step in steps if step["what"] == "found"]
    assert sum(told) == REQUESTS * EACH and len(told) <= took + 3, "each of its findings says of how many it is"


def test_what_was_answered_is_not_lost_when_control_is_away_and_the_doors_are_killed(make_suite):
    suite = make_suite(start=False)
    write(suite)
    suite.start()
    suite.start("hooks")
    wait_until(lambda: "requests" in counts(suite), "control has heard it")
    suite.kill("control")
    assert alerts(suite, alert(pod="first")).status == 202, "it is on the disk"
    suite.kill("hooks")
    suite.start("hooks", wait=False)
    wait_until(lambda: "for reports" in suite.services["hooks"].said and suite.services["hooks"].is_running, "the doors are open")
    wait_until(lambda: answers(suite), "they answer")
    assert alerts(suite, alert(pod="first")).json == {"new": 0, "known": 1, "matched": 0}
    suite.start("control")
    wait_until(lambda: closed(suite), "control has it")
    wait_until(lambda: counts(suite).get("waiting") == 0 and counts(suite).get("answered") == 1, "and says so")
    assert len(incidents(suite)) == 1 and len(closed(suite)) == 1
    # Killed between what it stored and what it said: the sender comes again, and it is one.
    suite.terminate("hooks")
    suite.start("hooks", env={"SLUICE_FAULT": "after-report-stored:1"}, wait=False)
    wait_until(lambda: answers(suite), "they answer")
    with pytest.raises((http.client.HTTPException, OSError)):
        alerts(suite, alert(pod="second"))
    suite.services["hooks"].wait()
    suite.start("hooks", wait=False)
    wait_until(lambda: answers(suite), "they answer")
    assert alerts(suite, alert(pod="second")).json == {"new": 0, "known": 1, "matched": 0}
    wait_until(lambda: counts(suite).get("waiting") == 0 and counts(suite).get("answered") == 2, "control has it")
    assert len(incidents(suite)) == 1, "it joins what is closed already"


def answers(suite):
    try:
        return post(suite, "/health", b"", method="GET").status == 200
    except OSError:
        return False


def test_a_real_alertmanager_reports_and_the_suite_stops(make_suite, tmp_path):
    program = shutil.which("prometheus-alertmanager")
    if not program:
        pytest.skip("needs the Debian package prometheus-alertmanager")
    suite = make_suite(start=False)
    write(suite)
    # Its own would be a port of the suite's, where nobody is told anything.
    own = free_port_base() + 1
    suite.write_hooks([], alertmanager={"url": f"http://127.0.0.1:{own}", "allow_private": True, "labels": {"site": "berlin"}})
    suite.start()
    suite.start("hooks")
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "alertmanager.yml").write_text(f"""
route:
  {{receiver: sluice, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1m, routes: [{{receiver: nobody, matchers: [alertname="SluiceIncident"]}}]}}
receivers:
  - name: nobody
  - name: sluice
    webhook_configs:
      - url: http://127.0.0.1:{port(suite)}/hooks/alertmanager
        send_resolved: true
        http_config: {{authorization: {{credentials_file: {tmp_path}/token}}}}
""")
    manager = suite.adopt(Process(
        [program, f"--config.file={tmp_path}/alertmanager.yml", f"--storage.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{own}", "--cluster.listen-address="], tmp_path / "alertmanager.log"))

    def told(ends):
        connection = http.client.HTTPConnection("127.0.0.1", own, timeout=10)
        try:
            body = [{"labels": {"alertname": "ReviewsVisibleToAll", "severity": "critical", "pod": n}, "startsAt": "2026-11-26T10:00:00Z", "endsAt": ends} for n in "abc"]
            connection.request("POST", "/api/v2/alerts", json.dumps(body), {"Content-Type": "application/json"})
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    wait_until(lambda: told("2099-01-01T00:00:00Z") or not manager.is_running, "Alertmanager takes alerts")
    assert manager.is_running, manager.said
    wait_until(lambda: closed(suite), "they arrive, and control closes")
    assert [json.loads(s) for _, s in closed(suite)] == [{"classes": ["review"]}]
    wait_until(lambda: counts(suite).get("matched") == 3, "all three are counted")
    assert told("2026-11-26T10:00:01Z")
    wait_until(lambda: counts(suite).get("resolved") == 3, "that they are over is counted")
    assert len(incidents(suite)) == 1 and len(closed(suite)) == 1, "and opens nothing"

    # And out: the incident is an alert there, for as long as it lasts.
    def shown():
        connection = http.client.HTTPConnection("127.0.0.1", own, timeout=10)
        try:
            connection.request("GET", "/api/v2/alerts?filter=alertname%3D%22SluiceIncident%22")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    first, = wait_until(shown, "Alertmanager has the incident")
    number = incidents(suite)[0]["incident"]
    assert first["labels"] == {"alertname": "SluiceIncident", "incident": str(number), "severity": "critical", "class": "review", "site": "berlin"}
    assert first["status"]["state"] == "active" and first["annotations"]["summary"] == incidents(suite)[0]["title"]
    suite.restart("notify")
    again, = wait_until(lambda: [a for a in shown() if a["updatedAt"] != first["updatedAt"]], "it is told again after a kill, by the ledger alone")
    assert {k: again[k] for k in ("labels", "startsAt", "fingerprint")} == {k: first[k] for k in ("labels", "startsAt", "fingerprint")}
    suite.resume()
    assert shown(), "what is open again is not over yet"
    suite.cli("incidents", "--close", number)
    wait_until(lambda: not shown(), "it is over with the incident")
    assert not suite.cli("deliveries", "--json").json.get("deliveries"), "nothing waits"
    assert suite.cli("notify", "test", "alertmanager").out == "alertmanager has taken it: HTTP 200\n"
    # Away, it is shown as a hook would be.
    manager.end()
    suite.pause("--class", "content")
    failing = wait_until(lambda: suite.cli("deliveries", "--json").json.get("deliveries"), "what it has not taken is listed")
    assert [(d["channel"], d["state"]) for d in failing] == [("alertmanager", "waiting")] and failing[0]["last_error"]
    wait_until(lambda: "ALERTS" in suite.cli("status").out, "and status says so")
