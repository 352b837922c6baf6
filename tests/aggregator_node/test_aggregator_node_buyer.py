"""The buyer against the real desk, in virtual time, and its rules one by one."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aggregator_node.books import LOOK_S
from aggregator_node.buyer import Buyer
from aggregator_node.portfolio import Portfolio
from aggregator_node.strategy import STRATEGIES, LotView, price
from aggregator_node.worth import Constant, Recorded
from etp import messages
from etp.codes import FailureCode, MessageType, RejectCode, TerminateCode
from etp.effects import Commit, Effect, Envelope, Log, Lookup, Row, Send, Write
from etp.frame import Frame, decode, encode
from etp.ids import Ids
from etp.profile import Plain
from etp.timing import Timing
from etp.units import DeviceId, MicroPerKwh, Wh, money
from runtime.days import MarketClock, PriceSeries
from tests.support import BESS, START_US, at, bench


class Desk:
    """One buyer, driven by hand."""

    def __init__(
        self, device: int = 500, *, value: float = 20.0, kwh: float = 3.0, strategy: str = "conservative"
    ) -> None:
        self.ids = Ids(START_US)
        self.buyer = Buyer(
            DeviceId(device),
            worth=Constant(MicroPerKwh(round(value * 10_000))),
            portfolio=Portfolio(round(kwh * 1000)),
            strategy=STRATEGIES[strategy],
            profile=Plain(self.ids),
            rng=random.Random(1),
            timing=Timing(),
        )
        self.sent: list[Frame] = []
        self.raw: list[bytes] = []
        self.rows: list[Row] = []
        self.held: list[Commit] = []
        self.logs: list[Log] = []
        self.hold = False

    def do(self, effects: list[Effect], second: float) -> None:
        """Carry effects out."""
        for effect in effects:
            if isinstance(effect, Send):
                raw = effect.envelope.raw or Plain(self.ids).stamp(effect.envelope, None, at(second))
                self.sent.append(decode(raw))
                self.raw.append(raw)
            elif isinstance(effect, Commit):
                self.held.append(effect)
                if not self.hold:
                    self.commit(second)
            elif isinstance(effect, Write):
                self.rows += effect.rows
            elif isinstance(effect, Lookup):
                found = (row for row in reversed(self.rows) if (row.kind, row.subject) == (effect.kind, effect.subject))
                self.do(self.buyer.found(effect, next(found, None), at(second)), second)
            elif isinstance(effect, Log):
                self.logs.append(effect)

    def commit(self, second: float, *, fails: bool = False) -> None:
        """Let what is on its way to the journal end."""
        held, self.held = self.held, []
        for commit in held:
            if fails:
                self.do(self.buyer.commit_failed(commit, at(second)), second)
            else:
                self.rows += commit.rows
                self.do(self.buyer.committed(commit, at(second)), second)

    def give(self, frame: Frame, second: float, *, stamped: bool = True) -> bytes:
        """A frame from the battery."""
        raw = encode(messages.stamped(frame, at(second).wall_us) if stamped else frame)
        self.do(self.buyer.receive(BESS, decode(raw), raw, at(second)), second)
        return raw

    def open(self, second: float = 1.0, *, ask: float = 12.5) -> Frame:
        """Connect and hear what is for sale; returns the bid."""
        self.do(self.buyer.session_opened(BESS, at(second)), second)
        self.give(messages.response(BESS, offer=messages.Offer(13_500, 6_000), ask=round(ask * 10_000)), second)
        return self.sent[-1]

    def accept(self, second: float = 1.2, **changes: float) -> bytes:
        """An Accept of the live bid."""
        bid = messages.terms(self.sent[-1])
        frame = messages.accept(
            BESS, energy=bid.energy, paid=bid.bid_price, bid_price=bid.bid_price, offer=messages.Offer(13_500, 0)
        )
        return self.give(frame._replace(**changes), second)

    def end(self, code: TerminateCode, second: float = 1.4) -> None:
        """A Terminate from the battery."""
        self.give(messages.terminate(BESS, code), second)

    @property
    def kinds(self) -> list[MessageType]:
        """Types sent."""
        return [MessageType(frame.message_type) for frame in self.sent]


QUERY, BID, CONFIRM, TERMINATE = MessageType.QUERY, MessageType.BID, MessageType.CONFIRM, MessageType.TERMINATE


def test_from_response_to_trade() -> None:
    """Query, Bid at the ask for what is needed, Confirm of the Accept's terms, and the trade counts once."""
    d = Desk()
    bid = d.open()
    assert (bid.bid_price, bid.required_energy_amount) == (12.5, 3.0)
    d.accept()
    assert (d.kinds, d.sent[-1].sale_price) == ([QUERY, BID, CONFIRM], 12.5)
    d.end(TerminateCode.FINISHED)
    assert (d.buyer.portfolio.bought, d.buyer.portfolio.paid, d.buyer.portfolio.filled) == (3000, 375_000, True)
    assert [(row.kind, row.state) for row in d.rows] == [
        ("promise", "confirming"),
        ("promise", "finished"),
        ("trade", "confirmed"),
    ]
    assert d.buyer.next_deadline() is None


def test_two_buyers_and_the_real_desk() -> None:
    """Against the desk that ships: the higher value wins within one increment of the lower one."""
    b = bench("english")
    buyers = {500: Desk(500, value=18.5), 501: Desk(501, value=16.5)}
    for device, d in buyers.items():
        d.do(d.buyer.session_opened(BESS, at(1.0)), 1.0)
        assert device == d.buyer.device_id
    seen, second = 0, 1.0
    passed = dict.fromkeys(buyers, 0)
    while second < 3.0 and not any(d.buyer.portfolio.filled for d in buyers.values()):
        second += 0.001
        for device, d in buyers.items():
            for raw in d.raw[passed[device] :]:
                b.do(b.desk.receive(DeviceId(device), decode(raw), raw, at(second)), at(second))
            passed[device] = len(d.raw)
        b.advance(second)
        for to, _, raw in b.sent[seen:]:
            buyers[to].do(buyers[to].buyer.receive(BESS, decode(raw), raw, at(second)), second)
        seen = len(b.sent)
    assert buyers[500].buyer.portfolio.filled
    paid = buyers[500].buyer.portfolio.paid
    assert money(164_500, 3000) <= paid <= money(165_500 + 500, 3000)
    trade = next(row for row in b.rows if row.kind == "trade")
    assert (trade.body["paid_micro"], trade.body["bidder"]) == (paid, 500)


@pytest.mark.parametrize(
    ("changes", "second", "code"),
    [
        ({"sale_price": 12.6}, 1.2, TerminateCode.CANNOT_DELIVER),
        ({"required_energy_amount": 3.001}, 1.2, TerminateCode.CANNOT_DELIVER),
    ],
)
def test_unfair_accepts_are_declined(changes: dict[str, float], second: float, code: TerminateCode) -> None:
    """Dearer or more than was bid: Terminate, nothing bought, nothing exposed."""
    d = Desk()
    d.open()
    d.accept(second, **changes)
    assert (d.sent[-1].message_type, d.sent[-1].termination_code) == (TERMINATE, code)
    assert d.buyer.portfolio.exposed_wh == 0


def test_late_and_unasked_accepts_are_declined() -> None:
    """551 ms old: TIMEOUT; without a bid: CANNOT_DELIVER."""
    d = Desk()
    bid = messages.terms(d.open())
    frame = messages.accept(
        BESS, energy=bid.energy, paid=bid.bid_price, bid_price=bid.bid_price, offer=messages.Offer(0, 0)
    )
    d.give(messages.stamped(frame, at(1.0).wall_us), 1.551, stamped=False)
    assert d.sent[-1].termination_code == TerminateCode.TIMEOUT
    d.give(frame, 1.6)
    assert d.sent[-1].termination_code == TerminateCode.CANNOT_DELIVER


def test_confirm_is_repeated_until_answered() -> None:
    """No answer in 1 s: the same bytes again, with back-off, at a reconnect and for the same Accept."""
    d = Desk()
    d.open()
    accept = d.accept(1.2)
    confirm = d.raw[-1]
    assert d.buyer.next_deadline() == 2.2
    d.do(d.buyer.advance(at(2.2)), 2.2)
    d.do(d.buyer.session_lost(BESS, at(2.3)), 2.3)
    d.do(d.buyer.session_opened(BESS, at(3.0)), 3.0)
    d.do(d.buyer.receive(BESS, decode(accept), accept, at(3.1)), 3.1)
    assert [raw for raw in d.raw if raw[0] == CONFIRM] == [confirm] * 4
    d.end(TerminateCode.TIMEOUT, 3.2)
    assert (d.buyer.portfolio.bought, d.buyer.open_promises, d.rows[-1].state) == (0, 0, "released")


def test_unresolved_after_ten_minutes() -> None:
    """The exposure stands for 10 minutes, then the promise is UNRESOLVED."""
    d = Desk()
    d.open()
    d.accept(1.2)
    d.do(d.buyer.advance(at(601.1)), 601.1)
    assert d.buyer.portfolio.exposed_wh == 3000
    d.do(d.buyer.advance(at(601.2)), 601.2)
    assert (d.buyer.portfolio.exposed_wh, d.rows[-1].state) == (0, "unresolved")


def test_restart_resumes_its_confirms() -> None:
    """A fresh buyer on the old journal sends the very Confirm again and still holds its exposure."""
    d = Desk()
    d.open()
    d.accept(1.2)
    e = Desk()
    e.buyer.restored([d.rows[0]], [], at(5.0))
    assert e.buyer.portfolio.exposed_wh == 3000
    e.do(e.buyer.session_opened(BESS, at(5.1)), 5.1)
    assert e.raw[0] == next(raw for raw in d.raw if raw[0] == CONFIRM)
    e.end(TerminateCode.FINISHED, 5.2)
    assert e.buyer.portfolio.filled


def test_journal_first() -> None:
    """No Confirm before its row is durable; a slow or failed commit confirms nothing."""
    for fails, second, code in ((True, 1.3, TerminateCode.CANNOT_DELIVER), (False, 1.61, TerminateCode.TIMEOUT)):
        d = Desk()
        d.open()
        d.hold = True
        d.accept(1.2)
        assert CONFIRM not in d.kinds
        d.commit(second, fails=fails)
        assert CONFIRM not in d.kinds
        assert d.sent[-1].termination_code == code
        assert d.buyer.portfolio.exposed_wh == 0


def test_a_failed_end_is_written_later() -> None:
    """A trade whose row cannot be written now is tried again in a second."""
    d = Desk()
    d.open()
    d.accept(1.2)
    d.hold = True
    d.end(TerminateCode.FINISHED)
    d.commit(1.5, fails=True)
    assert d.buyer.next_deadline() == 2.5
    d.hold = False
    d.do(d.buyer.advance(at(2.5)), 2.5)
    assert d.rows[-1].kind == "trade"


def test_rejects() -> None:
    """OUTBID: again at the new ask up to the value; INSUFFICIENT: what is there; others: a pause; of an older bid: ignored."""
    d = Desk(value=13.0)
    d.open()
    refused = messages.reject(BESS, RejectCode.OUTBID, refused=12.5, ask=127_500)
    d.give(refused, 1.1)
    assert d.sent[-1].bid_price == 12.75
    d.give(refused, 1.15)
    assert d.buyer.portfolio.exposed_wh == 3000
    d.give(messages.reject(BESS, RejectCode.OUTBID, refused=12.75, ask=131_000), 1.2)
    assert (d.buyer.portfolio.exposed_wh, d.kinds.count(BID)) == (0, 2)
    d = Desk()
    d.open()
    d.give(messages.reject(BESS, RejectCode.INSUFFICIENT, refused=12.5, ask=125_000, available=2000), 1.1)
    assert d.sent[-1].required_energy_amount == 2.0
    d.give(messages.reject(BESS, RejectCode.UNAVAILABLE, refused=12.5), 1.2)
    d.open(1.3)
    assert d.kinds.count(BID) == 2
    d.open(2.3)
    assert d.kinds.count(BID) == 3


def test_too_little_waits_for_the_next_half_hour() -> None:
    """What is left of a half-hour's demand is less than the battery sells: no bid for 5 s, unless another half-hour begins."""
    d = Desk()
    d.buyer.books.worth = Recorded(
        PriceSeries(0.0, (200_000,) * 4), MarketClock(at(1.0).monotonic_s, 0.0, 1800.0), 200_000, 0.0, 1
    )
    d.buyer.books.portfolio = Portfolio(Wh(9000), period_demand=Wh(70))
    d.open(1.0)
    assert d.sent[-1].required_energy_amount == 0.07
    d.give(messages.reject(BESS, RejectCode.INSUFFICIENT, refused=12.5, ask=125_000, available=6000), 1.1)
    d.do(d.buyer.advance(at(1.9)), 1.9)
    assert d.kinds.count(BID) == 1
    assert d.buyer.next_deadline() == 2.0
    d.do(d.buyer.advance(at(2.0)), 2.0)
    assert d.kinds.count(BID) == 2


def test_silence() -> None:
    """A bid without news for 70 s is sent again byte for byte; without a bid a Query asks."""
    d = Desk()
    d.open()
    assert d.buyer.next_deadline() == 71.0
    d.do(d.buyer.advance(at(71.0)), 71.0)
    assert d.raw[-1] == d.raw[-2]
    d = Desk(value=1.0)
    d.open()
    assert d.buyer.next_deadline() == 6.0
    d.do(d.buyer.advance(at(6.0)), 6.0)
    assert d.kinds[-1] == QUERY


def test_failures_and_goodbyes_free_a_bid() -> None:
    """DeviceFailure and SHUTTING_DOWN void a live bid; a stopping buyer bids no more."""
    for frame in (
        messages.device_failure(BESS, FailureCode.INVERTER),
        messages.terminate(BESS, TerminateCode.SHUTTING_DOWN),
    ):
        d = Desk()
        d.open()
        d.give(frame, 1.1)
        assert d.buyer.portfolio.exposed_wh == 0
    d = Desk()
    d.buyer.stop()
    d.open()
    assert BID not in d.kinds


def test_a_clock_that_is_off_is_said_and_not_bid_at() -> None:
    """Beyond 250 ms: one warning, no bid."""
    d = Desk()
    d.do(d.buyer.session_opened(BESS, at(1.0)), 1.0)
    answer = messages.response(BESS, offer=messages.Offer(13_500, 6_000), ask=125_000)
    for second in (1.001, 1.002):
        d.give(messages.stamped(answer, at(second + 0.3).wall_us), second, stamped=False)
    assert BID not in d.kinds
    assert [log.event for log in d.logs] == ["clock_is_off_no_bids_there"]


def test_late_response_and_hello() -> None:
    """A Response 551 ms old moves nothing; hello is a stamped Query."""
    d = Desk()
    d.do(d.buyer.session_opened(BESS, at(1.0)), 1.0)
    answer = messages.response(BESS, offer=messages.Offer(13_500, 6_000), ask=125_000)
    d.give(messages.stamped(answer, at(0.5).wall_us), 1.1, stamped=False)
    assert BID not in d.kinds
    assert isinstance(d.buyer.hello(at(2.0)), Envelope)
    assert d.buyer.session_lost(DeviceId(9), at(2.0)) == []


def test_a_known_accept_is_confirmed_again_for_ever() -> None:
    """Byte for byte the Accept of a trade that stands, also for a fresh buyer on the old journal: the very Confirm again."""
    d = Desk()
    d.open()
    accept = d.accept()
    confirm = d.raw[-1]
    d.end(TerminateCode.FINISHED)
    e = Desk()
    e.rows = d.rows
    e.do(e.buyer.session_opened(BESS, at(1.5)), 1.5)
    for desk in (d, e):
        desk.do(desk.buyer.receive(BESS, decode(accept), accept, at(1.6)), 1.6)
        assert desk.raw[-1] == confirm
        assert desk.buyer.open_promises == 0


def test_an_accept_that_was_given_up_stays_so() -> None:
    """Its commit was too slow, Terminate(TIMEOUT) went out: the same Accept again gets the same, never a Confirm."""
    d = Desk()
    d.hold = True
    d.open()
    accept = d.accept(1.2)
    d.hold = False
    d.commit(1.7)
    assert (d.kinds[-1], d.sent[-1].termination_code) == (TERMINATE, TerminateCode.TIMEOUT)
    on_the_disk, all_rows = [row for row in d.rows if row.state == "confirming"], d.rows
    for d.rows in (all_rows, on_the_disk):  # also before the row that says so is there
        d.do(d.buyer.receive(BESS, decode(accept), accept, at(1.71)), 1.71)
        assert (d.kinds[-1], d.sent[-1].termination_code) == (TERMINATE, TerminateCode.TIMEOUT)
    assert CONFIRM not in d.kinds


def test_an_unresolved_promise_is_taken_up_again() -> None:
    """UNRESOLVED after 10 minutes of silence; then its battery repeats the Accept: exposed, confirmed, and the trade counts."""
    d = Desk()
    d.open()
    accept = d.accept()
    while d.buyer.open_promises:
        due = d.buyer.next_deadline()
        assert due is not None
        d.do(d.buyer.advance(at(due)), due)
    assert (d.rows[-1].state, d.buyer.portfolio.exposed_wh) == ("unresolved", 0)
    d.do(d.buyer.receive(BESS, decode(accept), accept, at(700.0)), 700.0)
    assert (d.kinds[-1], d.buyer.portfolio.exposed_wh) == (CONFIRM, 3000)
    d.end(TerminateCode.FINISHED, 700.1)
    assert (d.buyer.portfolio.bought, d.buyer.portfolio.exposed_wh) == (3000, 0)


def test_a_race_of_small_steps_stays_within_the_battery_s_rate() -> None:
    """Outbid at once each time, a buyer sends 80 bids in a burst and 40 a second after it, and forgets none."""
    d = Desk(value=100.0)
    d.open()
    second, step = 1.0, 0
    while second < 4.0:
        bid = d.sent[-1]
        if bid.message_type == BID and d.buyer.portfolio.exposed_wh:
            step += 1
            ask = round(bid.bid_price * 10_000) + 500
            d.give(messages.reject(BESS, RejectCode.OUTBID, refused=bid.bid_price, ask=ask), second)
        else:
            due = d.buyer.next_deadline()
            assert due is not None
            second = due
            d.do(d.buyer.advance(at(due)), due)
    assert 195 <= d.kinds.count(BID) <= 202


def test_both_journals_name_a_promise_by_its_bid() -> None:
    """`message_id` of a buyer's promise and trade is its Bid's, as in the battery's journal."""
    d = Desk()
    d.open()
    bid_id = decode(d.raw[-1]).message_id
    d.accept()
    d.end(TerminateCode.FINISHED)
    assert {row.body["message_id"] for row in d.rows} == {bid_id}


def test_a_clock_far_off_is_said_too() -> None:
    """Beyond the age at which its Responses still count."""
    for offset_s in (-0.8, 7.0):
        d = Desk()
        d.do(d.buyer.session_opened(BESS, at(1.0)), 1.0)
        answer = messages.response(BESS, offer=messages.Offer(13_500, 6_000), ask=125_000)
        d.give(messages.stamped(answer, at(1.001 + offset_s).wall_us), 1.001, stamped=False)
        assert BID not in d.kinds
        assert [log.event for log in d.logs] == ["clock_is_off_no_bids_there"]


def test_a_restart_counts_what_was_bought() -> None:
    """Trades of the journal count towards demand and budget."""
    d = Desk()
    d.open()
    d.accept()
    d.end(TerminateCode.FINISHED)
    e = Desk()
    e.buyer.restored([], [row for row in d.rows if row.kind == "trade"], at(5.0))
    assert (e.buyer.portfolio.bought, e.buyer.portfolio.paid) == (3000, 375_000)
    e.do(e.buyer.session_opened(BESS, at(6.0)), 6.0)
    assert e.kinds == [QUERY]


def test_energy_set_free_is_looked_for_elsewhere() -> None:
    """Outbid beyond its value at one battery, the buyer bids for the same energy at another after `LOOK_S`."""
    d, other = Desk(value=13.0), DeviceId(102)
    d.open()
    d.do(d.buyer.session_opened(other, at(1.0)), 1.0)
    answer = messages.response(other, offer=messages.Offer(13_500, 6_000), ask=128_000)
    raw = encode(messages.stamped(answer, at(1.01).wall_us))
    d.do(d.buyer.receive(other, decode(raw), raw, at(1.01)), 1.01)
    assert d.kinds.count(BID) == 1  # everything wanted is exposed at the first battery
    d.give(messages.reject(BESS, RejectCode.OUTBID, refused=12.5, ask=131_000), 1.1)
    assert d.buyer.next_deadline() == 1.1 + LOOK_S
    d.do(d.buyer.advance(at(1.12)), 1.12)
    assert (d.kinds[-1], d.sent[-1].bid_price) == (BID, 12.8)
    assert list(d.buyer.portfolio.exposed) == [other]


def test_a_trade_that_is_not_delivered_costs_the_battery_its_name() -> None:
    """CANNOT_DELIVER after FINISHED: journalled, counted, and its energy is worth less from then on."""
    d = Desk(kwh=6.0)
    d.open()
    d.accept(required_energy_amount=3.0)
    d.end(TerminateCode.FINISHED)
    battery = d.buyer.directory.find(BESS)
    assert battery is not None
    assert (battery.kept, battery.reliability) == (1, 1.0)
    d.end(TerminateCode.CANNOT_DELIVER, 1.6)
    assert battery.reliability == 10 / 11
    assert [(row.kind, row.state) for row in d.rows][-1] == ("energy", "short")


def test_the_demand_per_period_is_wanted_anew_in_each() -> None:
    """1 kWh per half-hour: no second kilowatt-hour before the next begins, and never more than the whole demand."""
    portfolio = Portfolio(Wh(2500), period_demand=Wh(1000))
    assert portfolio.wanted(Wh(6000), MicroPerKwh(100_000)) == 1000
    portfolio.expose(BESS, Wh(1000), MicroPerKwh(100_000))
    portfolio.buy(BESS, Wh(1000), MicroPerKwh(90_000))
    assert portfolio.wanted(Wh(6000), MicroPerKwh(100_000)) == 0
    portfolio.begin(0)
    assert portfolio.wanted(Wh(6000), MicroPerKwh(100_000)) == 0
    portfolio.begin(1)
    assert portfolio.wanted(Wh(6000), MicroPerKwh(100_000)) == 1000
    portfolio.buy(BESS, Wh(1000), MicroPerKwh(90_000))
    portfolio.begin(2)
    assert portfolio.wanted(Wh(6000), MicroPerKwh(100_000)) == 500


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_stay_between_ask_and_value(name: str) -> None:
    """Whole prices, at least the ask, at most the value; nothing where it is too dear."""
    rng = random.Random(3)
    for ask, value in ((0, 100_000), (60_000, 100_000), (100_000, 100_000), (0, 1)):
        offered = price(STRATEGIES[name], LotView(value, ask), rng)
        assert offered is not None
        assert max(1, ask) <= offered <= value
    assert price(STRATEGIES[name], LotView(99_999, 100_000), rng) is None


class PortfolioMachine(RuleBasedStateMachine):
    """Whatever the order of events, never more than the demand or the budget."""

    def __init__(self) -> None:
        super().__init__()
        self.portfolio = Portfolio(5000, 700_000)

    @rule(battery=st.integers(1, 4), price=st.integers(1, 300_000), for_sale=st.integers(0, 9000))
    def bid(self, battery: int, price: int, for_sale: int) -> None:
        """Bid for what is wanted, where there is no affair yet."""
        if battery not in self.portfolio.exposed:
            energy = self.portfolio.wanted(for_sale, price)
            if energy:
                self.portfolio.expose(battery, energy, price)

    @rule(battery=st.integers(1, 4), share=st.floats(0.01, 1), discount=st.floats(0.1, 1))
    def win(self, battery: int, share: float, discount: float) -> None:
        """Part of it, at most at its price."""
        if battery in self.portfolio.exposed:
            energy, price = self.portfolio.exposed[battery]
            self.portfolio.buy(battery, max(1, int(energy * share)), max(1, int(price * discount)))

    @rule(battery=st.integers(1, 4))
    def lose(self, battery: int) -> None:
        """Nothing came of it."""
        self.portfolio.release(battery)

    @invariant()
    def bounded(self) -> None:
        """Bought and exposed within demand and budget."""
        p = self.portfolio
        assert p.bought + p.exposed_wh <= p.demand
        assert p.paid + sum(e.cost for e in p.exposed.values()) <= 700_000


TestPortfolio = PortfolioMachine.TestCase
TestPortfolio.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
