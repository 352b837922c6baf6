"""The buyer's core as its settings describe it: the daemon, the simulator and the lab build the very same."""

import random

from aggregator_node.books import Purse
from aggregator_node.buyer import Buyer
from aggregator_node.portfolio import Portfolio
from aggregator_node.settings import AggregatorSettings
from aggregator_node.strategy import STRATEGIES
from aggregator_node.worth import Constant, Recorded, Worth
from etp.clock import Now
from etp.profile import Profile
from etp.timing import Timing
from etp.units import MICRO_PER_CENT, WH_PER_KWH, DeviceId, Micro, MicroPerKwh, Wh
from runtime.days import PriceSeries
from runtime.revival import Memory
from runtime.settings import market_clock


def buyer_of(
    settings: AggregatorSettings,
    *,
    series: PriceSeries | None,
    seed: int,
    profile: Profile,
    now: Now,
    purse: Purse | None = None,
) -> Buyer:
    """The buyer. `series`: the recorded prices; `purse`: what its escrow can pay."""
    return Buyer(
        DeviceId(settings.device_id),
        worth=_worth(settings, series, seed, now),
        portfolio=portfolio_of(settings),
        strategy=STRATEGIES[settings.strategy],
        profile=profile,
        rng=random.Random(seed),
        timing=Timing(),
        purse=purse,
        clock=market_clock(settings, now),
        patience_s=settings.patience_h * 3600,
    )


def revived(
    settings: AggregatorSettings,
    memory: Memory,
    *,
    series: PriceSeries | None,
    seed: int,
    profile: Profile,
    now: Now,
    purse: Purse | None = None,
) -> Buyer:
    """The buyer as its last life left it: what it bought is bought, and its unanswered Confirms are open."""
    buyer = buyer_of(settings, series=series, seed=seed, profile=profile, now=now, purse=purse)
    buyer.restored(memory.pending_rows(), memory.rows_of("trade"), now)
    return buyer


def _worth(settings: AggregatorSettings, series: PriceSeries | None, seed: int, now: Now) -> Worth:
    most = MicroPerKwh(round(settings.max_price * MICRO_PER_CENT))
    if series is None:
        return Constant(most)
    return Recorded(series, market_clock(settings, now), most, settings.margin, seed)


def portfolio_of(settings: AggregatorSettings) -> Portfolio:
    """Demand and budget in integers."""
    budget = None if settings.budget is None else Micro(round(settings.budget * MICRO_PER_CENT))
    period = settings.period_kwh
    return Portfolio(
        Wh(round(settings.demand_kwh * WH_PER_KWH)), budget, None if period is None else Wh(round(period * WH_PER_KWH))
    )
