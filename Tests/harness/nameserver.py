"""A name server of the test's own, in a network namespace in which programs ask no other: it says what it is told to, as nobody else's would."""

import ipaddress
import socket
import struct
import threading
from collections import Counter

A, CNAME, AAAA = 1, 5, 28
ADDRESS = "127.0.0.53"


class NameServer:
    """Answers by UDP, at port 53 of ADDRESS.

    `zone`: by name (lower case, no dot at the end) what it is: a list of answers, one for each question for its IPv4 addresses, of which the last is for all later ones. An answer is a
    list of addresses, in their order; or a name that this one is another name of. A name that is not there does not exist. `asked`: how often each was asked for its IPv4 addresses.
    """

    def __init__(self, net, zone):
        self.zone, self.asked = zone, Counter()
        self._socket = net.within(self._listen)
        threading.Thread(target=self._serve, daemon=True).start()

    @staticmethod
    def _listen():
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listening.bind((ADDRESS, 53))
        return listening

    def _serve(self):
        while True:
            try:
                question, asker = self._socket.recvfrom(4096)
            except OSError:
                return
            if question:
                self._socket.sendto(self.answer(question), asker)

    def answer(self, question):
        """RFC 1035, section 4: one question, and what there is to it, none of it to be remembered."""
        end = question.index(0, 12) + 1
        name, asked = _name(question[12:end]), question[12:end + 4]
        kind = struct.unpack_from("!H", question, end)[0]
        found = self._records(name, kind)
        code = 0 if name in self.zone else 3
        head = question[:2] + struct.pack("!5H", 0x8580 | code, 1, len(found), 0, 0)
        return head + asked + b"".join(_labels(owner) + struct.pack("!HHIH", type, 1, 0, len(data)) + data for owner, type, data in found)

    def _records(self, name, kind):
        found = []
        while name in self.zone:
            answers = self.zone[name]
            # Both questions come together, in either order: those for IPv4 are what counts.
            answer = answers[min(self.asked[name], len(answers) - 1)]
            if kind == A:
                self.asked[name] += 1
            if not isinstance(answer, str):
                numbers = [ipaddress.ip_address(address).packed for address in answer]
                return found + [(name, kind, number) for number in numbers if (A if len(number) == 4 else AAAA) == kind]
            found.append((name, CNAME, _labels(answer)))
            name = answer
        return found

    def close(self):
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()


def _labels(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def _name(labels):
    parts = []
    while labels[0]:
        parts.append(labels[1:1 + labels[0]].decode())
        labels = labels[1 + labels[0]:]
    return ".".join(parts).lower()


def asking_only_it(net, folder):
    """The words before a program that run it in the namespace, where whoever looks names up asks this server, and no file. `folder`: for two files, that nobody else writes."""
    (folder / "resolv.conf").write_text(f"nameserver {ADDRESS}\noptions timeout:30\n")
    (folder / "nsswitch.conf").write_text("hosts: dns\n")
    # 'ip netns exec' gives it mounts of its own. What is a link leads elsewhere in others' eyes: the file behind it is what is hidden.
    binds = [f'mount --bind "{folder}/{name}" "$(readlink -f /etc/{name})"' for name in ("resolv.conf", "nsswitch.conf")]
    return ["ip", "netns", "exec", net.name, "sh", "-c", f'{" && ".join(binds)} && exec "$@"', "sh"]
