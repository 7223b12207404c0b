"""Presidio's pattern recognisers over the texts that `sluice bench detection` is measured on, in the same words.

Run:   python Tests/Bench/presidio.py LABELLED.ndjson[.gz] [CHAT.txt]     (pip install presidio-analyzer)
Prints one JSON object: found, missed and false findings of each type, megabytes a second of processor time.

No language model is loaded: card, mail, phone (by libphonenumber), SSN, IBAN and IP are patterns there as here.
"""

import gzip
import json
import logging
import sys
import time
from collections import Counter
from importlib.metadata import version

from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    PhoneRecognizer,
    UsSsnRecognizer,
)

TYPES = {
    "CREDIT_CARD": "card",
    "EMAIL_ADDRESS": "mail",
    "PHONE_NUMBER": "phone",
    "US_SSN": "ssn",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
}


def main() -> None:
    logging.disable(logging.CRITICAL)
    recognisers = [kind() for kind in (CreditCardRecognizer, EmailRecognizer, PhoneRecognizer, UsSsnRecognizer, IbanRecognizer, IpRecognizer)]

    def find(text):
        return [result for recogniser in recognisers for result in recogniser.analyze(text, recogniser.supported_entities, None) or []]

    opener = gzip.open if sys.argv[1].endswith(".gz") else open
    with opener(sys.argv[1], "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]

    found, missed, false = Counter(), Counter(), Counter()
    began = time.process_time()
    results = [find(row["text"]) for row in rows]
    seconds = time.process_time() - began
    for row, findings in zip(rows, results):
        for label, kind in TYPES.items():
            spans = [(span["start"], span["end"]) for span in row["spans"] if span["type"] == label]
            ours = [(result.start, result.end) for result in findings if result.entity_type == label]
            for start, end in spans:
                (found if any(a < end and start < b for a, b in ours) else missed)[kind] += 1
            for a, b in ours:
                if not any(a < end and start < b for start, end in spans):
                    false[kind] += 1
    answer = {
        "version": version("presidio-analyzer"),
        "types": {kind: {"found": found[kind], "missed": missed[kind], "false": false[kind]} for kind in TYPES.values()},
        "megabytesPerSecond": sum(len(row["text"].encode()) for row in rows) / 1e6 / seconds,
    }
    if len(sys.argv) > 2:
        with open(sys.argv[2], encoding="utf-8") as file:
            texts = file.read().split("\n")
        began = time.process_time()
        for text in texts:
            find(text)
        answer["chatMegabytesPerSecond"] = sum(len(text.encode()) + 1 for text in texts) / 1e6 / (time.process_time() - began)
    print(json.dumps(answer))


main()
