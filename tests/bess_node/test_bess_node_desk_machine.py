"""The desk under any order of bids, confirms, losses, failures, commits and restarts: a stateful machine with its own ledger."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bess_node.battery import Battery, BatterySpec
from bess_node.books import LotRules
from bess_node.desk import Desk
from bess_node.pricing import Fixed
from bess_node.promises import SKEW_US
from bess_node.store import MICRO, MarketClock, Store
from etp import messages
from etp.codes import FailureCode, MessageType, RejectCode, TerminateCode
from etp.effects import Commit, Effect, Lookup, Row, Send, Write
from etp.frame import Frame, decode, encode
from etp.ids import Ids
from etp.limits import Limits
from etp.profile import Plain
from etp.timing import Timing
from etp.units import DeviceId, LotId, MicroPerKwh, Wh, money
from market.mechanisms import MECHANISMS
from sim.disk import Disk
from tests.support import BESS, START_US, at

DEVICES = (500, 501, 502)
RESERVE, SHARE, CAPACITY_WH = 125_000, 50.0, 13_500
PRICES = (1, 124_999, 125_000, 130_000, 130_499, 130_500, 140_000, 100_000_000)
ENERGIES = (1, 99, 100, 1000, 3000, 6412, 6413, 20_000)
ORDERS = ((130_000,), (130_000, 140_000), (140_000, 130_500, 130_000), (130_000, 131_000, 130_000))
STEPS_S = (0.001, 0.05, 0.199, 0.41, 1.0, 11.0, 80.0, 3600.0)
MEMORY_S = 60.0
RESPONSE, ACCEPT, REJECT = MessageType.RESPONSE, MessageType.ACCEPT, MessageType.REJECT
device = st.sampled_from(DEVICES)
Key = tuple[int, int]


class Journal(Disk):
    """Durable rows, what waits lazily, and commits on their way: all of the node that outlives it."""

    def __init__(self) -> None:
        super().__init__()
        self.lazy: list[Row] = []
        self.held: list[Commit] = []

    def store(self, rows: Iterable[Row]) -> None:
        """One transaction: what waited lazily, then the rows."""
        lazy, self.lazy = self.lazy, []
        super().store((*lazy, *rows))

    def promised_wh(self) -> int:
        """Reserved, sold and not delivered, and delivered, by the durable rows alone."""
        promise = {row.lot_id: row for row in self.rows if row.kind == "promise"}
        energy = {row.lot_id: row for row in self.rows if row.kind == "energy" and row.lot_id}
        reserved = sum(row.body["energy_wh"] for row in promise.values() if row.state == "reserved")  # type: ignore[misc]
        return reserved + sum(row.body.get("delivered_wh", row.body["energy_wh"]) for row in energy.values())  # type: ignore[misc]


class DeskMachine(RuleBasedStateMachine):
    """See the module. Sends are checked against the rows that are durable at that very moment."""

    @initialize(mechanism=st.sampled_from(sorted(MECHANISMS)), hide=st.booleans())
    def begin(self, mechanism: str, hide: bool) -> None:
        """A full battery and its first lot."""
        self.mechanism, self.hide = MECHANISMS[mechanism], hide
        self.second, self.started = 1.0, 1.0
        self.journal, self.ids, self.peer_ids = Journal(), Ids(), Ids(START_US)
        self.hold, self.failing, self.stopped = False, False, False
        self.bids: dict[Key, tuple[Frame, float]] = {}
        self.place: dict[Key, Key] = {}
        self.answer: dict[Key, bytes | None] = {}
        self.live: dict[int, Key] = {}
        self.rejected: set[Key] = set()
        self.accepts: dict[int, tuple[Frame, bytes]] = {}
        self.confirms: dict[tuple[int, bytes], bytes] = {}
        self.forgotten: set[tuple[int, bytes]] = set()
        self.deciding: dict[int, bytes] = {}
        self.sent: list[tuple[int, Frame, bytes]] = []
        self.solicited: Key | None = None
        self.boot()
        assert self.desk.offer().for_sale == 6412
        self.most_wh = 6412

    def boot(self) -> None:
        """A desk on what the journal holds."""
        now, level = at(self.second), self.journal.find("energy", "level")
        stored = int(str(level.body["stored_uwh"])) / MICRO if level else float(CAPACITY_WH)
        store = Store(
            Battery(BatterySpec(Wh(CAPACITY_WH)), stored),
            pricing=Fixed(MicroPerKwh(RESERVE)),
            clock=MarketClock(now.monotonic_s, 0.0),
            for_sale_percent=SHARE,
            horizon_h=2,
        )
        rules = LotRules(self.mechanism, MicroPerKwh(500), 0.2, 3.0, Wh(100), self.hide)
        self.desk = Desk(
            BESS, rules=rules, store=store, profile=Plain(self.ids), limits=Limits(), timing=Timing(), started=now
        )
        self.do(self.desk.restored(self.journal.pending_rows(), now))
        self.do(self.desk.opened(now))

    # -- the shell

    def do(self, effects: list[Effect]) -> None:
        """Carry effects out, as the shell does."""
        now = at(self.second)
        for effect in effects:
            if isinstance(effect, Send):
                raw = effect.envelope.raw or Plain(self.ids).stamp(effect.envelope, None, now)
                self.sent.append((effect.device_id, decode(raw), raw))
                self.leaves(*self.sent[-1])
            elif isinstance(effect, Commit):
                self.journal.held.append(effect)
                answered = {int(str(row.body["bidder"])): row for row in effect.rows if row.kind == "answer"}
                self.deciding |= {bidder: bytes.fromhex(str(row.body["confirm"])) for bidder, row in answered.items()}
                if not self.hold:
                    self.settle_all(durable=not self.failing)
            elif isinstance(effect, Write):
                self.journal.lazy += effect.rows
            elif isinstance(effect, Lookup):
                self.do(self.desk.found(effect, self.journal.find(effect.kind, effect.subject), now))

    def settle_all(self, *, durable: bool) -> None:
        """End the commits on their way."""
        held, self.journal.held = self.journal.held, []
        for commit in held:
            if durable:
                self.journal.store(commit.rows)
            else:  # guard: see test_a_confirm_whose_commit_failed_is_answered_again
                self.deciding = {who: raw for who, raw in self.deciding.items() if raw.hex() not in str(commit.rows)}
            outcome = self.desk.committed if durable else self.desk.commit_failed
            self.do(outcome(commit, at(self.second)))

    def give(self, frame: Frame) -> list[tuple[Frame, bytes]]:
        """Hand the desk a frame; returns what its sender is sent at once."""
        mark = len(self.sent)
        self.do(self.desk.receive(DeviceId(frame.device_id), frame, encode(frame), at(self.second)))
        return [(sent, raw) for to, sent, raw in self.sent[mark:] if to == frame.device_id]

    # -- what is checked of each frame that leaves

    def leaves(self, to: int, frame: Frame, raw: bytes) -> None:
        """Judge a frame against the durable rows, and keep account of which bid it answers."""
        if frame.message_type == ACCEPT:
            self.accept_leaves(to, frame, raw)
        elif frame.message_type == MessageType.TERMINATE:
            if frame.termination_code == TerminateCode.FINISHED:
                states = [r.state for r in self.journal.rows if r.kind == "promise" and r.subject == str(to)]
                assert "confirmed" in states, "FINISHED without its CONFIRMED row"
            confirm = self.deciding.pop(to, None)
            if confirm is not None:
                self.confirms[to, confirm] = raw
        elif frame.message_type == REJECT and to in self.live and (self.solicited is None or self.solicited[0] != to):
            key = self.live.pop(to)
            self.answer[key] = raw
            self.rejected.add(key)

    def accept_leaves(self, to: int, frame: Frame, raw: bytes) -> None:
        """An Accept, the first time: its row is durable, it is that row's, its bid was not refused, its price is fair."""
        if any(sent == raw for _, _, sent in self.sent[:-1]):
            return
        row, terms = self.journal.find("promise", str(to)), messages.terms(frame)
        assert row is not None, "Accept without its RESERVED row"
        assert row.state == "reserved", "Accept without its RESERVED row"
        body = row.body
        assert (body["energy_wh"], body["price_micro_per_kwh"]) == (terms.energy, terms.paid)
        key = (to, int(str(body["message_id"])))
        assert key not in self.rejected, "a rejected bid was accepted"
        asked = messages.terms(self.bids[key][0])
        assert RESERVE <= terms.paid <= asked.bid_price == terms.bid_price
        assert 0 < terms.energy <= asked.energy
        self.answer[key], self.accepts[to] = raw, (frame, raw)
        if self.live.get(to) == key:
            del self.live[to]

    # -- bids

    def bid_frame(self, who: int, price: int, energy: int, message_id: int) -> Frame:
        """A Bid."""
        return messages.stamped(messages.bid(DeviceId(who), price=MicroPerKwh(price), energy=Wh(energy)), message_id)

    @rule(
        who=device, price=st.sampled_from(PRICES), energy=st.sampled_from(ENERGIES),
        when=st.sampled_from(("now", "now", "now", "now", "late", "future", "untimed")),
    )  # fmt: skip
    def bid(self, who: int, price: int, energy: int, when: str) -> None:
        """A new Bid gets one answer at once: Response or Reject, or the Accept where the mechanism closes with it."""
        wall = at(self.second).wall_us
        fresh = self.peer_ids.next(wall)
        message_id = {"now": fresh, "late": fresh - 600_000, "future": fresh + 6_000_000, "untimed": fresh % 2**40}[
            when
        ]
        key = (who, message_id)
        if key in self.bids:
            return
        frame = self.bid_frame(who, price, energy, message_id)
        reserved = any(r.bidder == who for r in self.desk.reservations.values())
        offered, before = self.desk.offer().for_sale, self.live.get(who)
        self.bids[key], self.place[key], self.solicited = (frame, self.second), key, key
        answers = self.give(frame)
        self.solicited = None
        if self.mechanism.immediate and not (answers and answers[0][0].message_type == REJECT):
            assert len(answers) <= 1
            self.answer[key] = answers[0][1] if answers else None
            assert any(r.bidder == who for r in self.desk.reservations.values()) or not answers
            return
        ((answer, raw),) = answers
        self.answer[key] = raw
        if answer.message_type == REJECT:
            self.refused(key, answer, before, reserved=reserved, when=when)
            return
        assert (answer.message_type, round(answer.bid_price * 10_000)) == (RESPONSE, price)
        assert price >= RESERVE
        assert not reserved
        assert when in ("now", "untimed")
        assert energy <= offered or self.mechanism.divisible
        assert self.desk.failure is None
        assert not self.stopped
        if before is not None:
            self.place[before] = key
        self.live[who] = key

    @rule(who=st.permutations(DEVICES), energy=st.sampled_from((100, 1000, 3000, 6412)), prices=st.sampled_from(ORDERS))
    def auction(self, who: list[int], energy: int, prices: tuple[int, ...]) -> None:
        """The common way: good bids one after the other, then the close."""
        for bidder, price in zip(who, prices, strict=False):
            self.bid(bidder, price, energy, "now")
        self.wait(0.25)

    @rule(who=device, energy=st.sampled_from((100, 1000, 3000)), fails=st.booleans())
    def trade(self, who: int, energy: int, fails: bool) -> None:
        """A bid, the close, the Confirm; perhaps on a disk that fails just then."""
        self.bid(who, 140_000, energy, "now")
        self.wait(0.25)
        self.failing = self.failing or fails
        self.confirm(who, "right")

    def refused(self, key: Key, answer: Frame, before: Key | None, *, reserved: bool, when: str) -> None:
        """A refused Bid is never accepted; in a sealed lot it takes the one before with it."""
        self.rejected.add(key)
        if before is not None and self.mechanism.sealed and not reserved:
            self.rejected.add(before)
            self.place[before] = key
            self.live.pop(key[0], None)
        code = answer.termination_code
        if when in ("late", "future"):
            assert code == {"late": RejectCode.LATE, "future": RejectCode.INVALID}[when]
        elif reserved:
            assert code in (RejectCode.UNAVAILABLE, RejectCode.TOO_MANY)

    @precondition(lambda self: self.bids)
    @rule(data=st.data(), other=st.booleans())
    def bid_again(self, data: st.DataObject, other: bool) -> None:
        """The same bytes: the last answer to them, byte for byte. Other bytes under a timed id: Reject(INVALID)."""
        key = data.draw(st.sampled_from(sorted(self.bids)))
        frame, second = self.bids[key]
        if not max(self.started, self.second - MEMORY_S) < second <= self.second or (other and key[1] < 2**40):
            return
        self.solicited = key
        answers = self.give(frame._replace(bid_price=77.0) if other else frame)
        self.solicited = None
        if other:
            assert [answer.termination_code for answer, _ in answers] == [RejectCode.INVALID]
            return
        newest = key
        while self.place[newest] != newest:
            newest = self.place[newest]
        expected = self.answer[newest]
        if not answers:
            assert any(r.bidder == key[0] for r in self.desk.reservations.values()), "a Bid without any answer"
        elif expected is not None:
            assert [raw for _, raw in answers] == [expected]
        else:
            assert all(answer.message_type == REJECT for answer, _ in answers)  # withdrawn, or not decided

    # -- confirms

    @rule(who=device, how=st.sampled_from(("right", "right", "right", "dear", "much", "late", "future")))
    def confirm(self, who: int, how: str) -> None:
        """A Confirm of the last Accept: FINISHED only for its very terms, in time."""
        if who not in self.accepts:
            return
        frame = messages.confirm(DeviceId(who), self.accepts[who][0])
        wall = self.peer_ids.next(at(self.second).wall_us)
        frame = messages.stamped(frame, wall + {"late": -600_000, "future": 6_000_000}.get(how, 0))
        if how == "dear":
            frame = frame._replace(sale_price=frame.sale_price + 1)
        elif how == "much":
            frame = frame._replace(required_energy_amount=frame.required_energy_amount + 1)
        trades = self.trades(who)
        answers = self.give_confirm(frame)
        if how != "right":
            assert self.trades(who) == trades
            assert self.trades(who) or not [a for a, _ in answers if a.termination_code == TerminateCode.FINISHED]

    def give_confirm(self, frame: Frame) -> list[tuple[Frame, bytes]]:
        """One answer at most, always the same bytes for the same bytes; none only while it is being decided."""
        who, raw = frame.device_id, encode(frame)
        known = self.confirms.get((who, raw))
        in_force = any(r.bidder == who for r in self.desk.reservations.values())
        answers = self.give(frame)
        assert len(answers) <= 1
        if known is not None:
            kept = self.journal.find("answer", f"{who}:{frame.message_id}") is not None
            anew = not kept and (who, raw) in self.forgotten
            same = [a.termination_code for a, _ in answers] == [decode(known).termination_code]
            assert same or (anew and self.may_be_of_a_newer_lot(frame)), "another answer"
            assert [a for _, a in answers] == [known] or anew, "other bytes"
            self.forgotten.discard((who, raw))
            self.confirms[who, raw] = answers[0][1]
        elif answers:
            self.confirms[who, raw] = answers[0][1]
        else:
            assert in_force or who in self.deciding, "a Confirm without any answer"
        return answers

    def may_be_of_a_newer_lot(self, frame: Frame) -> bool:
        """Of the terms of a promise made a moment later, by a buyer whose clock is behind: bare frames name no lot.

        A second Confirm of a trade, under an id of its own, is then told what became of that promise. To tell a buyer of a released one
        that it has a trade would be worse.
        """
        newest = self.journal.find("promise", str(frame.device_id))
        if newest is None:
            return False
        terms = messages.terms(frame)
        same = (newest.body["energy_wh"], newest.body["price_micro_per_kwh"]) == (terms.energy, terms.paid)
        return same and frame.message_id < int(str(newest.body["reserved_us"])) <= frame.message_id + SKEW_US

    def trades(self, who: int) -> int:
        """Trades of a buyer that are durable."""
        return sum(row.kind == "trade" and row.body["bidder"] == who for row in self.journal.rows)

    @precondition(lambda self: self.confirms)
    @rule(data=st.data())
    def confirm_again(self, data: st.DataObject) -> None:
        """A known Confirm."""
        who, raw = data.draw(st.sampled_from(sorted(self.confirms)))
        if (who, raw) not in self.forgotten or not any(r.bidder == who for r in self.desk.reservations.values()):
            self.give_confirm(decode(raw))

    @rule(who=device, energy=st.sampled_from(ENERGIES))
    def confirm_unasked(self, who: int, energy: int) -> None:
        """A Confirm of nothing that was accepted makes no trade."""
        if any(r.bidder == who for r in self.desk.reservations.values()):
            return
        terms = messages.accept(
            BESS, energy=Wh(energy), paid=MicroPerKwh(1), bid_price=MicroPerKwh(1), offer=messages.Offer(Wh(0), Wh(0))
        )
        frame = messages.confirm(DeviceId(who), terms)
        answers = self.give_confirm(messages.stamped(frame, self.peer_ids.next(at(self.second).wall_us)))
        assert [answer.termination_code for answer, _ in answers] == [TerminateCode.TIMEOUT]

    # -- sessions, device, journal, time

    @rule(who=device, code=st.sampled_from(TerminateCode))
    def terminate(self, who: int, code: TerminateCode) -> None:
        """A buyer withdraws or declines."""
        frame = messages.stamped(messages.terminate(DeviceId(who), code), self.peer_ids.next(at(self.second).wall_us))
        self.give(frame)
        self.withdrawn(who)

    @rule(who=device)
    def lost(self, who: int) -> None:
        """A session ends."""
        self.do(self.desk.session_lost(DeviceId(who), at(self.second)))
        self.withdrawn(who, answer=False)

    def withdrawn(self, who: int, *, answer: bool = True) -> None:
        """A sealed bid is out: nothing may be accepted from it. Its repetition must not say that it takes part.

        One that has won, and whose reservation is on its way to the disk, is a bid no longer.
        """
        won = any(r.bidder == who for r in self.desk.reservations.values())
        if self.mechanism.sealed and who in self.live and not won:
            key = self.live.pop(who)
            self.rejected.add(key)
            if not answer:
                self.answer[key] = None

    @rule(who=device)
    def bound(self, who: int) -> None:
        """A session begins or takes over: an Accept in force comes again, byte for byte; nothing else."""
        mark, known = len(self.sent), self.accepts.get(who)
        self.do(self.desk.session_bound(DeviceId(who), at(self.second)))
        assert [raw for _, _, raw in self.sent[mark:]] in ([], [known[1] if known else b""])

    @rule(code=st.sampled_from(FailureCode))
    def fail(self, code: FailureCode) -> None:
        """The device fails: nothing is offered."""
        self.do(self.desk.fail(code, at(self.second)))
        assert self.desk.offer().for_sale == 0

    @rule()
    def recover(self) -> None:
        """The device works again."""
        owed = sum(int(str(row.body["energy_wh"])) for row in self.journal.pending_rows() if row.kind == "energy")
        if owed != self.desk.store.owed_wh + sum(
            int(str(row.body["energy_wh"])) for row in self.journal.lazy if row.state == "delivered"
        ):
            return  # guard: see test_what_fell_short_is_offered_again_only_once_that_is_durable
        self.do(self.desk.recovered(at(self.second)))

    @rule(step=st.sampled_from(STEPS_S[:-1]))
    def wait(self, step: float) -> None:
        """Time passes, with a stop at each deadline."""
        until = self.second + step
        for _ in range(2000):
            due = self.desk.next_deadline()
            assert due is not None
            if due > until:
                break
            self.second = max(self.second, due)
            self.do(self.desk.advance(at(self.second)))
        else:
            raise AssertionError("the deadlines do not move on")
        self.second = until
        self.do(self.desk.advance(at(self.second)))

    @rule(step=st.sampled_from(STEPS_S))
    def oversleep(self, step: float) -> None:
        """Time passes, and the timer fires once, late."""
        self.second += step
        self.do(self.desk.advance(at(self.second)))

    @rule(hold=st.booleans(), failing=st.booleans())
    def disk(self, hold: bool, failing: bool) -> None:
        """The disk becomes slow or quick, full or free; what is on its way ends as the disk now is."""
        self.hold, self.failing = hold, failing
        self.settle_all(durable=not failing)

    @rule(flush=st.booleans())
    def restart(self, flush: bool) -> None:
        """Kill -9: what is on its way is durable or lost, what waits lazily is lost; the journal is all that is left."""
        held, self.journal.held = self.journal.held, []
        if flush:
            for commit in held:
                self.journal.store(commit.rows)
        self.journal.lazy.clear()
        self.hold = self.failing = self.stopped = False
        self.deciding.clear()
        self.forgotten = set(self.confirms)
        self.live.clear()
        self.second += 0.001
        self.started = self.second
        self.boot()
        assert not [row for row in self.journal.pending_rows() if row.kind == "promise"]

    @precondition(lambda self: len(self.sent) > 15)
    @rule(end=st.booleans())
    def stop(self, end: bool) -> None:
        """SIGTERM: no new lot; at the end of the grace everything is released."""
        self.do(self.desk.stop(at(self.second)))
        self.stopped = True
        if end:
            self.do(self.desk.release_all(at(self.second)))

    # -- what holds after every step

    @invariant()
    def nothing_is_sold_twice(self) -> None:
        """Delivered, sold, reserved and offered are never more than there was, by the desk and by the rows."""
        desk = self.desk
        promised = sum(r.energy for r in desk.reservations.values()) + desk.store.owed_wh
        assert promised + desk.offer().for_sale <= desk.store.battery.deliverable_wh(SHARE)
        assert self.journal.promised_wh() + desk.offer().for_sale <= self.most_wh, "sold twice"

    @invariant()
    def promises_are_told_once(self) -> None:
        """A lot has one buyer and ends once; a buyer has one promise at a time; money is price times energy."""
        buyers: dict[LotId, set[Any]] = defaultdict(set)
        state: dict[int, str] = {}
        for row in self.journal.rows:
            if row.kind == "promise":
                buyers[LotId(row.lot_id)].add(row.subject)
                legal = {"reserved": (None,), "confirmed": ("reserved",), "released": ("reserved",)}
                assert state.get(row.lot_id) in legal[row.state], "a lot ended twice"
                state[row.lot_id] = row.state
            elif row.kind == "trade":
                price, energy = int(str(row.body["price_micro_per_kwh"])), int(str(row.body["energy_wh"]))
                assert row.body["paid_micro"] == money(MicroPerKwh(price), Wh(energy))
        assert all(len(names) == 1 for names in buyers.values())
        open_lots = Counter(str(buyers[LotId(lot)]) for lot, now in state.items() if now == "reserved")
        assert max(open_lots.values(), default=0) <= 1
        bidders = [r.bidder for r in self.desk.reservations.values()]
        assert len(bidders) == len(set(bidders))


TestDesk = DeskMachine.TestCase
TestDesk.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def driven(mechanism: str) -> DeskMachine:
    """A machine whose steps a test names."""
    machine = DeskMachine()
    machine.begin(mechanism=mechanism, hide=False)
    return machine


def test_the_end_of_the_grace_ends_nothing_that_has_not_begun() -> None:
    """A reservation is on its way to a disk that then fails: no row releases what no row reserved."""
    machine = driven("first-price")
    machine.disk(hold=True, failing=False)
    machine.bid(500, 140_000, 100, "now")
    machine.wait(0.25)
    machine.stop(end=True)
    assert [commit.purpose for commit in machine.journal.held] == ["reserve"]
    machine.disk(hold=False, failing=True)
    machine.disk(hold=False, failing=False)
    machine.wait(2.0)
    assert [row for row in machine.journal.rows if row.kind == "promise"] == []
    assert not list(machine.desk.reservations.values())


def test_a_lost_session_takes_nothing_back_that_has_won() -> None:
    """Its lot closed before: the Accept follows, and may still be confirmed."""
    machine = driven("first-price")
    machine.disk(hold=True, failing=False)
    machine.bid(500, 140_000, 100, "now")
    machine.wait(0.25)
    machine.lost(500)
    machine.bound(500)
    machine.disk(hold=False, failing=False)
    machine.confirm(500, "right")
    assert machine.trades(500) == 1
