"""Ed25519 keys in Solana's JSON format: the node's key signs its records and is its wallet (docs/security.md)."""

import json
from typing import Final

from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair

from etp.errors import EtpError

SEED_SIZE: Final = 32
PUBLIC_SIZE: Final = 32
_KEY_FILE_NUMBERS: Final = SEED_SIZE + PUBLIC_SIZE
_HIGHEST_BYTE: Final = 255


class KeyFormatError(EtpError):
    """A text that is no key in Solana's JSON format. Never quotes the text: it may hold most of a secret."""


class KeyPair:
    """An Ed25519 key pair. Neither `repr` nor an exception's text ever shows its secret half."""

    __slots__ = ("_secret", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        """From a 32-byte seed. Raises KeyFormatError for another length."""
        if len(seed) != SEED_SIZE:
            raise KeyFormatError(f"a seed has {len(seed)} bytes; an Ed25519 seed has {SEED_SIZE}")
        self.seed = seed
        self.public, self._secret = crypto_sign_seed_keypair(seed)

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public.hex()})"

    def __reduce__(self) -> str:
        raise TypeError("a key pair is never pickled")

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of a message (RFC 8032, pure Ed25519)."""
        return crypto_sign(message, self._secret)[:crypto_sign_BYTES]


def key_to_json(pair: KeyPair) -> str:
    """The pair as `solana-keygen` writes it: 64 numbers, the seed and then the public key."""
    return json.dumps(list(pair.seed + pair.public), separators=(",", ":")) + "\n"


def key_from_json(text: str) -> KeyPair:
    """The pair in a key file. Raises KeyFormatError where it is none, or its halves do not belong together."""
    try:
        numbers = json.loads(text)
    except (ValueError, RecursionError):
        raise KeyFormatError("is not JSON; expected a list of 64 numbers, as `etp keygen` writes it") from None
    if not isinstance(numbers, list) or len(numbers) != _KEY_FILE_NUMBERS:
        found = f"a list of {len(numbers)}" if isinstance(numbers, list) else type(numbers).__name__
        raise KeyFormatError(f"holds {found}; expected a list of {_KEY_FILE_NUMBERS} numbers")
    if not all(type(number) is int and 0 <= number <= _HIGHEST_BYTE for number in numbers):
        raise KeyFormatError("holds something else than numbers of 0 to 255")
    pair = KeyPair(bytes(numbers[:SEED_SIZE]))
    if pair.public != bytes(numbers[SEED_SIZE:]):
        raise KeyFormatError("is damaged: its public half does not belong to its secret half")
    return pair
