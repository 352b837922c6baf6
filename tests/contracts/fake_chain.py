"""A chain in a few lines for tests of the settler: the program's rules as they matter to it, seen through RPCs that may fail or lie."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from struct import Struct

from solders.pubkey import Pubkey
from solders.transaction import Transaction
from spl.token.constants import TOKEN_PROGRAM_ID

from contracts.accounts import Trade, TradeStatus
from contracts.addresses import PROGRAM_ID, Place, token_account
from contracts.instructions import ED25519_PROGRAM, Instructions
from contracts.io.idl import load_interface
from contracts.links import Ask
from contracts.outbox import KIND, Entry, confirmed, entry_of, row
from contracts.rpc import (
    Account,
    Accounts,
    Answer,
    Blockhash,
    GetAccounts,
    GetBlockhash,
    GetGenesis,
    GetHeight,
    GetStatuses,
    GetTrades,
    Refused,
    Request,
    RpcFailure,
    Sendings,
    SendTransactions,
    Sent,
    SignatureStatus,
    Statuses,
    TradeAccounts,
)
from contracts.settler import Settler, SettlerEffect
from contracts.settler_limits import SettlerLimits, SettlerTiming
from contracts.transactions import Signer
from etp import messages
from etp.codes import MessageType
from etp.effects import Commit, Log, Row, Write
from etp.frame import Frame, encode
from etp.keys import KeyPair
from etp.record import seal
from etp.units import DeviceId, MessageId
from sim.io.chain.rpc import TRADE
from sim.scheduler import EPOCH_US, Scheduler

INTERFACE = load_interface()
GENESIS = sha256(b"a chain").digest()
ADMIN = KeyPair(sha256(b"admin").digest())
BATTERY = KeyPair(sha256(b"battery").digest())
BUYER = KeyPair(sha256(b"buyer").digest())
BATTERY_ID, BUYER_ID = DeviceId(101), DeviceId(500)
PLACE = Place.named(GENESIS, PROGRAM_ID, Pubkey(ADMIN.public), "test")
MINT, FEES = Pubkey(bytes([7] * 32)), Pubkey(bytes([8] * 32))
CODES = {name: code for code, (name, _) in INTERFACE.errors.items()}

MARKET = Struct("<8sB32s32s32s32s32sHQIIIqq")
PARTICIPANT = Struct("<8sB32sQ32sBqQQQQ")
ESCROW = Struct("<8sB32sQQQQq")
VALID_BLOCKS = 150
FINALITY = 4


def confirm(lot_id: int, *, price: int = 200_000, energy: int = 1_000, time_us: int = EPOCH_US) -> bytes:
    """A buyer's signed Confirm of a lot."""
    frame = Frame(
        MessageType.CONFIRM,
        message_id=MessageId(time_us),
        device_id=BUYER_ID,
        sale_price=price / 10_000,
        bid_price=price / 10_000,
        required_energy_amount=energy / 1000,
    )
    assert (messages.terms(frame).paid, messages.terms(frame).energy) == (price, energy)
    return seal(
        frame,
        encode(frame),
        counter=lot_id,
        lot_id=lot_id,
        recipient=BATTERY.public,
        network=PLACE.network_id,
        sign=BUYER.sign,
    )


def entry(lot_id: int, **terms: int) -> Entry:
    """A confirmed trade."""
    time_us = terms.get("time_us", EPOCH_US)
    return confirmed(confirm(lot_id, **terms), BUYER.public, time_us)


def market_data(dispute_window: int = 0, **changed: object) -> bytes:
    values = {"disc": INTERFACE.discriminator("Market"), "bump": 1, "network": PLACE.network_id} | changed
    return MARKET.pack(
        values["disc"], values["bump"], values["network"], ADMIN.public, ADMIN.public, bytes(MINT), bytes(FEES),
        0, 1, dispute_window, 7 * 86_400, 8 * 86_400, 0, 0,
    )  # fmt: skip


def participant_data(device_id: int, key: bytes, role: int) -> bytes:
    disc = INTERFACE.discriminator("Participant")
    return PARTICIPANT.pack(disc, 1, bytes(PLACE.market), device_id, key, role, 0, 0, 0, 0, 0)


def escrow_data(available: int) -> bytes:
    return ESCROW.pack(INTERFACE.discriminator("Escrow"), 1, bytes(PLACE.market), BUYER_ID, available, 0, 0, 0)


def trade_data(trade: Trade) -> bytes:
    return TRADE.pack(
        INTERFACE.discriminator("Trade"), 1, bytes(PLACE.market), trade.battery, trade.lot_id, trade.aggregator,
        trade.message_id, trade.energy_wh, trade.price, trade.amount, trade.fee, trade.status, trade.release_at,
        trade.disputed_at, bytes(trade.payer), trade.record_hash,
    )  # fmt: skip


@dataclass
class Landed:
    """A transaction in a block."""

    slot: int
    error: Refused | None


class FakeChain:
    """Blocks of `slot_s`; everything older than FINALITY slots is final, and what RPCs show."""

    def __init__(self, clock: Callable[[], float], *, slot_s: float = 0.04, dispute_window: int = 0) -> None:
        self.clock, self.slot_s, self.dispute_window = clock, slot_s, dispute_window
        self.available = 10_000_000_000
        self.lamports = 10**10
        self.market: bytes | None = market_data(dispute_window)
        self.program_there = True
        self.batteries_key = BATTERY.public
        self.landed: dict[bytes, Landed] = {}
        self.history: dict[int, list[tuple[int, Trade]]] = {}
        """By lot: (slot, the trade from then on)."""
        self.escrows: list[tuple[int, int]] = [(-(10**9), self.available)]
        self.paid: dict[int, int] = {}
        self.skips_blocks = 0
        self.loses = 0.0
        """Share of sent transactions that never land."""
        self.rng = random.Random(1)
        self.wall_offset_s = 0.0

    @property
    def slot(self) -> int:
        """The newest block."""
        return int(self.clock() / self.slot_s) + self.skips_blocks

    @property
    def unix_s(self) -> int:
        """The chain's clock."""
        return int(EPOCH_US / 1e6 + self.clock() + self.wall_offset_s)

    def deposit(self, amount: int) -> None:
        """Change what the buyer's escrow can pay."""
        self.available += amount
        self.escrows.append((self.slot, self.available))

    def trade(self, lot_id: int, slot: int) -> Trade | None:
        """A lot's trade as of a slot."""
        return next((trade for since, trade in reversed(self.history.get(lot_id, [])) if since <= slot), None)

    def newest(self, lot_id: int) -> Trade | None:
        """A lot's trade now."""
        return self.trade(lot_id, self.slot)

    def put(self, trade: Trade) -> None:
        """Change a trade from now on."""
        self.history.setdefault(trade.lot_id, []).append((self.slot, trade))

    def send(self, raw: bytes) -> Sent | Refused:
        """Simulate, and land it unless it gets lost."""
        transaction = Transaction.from_bytes(raw)
        transaction.verify()
        signature = bytes(transaction.signatures[0])
        if signature in self.landed:
            return Refused("AlreadyProcessed", None, "")
        known = {blockhash(slot): slot for slot in range(max(0, self.slot - VALID_BLOCKS), self.slot + 1)}
        if bytes(transaction.message.recent_blockhash) not in known:
            return Refused("BlockhashNotFound", None, "")
        if self.lamports < 5_000:
            return Refused("InsufficientFundsForFee", None, "")
        error = self.execute(transaction, dry=True)
        if error is not None:
            return error
        if self.rng.random() >= self.loses:
            self.lamports -= 5_000
            self.landed[signature] = Landed(self.slot, self.execute(transaction, dry=False))
        return Sent(signature)

    def may_land(self, used: bytes) -> bool:
        """Whether a transaction with this blockhash could be in a block that is not final yet, or in one to come."""
        oldest = max(0, self.slot - FINALITY - VALID_BLOCKS + 1)
        return any(blockhash(slot) == used for slot in range(oldest, self.slot + 1))

    def execute(self, transaction: Transaction, *, dry: bool) -> Refused | None:
        """The program's rules, as far as the settler meets them."""
        message = transaction.message
        last = message.instructions[-1]
        keys = [message.account_keys[index] for index in bytes(last.accounts)]
        name = {sha256(f"global:{n}".encode()).digest()[:8]: n for n in ("settle", "record_default", "release")}[
            bytes(last.data)[:8]
        ]
        if name == "release":
            return self.release(keys[7], dry=dry)
        before = message.instructions[-2]
        assert message.account_keys[before.program_id_index] == ED25519_PROGRAM
        data = bytes(before.data)
        assert len(data) == 303
        record = data[112 + 43 :] + data[48:112]
        made = confirmed(record, data[16:48], 0)
        assert keys[5 if name == "record_default" else 8] == PLACE.trade(BATTERY_ID, made.lot_id)
        return self.settle(made, name, dry=dry)

    def settle(self, made: Entry, name: str, *, dry: bool) -> Refused | None:
        """`settle` and `record_default`."""
        old = self.newest(made.lot_id)
        if old is not None and (old.status is not TradeStatus.DEFAULTED or name == "record_default"):
            return custom("AlreadySettled")
        short = self.available < made.amount
        if short != (name == "record_default"):
            return custom("EscrowTooShort" if short else "EscrowCanPay")
        if dry:
            return None
        status = TradeStatus.DEFAULTED if short else TradeStatus.HELD if self.dispute_window else TradeStatus.PAID
        release_at = self.unix_s + self.dispute_window
        trade = trade_of(made, status)._replace(release_at=release_at)
        if not short:
            self.deposit(-made.amount)
            if status is TradeStatus.PAID:
                self.paid[made.lot_id] = self.paid.get(made.lot_id, 0) + 1
        self.put(trade)
        return None

    def release(self, address: Pubkey, *, dry: bool) -> Refused | None:
        """`release`."""
        lot_id = next(lot for lot in self.history if PLACE.trade(BATTERY_ID, lot) == address)
        trade = self.newest(lot_id)
        assert trade is not None
        if trade.status not in (TradeStatus.HELD, TradeStatus.DISPUTED):
            return custom("WrongStatus")
        if self.unix_s < trade.release_at:
            return custom("ReleaseTooEarly")
        if not dry:
            self.paid[lot_id] = self.paid.get(lot_id, 0) + 1
            self.put(trade._replace(status=TradeStatus.PAID))
        return None

    def account(self, address: Pubkey, slot: int) -> Account | None:
        """An account as of a slot."""
        fixed = {
            PROGRAM_ID: Account(PROGRAM_ID, 1, b"", True) if self.program_there else None,
            PLACE.market: Account(PROGRAM_ID, 1, self.market, False) if self.market else None,
            PLACE.participant(BATTERY_ID): Account(
                PROGRAM_ID, 1, participant_data(BATTERY_ID, self.batteries_key, 1), False
            ),
            PLACE.participant(BUYER_ID): Account(PROGRAM_ID, 1, participant_data(BUYER_ID, BUYER.public, 2), False),
            Pubkey(BATTERY.public): Account(Pubkey.default(), self.lamports, b"", False),
            token_account(Pubkey(BATTERY.public), MINT): Account(TOKEN_PROGRAM_ID, 1, b"", False),
        }
        if address in fixed:
            return fixed[address]
        if address == PLACE.escrow(BUYER_ID):
            available = next(amount for since, amount in reversed(self.escrows) if since <= slot)
            return Account(PROGRAM_ID, 1, escrow_data(available), False)
        for lot_id in self.history:
            trade = self.trade(lot_id, slot)
            if trade is not None and PLACE.trade(BATTERY_ID, lot_id) == address:
                return Account(PROGRAM_ID, 1, trade_data(trade), False)
        return None


def custom(name: str) -> Refused:
    return Refused("Custom", CODES[name], "")


def blockhash(slot: int) -> bytes:
    return sha256(f"block {slot}".encode()).digest()


def trade_of(made: Entry, status: TradeStatus) -> Trade:
    """The trade that a settlement of an entry makes."""
    return Trade(
        BATTERY_ID, made.lot_id, made.buyer, made.message_id, made.energy, made.price, made.amount, 0, status, 0, 0,
        Pubkey(BATTERY.public), made.record_hash,
    )  # fmt: skip


Lie = Callable[[Request, Answer | RpcFailure], Answer | RpcFailure]


@dataclass
class View:
    """One RPC: the chain as it shows it."""

    chain: FakeChain
    down: bool = False
    genesis: bytes = GENESIS
    lie: Lie | None = None
    lag_slots: int = 0
    asked: list[Request] = field(default_factory=list)

    def answer(self, request: Request) -> Answer | RpcFailure:
        """What this RPC answers now."""
        self.asked.append(request)
        if self.down:
            return RpcFailure("unreachable", "cannot be reached")
        found = self._honest(request)
        return self.lie(request, found) if self.lie else found

    def _honest(self, request: Request) -> Answer:
        chain = self.chain
        slot = chain.slot - self.lag_slots
        final = slot - FINALITY
        if isinstance(request, GetGenesis):
            return self.genesis
        if isinstance(request, GetBlockhash):
            return Blockhash(blockhash(slot), slot + VALID_BLOCKS)
        if isinstance(request, GetHeight):
            return max(0, final)
        if isinstance(request, SendTransactions):
            return Sendings(tuple(chain.send(raw) for raw in request.raws))
        if isinstance(request, GetStatuses):
            return Statuses(tuple(self._status(signature, final) for signature in request.signatures))
        if isinstance(request, GetAccounts):
            return Accounts(final, tuple(chain.account(address, final) for address in request.addresses))
        assert isinstance(request, GetTrades)
        trades = [chain.trade(lot_id, final) for lot_id in chain.history]
        return TradeAccounts(
            tuple((PLACE.trade(BATTERY_ID, trade.lot_id), trade_data(trade)) for trade in trades if trade)
        )

    def _status(self, signature: bytes, final: int) -> SignatureStatus | None:
        landed = self.chain.landed.get(signature)
        return None if landed is None else SignatureStatus(landed.slot <= final, landed.error)


class Bench:
    """A settler, its journal and its RPCs under virtual time."""

    def __init__(
        self,
        rpcs: int = 1,
        *,
        seed: int = 0,
        dispute_window: int = 0,
        timing: SettlerTiming | None = None,
        limits: SettlerLimits | None = None,
    ) -> None:
        self.scheduler = Scheduler()
        self.chain = FakeChain(lambda: self.scheduler.time_s, dispute_window=dispute_window)
        self.views = [View(self.chain) for _ in range(rpcs)]
        self.rng = random.Random(seed)
        self.latency_s = 0.005
        self.journal: list[Row] = []
        self.journal_fails = False
        self.logs: list[Log] = []
        self.sent: list[bytes] = []
        self.faults: list[str] = []
        self.life = 0
        self.timing, self.limits = timing, limits
        self.settler = self._settler()
        self._wake()

    def _settler(self) -> Settler:
        signer = Signer(Instructions(INTERFACE, PLACE), Pubkey(BATTERY.public), BATTERY_ID, BATTERY.sign)
        rng = random.Random(self.rng.random())
        return Settler(signer, rpcs=len(self.views), rng=rng, timing=self.timing, limits=self.limits)

    def add(self, made: Entry) -> None:
        """Confirm a trade: its row is durable, and the settler is told."""
        self.journal.append(row(made))
        self.do(self.settler.add(made, self.scheduler.now()))

    def restart(self) -> None:
        """Kill -9, and up again from the journal."""
        self.life += 1
        self.settler = self._settler()
        self.do(self.settler.restore(self.pending(), self.scheduler.now()))

    def rows(self, lot_id: int) -> list[Row]:
        """What the journal has on a lot."""
        return [each for each in self.journal if each.lot_id == lot_id]

    def state(self, lot_id: int) -> str:
        """What the journal says of a lot."""
        return self.rows(lot_id)[-1].state

    def reason(self, lot_id: int) -> str:
        """Why a lot is not settled, as the journal says."""
        return str(self.rows(lot_id)[-1].body["reason"])

    def pending(self) -> list[Entry]:
        """What a restart would be told."""
        newest = {each.subject: each for each in self.journal if each.kind == KIND}
        return [entry_of(each) for each in newest.values() if each.pending]

    def do(self, effects: list[SettlerEffect]) -> None:
        """Carry effects out."""
        for effect in effects:
            if isinstance(effect, Ask):
                self._ask(effect)
            elif isinstance(effect, Commit):
                self._later(0.002, lambda commit=effect: self._commit(commit))
            elif isinstance(effect, Write):
                self.journal += effect.rows
            elif isinstance(effect, Log):
                self.logs.append(effect)
        self._wake()

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        life = self.life
        self.scheduler.after(delay_s, lambda: call() if life == self.life else None)

    def _ask(self, ask: Ask) -> None:
        for raw in ask.request.raws if isinstance(ask.request, SendTransactions) else ():
            self._check_durable(raw)
        view = self.views[ask.rpc]
        there = self.latency_s * (0.5 + self.rng.random())

        life = self.life

        def arrive() -> None:  # what has left the node arrives, even if the node dies
            answer = view.answer(ask.request)
            self.scheduler.after(there, lambda: self._hear(ask, answer) if life == self.life else None)

        self.scheduler.after(there, arrive)

    def _hear(self, ask: Ask, answer: Answer | RpcFailure) -> None:
        self.do(self.settler.answered(ask, answer, self.scheduler.now()))

    def _check_durable(self, raw: bytes) -> None:
        self.sent.append(raw)
        if not any(made.attempt is not None and made.attempt.raw == raw for made in self.pending()):
            self.faults.append("bytes were sent that are not in the journal")

    def _commit(self, commit: Commit) -> None:
        now = self.scheduler.now()
        if self.journal_fails:
            self.do(self.settler.commit_failed(commit, now))
            return
        for each in commit.rows:
            self._check_anew(entry_of(each))
        self.journal += commit.rows
        self.do(self.settler.committed(commit, now))

    def _check_anew(self, made: Entry) -> None:
        """A new transaction only when the one before cannot land any more."""
        older = [entry_of(row).attempt for row in self.rows(made.lot_id)]
        for attempt in older:
            if attempt is None or made.attempt is None or attempt.signature == made.attempt.signature:
                continue
            landed = self.chain.landed.get(attempt.signature)
            may_land = self.chain.may_land(attempt.blockhash) and (landed is None or landed.error is not None)
            if may_land:
                self.faults.append(f"lot {made.lot_id} was signed anew while its transaction could still land")

    def _wake(self) -> None:
        due = self.settler.next_deadline()
        if due is None:
            return
        life = self.life

        def advance() -> None:
            at = self.settler.next_deadline()
            if life == self.life and at is not None and at <= self.scheduler.time_s:
                self.do(self.settler.advance(self.scheduler.now()))

        self.scheduler.at(due, advance)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.scheduler.run(self.scheduler.time_s + seconds)

    def check(self) -> None:
        """What must hold at every time."""
        assert not self.faults, self.faults
        assert all(times == 1 for times in self.chain.paid.values()), self.chain.paid
