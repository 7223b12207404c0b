"""FAULTS M05: too much at once. Operators get a few mails and one that has the rest; nothing is lost, and who waits longest waits a minute."""

import email
import email.policy
import re

from harness import wait_until
from harness.asking import wire
from harness.notices import session
from harness.signing import Operator
from test_mail import OK, make_server, place, settle  # noqa: F401 - fixtures

PAUSES = 150


def test_of_a_storm_of_pauses_operators_get_the_first_at_once_and_the_rest_in_one_mail(make_suite, place, make_server):  # noqa: F811
    suite, server = make_suite(start=False), make_server()
    settle(suite, place, server)
    suite.start()
    governance = wire().governance
    with session(suite.home, "control") as ask:
        for number in range(PAUSES):
            body = governance.Command(pause=governance.Pause(reason=f"storm of E{number}."))
            ask("outcome", "command", **Operator(suite.home).command(body.SerializeToString()))

    def told():
        """Of whom a mail speaks, and the mails."""
        mails = [email.message_from_bytes(content, policy=email.policy.default) for content in server.mails(OK)]
        texts = [part.get_content() for mail in mails for part in mail.walk() if part.get_content_maintype() == "text"]
        found = {one for text in texts for one in re.findall(r"storm of (E\d+)\.", text if isinstance(text, str) else text.decode())}
        return found, mails

    wait_until(lambda: "E0" in told()[0], "the first is told at once")
    found, mails = wait_until(lambda: (all_of_it := told()) and len(all_of_it[0]) == PAUSES and all_of_it, "each is told", within=180)
    joined = [mail for mail in mails if "that came at once" in mail["Subject"]]
    assert joined and len(mails) < PAUSES, [mail["Subject"] for mail in mails]
    wait_until(lambda: int(suite.service_status("notify")["counters"].get("mails.joined", 0)) > 0, "it is counted")
    assert "came too many at once" in suite.cli("status").out
