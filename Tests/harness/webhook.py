"""A receiver of webhooks that checks Standard Webhooks signatures with its own few lines."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import secrets
import socket
import struct
import threading

import jsonschema
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from . import schemas

# In `refuse`: the connection is reset when the head of the request is there.
RESET = 0


def verify(secret, headers, body):
    """Whether the body is signed with the secret, as Standard Webhooks 1.0.0 says."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [part.split(",", 1) for part in headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(value, expected) for version, value in given)


def verify_key(key, headers, body):
    """Whether the body is signed with the key, as Standard Webhooks 1.0.0 says of `v1a`; `key`: the public half."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for version, value in (part.split(",", 1) for part in headers["webhook-signature"].split(" ")):
        if version == "v1a":
            try:
                key.verify(base64.b64decode(value), signed)
                return True
            except InvalidSignature:
                pass
    return False


class Receiver:
    """Listens on 127.0.0.1, if no other place is named. Answers 200, or what `refuse` says: status, or RESET, by the number of the request, from 1.

    `paths`: of the requests, each at the place of its own in `requests`. `connections`: how many came, whether they asked for anything or not.
    """

    def __init__(self, refuse=None, place=("127.0.0.1", 0)):
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.key = Ed25519PrivateKey.generate()
        self.wrong = []  # Bodies that their schemas do not allow.
        self.requests = []  # (status answered, headers, body)
        self.refuse = refuse or {}
        self.paths, self.connections = [], 0
        receiver = self

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def verify_request(self, request, client_address):
                receiver.connections += 1
                return True

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                headers = {k.lower(): v for k, v in self.headers.items()}
                with receiver.lock:
                    status = receiver.refuse.get(len(receiver.requests) + 1, 200)
                    body = self.rfile.read(int(headers["content-length"])) if status != RESET else b""
                    receiver.requests.append((status, headers, body))
                    receiver.paths.append(self.path)
                if status == RESET:
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return os.close(self.connection.detach())
                try:
                    schemas.check(json.loads(body))
                except (jsonschema.ValidationError, KeyError, AssertionError, ValueError) as error:
                    receiver.wrong.append((body, error))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.lock = threading.Lock()
        self.server = Server(place, Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self):
        return "http://{}:{}/hook".format(*self.server.server_address[:2])

    @property
    def hook(self):
        return {"name": "test", "url": self.url, "secrets": [self.secret, "whsk_" + base64.b64encode(self.key.private_bytes_raw()).decode()], "allow_private": True}

    def delivered(self, kind=None):
        """What was answered with 200: (id, content)."""
        assert self.wrong == []
        with self.lock:
            taken = [(h["webhook-id"], json.loads(b)) for s, h, b in self.requests if s == 200]
        return [(i, c) for i, c in taken if kind is None or c["type"] == kind]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
