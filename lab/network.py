"""What the network costs an owner: late and lost bids, through the full cores in a simulated network."""

from typing import Final

import pyarrow as pa
from matplotlib.figure import Figure as Canvas

from etp.units import Micro, Wh, money
from lab.cores import Net, sold
from lab.drawing import LOOKS, axes_of
from lab.experiment import Check, Experiment, Figure, Row, Scale, TableOf, Task
from lab.income import Sales
from lab.ledger import TARIFFS, Account, series_of
from lab.play import Rules
from lab.shown import CENT, Found, bare, cents, legend_below
from lab.tape import TapeLot, recorded_tape
from sim.network import Weather

SIZES: Final[dict[Scale, tuple[int, int]]] = {"quick": (3, 9), "full": (12, 3)}
"""(drawings, every which of their lots: others than in the drawing before)."""
PLAYS_TRIED: Final = ("english", "first-price", "vickrey")
BUYERS: Final = 4
CLOSINGS_S: Final = (0.2, 1.1)
"""One machine's, and the default: two messages of 500 ms and the allowance."""
SECONDS: Final = 8.0
"""Of virtual time: for a sealed lot, and another try where its promise was not kept."""
STEPS: Final = 60
"""Of an english lot, at most: from the reserve to the dearest value by the increment."""
CALM: Final = "1–3 ms"
LOSSY: Final = "found, 20 % lost"
NEAR_S: Final = (0.0005, 0.003)
NETS: Final = {
    CALM: Net(Weather(NEAR_S)),
    "20–40 ms": Net(Weather((0.020, 0.040))),
    "50–150 ms": Net(Weather((0.050, 0.150))),
    "150–350 ms": Net(Weather((0.150, 0.350))),
    "400–600 ms": Net(Weather((0.400, 0.600))),
    "5 % wait 0.3 s": Net(Weather(NEAR_S, tail_s=0.3, unlucky=0.05)),
    "1 % cut": Net(Weather(NEAR_S, cut_per_packet=0.01)),
    "5 % cut": Net(Weather(NEAR_S, cut_per_packet=0.05)),
    "found by multicast": Net(Weather(NEAR_S), found=True),
    LOSSY: Net(Weather(NEAR_S, datagram_lost=0.2), found=True),
}
"""One-way delays; retransmitted packets, which wait for an exponential time with a mean of 0.3 s; connections cut at a packet; buyers
who do not know the battery's address and ask for it by datagrams, one in five of which is lost."""


def tasks(scale: Scale, seed: int) -> list[Task]:
    """One drawing each."""
    count, every = SIZES[scale]
    return [Task(f"{drawing:03d}", (seed, drawing, every)) for drawing in range(count)]


def run(seed: int, drawing: int, every: int) -> list[Row]:
    """One lot in `every`, in every weather."""
    lots = recorded_tape(seed, drawing).lots[drawing % every :: every]
    rows: list[Row] = []
    for play in PLAYS_TRIED:
        for closing_s in CLOSINGS_S:
            rules = Rules(play, BUYERS, "added", closing_s=closing_s)
            rows += [_row(lots, rules, name, seed + drawing) for name in NETS]
    return rows


def _row(lots: tuple[TapeLot, ...], rules: Rules, net: str, seed: int) -> Row:
    account, kind = Account(), NETS[net]
    seconds = _seconds(rules, kind)
    for index, lot in enumerate(lots):
        trades = sold(lot, TARIFFS.base, rules, net=kind, seconds=seconds, seed=seed * len(lots) + index)
        count, energy, paid = account.sales
        energy = Wh(energy + sum(trade.energy for trade in trades))
        paid = Micro(paid + sum(money(trade.paid, trade.energy) for trade in trades))
        account.sales = Sales(count + len(trades), energy, paid)
        account.offered, account.lots = account.offered + lot.energy, account.lots + 1
    told: Row = {"play": rules.play, "closing_ms": round(rules.closing_s * 1000), "net": net}
    return {**told, "cluster": lots[0].cluster, **account.row(TARIFFS)}


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
        calm, far = found[play, long, CALM], found[play, long, "150–350 ms"]
        lost = calm.over(far)
        checks.append(
            Check(
                f"{play}, {long} ms: delays up to 350 ms cost less than a tenth of what selling earns",
                lost.estimate <= (calm.income().estimate - TARIFFS.feed_in) / 10,
                f"cost {cents(lost)} of {(calm.income().estimate - TARIFFS.feed_in) / CENT:.2f} c/kWh",
            )
        )
    gained = found["english", long, "150–350 ms"].over(found["english", short, "150–350 ms"])
    checks.append(
        Check(
            "english over slow links: closing after 1,100 ms earns more than after 200 ms",
            gained.above_zero,
            cents(gained),
        )
    )
    return checks


def draw(table: pa.Table, canvas: Canvas) -> None:
    """Income by network."""
    found = read(table)
    names = list(NETS)
    for place, closing in enumerate(_short_and_long()):
        axes = axes_of(
            canvas, (1, 2, place + 1), x="network", y="income, c per kWh offered", title=f"closes after {closing} ms"
        )
        for offset, play in enumerate(PLAYS_TRIED):
            incomes = [found[play, closing, name].income() for name in names]
            where = [index + (offset - 1) * 0.25 for index in range(len(names))]
            half = [
                [max(0.0, income.estimate - income.low) / CENT for income in incomes],
                [max(0.0, income.high - income.estimate) / CENT for income in incomes],
            ]
            heights = [income.estimate / CENT for income in incomes]
            axes.bar(where, heights, width=0.25, yerr=half, color=LOOKS[play].colour, label=play)
        axes.axhline(TARIFFS.feed_in / CENT, color="black", linewidth=1, label="feed-in")
        axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
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


def said(table: pa.Table) -> str:
    """Latency, loss, and what the closing time does about them."""
    found = read(table)
    short, long = _short_and_long()
    slow = {
        closing: found["english", closing, CALM].over(found["english", closing, "150–350 ms"])
        for closing in (short, long)
    }
    cut = {play: found[play, long, CALM].over(found[play, long, "5 % cut"]) for play in ("english", "vickrey")}
    unseen = found["vickrey", long, "found by multicast"].over(found["vickrey", long, LOSSY])
    too_far = found["english", long, "400–600 ms"]
    return f"""Over links of 150 to 350 ms an english lot that closes {short} ms after its last bid costs its owner
{cents(slow[short])}, since rivals are not back in time; with the default of {long} ms it costs {cents(slow[long])}.
Where messages take 400 to 600 ms, beyond the protocol's 500 ms, {too_far.share_sold():.0%} of the energy is sold:
bids and promises are late, nobody is bound by half a trade, and the rest is fed in. Connections that are cut at every
twentieth packet cost {cents(cut["english"])} in english lots, which need many messages of each buyer, and
{cents(cut["vickrey"])} in vickrey lots, which need one; a promise survives the session that made it.

Loss also keeps buyers away: where they find the battery by datagrams and one in five of these is lost, a lot may be over
before a buyer knows of it. That costs {cents(unseen)} against a network that loses none."""


NETWORK: Final = Experiment(
    name="network",
    title="What latency and loss cost the owner",
    question="How much income is lost when bids are late or lost?",
    tasks=tasks,
    run=run,
    checks=checks,
    figures=(Figure("network", "Income by network", draw, "Four aggregators, each wants the lot; 95 % intervals."),),
    tables=(
        TableOf(
            "network",
            "What a network costs against a calm one, c per kWh offered",
            ("network", *(f"{play}, {closing} ms" for closing in _short_and_long() for play in PLAYS_TRIED)),
            rows,
            "Paired on the same lots; 95 % BCa intervals over drawings. Below zero: by chance, of the order of bids.",
        ),
    ),
    method="""Every lot of the recorded days that is worth bidding for is sold by the shipped desk to four shipped buyers in
`sim.World`: sessions, deadlines, repetition and promises are the daemons'. What changes is the network: one-way
delays drawn per packet, packets that are retransmitted, connections cut in mid-frame and made again, datagrams lost by
which buyers find a battery.""",
    said=said,
)
EXPERIMENTS: Final = (NETWORK,)
