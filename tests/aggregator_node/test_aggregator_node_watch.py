"""What a buyer's gateways hear of it: what it asks and is offered, never that it bids."""

import random

from aggregator_node.build import buyer_of
from aggregator_node.settings import AggregatorSettings
from aggregator_node.watch import LARGEST_LOT, response, status
from etp import messages
from etp.codes import MessageType
from etp.effects import Send
from etp.frame import decode, encode
from etp.ids import Ids
from etp.keys import KeyPair
from etp.profile import Plain
from etp.record import seal
from etp.units import DeviceId, MicroPerKwh, Wh
from tests.support import BESS, START_US, at

OFFER = messages.Offer(Wh(13_500), Wh(6_000))
UNSIGNED = {"counter": 1, "recipient": bytes(32), "network": bytes(32), "sign": KeyPair(bytes(32)).sign}


def test_an_offer_is_told() -> None:
    """Who offers what at which ask, and in a record of which lot; an ask of 0 is not disclosed."""
    frame = messages.response(BESS, offer=OFFER, ask=MicroPerKwh(125_000))
    assert response(frame, encode(frame)) == {
        "battery": BESS,
        "lot_id": 0,
        "energy_wh": 6_000,
        "ask_micro_per_kwh": 125_000,
    }
    hidden = messages.response(BESS, offer=OFFER, ask=MicroPerKwh(0))
    found = response(hidden, seal(hidden, encode(hidden), lot_id=17, **UNSIGNED))  # type: ignore[arg-type]
    assert found is not None
    assert (found["lot_id"], found["ask_micro_per_kwh"]) == (17, None)
    assert response(hidden, b"") == found | {"lot_id": 0}


def test_a_lot_that_no_gateway_could_store() -> None:
    """A battery may sign any u64: it must not end the feed of those who hear it."""
    frame = messages.response(BESS, offer=OFFER, ask=MicroPerKwh(0))
    for lot_id, told in ((LARGEST_LOT, LARGEST_LOT), (LARGEST_LOT + 1, 0), (2**64 - 1, 0)):
        found = response(frame, seal(frame, encode(frame), lot_id=lot_id, **UNSIGNED))  # type: ignore[arg-type]
        assert found is not None
        assert found["lot_id"] == told


def test_the_answer_to_a_bid_is_not_told() -> None:
    """It would say that this buyer takes part in a lot that is open."""
    frame = messages.response(BESS, offer=OFFER, ask=MicroPerKwh(130_500), bid_price=MicroPerKwh(130_000))
    assert response(frame, encode(frame)) is None


def test_what_is_bid_is_not_exposed_to_gateways() -> None:
    """A live bid counts in no figure of the status; a promise does."""
    settings = AggregatorSettings(device_id=500, max_price=18.5, demand_kwh=6.0, profile="plain")
    buyer = buyer_of(settings, series=None, seed=1, profile=Plain(Ids()), now=at(0), purse=None)
    buyer.session_opened(BESS, at(0.1))
    offered = messages.stamped(messages.response(BESS, offer=OFFER, ask=MicroPerKwh(125_000)), START_US + 200_000)
    before = status(buyer)
    effects = buyer.receive(BESS, offered, encode(offered), at(0.2))
    bid = next(effect.envelope for effect in effects if isinstance(effect, Send))
    assert bid.raw is not None
    assert decode(bid.raw).message_type == MessageType.BID
    assert buyer.portfolio.exposed_wh == 6_000
    assert (
        status(buyer)
        == before
        == {
            "bought_wh": 0,
            "paid_micro": 0,
            "exposed_wh": 0,
            "promises_open": 0,
            "batteries": 1,
        }
    )
    accept = messages.accept(
        BESS, energy=Wh(6_000), paid=MicroPerKwh(130_000), bid_price=MicroPerKwh(185_000), offer=OFFER
    )
    accept = messages.stamped(accept._replace(bid_price=bid.frame.bid_price), START_US + 300_000)
    buyer.receive(BESS, accept, encode(accept), at(0.3))
    assert (status(buyer)["exposed_wh"], status(buyer)["promises_open"]) == (6_000, 1)


def test_rng_is_of_no_matter() -> None:
    """A device id is a plain number in what is told."""
    device = DeviceId(random.Random(1).randrange(2**64))
    told = response(messages.response(device, offer=OFFER, ask=MicroPerKwh(1)), b"")
    assert told is not None
    assert told["battery"] == device
