"""Signatures without curves, for most simulated seeds: BLAKE2b (RFC 7693) of the member's key and the message.

They take the place of Ed25519 in records, byte for byte, and cost some sixtieth. Nobody is kept from forging them: a simulated
node uses no key but its own. The key precedes the message; as BLAKE2's own key it would be padded to a block of 128 bytes.
"""

from hashlib import blake2b

from etp.record import DOMAIN, SIGNATURE_SIZE, UNSIGNED_SIZE

assert blake2b().digest_size == SIGNATURE_SIZE


class HashKey:
    """What signs and what is known to all are the same 32 bytes."""

    __slots__ = ("public",)

    def __init__(self, seed: bytes) -> None:
        self.public = seed

    def sign(self, message: bytes) -> bytes:
        """64 bytes that depend on all of the message and on the key."""
        return blake2b(self.public + message).digest()


def is_hashed_by(key: bytes, network: bytes, raw: bytes) -> bool:
    """What `etp.record.is_signed_by` says of Ed25519."""
    return blake2b(key + DOMAIN + network + raw[:UNSIGNED_SIZE]).digest() == raw[UNSIGNED_SIZE:]
