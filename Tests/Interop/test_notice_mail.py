"""The mail of a notice, read by Python's own parser: what Tests/NoticesTests compares to the byte is a mail to others, too."""

import email
import email.policy
from pathlib import Path

MAIL = Path(__file__).with_name("notice.eml")


def test_a_notice_is_a_mail_to_another_parser():
    data = MAIL.read_bytes()
    assert data.replace(b"\r\n", b"").count(b"\n") == data.replace(b"\r\n", b"").count(b"\r") == 0 and max(map(len, data.split(b"\r\n"))) <= 76
    message = email.message_from_bytes(data, policy=email.policy.default)
    parts = list(message.walk())
    assert [part.get_content_type() for part in parts] == ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "text/plain"]
    assert not any(part.defects for part in parts) and not any(header.defects for header in message.values())
    assert message["Subject"] == "Ihre Daten waren für andere lesbar: Mitteilung zu Vorfall 7"
    assert [(a.display_name, a.addr_spec) for a in message["To"].addresses] == [("Zoë Quandt", "zoe@xn--bcher-kva.example")]
    assert [(a.display_name, a.addr_spec) for a in message["From"].addresses] == [("Example AG, data protection", "sluice@example.org")]
    assert message["Message-ID"] == "<notice-7-zoe@example.org>" and message["Auto-Submitted"] == "auto-generated" and message["Date"].datetime.isoformat() == "2026-11-26T13:28:12+00:00"
    text, html = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))
    assert "Beurteilungen Ihrer Arbeit" in text and "WEN SIE FRAGEN KÖNNEN" in text and "<h2>Wen Sie fragen können</h2>" in html and html.rstrip().endswith("</html>")
    (proof,) = message.iter_attachments()
    assert proof.get_filename() == "read-17.tlog-proof" and proof.get_content() == "c2sp.org/tlog-proof@v1\nindex 16\n"
