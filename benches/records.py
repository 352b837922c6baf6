"""The receiving path of a record, beside a bare PyNaCl verification of the same 191 bytes in the same run.

`Signed.read` on a bound session: head, registry, window, recipient, frame, integers against floats, signature, all of it.
Both are measured in turns, so that whatever the machine does meanwhile happens to both.
"""

import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from statistics import median
from typing import Final

from nacl.signing import VerifyKey

from benches.plan import Plan
from benches.report import Figure, Report
from etp import messages
from etp.clock import Now
from etp.codes import Role
from etp.effects import Envelope
from etp.ids import Ids
from etp.io.clock import system_now
from etp.keys import KeyPair
from etp.profile import Received
from etp.record import UNSIGNED_SIZE, signed_message
from etp.registry import Member, Network, Registry
from etp.signed import Identity, Signed
from etp.timing import Timing
from etp.units import DeviceId, LotId, MicroPerKwh, Wh

LIMIT: Final = 0.75
"""The checked path reaches at least this share of the bare rate."""
RECORDS: Final = 1000
QUICK_RECORDS: Final = 50
ROUNDS: Final = 9
GROUP: Final = ("239.192.77.77", 8888)
BESS, BUYER = DeviceId(101), DeviceId(500)


def _profiles(now: Now) -> tuple[Signed, Signed]:
    """A buyer that signs and a battery that reads."""
    keys = {device: KeyPair(sha256(b"bench %d" % device).digest()) for device in (BESS, BUYER)}
    roles = {BESS: Role.BESS, BUYER: Role.AGGREGATOR}
    registry = Registry(Network("bench"), [Member(device, roles[device], keys[device].public) for device in roles])
    buyer, bess = (
        Signed(
            Identity(device, roles[device], keys[device], boot=1),
            registry,
            Ids(),
            group=GROUP,
            timing=Timing(),
            started=now,
        )
        for device in (BUYER, BESS)
    )
    return buyer, bess


def _bids(buyer: Signed, count: int, now: Now) -> list[bytes]:
    frame = messages.bid(BUYER, price=MicroPerKwh(127_500), energy=Wh(5400))
    return [buyer.stamp(Envelope(frame, lot_id=LotId(7)), BESS, now) for _ in range(count)]


def _timed_us(read: Callable[[bytes], object], raws: Sequence[bytes]) -> float:
    began_s = time.perf_counter()
    for raw in raws:
        read(raw)
    return (time.perf_counter() - began_s) / len(raws) * 1e6


def run(plan: Plan) -> Report:
    """Measure both in turns, and the share of the bare rate."""
    count, now = plan.size(RECORDS, QUICK_RECORDS), system_now()
    buyer, bess = _profiles(now)
    key, network = VerifyKey(buyer.identity.key.public), buyer.network_id
    bare, checked = [], []
    for _ in range(ROUNDS):
        raws = _bids(buyer, count, now)
        pairs = {raw: (signed_message(network, raw), raw[UNSIGNED_SIZE:]) for raw in raws}
        bare.append(_timed_us(lambda raw, pairs=pairs: key.verify(*pairs[raw]), raws))  # type: ignore[misc]
        readings: list[object] = []
        checked.append(_timed_us(lambda raw, kept=readings: kept.append(bess.read(raw, BUYER, now)), raws))  # type: ignore[misc]
        if not all(isinstance(reading, Received) and reading.fresh for reading in readings):
            raise ValueError("the bench's own records are refused")
    share = median(one / other for one, other in zip(bare, checked, strict=True))
    return Report(
        f"a Bid's record of 212 bytes, the median of {ROUNDS} rounds of {count:,}, in turns",
        [
            Figure("bare PyNaCl verification", round(median(bare), 2), "µs"),
            Figure("Signed.read: all checks, verification", round(median(checked), 2), "µs"),
            Figure("records read", round(1e6 / median(checked)), "1/s"),
            Figure("share of the bare rate", round(share, 3), "", least=LIMIT),
        ],
    )
