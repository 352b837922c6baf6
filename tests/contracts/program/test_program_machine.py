"""Random instructions against the model: two batteries, three aggregators, two markets with a mint each, a clock that jumps.

After each instruction tokens and lamports are all still there, each vault holds exactly what is available and held, no
record is paid twice, counters only rise, and every account says what the model says. The usual run sends 2,000
instructions; the long one, 50,000:

    ETP_PROGRAM_STEPS=50000 python -m pytest -s tests/contracts/program/test_program_machine.py
"""

import os
from time import perf_counter
from typing import Any, ClassVar, Final, NamedTuple

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from spl.token.instructions import create_idempotent_associated_token_account

from contracts.accounts import ParticipantRole
from tests.contracts.program.harness import (
    DAY,
    DEFAULTED,
    DISPUTED,
    ERRORS,
    FUNDS,
    HELD,
    MAX_AHEAD,
    MAX_ENERGY,
    MAX_PRICE,
    NOW,
    PAID,
    REFUNDED,
    SIGNERS,
    SLOTS,
    U64,
    US,
    Bazaar,
    Chain,
    Deal,
    Device,
    Refused,
    World,
    address_in,
    key_of,
    name_of,
    read_only,
    swapped,
    unsigned_by,
)
from tests.contracts.program.model import Books, Purse, Tally
from tests.contracts.program.scenes import crowd, lookalikes

STEPS: Final = int(os.environ.get("ETP_PROGRAM_STEPS", "2000"))
LENGTH: Final = 100
"""Instructions of one run."""
MARKETS: Final = 2
BATTERIES: Final = 2
AGGREGATORS: Final = 3
LOTS: Final = 12
NEW_IDS: Final = range(900, 904)


class Draw(NamedTuple):
    """A deal, by numbers."""

    market: int
    seller: int
    buyer: int
    lot: int
    price: int
    energy: int
    age: int


markets = st.integers(0, MARKETS - 1)
buyers = st.integers(0, AGGREGATORS - 1)
sellers = st.integers(0, BATTERIES - 1)
lots = st.integers(0, 40).map(lambda n: n % LOTS + 1 if n else 0)
amounts = st.one_of(st.sampled_from((0, 1, 500_000, 10**9, U64)), st.integers(1, 2 * 10**9))
prices = st.sampled_from((0, 1, 3, 999, 250_001, 400_000, MAX_PRICE, MAX_PRICE + 1))
energies = st.sampled_from((0, 1, 500, 1_500, 4_000, 2_000_000, MAX_ENERGY, MAX_ENERGY + 1))
usual_prices = st.integers(100_000, 400_000)
usual_energies = st.integers(10, 2_000_000)
ages = st.sampled_from(
    (0, 0, 0, 0, 1, 59, -MAX_AHEAD, -MAX_AHEAD - 1, DAY, DAY + 1, 7 * DAY, 7 * DAY + 1, 30 * DAY, 31 * DAY)
)
"""Seconds between a Confirm and its settlement."""
parties = {"market": markets, "seller": sellers, "buyer": buyers, "lot": lots}
usual = st.builds(Draw, **parties, price=usual_prices, energy=usual_energies, age=st.just(0))
odd = st.builds(Draw, **parties, price=prices, energy=energies, age=ages)
pauses = st.sampled_from((0, 0, 0, 0, 0, 0, 1, 60, 600, 3_600, DAY, 7 * DAY))
"""Seconds between two instructions."""
rules = st.fixed_dictionaries(
    {
        "fee_bps": st.sampled_from((0, 1, 50, 100, 101)),
        "min_amount": st.sampled_from((0, 1, 1_000, 100_000)),
        "dispute_window": st.sampled_from((0, 0, 60, 3_600, 3_600, 2 * DAY)),
        "settle_window": st.sampled_from((DAY - 1, DAY, DAY, 2 * DAY, 7 * DAY, 30 * DAY, 30 * DAY + 1)),
    }
)
CLOSED_SLOTS: Final = frozenset(
    {
        *((name, "trade") for name in ("release", "dispute", "resolve", "close_trade")),  # another lot may be as due
        ("set_market", "fee_account"),
        ("set_market", "market"),
        ("register", "authority"),
        ("revoke", "participant"),
        ("deposit", "source"),
        ("withdraw", "destination"),
    }
)
"""Where another account may be as right (test_program_accounts.py has those)."""


class Ring(World):
    """The world of the machine: the third aggregator has a vault and has never paid in."""

    def __init__(self) -> None:
        super().__init__()
        self.strangers = list(crowd(self).values())
        self.restore()  # the trades of the crowd; their addresses stay among the strangers
        lookalikes(self)
        late = Device(self.fund(key_of("late")), 606, ParticipantRole.AGGREGATOR)
        self.buyers = [*self.aggregators[: AGGREGATORS - 1], late]
        self.spares = [self.fund(key_of(f"spare {n}")) for n in range(4)]
        self.markets = (self.main, self.other)
        for bazaar in self.markets:
            self.do(bazaar.register(late))
            self.add_tokens(bazaar.wallet(late), bazaar.mint, late.address, FUNDS)
            escrow = bazaar.place.escrow(late.device_id)
            self.events([create_idempotent_associated_token_account(self.payer.pubkey(), escrow, bazaar.mint)])
        self.keep()

    def known(self) -> set[Pubkey]:
        """Every account that a transaction ever named, but the one that pays the fees."""
        return self._touched - {self.payer.pubkey()}


def opened(world: Ring, bazaar: Bazaar) -> Books:
    """The model of a market as it is furnished."""
    devices = {device.device_id: device for device in (*world.devices, *world.buyers)}
    rich = [buyer.device_id for buyer in world.aggregators]
    return Books(
        terms=bazaar.terms,
        wallets={id_: world.tokens(bazaar.wallet(device)) for id_, device in devices.items()},
        tallies={id_: Tally() for id_ in devices},
        purses={id_: Purse(available=World.DEPOSIT) for id_ in rich},
        keys={device.address for device in devices.values()},
    )


class Machine(RuleBasedStateMachine):
    """See the module."""

    world: ClassVar[Ring | None] = None
    sent: ClassVar[int] = 0
    succeeded: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        Machine.world = Machine.world or Ring()
        self.ring = Machine.world
        self.ring.restore()
        self.books = [opened(self.ring, bazaar) for bazaar in self.ring.markets]
        self.deals: list[tuple[int, Deal]] = []
        self.supplies = [self._supply(bazaar) for bazaar in self.ring.markets]
        self.lamports = self.ring.total_lamports(self.ring.known())
        self.counters: dict[tuple[int, int], tuple[int, ...]] = {}

    # -- helpers

    @property
    def now(self) -> int:
        """The chain's clock."""
        return self.ring.now

    def _supply(self, bazaar: Bazaar) -> int:
        accounts = {
            bazaar.fees,
            *(bazaar.wallet(device) for device in (*self.ring.devices, *self.ring.buyers)),
            *(bazaar.vault(buyer) for buyer in {*self.ring.aggregators, *self.ring.buyers}),
        }
        return sum(self.ring.tokens(account) for account in accounts)

    def _send(self, instructions: list[Instruction], reasons: set[str]) -> bool:
        """Whether it succeeded, as it has to exactly where the model knows no reason against it."""
        Machine.sent += 1
        before = self.ring.known()
        if reasons:
            self.ring.refused(instructions, *reasons)
        else:
            try:
                self.ring.do(instructions)
            except Refused as refused:
                raise AssertionError(f"the model knows no reason: {refused.args[0]}") from refused
            Machine.succeeded += 1
        new = self.ring.known() - before
        assert all(self.ring.lamports(address) == 0 for address in new) or not reasons
        return not reasons

    def _deal(self, drawn: Draw) -> tuple[int, Deal]:
        devices = (self.ring.batteries[drawn.seller], self.ring.buyers[drawn.buyer])
        stamp_us = (self.now - drawn.age) * US + (drawn.price + drawn.energy) % US
        deal = Deal(*devices, drawn.lot, drawn.price, drawn.energy, stamp_us)
        self.deals.append((drawn.market, deal))
        return drawn.market, deal

    def _settle(self, market: int, deal: Deal) -> None:
        bazaar, books = self.ring.markets[market], self.books[market]
        raw = bazaar.confirm(deal)
        if self._send(bazaar.settle(deal, raw), books.reasons_to_settle(deal, raw, self.now)):
            books.did_settle(deal, raw, self.now)

    def _default(self, market: int, deal: Deal) -> None:
        bazaar, books = self.ring.markets[market], self.books[market]
        raw = bazaar.confirm(deal)
        if self._send(bazaar.record_default(deal, raw), books.reasons_to_default(deal, self.now)):
            books.did_default(deal, raw)

    def _release(self, market: int, deal: Deal) -> None:
        bazaar, books = self.ring.markets[market], self.books[market]
        if self._send(bazaar.release(deal), books.reasons_to_release(deal, self.now)):
            books.did_release(deal)

    def _dispute(self, market: int, deal: Deal) -> None:
        bazaar, books = self.ring.markets[market], self.books[market]
        if self._send(bazaar.dispute(deal), books.reasons_to_dispute(deal, self.now)):
            books.did_dispute(deal, self.now)

    def _close_trade(self, market: int, deal: Deal) -> None:
        bazaar, books = self.ring.markets[market], self.books[market]
        if self._send(bazaar.close_trade(deal), books.reasons_to_close(deal, self.now)):
            books.did_close(deal)

    def _known_deal(self, index: int, *statuses: int) -> tuple[int, Deal]:
        """One whose trade has one of these statuses, if there is one; every fifth time, and else, any that ever was."""
        suitable = [(m, deal) for m, books in enumerate(self.books) for deal in books.having(*statuses)]
        if suitable and index % 5:
            return suitable[index % len(suitable)]
        return self.deals[-1 - index % len(self.deals)]

    # -- money

    @rule(market=markets, buyer=buyers, amount=amounts, pause=pauses)
    def deposit(self, market: int, buyer: int, amount: int, pause: int) -> None:
        """More than there is, nothing, or some."""
        self.ring.now += pause
        bazaar, books, device = self.ring.markets[market], self.books[market], self.ring.buyers[buyer]
        if self._send(bazaar.deposit(device, amount), books.reasons_to_deposit(device, amount)):
            books.did_deposit(device, amount)

    @rule(market=markets, buyer=buyers, amount=amounts)
    def request_withdraw(self, market: int, buyer: int, amount: int) -> None:
        """Or cancel."""
        bazaar, books, device = self.ring.markets[market], self.books[market], self.ring.buyers[buyer]
        if self._send(bazaar.request_withdraw(device, amount), books.reasons_to_ask(device)):
            books.did_ask(device, amount, self.now)

    @rule(market=markets, buyer=buyers, offset=st.sampled_from((None, None, -1, 0, 1)))
    def withdraw(self, market: int, buyer: int, offset: int | None) -> None:
        """At once, or on the second."""
        bazaar, books, device = self.ring.markets[market], self.books[market], self.ring.buyers[buyer]
        purse = books.purses.get(device.device_id)
        if offset is not None and purse and purse.asked:
            self.ring.now = max(self.now, purse.since + books.terms.withdraw_delay + offset)
        if self._send(bazaar.withdraw(device), books.reasons_to_withdraw(device, self.now)):
            books.did_withdraw(device)

    # -- trades

    @rule(drawn=usual, pause=pauses)
    def settle_a_usual_deal(self, drawn: Draw, pause: int) -> None:
        """Which most often goes, unless the lot is sold."""
        self.ring.now += pause
        self._settle(*self._deal(drawn))

    @rule(drawn=odd)
    def settle_an_odd_deal(self, drawn: Draw) -> None:
        """Extremes of price, energy and age."""
        self._settle(*self._deal(drawn))

    @precondition(lambda self: self.deals)
    @rule(index=st.integers(0, 30), pause=pauses)
    def settle_again(self, index: int, pause: int) -> None:
        """Whatever became of it."""
        self.ring.now += pause
        self._settle(*self._known_deal(index))

    @rule(drawn=odd)
    def record_default(self, drawn: Draw) -> None:
        """Mostly of what the escrow can pay."""
        self._default(*self._deal(drawn))

    @rule(drawn=usual)
    def record_a_large_default(self, drawn: Draw) -> None:
        """Just beyond the escrow, so that a deposit may cure it."""
        purse = self.books[drawn.market].purses.get(self.ring.buyers[drawn.buyer].device_id, Purse())
        energy = min(MAX_ENERGY, purse.available * 1_000 // drawn.price + 1_500)
        self._default(*self._deal(drawn._replace(energy=energy)))

    @precondition(lambda self: any(books.having(DEFAULTED) for books in self.books))
    @rule(index=st.integers(0, 30))
    def cure_a_default(self, index: int) -> None:
        """Deposit what is missing, and settle."""
        due = [(m, deal) for m, books in enumerate(self.books) for deal in books.having(DEFAULTED)]
        market, deal = due[index % len(due)]
        bazaar, books, buyer = self.ring.markets[market], self.books[market], deal.buyer
        amount = max(1, deal.amount - books.purses.get(buyer.device_id, Purse()).available)
        if self._send(bazaar.deposit(buyer, amount), books.reasons_to_deposit(buyer, amount)):
            books.did_deposit(buyer, amount)
        self._settle(market, deal)

    @precondition(lambda self: any(books.having(HELD, DISPUTED) for books in self.books))
    @rule(index=st.integers(0, 30), pause=pauses)
    def release(self, index: int, pause: int) -> None:
        """Whether or not it is due."""
        self.ring.now += pause
        self._release(*self._known_deal(index, HELD, DISPUTED))

    @precondition(lambda self: any(books.having(HELD) for books in self.books))
    @rule(index=st.integers(0, 30))
    def dispute(self, index: int) -> None:
        """By the deal's buyer."""
        self._dispute(*self._known_deal(index, HELD))

    @precondition(lambda self: any(books.having(HELD, DISPUTED) for books in self.books))
    @rule(index=st.integers(0, 30), code=st.sampled_from((1, 2, 1, 2, 0, 3, 6)))
    def refund(self, index: int, code: int) -> None:
        """By the deal's seller."""
        market, deal = self._known_deal(index, HELD, DISPUTED)
        bazaar, books = self.ring.markets[market], self.books[market]
        if self._send(bazaar.refund(deal, bazaar.terminate(deal, code)), books.reasons_to_refund(deal, code)):
            books.did_refund(deal)

    @precondition(lambda self: any(books.having(DISPUTED) for books in self.books))
    @rule(index=st.integers(0, 30), to_battery=st.booleans())
    def resolve(self, index: int, to_battery: bool) -> None:
        """Either way."""
        market, deal = self._known_deal(index, DISPUTED)
        bazaar, books = self.ring.markets[market], self.books[market]
        if self._send(bazaar.resolve(deal, to_battery=to_battery), books.reasons_to_resolve(deal)):
            books.did_resolve(deal, to_battery=to_battery)

    @precondition(lambda self: any(books.having(PAID, REFUNDED, DEFAULTED) for books in self.books))
    @rule(index=st.integers(0, 30), pause=pauses)
    def close_trade(self, index: int, pause: int) -> None:
        """Whether or not it is due."""
        self.ring.now += pause
        self._close_trade(*self._known_deal(index, PAID, REFUNDED, DEFAULTED))

    @precondition(lambda self: any(books.lines for books in self.books))
    @rule(index=st.integers(0, 100), offset=st.sampled_from((-1, 0, 1)))
    def act_on_a_limit(self, index: int, offset: int) -> None:
        """A second before, on, or after the one from which on a trade may be released, closed, no longer disputed or settled."""
        limits = [(m, *limit) for m, books in enumerate(self.books) for limit in books.limits()]
        market, act, deal, second = limits[index % len(limits)]
        self.ring.now = max(self.now, second + offset)
        {
            "release": self._release,
            "dispute": self._dispute,
            "close_trade": self._close_trade,
            "settle": self._settle,
        }[act](market, deal)

    # -- the admin

    @rule(market=markets, drawn=rules, slack=st.sampled_from((-1, 0, 0, DAY)), paused=st.integers(0, 3))
    def set_market(self, market: int, drawn: dict[str, int], slack: int, paused: int) -> None:
        """Rules in and out of bounds."""
        bazaar, books = self.ring.markets[market], self.books[market]
        changes: dict[str, Any] = drawn | {"withdraw_delay": drawn["settle_window"] + DAY + slack}
        terms = books.terms._replace(**changes)
        if self._send(bazaar.set(paused=paused == 3, **changes), books.reasons_to_set(terms)):
            books.did_set(terms, self.now, paused=paused == 3)
            bazaar.terms = terms

    @rule(market=markets, device_id=st.sampled_from((*NEW_IDS, 11, 606)), key=st.integers(0, 5))
    def register(self, market: int, device_id: int, key: int) -> None:
        """New and old ids under new and old keys."""
        bazaar, books = self.ring.markets[market], self.books[market]
        keys = [*self.ring.spares, self.ring.seller.key, self.ring.buyer.key]
        device = Device(keys[key], device_id, ParticipantRole.BATTERY)
        if self._send(bazaar.register(device), books.reasons_to_register(device)):
            books.did_register(device)

    @rule(market=markets, who=st.integers(0, 40))
    def revoke(self, market: int, who: int) -> None:
        """Seldom one that trades, so that trade goes on."""
        bazaar, books = self.ring.markets[market], self.books[market]
        trading = {0: self.ring.batteries[1], 1: self.ring.buyers[0], 2: self.ring.buyers[2]}
        device = trading.get(who, self.ring.twin)
        if self._send(bazaar.revoke(device), books.reasons_to_revoke(device)):
            books.tallies[device.device_id].revoked_at = self.now

    # -- what nobody may do

    @rule(drawn=usual, act=st.integers(0, 12), slot=st.integers(0, 40), how=st.integers(0, 500))
    def send_wrong_accounts(self, drawn: Draw, act: int, slot: int, how: int) -> None:
        """A legal-looking instruction, one of its accounts replaced by any other, not signing, or read-only."""
        market, deal = self._deal(drawn._replace(lot=max(1, drawn.lot)))
        self.deals.pop()
        instructions = self._any_instruction(market, act, deal)
        name = name_of(instructions[-1])
        signers = SIGNERS[name]
        Machine.sent += 1
        if signers and how % 8 == 0:
            self.ring.refused(unsigned_by(instructions, signers[slot % len(signers)]))
            return
        if "participant" in SLOTS[name] and name in {"register", "revoke"} and how % 8 == 1:
            self.ring.refused(read_only(instructions, "participant"))
            return
        slots = [found for found in SLOTS[name] if (name, found) not in CLOSED_SLOTS]
        chosen = slots[slot % len(slots)]
        address = self.ring.strangers[how % len(self.ring.strangers)]
        if address == address_in(instructions, chosen):
            address = key_of("nothing").pubkey()
        reason = self.ring.refused(swapped(instructions, **{chosen: address}))
        assert reason in ERRORS.values() or reason in {"SignatureFailure", "Custom(1)"}, reason

    def _any_instruction(self, market: int, act: int, deal: Deal) -> list[Instruction]:
        bazaar = self.ring.markets[market]
        fresh = Device(deal.seller.key, NEW_IDS[0], ParticipantRole.BATTERY)
        made = (
            lambda: bazaar.settle(deal),
            lambda: bazaar.settle(deal),
            lambda: bazaar.record_default(deal.with_(energy_wh=MAX_ENERGY)),
            lambda: bazaar.release(deal),
            lambda: bazaar.refund(deal),
            lambda: bazaar.dispute(deal),
            lambda: bazaar.resolve(deal, to_battery=True),
            lambda: bazaar.close_trade(deal),
            lambda: bazaar.deposit(deal.buyer, 5),
            lambda: bazaar.request_withdraw(deal.buyer, 5),
            lambda: bazaar.withdraw(deal.buyer),
            lambda: bazaar.register(fresh),
            lambda: bazaar.revoke(deal.seller),
        )
        return made[act]()

    # -- what always holds

    @invariant()
    def nothing_is_made_or_lost(self) -> None:
        """Tokens and lamports; only fees leave, from an account that does nothing else."""
        assert [self._supply(bazaar) for bazaar in self.ring.markets] == self.supplies
        known = self.ring.known()
        assert self.ring.total_lamports(known) == self.lamports

    @invariant()
    def vaults_cover_what_is_available_and_held(self) -> None:
        """To the unit, since nobody sends them anything past the program here; and held is what trades hold."""
        for bazaar, books in zip(self.ring.markets, self.books, strict=True):
            for buyer in self.ring.buyers:
                purse = books.purses.get(buyer.device_id)
                vault = self.ring.tokens(bazaar.vault(buyer))
                if purse is None:
                    assert vault == 0
                    assert self.ring.account(bazaar.place.escrow(buyer.device_id)) is None
                    continue
                escrow = bazaar.escrow(buyer)
                assert escrow[3:] == (purse.available, purse.held, purse.asked, purse.since)
                assert vault == escrow.available + escrow.held
                lines = [
                    line
                    for line in books.lines.values()
                    if line.deal.buyer == buyer and line.status in {HELD, DISPUTED}
                ]
                assert escrow.held == sum(line.deal.amount for line in lines)

    @invariant()
    def no_record_is_paid_twice(self) -> None:
        """And what the batteries and the market have is what the paid ones gave them."""
        for bazaar, books in zip(self.ring.markets, self.books, strict=True):
            assert set(books.paid.values()) <= {1}
            for device in (*self.ring.batteries, *self.ring.buyers):
                assert self.ring.tokens(bazaar.wallet(device)) == books.wallets[device.device_id]
            assert self.ring.tokens(bazaar.fees) == books.fees

    @invariant()
    def counters_only_rise(self) -> None:
        """As the model's do."""
        for market, (bazaar, books) in enumerate(zip(self.ring.markets, self.books, strict=True)):
            for device in (*self.ring.batteries, *self.ring.buyers, self.ring.twin):
                found = bazaar.participant(device)
                assert found[5:] == tuple(vars(books.tallies[device.device_id]).values())
                before = self.counters.get((market, device.device_id), (0, 0, 0, 0))
                assert all(old <= new for old, new in zip(before, found[6:], strict=True))
                self.counters[market, device.device_id] = found[6:]

    @invariant()
    def trades_are_as_the_model_has_them(self) -> None:
        """And there is none of which it does not know."""
        for bazaar, books in zip(self.ring.markets, self.books, strict=True):
            for seller in self.ring.batteries:
                for lot in range(LOTS + 1):
                    line = books.lines.get((seller.device_id, lot))
                    address = bazaar.place.trade(seller.device_id, lot)
                    if line is None:
                        assert self.ring.account(address) is None
                        continue
                    trade = bazaar.trade(line.deal)
                    said = (line.deal.amount, line.fee, line.status, line.release_at, line.disputed_at)
                    assert trade[8:13] == said
                    assert trade.record_hash == line.record_hash

    @invariant()
    def rules_are_as_they_were_set(self) -> None:
        """With pause and settles_from."""
        for bazaar, books in zip(self.ring.markets, self.books, strict=True):
            market = bazaar.state()
            assert market[6:11] == books.terms[1:]
            assert (market.paused_at, market.settles_from) == (books.paused_at, books.settles_from)


def test_random_instructions_do_what_the_model_says() -> None:
    Machine.sent = Machine.succeeded = 0
    began = perf_counter()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=STEPS * 5 // 4 // LENGTH + 1,  # some runs end early
            stateful_step_count=LENGTH,
            deadline=None,
            database=None,
            print_blob=True,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
    seconds = perf_counter() - began
    print(f"\n{Machine.sent} instructions, {Machine.succeeded} of them succeeded, {seconds:.1f} s")  # noqa: T201 - for -s
    assert Machine.sent >= STEPS
    assert Machine.succeeded >= Machine.sent // 5
    assert isinstance(Machine.world, Chain)
    assert Machine.world.now >= NOW
