"""One question to a DNS server: proof that node, Service routing and CoreDNS all work, which no status field is."""

import secrets
import socket
import struct

ANSWER_SECONDS = 1.0
HEADER = struct.Struct("!6H")
RECURSION_DESIRED = 0x0100
RESPONSE = 0x8000
CODE = 0x000F
TYPE_A = 1
CLASS_IN = 1


def question(identifier: int, name: str) -> bytes:
    """The packet that asks for the IPv4 addresses of `name` (RFC 1035, section 4)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return (
        HEADER.pack(identifier, RECURSION_DESIRED, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", TYPE_A, CLASS_IN)
    )


def has_answer(identifier: int, packet: bytes) -> bool:
    """Whether a packet answers the question of that identifier with at least one record and no error."""
    if len(packet) < HEADER.size:
        return False
    answered, flags, _, records, _, _ = HEADER.unpack_from(packet)
    return bool(answered == identifier and flags & RESPONSE and not flags & CODE and records)


def resolves(server: str, name: str) -> bool:
    """Asks `server` once; False if it is silent, refuses, or does not know the name."""
    identifier = secrets.randbelow(2**16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(ANSWER_SECONDS)
        try:
            asking.connect((server, 53))
            asking.send(question(identifier, name))
            return has_answer(identifier, asking.recv(512))
        except OSError:
            return False
