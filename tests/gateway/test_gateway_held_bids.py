"""A bid is told once the row of its lot's end is here, however many transactions lie between the two."""

import random

from gateway.batch import Batch
from gateway.events import AuctionCompleted, BidPlaced, BidRejected, Event, LotVoided
from gateway.io.store import Store
from tests.gateway.journals import market


async def test_bids_wait_for_the_row_of_their_lot(database: str) -> None:
    """Stored as they come, told with the lot, in order of arrival; of a node that says too early what was bid, nobody hears it."""
    journals = [journal for seed in (3, 5) for journal in market(seed, "english") if journal.role == "bess"]
    journal = max(journals, key=lambda journal: len(journal.bids))
    ended = {row.lot_id for row in journal.rows if row.kind == "lot"}
    store = await Store.open(database)
    told: list[Event] = []
    store.on_events = told.extend
    try:
        position = await store.position(journal.facts, 1)
        early = [bid for bid in journal.bids if bid.lot_id in ended]
        assert len(early) >= 2
        for number in range(0, len(early), 2):
            part = early[number : number + 2]
            before = early[number - 1].number if number else 0
            await store.ingest(Batch(journal.origin(), 0, [], 0, "", before, part, part[-1].number))
        assert store.counts.bids == len(early)
        assert told == []
        for batch in journal.batches(position._replace(bid=early[-1].number), random.Random(1)):
            await store.ingest(batch)
    finally:
        await store.close()
    lots: dict[str, list[int]] = {}
    for event in told:
        if isinstance(event, BidPlaced | BidRejected):
            lots.setdefault(event.lot_id, []).append(int((event.id or "").rpartition("b")[2]))
        elif isinstance(event, AuctionCompleted | LotVoided):
            mine = [bid.number for bid in early if str(bid.lot_id) == event.lot_id]
            assert lots.pop(event.lot_id, []) == mine
    assert lots == {}
