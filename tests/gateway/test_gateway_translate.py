"""One row in, what is written and told out: each kind, older rows, and what a row may not change."""

from typing import Any

import pytest

from gateway import events
from gateway.batch import CheckedRow, Origin, RowError, checked
from gateway.bodies import clean
from gateway.translate import (
    First,
    Known,
    LotFacts,
    Questions,
    TradeFacts,
    Writes,
    ask,
    signed,
    translate_bid,
    translate_row,
    unsigned,
)
from runtime.feed.wire import FeedBid, FeedRow, MarketTime

DAY = Origin(101, "bess", "ab", 0, MarketTime(1_000, 500_000, 3_600.0), 60_000)
TERMS = {
    "bidder": 500,
    "message_id": 9,
    "energy_wh": 2_500,
    "price_micro_per_kwh": 120_001,
    "bid_micro_per_kwh": 130_000,
}


def row(kind: str, state: str, body: dict[str, Any], lot_id: int = 7, origin: Origin = DAY) -> CheckedRow:
    """A row that can be stored."""
    return checked(FeedRow(3, "ab" * 32, kind, lot_id, state, 1_010, body), origin.role)


def one(found: CheckedRow, known: Known | None = None, origin: Origin = DAY) -> tuple[Writes, list[events.Event]]:
    """What a row becomes."""
    writes = Writes()
    translate_row(origin, found, known or Known(), writes)
    return writes, writes.told


def test_a_trade_takes_its_rivals_and_first_price_from_its_auction() -> None:
    """Also a further winner, whose lot has an id of its own; both sides' sums and the hour's gain it."""
    known = Known(lots={(101, 7): LotFacts(3, 90_000)})
    writes, [told] = one(row("trade", "confirmed", TERMS | {"paid_micro": 300_002, "auction_id": 7}, lot_id=8), known)
    assert isinstance(told, events.TradeConfirmed)
    assert (told.lot_id, told.auction_id, told.bidders, told.first_micro_per_kwh) == ("8", "7", 3, 90_000)
    assert (told.time_us, told.market_us) == (1_010, 500_000 + 10 * 3_600)
    [(key, sums)] = writes.sums.items()
    assert key == (0, 101, 500, 3)
    assert sums[:7] == [1, 2_500, 300_002, 2_500, 150_000, 2_500, 225_000]
    assert sums[7:] == pytest.approx([6.25, 6.25 * 120_001, 6.25 * 120_001**2])
    assert writes.sellers[101] == writes.buyers[500]
    again = Writes()
    translate_row(DAY, row("trade", "confirmed", TERMS | {"paid_micro": 300_002}, lot_id=8), known, again)
    assert (again.trades, again.told, again.sums) == ([], [], {})


def test_rows_of_older_versions_are_stored() -> None:
    """Without auction, energy, reserve and bidders: the lot's own id, its bids and nothing made up."""
    known = Known(firsts={(101, 7): {500: First(0, 2, 80_000), 501: First(0, 1, 70_000)}})
    old = {"mechanism": "english", "bids": 2, "digest": "ab" * 32, "capped": False, "setter_bidder": None}
    _, [told] = one(row("lot", "reserved", old), known)
    assert isinstance(told, events.AuctionCompleted)
    assert (told.bidders, told.energy_wh, told.reserve_micro_per_kwh, told.opened_us) == (2, 0, None, 1_010)
    writes, [traded] = one(row("trade", "confirmed", TERMS | {"paid_micro": 300_002}), known)
    assert isinstance(traded, events.TradeConfirmed)
    assert (traded.bidders, traded.first_micro_per_kwh) == (2, 70_000)
    assert writes.trades[0][2] == 7


def test_a_hidden_reserve_stays_hidden() -> None:
    """Even where a node tells it."""
    body = {"mechanism": "vickrey", "bids": 1, "digest": "", "reserve_micro_per_kwh": 5, "hidden": True, "energy_wh": 1}
    writes, [told] = one(row("lot", "reserved", body))
    assert isinstance(told, events.AuctionCompleted)
    assert told.reserve_micro_per_kwh is None
    assert writes.lots[0][5] is None


def test_bids_are_told_with_their_answers() -> None:
    """Once their lot's row is here; and the first of each device that took part is what its lot is told of."""
    known, writes = Known(firsts={(101, 7): {}}), Writes()
    for number, bidder, state in (
        (1, 500, "below_reserve"),
        (2, 500, "standing"),
        (3, 501, "standing"),
        (4, 500, "standing"),
    ):
        translate_bid(DAY, FeedBid(number, 7, bidder, number, 1, 1_000 * number, state, 5), known, writes)
    assert known.firsts[101, 7] == {500: First(0, 2, 2_000), 501: First(0, 3, 3_000)}
    assert (len(writes.bids), writes.told) == (4, [])
    body = {"mechanism": "vickrey", "bids": 3, "digest": "", "energy_wh": 1}
    translate_row(DAY, row("lot", "reserved", body), known, writes)
    refused, placed, *_, ended = writes.told
    assert isinstance(ended, events.AuctionCompleted)
    assert isinstance(refused, events.BidRejected)
    assert isinstance(placed, events.BidPlaced)
    assert (refused.code, refused.id, placed.id) == ("below_reserve", "101/0/b1", "101/0/b2")


def test_a_late_bid_is_told_at_once() -> None:
    """Its lot has ended, or it names none."""
    known, writes = Known(lots={(101, 7): LotFacts(1, None)}), Writes()
    for number, lot_id in ((1, 7), (2, 0), (3, 8)):
        translate_bid(DAY, FeedBid(number, lot_id, 500, number, 1, 2, "late", 5), known, writes)
    assert [told.id for told in writes.told] == ["101/0/b1", "101/0/b2"]


def test_a_lot_that_does_not_say_is_hidden() -> None:
    """As its node takes it: rows of older versions."""
    _, [told] = one(
        row("lot", "reserved", {"mechanism": "english", "bids": 1, "digest": "", "reserve_micro_per_kwh": 5})
    )
    assert isinstance(told, events.AuctionCompleted)
    assert told.reserve_micro_per_kwh is None


def test_a_void_lot_and_a_release() -> None:
    """Nothing is sold, and why is said in printable words."""
    _, [told] = one(row("lot", "void", {"mechanism": "english", "bids": 1, "digest": "", "bidders": 1}))
    assert isinstance(told, events.LotVoided)
    _, [told] = one(row("promise", "released", TERMS | {"reason": "no\x1b[31m confirm\0<script>" + "x" * 500}))
    assert isinstance(told, events.ReservationReleased)
    assert told.reason.startswith("no\ufffd[31m confirm\ufffd<script>")
    assert len(told.reason) == 200
    assert one(row("promise", "confirmed", TERMS))[1] == []


def test_payments_and_deliveries_end_once() -> None:
    """What is settled stays so, though a restored journal goes through it again; another buyer's row changes nothing."""
    known = Known(trades={(101, 7): TradeFacts(500, "pending", None)})
    owed = {"bidder": 500, "amount_micro": 9, "confirmed_us": 1, "reason": "", "signature": "01" * 64}
    assert one(row("settlement", "settled", owed | {"bidder": 501}), known)[1] == []
    writes, [settled] = one(row("settlement", "settled", owed), known)
    assert isinstance(settled, events.TradeSettled)
    assert len(settled.signature) > 80
    assert writes.payments[101, 7] == ("settled", settled.signature)
    for state in ("settling", "settled", "refunded"):
        assert one(row("settlement", state, owed), known)[1] == []
    delivered = {"bidder": 500, "energy_wh": 9, "delivered_wh": 8}
    _, [short] = one(row("energy", "short", delivered), known)
    assert isinstance(short, events.EnergyDelivered)
    assert short.short
    assert one(row("energy", "delivered", delivered), known)[1] == []


def test_a_buyers_rows_are_evidence() -> None:
    """They change nothing that a battery says; only security events are told."""
    buyer = DAY._replace(device_id=500, role="aggregator")
    trade = row("trade", "confirmed", {"battery": 101, "bidder": 500, "energy_wh": 1, "paid_micro": 1}, origin=buyer)
    writes, told = one(trade, origin=buyer)
    assert (told, writes.trades, len(writes.rows)) == ([], [], 1)
    _, [said] = one(row("security", "replay", {"bidder": 101, "what": "replay"}, origin=buyer), origin=buyer)
    assert isinstance(said, events.SecurityEvent)
    assert (said.device, said.what) == ("101", "replay")


def test_what_a_row_needs_is_asked() -> None:
    """Lots that end, auctions of trades, trades that are paid or delivered."""
    questions = Questions()
    rows = [
        row("lot", "void", {"mechanism": "english", "bids": 1, "digest": ""}, lot_id=1),
        row("trade", "confirmed", TERMS | {"paid_micro": 1, "auction_id": 2}, lot_id=3),
        row("energy", "delivered", {"bidder": 1, "energy_wh": 1}, lot_id=4),
        row("energy", "level", {"energy_wh": 1, "stored_uwh": 2}, lot_id=0),
    ]
    ask(questions, DAY, rows)
    assert (questions.ended, questions.auctions, questions.trades) == ({(101, 1)}, {(101, 2)}, {(101, 3), (101, 4)})


@pytest.mark.parametrize("value", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_ids_of_64_bits_are_stored_whole(value: int) -> None:
    """In signed 64 bits, and back."""
    assert -(2**63) <= signed(value) < 2**63
    assert unsigned(signed(value)) == value


def test_a_signature_of_another_length_is_refused() -> None:
    """Before anybody decodes it."""
    with pytest.raises(RowError, match="signature"):
        row("settlement", "settled", {"bidder": 1, "amount_micro": 1, "confirmed_us": 1, "signature": "ab"})


def test_texts_for_lists_are_printable() -> None:
    """No control and no format characters, such as those that turn a line around."""
    assert clean("plain – µ") == "plain – µ"
    assert clean("a\u202eb\x07c\nd") == "a\ufffdb\ufffdc\ufffdd"
