"""One RPC as the settler sees it: its breaker, what it must show before it is used, its heights, blockhash and queue."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Final, NamedTuple

from contracts.accounts import Market, Participant, read
from contracts.addresses import Address, Place, token_account
from contracts.breaker import Breaker, BreakerState
from contracts.errors import ContractsError
from contracts.interface import Interface
from contracts.rpc import (
    MAX_SENDS,
    Accounts,
    Answer,
    Blockhash,
    GetAccounts,
    GetBlockhash,
    GetGenesis,
    GetHeight,
    Request,
    RpcFailure,
)
from contracts.settler_limits import SettlerLimits, SettlerTiming
from etp.clock import Now
from etp.units import LotId, MonotonicS

VALID_BLOCKS: Final = 150
"""A blockhash is valid for so many blocks from its own (Solana)."""
BLOCKS_ABOVE: Final = 50
"""The block of a new one is above the finalized height that we know by at most so many: what is not final yet, and our lag."""


class Ask(NamedTuple):
    """Ask an RPC (by its number), then call `answered(ask, answer, now)`, always: with RpcFailure where none came in time."""

    rpc: int
    request: Request
    purpose: str
    """What the core does with the answer: a key of its own table."""
    keys: tuple[int, ...] = ()
    """What it is about: lot_ids, or buyers."""
    height: int = -1
    """The RPC's finalized height that was known when it was asked."""


class Unfit(ContractsError):
    """An RPC, or what is behind it, cannot be used: why, and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What an RPC has to show."""

    interface: Interface
    place: Place
    battery: Address
    battery_id: int

    def check_genesis(self, answer: Answer) -> None:
        """Raises Unfit for another chain."""
        if answer != self.place.genesis_hash:
            raise Unfit(
                "is an RPC of another chain: its genesis hash is not the one this market's network_id was made with;"
                " give the RPC of that chain, or the network's settings of this one"
            )

    def wanted(self) -> tuple[Address, ...]:
        """The accounts that `check_accounts` reads."""
        place = self.place
        return place.program_id, place.market, place.participant(self.battery_id), self.battery

    def check_accounts(self, answer: Accounts) -> tuple[Market, int]:
        """The market's rules and the lamports of the fee payer. Raises Unfit."""
        program, market, participant, payer = answer.found
        place = self.place
        if program is None or not program.executable:
            raise Unfit(
                f"has no program at {place.program_id}; deploy it there, or give the id it is deployed at in the registry's [market]"
            )
        if market is None:
            raise Unfit(
                f"has no market at {place.market}; open it (`etp market open`), or check the market's admin and name"
            )
        if participant is None:
            raise Unfit(
                f"does not know battery {self.battery_id} in this market; have its admin register it (`etp market register`)"
            )
        try:
            rules = read(self.interface, place.program_id, Market, market)
            known = read(self.interface, place.program_id, Participant, participant)
        except ContractsError as error:
            raise Unfit(str(error)) from error
        if rules.network_id != place.network_id:
            raise Unfit(
                f"has a market at {place.market} with another network_id: the IDL or the program is another one"
            )
        if known.authority != self.battery:
            raise Unfit(
                f"knows device {self.battery_id} with key {known.authority}, not {self.battery};"
                " start with the key that was registered: a new key is a new device_id"
            )
        return rules, payer.lamports if payer is not None else 0


class Link:
    """See the module."""

    def __init__(
        self, number: int, identity: Identity, *, timing: SettlerTiming, limits: SettlerLimits, rng: random.Random
    ) -> None:
        self.number = number
        self.breaker = Breaker(timing.rpc_retry, rng)
        self.market: Market | None = None
        self.payer_lamports = 0
        self.has_payout = False
        self.height = -1
        self.blockhash: Blockhash | None = None
        self.sends_in_flight = self.polls_in_flight = 0
        self._identity, self._timing, self._limits, self._rng = identity, timing, limits, rng
        self._queue: deque[LotId] = deque()
        self._queued: set[LotId] = set()
        self._asking: set[str] = set()
        self._check_s = MonotonicS(0.0)
        self._height_s = MonotonicS(0.0)
        self._height_known_s = MonotonicS(float("-inf"))
        self._blockhash_s = MonotonicS(float("-inf"))
        self._checks: dict[str, Callable[[Answer], tuple[str, Request] | None]] = {
            "genesis": self._checked_genesis,
            "identity": self._checked_identity,
            "payout": self._checked_payout,
        }

    @property
    def usable(self) -> bool:
        """Whether it is asked about trades."""
        return self.breaker.usable

    # -- checks

    def advance(self, now: Now, *, flying: bool) -> list[Ask]:
        """Check what is due: whether it is what it should be, and its height while transactions are on their way."""
        now_s = now.monotonic_s
        self.breaker.advance(now_s)
        asks: list[Ask] = []
        if (
            self.breaker.state is not BreakerState.OPEN
            and not self._asking & set(self._checks)
            and now_s >= self._check_s
        ):
            asks += self._ask("genesis", GetGenesis())
        if self.usable and flying and now_s >= self._height_s:
            asks += self.want_height(now)
        return asks

    def next_deadline(self, *, flying: bool) -> MonotonicS | None:
        """When `advance` has something to do."""
        if self.breaker.state is BreakerState.OPEN:
            return self.breaker.retry_s
        times = [] if self._asking & set(self._checks) else [self._check_s]
        if self.usable and flying and "height" not in self._asking:
            times.append(self._height_s)
        return min(times, default=None)

    def _ask(self, purpose: str, request: Request) -> list[Ask]:
        if purpose in self._asking:
            return []
        self._asking.add(purpose)
        return [Ask(self.number, request, purpose)]

    def answered(self, ask: Ask, answer: Answer, now: Now, believed_height: int | None) -> list[Ask]:
        """An answer about the RPC itself. Raises Unfit where that shows that it cannot be used."""
        self._asking.discard(ask.purpose)
        if ask.purpose in self._checks:
            following = self._checks[ask.purpose](answer)
            return self._passed(now) if following is None else self._ask(*following)
        if ask.purpose == "height" and isinstance(answer, int):
            self.height, self._height_known_s = max(self.height, answer), now.monotonic_s
        if ask.purpose == "blockhash" and isinstance(answer, Blockhash):
            self._take_blockhash(answer, now, believed_height)
        return []

    def _passed(self, now: Now) -> list[Ask]:
        self._check_s = MonotonicS(now.monotonic_s + self._timing.check_s)
        was_usable = self.usable
        self.breaker.passed()
        return [] if was_usable else self._ask("height", GetHeight())

    def _checked_genesis(self, answer: Answer) -> tuple[str, Request]:
        self._identity.check_genesis(answer)
        return "identity", GetAccounts(self._identity.wanted())

    def _checked_identity(self, answer: Answer) -> tuple[str, Request]:
        assert isinstance(answer, Accounts)
        self.market, self.payer_lamports = self._identity.check_accounts(answer)
        return "payout", GetAccounts((token_account(self._identity.battery, self.market.mint),))

    def _checked_payout(self, answer: Answer) -> None:
        assert isinstance(answer, Accounts)
        self.has_payout = answer.found[0] is not None

    # -- heights and blockhashes

    def want_height(self, now: Now) -> list[Ask]:
        """Ask for its finalized height."""
        self._height_s = MonotonicS(now.monotonic_s + self._timing.height_s)
        return self._ask("height", GetHeight())

    def knows_height(self, now: Now) -> bool:
        """Whether its height is of late: as while transactions are on their way."""
        return now.monotonic_s - self._height_known_s <= 2 * self._timing.height_s

    def want_blockhash(self, now: Now) -> list[Ask]:
        """Ask for a blockhash where the last one is no longer fresh."""
        if self.fresh_blockhash(now) is not None:
            return []
        return self._ask("blockhash", GetBlockhash())

    def fresh_blockhash(self, now: Now) -> Blockhash | None:
        """The last blockhash, while it is fresh."""
        return self.blockhash if now.monotonic_s - self._blockhash_s <= self._timing.blockhash_s else None

    def _take_blockhash(self, answer: Blockhash, now: Now, believed_height: int | None) -> None:
        """What an RPC says of its blockhash's end may make us wait longer, never shorter: bytes that may land are not dead."""
        if believed_height is None:
            return
        ahead = answer.last_valid_height - believed_height
        if not 0 < ahead <= self._limits.most_blocks_ahead:
            raise Unfit(
                f"says that its blockhash is valid up to block {answer.last_valid_height}, {ahead} blocks ahead of the"
                f" finalized one: expected 1 to {self._limits.most_blocks_ahead}; not believed"
            )
        last_valid = max(answer.last_valid_height, believed_height + VALID_BLOCKS + BLOCKS_ABOVE)
        self.blockhash, self._blockhash_s = Blockhash(answer.hash, last_valid), now.monotonic_s

    # -- sending

    @property
    def waiting(self) -> int:
        """Transactions that wait for a place."""
        return len(self._queue)

    def queue(self, lot_id: LotId) -> None:
        """Send this lot's transaction as soon as there is a place; once, however often it is asked for."""
        if lot_id not in self._queued:
            self._queued.add(lot_id)
            self._queue.append(lot_id)

    def next_to_send(self) -> list[LotId]:
        """Lots whose turn it is, as many as go into one request; none while there is no place."""
        if not self.usable or self.sends_in_flight >= self._limits.sends_in_flight:
            return []
        lots = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_SENDS))]
        self._queued.difference_update(lots)
        return lots

    # -- failures

    def failed(self, ask: Ask, failure: RpcFailure, now: Now) -> bool:
        """It did not answer; whether that put it out of use."""
        self._asking.discard(ask.purpose)
        return self._put_off(failure.words, now, certain=ask.purpose in self._checks)

    def unfit(self, reason: str, now: Now) -> bool:
        """It cannot be used; whether it was in use before."""
        return self._put_off(reason, now, certain=True)

    def _put_off(self, reason: str, now: Now, *, certain: bool) -> bool:
        was = self.breaker.state
        self.breaker.failed(reason, now.monotonic_s, certain=certain)
        # A closed link asks again at once otherwise: a question that fails costs a while.
        self._height_s = MonotonicS(now.monotonic_s + self._timing.height_s)
        if self.breaker.state is BreakerState.OPEN:
            self._check_s = MonotonicS(0.0)
            self._queue.clear()  # what still flies when it is back is queued then
            self._queued.clear()
        return was is not self.breaker.state


def in_use(links: Sequence[Link]) -> list[Link]:
    """Those that are asked about trades."""
    return [link for link in links if link.usable]


def believed_height(links: Sequence[Link]) -> int | None:
    """The median finalized height of the RPCs in use: one that lies does not move it far. None where none is known."""
    known = [link.height for link in in_use(links) if link.height >= 0]
    return median_low(known) if known else None
