"""Ed25519 keys in Solana's JSON format, against solders; secrets stay where they are."""

import copy
import json
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair

from etp.keys import KeyFormatError, KeyPair, key_from_json, key_to_json

SEED = bytes(range(100, 132))
seeds = st.binary(min_size=32, max_size=32)


@given(seeds, st.binary(max_size=300))
def test_the_same_key_and_signature_as_another_implementation(seed: bytes, message: bytes) -> None:
    """Public half and signature are those of solders."""
    ours, theirs = KeyPair(seed), Keypair.from_seed(seed)
    assert ours.public == bytes(theirs.pubkey())
    assert ours.sign(message) == bytes(theirs.sign_message(message))


@given(seeds)
def test_a_key_file_is_solana_s(seed: bytes) -> None:
    """64 numbers that solders reads as the same key, and back."""
    text = key_to_json(KeyPair(seed))
    assert bytes(Keypair.from_json(text)) == bytes(json.loads(text))
    assert key_from_json(text).seed == seed
    assert key_from_json(Keypair.from_seed(seed).to_json()).seed == seed


GOOD = list(KeyPair(SEED).seed + KeyPair(SEED).public)
BROKEN = {
    "nothing": ("", "is not JSON"),
    "no JSON": ("-----BEGIN PRIVATE KEY-----", "is not JSON"),
    "half of it": (json.dumps(GOOD)[:-9], "is not JSON"),
    "an object": (json.dumps({"key": GOOD}), "holds dict"),
    "a number": ("7", "holds int"),
    "null": ("null", "holds NoneType"),
    "hex": (json.dumps(SEED.hex()), "holds str"),
    "the seed alone": (json.dumps(GOOD[:32]), "holds a list of 32"),
    "one too many": (json.dumps([*GOOD, 0]), "holds a list of 65"),
    "too large": (json.dumps([*GOOD[:63], 256]), "something else than numbers of 0 to 255"),
    "negative": (json.dumps([*GOOD[:63], -1]), "something else than numbers"),
    "a float": (json.dumps([*GOOD[:63], 1.0]), "something else than numbers"),
    "a truth": (json.dumps([*GOOD[:63], True]), "something else than numbers"),
    "halves of two keys": (json.dumps(GOOD[:32] + list(KeyPair(bytes(32)).public)), "is damaged"),
    "another seed": (json.dumps([GOOD[0] ^ 1, *GOOD[1:]]), "is damaged"),
}


@pytest.mark.parametrize(("text", "says"), BROKEN.values(), ids=BROKEN)
def test_a_broken_key_is_refused_and_never_quoted(text: str, says: str) -> None:
    """Each its own message; neither it nor its traceback holds a piece of what may be most of a secret."""
    with pytest.raises(KeyFormatError, match=says) as caught:
        key_from_json(text)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    for piece in (SEED.hex(), ", ".join(map(str, GOOD[1:5])), ",".join(map(str, GOOD[1:5])), str(SEED)):
        assert piece not in shown


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_file_of_brackets_is_no_key(opening: str) -> None:
    """A text that is nested beyond reason is refused as any other, not with a crash."""
    with pytest.raises(KeyFormatError):
        key_from_json(opening * 4000)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(size: int) -> None:
    """32 bytes, or KeyFormatError."""
    with pytest.raises(KeyFormatError, match=f"has {size} bytes"):
        KeyPair(bytes(size))


def test_a_pair_shows_its_public_half_only() -> None:
    """Neither repr, str, format nor what copies and pickles ever hold the secret."""
    key = KeyPair(SEED)
    for shown in (repr(key), str(key), f"{key}", repr([key]), repr({"key": key})):
        assert key.public.hex() in shown
        assert SEED.hex() not in shown
        assert repr(SEED)[2:-1] not in shown
    for stolen in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            stolen(key)
    assert not hasattr(key, "__dict__")
