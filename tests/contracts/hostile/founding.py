"""The torture's market: one battery, some buyers with an escrow; and the Confirms that buyers sign."""

from collections.abc import Sequence
from typing import Final

from solders.pubkey import Pubkey

from contracts.accounts import Trade
from contracts.addresses import Place
from contracts.instructions import Parties
from contracts.outbox import Entry, confirmed
from etp import messages
from etp.codes import MessageType
from etp.frame import Frame, encode
from etp.keys import KeyPair
from etp.record import seal
from etp.units import DeviceId, LotId, MessageId, WallUs
from sim.io.chain.bank import RealChain
from sim.io.chain.market import SOL, ChainMarket, key_of, network_of
from sim.io.chain.rpc import Expected

BATTERY_ID: Final = DeviceId(101)
FIRST_BUYER: Final = 500
BATTERY: Final = key_of("battery")
BATTERY_ADDRESS: Final = Pubkey(BATTERY.public)
NAME: Final = "torture"
PLACE: Final = Place.of(network_of(NAME))


def buyer_key(buyer: int) -> KeyPair:
    """A buyer's."""
    return key_of(f"buyer {buyer}")


def expected(entry: Entry) -> Expected:
    """What is to come for a trade."""
    return Expected(PLACE.market, BATTERY_ID, BATTERY_ADDRESS, entry)


class Market(ChainMarket):
    """See the module. `deposits`: µ that each buyer, from FIRST_BUYER on, puts into its escrow at once."""

    def __init__(
        self, chain: RealChain, deposits: Sequence[int], *, dispute_window: int, lamports: int = 1_000 * SOL
    ) -> None:
        self.buyers = [FIRST_BUYER + number for number in range(len(deposits))]
        keys = {buyer: buyer_key(buyer) for buyer in self.buyers}
        super().__init__(chain, NAME, {BATTERY_ID: BATTERY}, keys, dispute_window=dispute_window)
        self.pay_fees(lamports)
        for buyer, amount in zip(self.buyers, deposits, strict=True):
            if amount:
                self.deposit(buyer, amount)

    def pay_fees(self, lamports: int) -> None:
        """Lamports for the battery."""
        self.refill(BATTERY_ID, lamports)

    def parties(self, buyer: int, lot_id: int) -> Parties:
        """Whose trade a lot is."""
        return Parties(BATTERY_ADDRESS, BATTERY_ID, buyer, lot_id)

    def trade(self, lot_id: int) -> Trade | None:
        """A lot's finalized trade."""
        return self.trade_of(BATTERY_ID, lot_id)


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
