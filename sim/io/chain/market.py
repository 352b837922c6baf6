"""A market on the simulated chain: an admin, batteries, and buyers with an escrow each; and what is finally true of them."""

from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final

from solders.instruction import Instruction
from solders.pubkey import Pubkey
from spl.token.instructions import create_idempotent_associated_token_account

from contracts.accounts import Escrow, Participant, ParticipantRole, Trade, decode
from contracts.accounts import Market as Rules
from contracts.addresses import PROGRAM_ID, Address, Place, token_account
from contracts.devnet.tokens import read_token_account
from contracts.instructions import Instructions, Terms
from contracts.io.idl import load_interface
from contracts.transactions import signed
from etp.keys import KeyPair
from etp.registry import Network
from etp.units import Micro
from sim.invariants.payments import Chain, Deposit
from sim.io.chain.bank import GENESIS, RealChain

INTERFACE: Final = load_interface()
SOL: Final = 10**9
FEE_BPS: Final = 25
DAY: Final = 86_400


def key_of(name: str) -> KeyPair:
    """The same key each time."""
    return KeyPair(sha256(name.encode()).digest())


ADMIN: Final = key_of("admin")
ADMIN_ADDRESS: Final = Pubkey(ADMIN.public)


def network_of(name: str) -> Network:
    """The admin's market of this name on the simulated chain."""
    return Network(name, GENESIS, bytes(PROGRAM_ID), ADMIN.public)


@lru_cache(maxsize=4096)
def trade_in(data: bytes) -> Trade:
    """A Trade account; most are looked at again and again."""
    return decode(INTERFACE, Trade, data)


class ChainMarket:
    """See the module. Keys by device_id."""

    def __init__(
        self,
        chain: RealChain,
        name: str,
        batteries: Mapping[int, KeyPair],
        buyers: Mapping[int, KeyPair],
        *,
        dispute_window: int,
    ) -> None:
        self.chain, self.dispute_window = chain, dispute_window
        self.place = Place.of(network_of(name))
        self.make = Instructions(INTERFACE, self.place)
        self.mint = chain.chain.mint
        self.batteries, self.keys = dict(batteries), dict(buyers)
        self.deposited = dict.fromkeys(buyers, 0)
        self._deposits: list[tuple[int, int, int]] = []
        """(slot, buyer, µ) of each: they are final after a while."""
        self.fees = token_account(ADMIN_ADDRESS, self.mint)
        chain.call("requestAirdrop", str(ADMIN_ADDRESS), 1_000 * SOL)
        make, terms = self.make, Terms(ADMIN_ADDRESS, FEE_BPS, 1, dispute_window, 7 * DAY, 8 * DAY)
        self.do(
            [
                create_idempotent_associated_token_account(ADMIN_ADDRESS, ADMIN_ADDRESS, self.mint),
                make.open_market(ADMIN_ADDRESS, name, self.mint, self.fees, terms),
            ]
        )
        for role, members in ((ParticipantRole.BATTERY, batteries), (ParticipantRole.AGGREGATOR, buyers)):
            for device_id, key in members.items():
                self.do([make.register(ADMIN_ADDRESS, Pubkey(key.public), device_id, role)], key)
        for key in buyers.values():
            chain.call("requestAirdrop", str(Pubkey(key.public)), 10 * SOL)

    def refill(self, battery: int, lamports: int) -> None:
        """Lamports for a battery, which pays all fees and rents of its trades."""
        self.chain.call("requestAirdrop", str(Pubkey(self.batteries[battery].public)), lamports)

    def deposit(self, buyer: int, amount: int) -> None:
        """Into a buyer's escrow, µ."""
        key = self.keys[buyer]
        owner = Pubkey(key.public)
        self.chain.call("etp_faucet", str(owner), amount)
        source = token_account(owner, self.mint)
        put = self.make.deposit(owner, buyer, self.mint, source, amount)
        self.do([self.make.create_vault(ADMIN_ADDRESS, buyer, self.mint), put], key)
        self.deposited[buyer] += amount
        self._deposits.append((self.chain.chain.slots.processed, buyer, amount))

    def do(self, instructions: Sequence[Instruction], *others: KeyPair) -> None:
        """A transaction of the admin and others; it lands at once, and no fork takes it back."""
        self.chain.call("sendTransaction", *self._signed(instructions, ADMIN, *others))

    def tries(self, instructions: Sequence[Instruction], *signers: KeyPair) -> bool:
        """A transaction that may be refused, and whose slot may be forked away; whether it was taken. The first signer pays."""
        params = self._signed(instructions, *signers)
        answer = self.chain.handle({"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": list(params)})
        return "error" not in answer

    def _signed(self, instructions: Sequence[Instruction], *signers: KeyPair) -> tuple[str, dict[str, str]]:
        """What `sendTransaction` takes."""
        slots = self.chain.chain.slots
        self.chain.advance()
        pairs = [(Pubkey(pair.public), pair.sign) for pair in signers]
        raw, _ = signed(instructions, pairs[0][0], slots.blockhash(slots.processed), pairs)
        return b64encode(raw).decode(), {"encoding": "base64", "preflightCommitment": "processed"}

    # -- the truth

    def data(self, address: Address) -> bytes | None:
        """Of a finalized account of the program."""
        account = self.chain.chain.account(address, self.chain.finalized)
        return None if account is None or account.owner != PROGRAM_ID else account.data

    def trade_of(self, battery: int, lot_id: int) -> Trade | None:
        """A lot's finalized trade."""
        data = self.data(self.place.trade(battery, lot_id))
        return None if data is None else trade_in(data)

    def newest(self, battery: int, lot_id: int) -> Trade | None:
        """A lot's trade in the newest slot, which may be forked away."""
        chain = self.chain.chain
        self.chain.advance()
        account = chain.account(self.place.trade(battery, lot_id), chain.slots.processed)
        return None if account is None or account.owner != PROGRAM_ID else trade_in(account.data)

    def trades(self) -> list[Trade]:
        """All finalized trades."""
        head, finalized = INTERFACE.discriminator("Trade"), self.chain.finalized
        owned = [account.data for _, account in self.chain.chain.owned(PROGRAM_ID, finalized)]
        return [trade_in(data) for data in owned if data.startswith(head)]

    def shown(self, decided: Collection[tuple[int, int]] = ()) -> Chain:
        """All that is final, for the invariants; `decided`: battery and lot of what the arbiter gave back."""
        return Chain(
            trades=self.trades(),
            earned={battery: self.earned(battery) for battery in self.batteries},
            deposits={buyer: self._deposit_of(buyer) for buyer in self.keys},
            fees=self.tokens(self.fees),
            fee_bps=FEE_BPS,
            settled={device: self.participant(device).settled for device in (*self.batteries, *self.keys)},
            decided=decided,
        )

    def _deposit_of(self, buyer: int) -> Deposit:
        finalized, escrow = self.chain.finalized, self.escrow(buyer)
        put_in = sum(amount for slot, whose, amount in self._deposits if whose == buyer and slot <= finalized)
        if escrow is None:
            return Deposit(put_in)
        return Deposit(put_in, escrow.available, escrow.held, self.tokens(self.vault(buyer)))

    def escrow(self, buyer: int) -> Escrow | None:
        """A buyer's finalized escrow."""
        data = self.data(self.place.escrow(buyer))
        return None if data is None else decode(INTERFACE, Escrow, data)

    def participant(self, device_id: int) -> Participant:
        """A finalized participant."""
        data = self.data(self.place.participant(device_id))
        assert data is not None
        return decode(INTERFACE, Participant, data)

    def tokens(self, address: Address) -> Micro:
        """What a token account holds, finalized, µ."""
        account = self.chain.chain.account(address, self.chain.finalized)
        held = None if account is None else read_token_account(account)
        return Micro(0 if held is None else held.amount)

    def earned(self, battery: int) -> Micro:
        """What a battery was paid, µ."""
        return self.tokens(token_account(Pubkey(self.batteries[battery].public), self.mint))

    def vault(self, buyer: int) -> Address:
        """Of a buyer's escrow."""
        return token_account(self.place.escrow(buyer), self.mint)


def market_rules(market: ChainMarket) -> Rules:
    """The Market account, finalized."""
    data = market.data(market.place.market)
    assert data is not None
    return decode(INTERFACE, Rules, data)
