"""Signatures without curves, for most simulated seeds: BLAKE2b keyed by the member's key (RFC 7693, §2.5).

They take the place of Ed25519 in records, byte for byte, and cost a fiftieth. Nobody is kept from forging them: a simulated
node uses no key but its own.
"""

from hashlib import blake2b

from etp.record import DOMAIN, SIGNATURE_SIZE, UNSIGNED_SIZE


class HashKey:
    """What signs and what is known to all are the same 32 bytes."""

    __slots__ = ("public",)

    def __init__(self, seed: bytes) -> None:
        self.public = seed

    def sign(self, message: bytes) -> bytes:
        """64 bytes that depend on all of the message and on the key."""
        return blake2b(message, digest_size=SIGNATURE_SIZE, key=self.public).digest()


def is_hashed_by(key: bytes, network: bytes, raw: bytes) -> bool:
    """What `etp.record.is_signed_by` says of Ed25519."""
    made = blake2b(DOMAIN + network + raw[:UNSIGNED_SIZE], digest_size=SIGNATURE_SIZE, key=key).digest()
    return made == raw[UNSIGNED_SIZE:]
