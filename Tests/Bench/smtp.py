"""A local SMTP server that mails are measured against, and a plain loop that sends the same mails to it. For `sluice bench notify`.

Run:   python Tests/Bench/smtp.py serve FOLDER [--quick]       makes FOLDER/cert.pem, prints its two ports, counts until SIGTERM, and prints what came
       python Tests/Bench/smtp.py send PORT CERT CONNECTIONS < mails

The first port wants STARTTLS and takes nothing without; the second has none, for smtp-source, which knows no TLS. The server is aiosmtpd; --quick: a loop over
asyncio that reads to the dot and does nothing else, to see what lies behind aiosmtpd. Mails are framed as `id recipient octets`, a line, and then so many octets.
"""

import asyncio
import json
import os
import resource
import signal
import smtplib
import ssl
import subprocess
import sys
import threading
import time

FROM = "sluice@example.com"


class Tally:
    def __init__(self):
        self.mails, self.octets, self.recipients, self.connections = 0, 0, set(), 0

    def take(self, recipient, octets):
        self.mails += 1
        self.octets += octets
        self.recipients.add(recipient)

    def report(self):
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "mails": self.mails, "octets": self.octets, "recipients": len(self.recipients), "connections": self.connections,
            "processor": used.ru_utime + used.ru_stime}


def aiosmtpd(tally, loop, tls):
    from aiosmtpd.smtp import SMTP

    class Handler:
        async def handle_DATA(self, server, session, envelope):
            tally.take(envelope.rcpt_tos[0], len(envelope.content))
            return "250 OK"

    def make():
        tally.connections += 1
        secure = {"tls_context": tls, "require_starttls": True} if tls else {}
        return SMTP(Handler(), hostname="bench", loop=loop, **secure)

    return make


class Quick(asyncio.Protocol):
    """Reads to the dot."""

    def __init__(self, tally, loop, tls):
        self.tally, self.loop, self.tls = tally, loop, tls
        self.buffer, self.in_data, self.is_safe, self.is_between, self.recipient = bytearray(), False, tls is None, False, ""
        tally.connections += 1

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"220 bench\r\n")

    async def secure(self):
        self.transport = await self.loop.start_tls(self.transport, self, self.tls, server_side=True)
        self.is_safe, self.is_between = True, False
        self.read()

    def data_received(self, data):
        self.buffer += data
        self.read()

    def read(self):
        # What comes before start_tls has returned is answered after: until then there is only the transport of before.
        while not self.is_between:
            if self.in_data:
                end = self.buffer.find(b"\r\n.\r\n")
                if end < 0:
                    return
                self.tally.take(self.recipient, end + 2)
                del self.buffer[:end + 5]
                self.in_data = False
                self.transport.write(b"250 OK\r\n")
                continue
            end = self.buffer.find(b"\r\n")
            if end < 0:
                return
            line = bytes(self.buffer[:end])
            del self.buffer[:end + 2]
            self.answer(line)

    def answer(self, line):
        word = line[:4].upper()
        if word == b"STAR":
            # What comes next is TLS's.
            self.transport.pause_reading()
            self.is_between = True
            self.transport.write(b"220 go ahead\r\n")
            self.loop.create_task(self.secure())
        elif word in (b"EHLO", b"HELO"):
            self.transport.write(b"250 bench\r\n" if self.is_safe else b"250-bench\r\n250 STARTTLS\r\n")
        elif word == b"QUIT":
            self.transport.write(b"221 bye\r\n")
            self.transport.close()
        elif not self.is_safe:
            self.transport.write(b"530 STARTTLS first\r\n")
        elif word == b"DATA":
            self.in_data = True
            self.transport.write(b"354 go ahead\r\n")
        else:
            if word == b"RCPT":
                self.recipient = line.split(b"<", 1)[1].split(b">", 1)[0].decode()
            self.transport.write(b"250 OK\r\n")


def serve(folder, *more):
    certificate, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate], check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    tally, loop = Tally(), asyncio.new_event_loop()

    def maker(tls):
        return (lambda: Quick(tally, loop, tls)) if "--quick" in more else aiosmtpd(tally, loop, tls)

    async def listen(tls):
        server = await loop.create_server(maker(tls), "127.0.0.1", 0, backlog=128)
        return server.sockets[0].getsockname()[1]

    ports = [loop.run_until_complete(listen(each)) for each in (tls, None)]
    loop.add_signal_handler(signal.SIGTERM, loop.stop)
    print(*ports, flush=True)
    loop.run_forever()
    print(json.dumps(tally.report()), flush=True)


def send(port, certificate, connections):
    mails = []
    while line := sys.stdin.buffer.readline():
        _, recipient, octets = line.decode().split()
        mails.append((recipient, sys.stdin.buffer.read(int(octets))))
    context = ssl.create_default_context(cafile=certificate)
    lock, failures = threading.Lock(), []
    left = iter(mails)

    def work():
        try:
            with smtplib.SMTP("127.0.0.1", int(port)) as client:
                client.starttls(context=context)
                while True:
                    with lock:
                        mail = next(left, None)
                    if mail is None:
                        return
                    client.sendmail(FROM, [mail[0]], mail[1])
        except Exception as error:
            failures.append(repr(error))

    began, used = time.monotonic(), time.process_time()
    threads = [threading.Thread(target=work) for _ in range(int(connections))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"mails": len(mails), "seconds": time.monotonic() - began, "processor": time.process_time() - used, "failures": failures[:3]}))


if __name__ == "__main__":
    {"serve": serve, "send": send}[sys.argv[1]](*sys.argv[2:])
