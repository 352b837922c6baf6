"""The bid that set a price: the battery keeps it as its bidder signed it, and its owner can show it."""

import pytest

from etp.frame import FRAME_SIZE, decode
from etp.record import is_signed_by, lot_of, message_id_of, quantities, sender_of
from sim.world import World
from tests.support import plan


@pytest.mark.parametrize("mechanism", ["vickrey", "uniform"])
def test_the_price_setting_bid_verifies_offline(mechanism: str) -> None:
    """Of each lot whose price a bid set: the record is that bidder's, of that lot, at that price, under its key."""
    world = World(plan(3, mechanism=mechanism))
    world.run()
    lots = [
        row for node in world.batteries for row in node.disk.rows if row.kind == "lot" and row.body["setter_bidder"]
    ]
    assert lots
    for row in lots:
        raw = bytes.fromhex(str(row.body["setter_record"]))
        member = world.registry.get(sender_of(raw))
        assert member is not None
        assert is_signed_by(member.key, world.registry.network.network_id, raw)
        assert (sender_of(raw), message_id_of(raw)) == (row.body["setter_bidder"], row.body["setter_message_id"])
        assert lot_of(raw) == row.lot_id
        assert quantities(decode(raw[:FRAME_SIZE]))[0] == row.body["setter_price_micro_per_kwh"]
