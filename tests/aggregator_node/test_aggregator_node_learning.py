"""What the buyer tells its strategy: the lot and its needs before a bid, and what became of the bid."""

import random
from dataclasses import dataclass, field

from aggregator_node.buyer import Buyer
from aggregator_node.portfolio import Portfolio
from aggregator_node.view import Loss, LotView, Need
from aggregator_node.worth import Constant, Recorded
from etp import messages
from etp.clock import Now
from etp.codes import MessageType, RejectCode
from etp.effects import Effect, Send
from etp.frame import Frame, decode, encode
from etp.ids import Ids
from etp.profile import Plain
from etp.timing import Timing
from etp.units import DeviceId, LotId, MicroPerKwh, MonotonicS, WallUs, Wh
from runtime.days import MarketClock, PriceSeries
from tests.support import BESS, START_US, at


@dataclass
class Diary:
    """A strategy that bids the ask and writes down what it hears."""

    views: list[LotView] = field(default_factory=list)
    heard: list[tuple[object, ...]] = field(default_factory=list)

    def fresh(self) -> "Diary":
        """Itself, to be read."""
        return self

    def price(self, view: LotView, rng: random.Random) -> MicroPerKwh:  # noqa: ARG002 - one interface for all
        """The ask."""
        self.views.append(view)
        return view.ask

    def won(self, battery: DeviceId, *, bid: MicroPerKwh, paid: MicroPerKwh) -> None:
        """Note it."""
        self.heard.append(("won", battery, bid, paid))

    def lost(self, battery: DeviceId, *, bid: MicroPerKwh, how: Loss) -> None:
        """Note it."""
        self.heard.append((how, battery, bid))


def buyer_with(diary: Diary, *, recorded: bool = False) -> Buyer:
    """Wants 3 kWh; in a half-hour 2 kWh, where there are days, ten minutes into which it begins."""
    clock = MarketClock(MonotonicS(1.0), 600.0, speed=1.0)
    series = PriceSeries(0.0, (200_000, 190_000))
    worth = Recorded(series, clock, MicroPerKwh(200_000), 0.0, 1) if recorded else Constant(MicroPerKwh(200_000))
    return Buyer(
        DeviceId(500),
        worth=worth,
        portfolio=Portfolio(Wh(3000), period_demand=Wh(2000) if recorded else None),
        strategy=diary,
        profile=Plain(Ids(START_US)),
        rng=random.Random(1),
        timing=Timing(),
        clock=clock,
        patience_s=7200.0,
    )


def give(buyer: Buyer, frame: Frame, second: float) -> list[Effect]:
    """A frame from the battery."""
    raw = encode(messages.stamped(frame, at(second).wall_us))
    return buyer.receive(BESS, decode(raw), raw, at(second))


def offer(buyer: Buyer, second: float, *, ask: int = 125_000) -> list[Effect]:
    """6 kWh for sale."""
    return give(buyer, messages.response(BESS, offer=messages.Offer(13_500, 6_000), ask=MicroPerKwh(ask)), second)


def test_a_strategy_sees_the_lot_and_what_is_needed_until_when() -> None:
    """The demand in total may wait for its patience, from the first lot on; that of the half-hour to its end."""
    diary = Diary()
    buyer = buyer_with(diary, recorded=True)
    buyer.session_opened(BESS, at(1.0))
    offer(buyer, 1.0)
    give(buyer, messages.reject(BESS, RejectCode.ANOTHER_WON, refused=12.5), 2.0)
    offer(buyer, 61.0)
    first, second = diary.views
    assert first == LotView(
        MicroPerKwh(200_000),
        MicroPerKwh(125_000),
        battery=BESS,
        lot_id=LotId(0),
        energy=Wh(6000),
        market_s=600.0,
        period=0,
        needs=(Need(Wh(3000), 7200.0), Need(Wh(2000), 1200.0, recurs=True)),
    )
    assert second.needs == (Need(Wh(3000), 7140.0), Need(Wh(2000), 1140.0, recurs=True))


def test_a_strategy_hears_of_wins_and_losses() -> None:
    """Outbid, another won, below the reserve: with the bid that was refused; won: with what is paid. Nothing else."""
    diary = Diary()
    buyer = buyer_with(diary)
    buyer.session_opened(BESS, at(1.0))
    for second, code in ((1.0, RejectCode.OUTBID), (5.0, RejectCode.ANOTHER_WON), (9.0, RejectCode.BELOW_RESERVE)):
        offer(buyer, second)
        give(buyer, messages.reject(BESS, code, refused=12.5), second + 0.1)
    offer(buyer, 20.0)
    give(buyer, messages.reject(BESS, RejectCode.UNAVAILABLE, refused=12.5), 20.1)
    offer(buyer, 30.0)
    won = messages.accept(
        BESS, energy=Wh(3000), paid=MicroPerKwh(110_000), bid_price=MicroPerKwh(125_000), offer=messages.Offer(0, 0)
    )
    give(buyer, won, 30.1)
    bid = MicroPerKwh(125_000)
    assert diary.heard == [
        (Loss.OUTBID, BESS, bid),
        (Loss.ANOTHER_WON, BESS, bid),
        (Loss.BELOW_RESERVE, BESS, bid),
        ("won", BESS, bid, 110_000),
    ]


def test_a_battery_far_away_is_bid_at() -> None:
    """300 ms each way, clocks equal: what binds the session answers the hello, so the clock is not taken for wrong."""
    buyer = buyer_with(Diary())
    buyer.hello(at(1.0), BESS)
    buyer.session_opened(BESS, at(1.6))
    answer = messages.response(BESS, offer=messages.Offer(13_500, 6_000), ask=MicroPerKwh(125_000))
    raw = encode(messages.stamped(answer, at(1.3).wall_us))
    later = Now(at(1.6).monotonic_s, WallUs(at(1.6).wall_us))
    sent = [one for one in buyer.receive(BESS, decode(raw), raw, later) if isinstance(one, Send)]
    assert [one.envelope.frame.message_type for one in sent] == [MessageType.BID]
