"""A buyer and its escrow: what it has room for is bid for, soon after it is there."""

import random

from aggregator_node.buyer import Buyer
from aggregator_node.portfolio import Portfolio
from aggregator_node.strategy import STRATEGIES
from aggregator_node.worth import Constant
from etp import messages
from etp.codes import Health, MessageType, RejectCode
from etp.timing import Timing
from etp.units import DeviceId, LotId, Micro, MicroPerKwh, Wh
from tests.aggregator_node.test_aggregator_node_buyer_signed import LOT, US, House
from tests.support import BESS, at

OFFER = messages.Offer(Wh(2000), Wh(1000))


class Purse:
    """An escrow that is filled by hand."""

    def __init__(self, micro: int) -> None:
        self.micro = micro

    def room(self, live: Micro) -> Micro:
        """See Purse of the buyer."""
        return Micro(max(0, self.micro - live))

    def confirmed(self, battery: DeviceId, lot_id: LotId, amount: Micro, message_id: int) -> None:
        """Nothing is confirmed here."""


def house(purse: Purse) -> House:
    """A buyer with that escrow, whose battery offers a kWh."""
    made = House()
    made.buyer = Buyer(
        US,
        worth=Constant(MicroPerKwh(200_000)),
        portfolio=Portfolio(Wh(3000)),
        strategy=STRATEGIES["truthful"],
        profile=made.profile,
        rng=random.Random(1),
        timing=Timing(),
        purse=purse,
    )
    made.open(0)
    made.says(messages.response(BESS, offer=OFFER, ask=MicroPerKwh(125_000)), 0.1, LOT)
    return made


def live(made: House, second: float) -> None:
    """A moment: its battery answers a Query, says its Status each 5 s; the buyer does what is due."""
    asked = made.types().count(MessageType.QUERY)
    made.do(made.buyer.advance(at(second)), at(second))
    if made.types().count(MessageType.QUERY) > asked:
        made.says(messages.response(BESS, offer=OFFER, ask=MicroPerKwh(125_000)), second + 0.01, LOT)
    if second % 5 == 0:
        telemetry = messages.status(BESS, remaining=Wh(2000), health=Health.GOOD, voltage_v=48.0, discharge_kw=0.0)
        made.says(telemetry, second + 0.02, 0)


def test_after_a_bid_that_was_too_small_a_deposit_is_bid_for() -> None:
    """The escrow has room for a tenth; the battery takes no less than the half. Then the deposit comes."""
    purse = Purse(20_001)
    made = house(purse)
    assert messages.terms(made.last(MessageType.BID)[0]).energy == 100
    made.give(made.rejects(0.2, RejectCode.INSUFFICIENT), 0.2)
    purse.micro = 1_000_000
    for tick in range(1, 61):
        second = tick / 2
        if second % 2 == 0:
            made.buyer.funded(at(second))
        live(made, second)
    assert messages.terms(made.last(MessageType.BID)[0]).energy == 1000
