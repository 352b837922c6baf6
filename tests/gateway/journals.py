"""Journals of nodes that really traded (the simulator's cores, signed), with their payments, as a feed ships them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256

from contracts.outbox import Act, Attempt, OutboxState, confirmed
from contracts.outbox import row as outbox_row
from etp.effects import BidRow, Row
from etp.units import WallUs
from gateway.batch import Batch, Origin, Position, checked, checked_bid
from gateway.transaction import NodeFacts
from runtime.feed.publish import Lots
from runtime.feed.publish import bid as published_bid
from runtime.feed.publish import row as published
from runtime.feed.wire import FeedBid, FeedRow, MarketTime
from runtime.io.journal import row_hash
from sim.world import World
from tests.support import plan

MARKET = MarketTime(0, 0, 1.0)
FEED_IN = 50_000
ENDED = Lots(2**63, 2**63)
"""Every lot of the simulator is over."""


@dataclass(frozen=True)
class Journal:
    """What a node publishes of its journal."""

    role: str
    device_id: int
    identity: str
    rows: tuple[FeedRow, ...]
    bids: tuple[FeedBid, ...]

    @property
    def facts(self) -> NodeFacts:
        """Who it is."""
        return NodeFacts(self.device_id, self.role, None, "{}", self.identity)

    def origin(self, fork: int = 0) -> Origin:
        """Whose rows they are."""
        return Origin(self.device_id, self.role, self.identity, fork, MARKET, FEED_IN)

    def bids_before(self, index: int) -> int:
        """How many bids must be there before the row of this index."""
        row = self.rows[index]
        if row.kind != "lot":
            return 0
        return max((number for number, bid in enumerate(self.bids, 1) if bid.lot_id == row.lot_id), default=0)

    def batches(self, position: Position, rng: random.Random) -> Iterator[Batch]:
        """All that follows a position, cut at random, as a feed would ship it."""
        origin = self.origin(position.fork)
        row, last_bid = position.row, position.bid
        rows = [row for row in self.rows if row.seq > position.row]
        while rows:
            count = rng.randint(1, 12)
            part, rows = rows[:count], rows[count:]
            needed = max(self.bids_before(self.rows.index(each)) for each in part)
            upto = max(needed, min(len(self.bids), last_bid + rng.randint(0, 5)))
            for bids in _cut([bid for bid in self.bids if last_bid < bid.number <= upto], rng):
                yield Batch(origin, row, [], row, "", last_bid, [checked_bid(bid) for bid in bids], bids[-1].number)
                last_bid = bids[-1].number
            checked_rows = [checked(each, self.role) for each in part]
            yield Batch(origin, row, checked_rows, part[-1].seq, part[-1].hash, last_bid, [], last_bid)
            row = part[-1].seq
        rest = [bid for bid in self.bids if bid.number > last_bid]
        if rest:
            yield Batch(origin, row, [], row, "", last_bid, rest, rest[-1].number)


def _cut(bids: Sequence[FeedBid], rng: random.Random) -> Iterator[Sequence[FeedBid]]:
    while bids:
        count = rng.randint(1, len(bids))
        yield bids[:count]
        bids = bids[count:]


@cache
def market(seed: int, mechanism: str = "english", batteries: int = 2) -> tuple[Journal, ...]:
    """The journals of one run of the simulator."""
    world = World(plan(seed, mechanism, batteries=batteries))
    world.run()
    keys = {member.device_id: member.key for member in world.registry}
    found = []
    for node in world.batteries:
        rows = [each for row in node.disk.rows for each in (row, *_payment(row, keys))]
        found.append(_journal("bess", node.core.device_id, rows, node.disk.bids))
    found += [_journal("aggregator", node.core.device_id, node.disk.rows, []) for node in world.buyers]
    return tuple(found)


def busy_market(mechanism: str = "english", *, trades: int) -> tuple[Journal, ...]:
    """The journals of the first run whose first battery traded so often."""
    for seed in range(1, 100):
        found = market(seed, mechanism)
        if sum(row.kind == "trade" for row in found[0].rows) >= trades:
            return found
    raise AssertionError(f"no run of {mechanism} has a battery with {trades} trades")


def _payment(row: Row, keys: dict[int, bytes]) -> list[Row]:
    """What the settler writes after an answer to a Confirm: confirmed, settling, settled."""
    if row.kind != "answer":
        return []
    body = row.body
    entry = confirmed(bytes.fromhex(str(body["confirm"])), keys[int(str(body["bidder"]))], row.time_us)
    attempt = Attempt(Act.SETTLE, b"raw", sha256(entry.record).digest() * 2, bytes(32), 150)
    signed = replace(entry.moved(OutboxState.SETTLING, WallUs(row.time_us + 1)), attempt=attempt, signed=1)
    return [outbox_row(each) for each in (entry, signed, signed.moved(OutboxState.SETTLED, WallUs(row.time_us + 2)))]


def _journal(role: str, device_id: int, rows: Sequence[Row], bids: Sequence[BidRow]) -> Journal:
    found, chain = [], b""
    for seq, row in enumerate(rows, 1):
        chain = row_hash(chain, (row.kind, row.lot_id, row.state, row.time_us, row.subject, repr(row.body)))
        shipped = published(seq, chain, row)
        if shipped is not None:
            found.append(shipped)
    shown = (published_bid(number, bid, ENDED, hidden=False) for number, bid in enumerate(bids, 1))
    identity = sha256(f"{role} {device_id}".encode()).hexdigest()[:32]
    return Journal(role, device_id, identity, tuple(found), tuple(bid for bid in shown if bid is not None))
