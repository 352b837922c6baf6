"""A market on the real chain: admin, one battery, some buyers with an escrow; and the Confirms that buyers sign."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from solders.instruction import Instruction
from solders.pubkey import Pubkey
from spl.token.instructions import create_idempotent_associated_token_account

from contracts.accounts import Escrow, Participant, ParticipantRole, Trade, decode
from contracts.accounts import Market as Rules
from contracts.addresses import PROGRAM_ID, Address, Place, token_account
from contracts.devnet.tokens import read_token_account
from contracts.instructions import Instructions, Parties, Terms
from contracts.io.idl import load_interface
from contracts.outbox import Entry, confirmed
from contracts.transactions import signed
from etp import messages
from etp.codes import MessageType
from etp.frame import Frame, encode
from etp.keys import KeyPair
from etp.record import seal
from etp.units import DeviceId, LotId, MessageId, Micro, WallUs
from tests.contracts.hostile.chain import GENESIS, RealChain

INTERFACE: Final = load_interface()
SOL: Final = 10**9
BATTERY_ID: Final = DeviceId(101)
FIRST_BUYER: Final = 500
FEE_BPS: Final = 25
DAY: Final = 86_400


def key_of(name: str) -> KeyPair:
    """The same key each time."""
    return KeyPair(sha256(name.encode()).digest())


ADMIN: Final = key_of("admin")
BATTERY: Final = key_of("battery")
BATTERY_ADDRESS: Final = Pubkey(BATTERY.public)
ADMIN_ADDRESS: Final = Pubkey(ADMIN.public)
PLACE: Final = Place.named(GENESIS, PROGRAM_ID, ADMIN_ADDRESS, "torture")


def buyer_key(buyer: int) -> KeyPair:
    """A buyer's."""
    return key_of(f"buyer {buyer}")


class Market:
    """See the module. `deposits`: µ that each buyer, from FIRST_BUYER on, puts into its escrow at once."""

    def __init__(
        self, chain: RealChain, deposits: Sequence[int], *, dispute_window: int, lamports: int = 1_000 * SOL
    ) -> None:
        self.chain, self.make = chain, Instructions(INTERFACE, PLACE)
        self.dispute_window = dispute_window
        self.mint = chain.chain.mint
        self.buyers = [FIRST_BUYER + number for number in range(len(deposits))]
        self.deposited = dict.fromkeys(self.buyers, 0)
        self.fees = token_account(ADMIN_ADDRESS, self.mint)
        chain.call("requestAirdrop", str(ADMIN_ADDRESS), 1_000 * SOL)
        self.refill(lamports)
        terms = Terms(ADMIN_ADDRESS, FEE_BPS, 1, dispute_window, 7 * DAY, 8 * DAY)
        make = self.make
        self.do(
            [
                create_idempotent_associated_token_account(ADMIN_ADDRESS, ADMIN_ADDRESS, self.mint),
                make.open_market(ADMIN_ADDRESS, "torture", self.mint, self.fees, terms),
            ]
        )
        battery = make.register(ADMIN_ADDRESS, BATTERY_ADDRESS, BATTERY_ID, ParticipantRole.BATTERY)
        self.do([battery], BATTERY)
        for buyer, amount in zip(self.buyers, deposits, strict=True):
            key = buyer_key(buyer)
            chain.call("requestAirdrop", str(Pubkey(key.public)), 10 * SOL)
            self.do([make.register(ADMIN_ADDRESS, Pubkey(key.public), buyer, ParticipantRole.AGGREGATOR)], key)
            if amount:
                self.deposit(buyer, amount)

    def refill(self, lamports: int) -> None:
        """Lamports for the battery, which pays all fees and rents."""
        self.chain.call("requestAirdrop", str(BATTERY_ADDRESS), lamports)

    def deposit(self, buyer: int, amount: int) -> None:
        """Into a buyer's escrow, µ."""
        key = buyer_key(buyer)
        owner = Pubkey(key.public)
        self.chain.call("etp_faucet", str(owner), amount)
        source = token_account(owner, self.mint)
        put = self.make.deposit(owner, buyer, self.mint, source, amount)
        self.do([self.make.create_vault(ADMIN_ADDRESS, buyer, self.mint), put], key)
        self.deposited[buyer] += amount

    def do(self, instructions: Sequence[Instruction], *others: KeyPair) -> None:
        """A transaction of the admin and others; it lands at once."""
        slots = self.chain.chain.slots
        self.chain.advance()
        pairs = [(Pubkey(pair.public), pair.sign) for pair in (ADMIN, *others)]
        raw, _ = signed(instructions, ADMIN_ADDRESS, slots.blockhash(slots.processed), pairs)
        config = {"encoding": "base64", "preflightCommitment": "processed"}
        self.chain.call("sendTransaction", b64encode(raw).decode(), config)

    # -- the truth

    def parties(self, buyer: int, lot_id: int) -> Parties:
        """Whose trade a lot is."""
        return Parties(BATTERY_ADDRESS, BATTERY_ID, buyer, lot_id)

    def data(self, address: Address) -> bytes | None:
        """Of a finalized account of the program."""
        account = self.chain.chain.account(address, self.chain.finalized)
        return None if account is None or account.owner != PROGRAM_ID else account.data

    def trade(self, lot_id: int) -> Trade | None:
        """A lot's finalized trade."""
        data = self.data(PLACE.trade(BATTERY_ID, lot_id))
        return None if data is None else decode(INTERFACE, Trade, data)

    def escrow(self, buyer: int) -> Escrow | None:
        """A buyer's finalized escrow."""
        data = self.data(PLACE.escrow(buyer))
        return None if data is None else decode(INTERFACE, Escrow, data)

    def participant(self, device_id: int) -> Participant:
        """A finalized participant."""
        data = self.data(PLACE.participant(device_id))
        assert data is not None
        return decode(INTERFACE, Participant, data)

    def tokens(self, address: Address) -> Micro:
        """What a token account holds, finalized, µ."""
        account = self.chain.chain.account(address, self.chain.finalized)
        held = None if account is None else read_token_account(account)
        return Micro(0 if held is None else held.amount)

    def vault(self, buyer: int) -> Address:
        """Of a buyer's escrow."""
        return token_account(PLACE.escrow(buyer), self.mint)


def market_rules(market: Market) -> Rules:
    """The Market account, finalized."""
    data = market.data(PLACE.market)
    assert data is not None
    return decode(INTERFACE, Rules, data)


def confirm(lot_id: int, buyer: int, *, price: int, energy: int, time_us: int) -> Entry:
    """A trade: what a buyer's signed Confirm says. Price in µ/kWh, energy in Wh."""
    frame = Frame(
        MessageType.CONFIRM,
        message_id=MessageId(time_us),
        device_id=DeviceId(buyer),
        sale_price=price / 10_000,
        bid_price=price / 10_000,
        required_energy_amount=energy / 1000,
    )
    assert (messages.terms(frame).paid, messages.terms(frame).energy) == (price, energy)
    key = buyer_key(buyer)
    record = seal(
        frame,
        encode(frame),
        counter=lot_id,
        lot_id=LotId(lot_id),
        recipient=BATTERY.public,
        network=PLACE.network_id,
        sign=key.sign,
    )
    return confirmed(record, key.public, WallUs(time_us))
