"""What is captured of an agent's subject, from SPEC.md, section 21. This agent minimises nothing: what may not be kept as it is, it drops."""

import hashlib
import json

import zstandard

import columns

LARGEST = 1024 * 1024
MARKS = ("application", "title", "url", "label", "detected")


class Rules:
    def __init__(self, body):
        assert body.bytes <= LARGEST
        content = zstandard.ZstdDecompressor().decompress(body.packed, max_output_size=LARGEST)
        assert len(content) == body.bytes
        self.hash = hashlib.sha256(content).digest()
        document, *recorded = content.decode().split("\n")
        self.document, self.recorded = json.loads(document), set(recorded)
        self.order = [c["name"] for c in self.document["classes"]]
        self.stored = {c["name"] for c in self.document["classes"] if c["retention"] != "never"}
        self.used = {c for p in self.document["purposes"] if p["name"] in self.recorded for c in p["classes"]}

    @staticmethod
    def _speaks_of(rule, event):
        return ("kind" not in rule or event["kind"] in rule["kind"]) and ("source" not in rule or event.get("source") in rule["source"])

    def class_of(self, event):
        """None: not captured. What would have to be looked into is not captured either."""
        rules = [r for r in self.document["rules"] if self._speaks_of(r, event)]
        if not rules or any(m in r for r in rules for m in MARKS):
            return None
        found = max((r["class"] for r in rules), key=self.order.index)
        if found not in self.stored or found not in self.used:
            return None
        words = {r["as"] for r in self.document["capture"] if self._speaks_of(r, event) and ("class" not in r or found in r["class"])}
        return found if words == {"keep"} else None
