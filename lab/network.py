"""What the network costs an owner: late and lost bids, through the full cores in a simulated network."""

from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure as Canvas
from pyarrow.compute import field

from etp.units import DeviceId, MessageId, Micro, Wh, money
from lab.cores import Net, Sold, sold
from lab.drawing import LOOKS, axes_of
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf, Task
from lab.income import Sales
from lab.ledger import TARIFFS, Account, series_of
from lab.play import Rules
from lab.scenario import HOMES
from lab.shown import CENT, Found, bare, cents, efficiency, efficient, legend_below, rational
from lab.tape import TapeLot, recorded_tape
from lab.welfare import Worth
from lab.wording import more
from market.auction import Award, Bid
from sim.network import Weather

SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (3, 9), "full": (12, 3)}
"""(drawings, every which of a drawing's lots)."""
PLAYS_TRIED: Final = ("english", "first-price", "vickrey")
BUYERS: Final = 4
CLOSINGS_S: Final = (0.2, 1.1)
"""One machine's, and the default: two messages of 500 ms and the allowance."""
SECONDS: Final = 8.0
"""Of virtual time: for a sealed lot, and another try where its promise was not kept."""
STEPS: Final = 60
"""Of an english lot, at most: from the reserve to the dearest value by the increment."""
CALM: Final = "1–3 ms"
FAR: Final = "150–350 ms"
BEYOND: Final = "400–600 ms"
CUT: Final = "5 % of packets cut"
FOUND: Final = "found by datagrams"
LOSSY: Final = "found by datagrams, 20 % lost"
TALL_IN: Final = (8.0, 5.6)
"""A canvas with room for the networks' names, inches."""
NEAR_S: Final = (0.0005, 0.003)
NETS: Final = {
    CALM: Net(Weather(NEAR_S)),
    "20–40 ms": Net(Weather((0.020, 0.040))),
    "50–150 ms": Net(Weather((0.050, 0.150))),
    FAR: Net(Weather((0.150, 0.350))),
    BEYOND: Net(Weather((0.400, 0.600))),
    "5 % resent (0.3 s)": Net(Weather(NEAR_S, tail_s=0.3, unlucky=0.05)),
    "1 % of packets cut": Net(Weather(NEAR_S, cut_per_packet=0.01)),
    CUT: Net(Weather(NEAR_S, cut_per_packet=0.05)),
    FOUND: Net(Weather(NEAR_S), found=True),
    LOSSY: Net(Weather(NEAR_S, datagram_lost=0.2), found=True),
}
"""By name; the experiment's method says what each is."""


ORDINALS: Final = {3: "third", 9: "ninth"}


def _ordinal(scale: Scale) -> str:
    return ORDINALS[SIZES[scale][1]]


def tasks(scale: Scale, seed: int) -> list[Task]:
    """One drawing each."""
    count, every = SIZES[scale]
    return [Task(f"{drawing:03d}", (seed, drawing, every)) for drawing in range(count)]


def run(seed: int, drawing: int, every: int) -> list[Row]:
    """One lot in `every`, in every weather."""
    lots = recorded_tape(seed, drawing).lots[first_lot(drawing, every) :: every]
    rows: list[Row] = []
    for play in PLAYS_TRIED:
        for closing_s in CLOSINGS_S:
            rules = Rules(play, BUYERS, "added", closing_s=closing_s)
            rows += [_row(lots, rules, name, seed + drawing) for name in NETS]
    return rows


def first_lot(drawing: int, every: int) -> int:
    """Homes follow each other from drawing to drawing; once each has had its turn, all begin with the next lot, so that each meets all."""
    return drawing // len(HOMES) % every


def _row(lots: tuple[TapeLot, ...], rules: Rules, net: str, seed: int) -> Row:
    account, worth, kind = Account(), Worth(), NETS[net]
    seconds = _seconds(rules, kind)
    for index, lot in enumerate(lots):
        trades = sold(lot, TARIFFS.base, rules, net=kind, seconds=seconds, seed=seed * len(lots) + index)
        worth.add(lot, [_award(trade) for trade in trades], rules, TARIFFS.base)
        count, energy, paid = account.sales
        energy = Wh(energy + sum(trade.energy for trade in trades))
        paid = Micro(paid + sum(money(trade.paid, trade.energy) for trade in trades))
        account.sales = Sales(count + len(trades), energy, paid)
        account.offered, account.lots = account.offered + lot.energy, account.lots + 1
    told: Row = {"play": rules.play, "closing_ms": round(rules.closing_s * 1000), "net": net}
    return {**told, "cluster": lots[0].cluster, **account.row(TARIFFS), **worth.row()}


def _award(trade: Sold) -> Award:
    """The trade as a mechanism would have told it. Neither its message nor its number is known, nor what was bid: at least the price."""
    buyer, energy, paid = trade
    return Award(Bid(DeviceId(buyer), MessageId(0), paid, energy, 0), energy, paid)


def _seconds(rules: Rules, net: Net) -> float:
    steps = STEPS if rules.play == "english" else 0
    return SECONDS + steps * 2 * net.weather.delay_s[1]


def read(table: pa.Table) -> Found:
    """By play, closing time and network."""
    return series_of(table, ("play", "closing_ms", "net"))


def _short_and_long() -> tuple[int, int]:
    short, long = (round(closing_s * 1000) for closing_s in CLOSINGS_S)
    return short, long


def checks(table: pa.Table) -> list[Check]:
    """A bad network costs something; the default closing time is enough for links within the protocol's limits."""
    found = read(table)
    short, long = _short_and_long()
    checks = []
    for play in PLAYS_TRIED:
        calm = found[play, long, CALM]
        lost, selling = calm.over(found[play, long, FAR]), calm.income().estimate - TARIFFS.feed_in
        checks.append(
            Check(
                f"{play}, {long:,} ms: delays up to 350 ms surely cost less than a tenth of what selling earns",
                lost.high <= selling / 10,
                f"cost {cents(lost)} of {selling / CENT:.2f} c/kWh, {lost.clusters} drawings",
            )
        )
    gained = found["english", long, FAR].over(found["english", short, FAR])
    name = f"english over slow links: closing after {long:,} ms earns more than after {short:,} ms"
    checks.append(Check(name, gained.above_zero, f"{cents(gained)}, {gained.clusters} drawings"))
    calmly = {play: found[play, long, CALM] for play in PLAYS_TRIED}
    return [*checks, efficient(f"{CALM}, closing after {long:,} ms", calmly), rational(found.values())]


def draw(table: pa.Table, canvas: Canvas) -> None:
    """What selling adds to feed-in, by network."""
    canvas.set_size_inches(TALL_IN)
    found = read(table)
    names = list(NETS)
    for place, closing in enumerate(_short_and_long()):
        axes = axes_of(
            canvas,
            (1, 2, place + 1),
            x="network",
            y="income above feed-in, c per kWh offered",
            title=f"closes after {closing:,} ms",
        )
        for offset, play in enumerate(PLAYS_TRIED):
            incomes = [found[play, closing, name].income() for name in names]
            where = [index + (offset - 1) * 0.25 for index in range(len(names))]
            half = [
                [max(0.0, income.estimate - income.low) / CENT for income in incomes],
                [max(0.0, income.high - income.estimate) / CENT for income in incomes],
            ]
            heights = [(income.estimate - TARIFFS.feed_in) / CENT for income in incomes]
            axes.bar(where, heights, width=0.25, yerr=half, color=LOOKS[play].colour, label=play)
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    legend_below(canvas, axes, columns=4)


def rows(table: pa.Table) -> list[tuple[str, ...]]:
    """What each network costs against a calm one."""
    found = read(table)
    return [
        (
            name,
            *(
                bare(found[play, closing, CALM].over(found[play, closing, name]))
                for closing in _short_and_long()
                for play in PLAYS_TRIED
            ),
        )
        for name in NETS
        if name != CALM
    ]


def efficiency_rows(table: pa.Table) -> list[tuple[str, ...]]:
    """Network by network."""
    found = read(table)
    return [
        (name, *(efficiency(found[play, closing, name]) for closing in _short_and_long() for play in PLAYS_TRIED))
        for name in NETS
    ]


def _lots(table: pa.Table) -> int:
    """How many were sold in each network, by each mechanism."""
    one = field("play") == PLAYS_TRIED[0], field("closing_ms") == _short_and_long()[0], field("net") == CALM
    return sum(table.filter(one[0] & one[1] & one[2])["lots"].to_pylist())


def said(table: pa.Table) -> str:
    """Latency, loss, and what the closing time does about them."""
    found = read(table)
    short, long = _short_and_long()

    def earned(play: str, closing: int, net: str, than: str = CALM) -> str:
        return more(found[play, closing, net].over(found[play, closing, than]))

    calm, beyond = (found["english", long, net] for net in (CALM, BEYOND))
    return f"""Over links of 150 to 350 ms an english lot that closes {short:,} ms after its last bid earns its owner
{earned("english", short, FAR)} than over a calm network: a rival's answer takes two ways, longer than the lot waits. With the default
of {long:,} ms it earns {earned("english", long, FAR)}. Where messages take 400 to 600 ms, some beyond the 500 ms that
the protocol allows, it earns {earned("english", long, BEYOND)}: {beyond.share_sold():.0%} of the energy
is sold instead of {calm.share_sold():.0%}, at {beyond.price() / CENT:.2f} c/kWh instead of {calm.price() / CENT:.2f}.

Where connections are cut at every twentieth packet english lots, which need many messages of each buyer, earn
{earned("english", long, CUT)}, and vickrey lots, which need one, earn {earned("vickrey", long, CUT)}.

Loss also keeps buyers away: where they find the battery by datagrams and one in five of these is lost, a lot may be over
before a buyer knows of it. Vickrey lots then earn {earned("vickrey", long, LOSSY, FOUND)} than with datagrams of which none is lost.

These are {_lots(table):,} lots in {len(found["vickrey", long, CALM].clusters)} drawings: few, so that the intervals' ends are rough."""


COLUMNS: Final = tuple(f"{play}, {closing:,} ms" for closing in _short_and_long() for play in PLAYS_TRIED)

NETWORK: Final = Experiment(
    name="network",
    title="What latency and loss cost the owner",
    question="How much income is lost when bids are late or lost?",
    tasks=tasks,
    run=run,
    checks=checks,
    figures=(
        Figure(
            "network",
            "Income above feed-in by network",
            draw,
            "Four aggregators, each wants the lot; 95 % intervals. 0 is what feeding in all of it earns. *Method* explains the networks.",
        ),
    ),
    tables=(
        TableOf(
            "network",
            "What a network costs against a calm one, c per kWh offered",
            ("network", *COLUMNS),
            rows,
            "Paired on the same lots; 95 % BCa intervals over drawings. Below zero the owner earned more than in the calm network: "
            "bids come in another order there.",
        ),
        TableOf(
            "efficiency",
            "Efficiency by network",
            ("network", *COLUMNS),
            efficiency_rows,
            "Welfare of owner and buyers, as a share of the best possible.",
        ),
    ),
    method=f"""Of each drawing of the recorded days every {_ordinal("full")} lot (in quick every {_ordinal("quick")}) is sold by the
shipped desk to four shipped buyers in `sim.World`: sessions, deadlines, repetition and promises are the daemons'. A home meets other
lots from drawing to drawing. Lots that nobody values above the reserve are among them, and stay unsold in every network.

What changes is the network. Times such as *150–350 ms* are one-way delays, drawn for each packet. *5 % resent (0.3 s)*: so many packets
are lost and sent again, and wait for an exponential time with a mean of 0.3 s. *5 % of packets cut*: at so many the connection breaks in
mid-frame and is made again. *Found by datagrams*: buyers do not know the battery's address and ask for it by multicast, as daemons do;
elsewhere they know it. All but those with other delays have those of the calm network, {CALM}.

The limits that buyers bid up to are those of equilibrium where all rivals are heard. Who knew that some are not would shade a first-price
bid more; here it does not, so that first-price looks better than it would be where bids are late.""",
    said=said,
)
EXPERIMENTS: Final = (NETWORK,)
