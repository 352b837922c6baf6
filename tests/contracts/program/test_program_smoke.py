"""The program's way through one market in LiteSVM, called through its IDL: every instruction once where it succeeds.

Run with -s to see the compute units of each.
"""

import base64
import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anchorpy import Context, Idl, Program, Provider, Wallet
from nacl.signing import SigningKey
from solders.clock import Clock
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.rent import Rent
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.system_program import CreateAccountParams, create_account
from solders.token import ID as TOKEN_PROGRAM
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata, TransactionMetadata
from spl.token import instructions as spl

from etp.frame import Frame, encode

ROOT = Path(__file__).resolve().parents[3]
PROGRAM_ID = Pubkey(hashlib.sha256(b"etp-settlement").digest())
ED25519 = Pubkey.from_string("Ed25519SigVerify111111111111111111111111111")
INSTRUCTIONS = Pubkey.from_string("Sysvar1nstructions1111111111111111111111111")
GENESIS = bytes(range(32))
NAME = "smoke"
NOW = 1_800_000_000
DAY = 86_400
MINT_SIZE = 82
DECIMALS = 6
MAX_UNITS = 60_000

CONFIRM, TERMINATE = 5, 7
BATTERY_ID, AGGREGATOR_ID = 11, 2**64 - 1
PRICE, ENERGY_WH = 250_001, 1_500
AMOUNT = 375_002  # 375 001.5 µ, half to even
FEE_BPS = 50
FEE = AMOUNT * FEE_BPS // 10_000


def find(*seeds: bytes) -> Pubkey:
    return Pubkey.find_program_address(list(seeds), PROGRAM_ID)[0]


def le64(value: int) -> bytes:
    return value.to_bytes(8, "little")


class World:
    """A chain with a market, a battery and an aggregator that have tokens and nothing registered yet."""

    def __init__(self, *, dispute_window: int) -> None:
        self.svm = LiteSVM()
        self.units: dict[str, int] = {}
        self.svm.add_program_from_file(PROGRAM_ID, ROOT / "contracts" / "etp_settlement.so")
        self.clock(NOW)
        self.idl = Idl.from_json((ROOT / "contracts" / "idl" / "etp_settlement.json").read_text())
        self.admin, self.arbiter, self.battery, self.aggregator, self.mint_key = (
            Keypair.from_seed(bytes([n] * 32)) for n in range(1, 6)
        )
        self.program = Program(self.idl, PROGRAM_ID, Provider(None, Wallet(self.admin)))  # type: ignore[arg-type]
        for key in (self.admin, self.arbiter, self.battery, self.aggregator):
            self.svm.airdrop(key.pubkey(), 10**10)
        self.mint = self.mint_key.pubkey()
        self.send(
            [
                create_account(
                    CreateAccountParams(
                        from_pubkey=self.admin.pubkey(),
                        to_pubkey=self.mint,
                        lamports=self.svm.minimum_balance_for_rent_exemption(MINT_SIZE),
                        space=MINT_SIZE,
                        owner=TOKEN_PROGRAM,
                    )
                ),
                spl.initialize_mint(spl.InitializeMintParams(DECIMALS, TOKEN_PROGRAM, self.mint, self.admin.pubkey())),
            ],
            self.admin,
            self.mint_key,
        )
        self.network_id = hashlib.sha256(
            b"ETP-NET-v1\0" + GENESIS + bytes(PROGRAM_ID) + bytes(self.admin.pubkey()) + NAME.encode()
        ).digest()
        self.rules: tuple[Any, ...] = (self.arbiter.pubkey(), FEE_BPS, 1, dispute_window, DAY, 2 * DAY)
        self.market = find(b"market", self.network_id)
        self.escrow = find(b"escrow", bytes(self.market), le64(AGGREGATOR_ID))
        self.vault = self.token_account(self.escrow)
        self.payout = self.token_account(self.battery.pubkey())
        self.fees = self.token_account(self.admin.pubkey())
        self.source = self.token_account(self.aggregator.pubkey(), 10 * AMOUNT)
        self.parties = {
            "market": self.market,
            "battery_participant": self.participant(BATTERY_ID),
            "aggregator_participant": self.participant(AGGREGATOR_ID),
        }

    def participant(self, device_id: int) -> Pubkey:
        """Address of a device's Participant."""
        return find(b"participant", bytes(self.market), le64(device_id))

    def trade(self, lot_id: int) -> Pubkey:
        """Address of a lot's Trade of the battery."""
        return find(b"trade", bytes(self.market), le64(BATTERY_ID), le64(lot_id))

    def token_account(self, owner: Pubkey, amount: int = 0) -> Pubkey:
        """The owner's associated token account, made if need be, with so much minted into it."""
        account = spl.get_associated_token_address(owner, self.mint)
        made = spl.create_idempotent_associated_token_account(self.admin.pubkey(), owner, self.mint)
        minted = spl.mint_to(spl.MintToParams(TOKEN_PROGRAM, self.mint, account, self.admin.pubkey(), amount))
        self.send([made, minted], self.admin)
        return account

    def clock(self, now: int) -> None:
        """Set the chain's clock, Unix seconds."""
        old = self.svm.get_clock()
        self.svm.set_clock(Clock(old.slot, now, old.epoch, old.leader_schedule_epoch, now))

    def send(self, instructions: list[Instruction], *signers: Keypair) -> TransactionMetadata:
        """Have a transaction accepted; the first signer pays."""
        self.svm.expire_blockhash()
        message = Message(instructions, signers[0].pubkey())
        result = self.svm.send_transaction(Transaction(list(signers), message, self.svm.latest_blockhash()))
        if isinstance(result, FailedTransactionMetadata):
            raise AssertionError(f"refused: {result.err()} {result.meta().logs()}")
        return result

    def call(
        self,
        name: str,
        *args: object,
        accounts: dict[str, Pubkey],
        signers: list[Keypair],
        before: Instruction | None = None,
    ) -> Any:
        """The event that the instruction logged."""
        instruction = self.program.instruction[name](*args, ctx=Context(accounts=accounts))
        result = self.send([before, instruction] if before else [instruction], *signers)
        own = [line for line in result.logs() if line.startswith(f"Program {PROGRAM_ID} consumed")]
        self.units[name] = int(own[-1].split()[3])
        (data,) = (line.removeprefix("Program data: ") for line in result.logs() if line.startswith("Program data: "))
        return self.program.coder.events.parse(base64.b64decode(data))

    def state(self, address: Pubkey) -> Any:
        """Content of an account of the program."""
        account = self.svm.get_account(address)
        assert account is not None
        return self.program.coder.accounts.decode(account.data)

    def balance(self, account: Pubkey) -> int:
        """Tokens in a token account."""
        content = self.svm.get_account(account)
        assert content is not None
        return int(struct.unpack_from("<Q", content.data, 64)[0])

    # The instructions, as they are called when all is well.

    def open_market(self) -> Any:
        """Open the market of the network_id."""
        accounts = {
            "admin": self.admin.pubkey(),
            "market": self.market,
            "mint": self.mint,
            "fee_account": self.fees,
            "system_program": SYSTEM_PROGRAM,
        }
        return self.call(
            "open_market",
            list(GENESIS),
            NAME,
            list(self.network_id),
            *self.rules,
            accounts=accounts,
            signers=[self.admin],
        )

    def register(self, device: Keypair, device_id: int, role: int) -> Any:
        """Register a device with its key."""
        accounts = {
            "admin": self.admin.pubkey(),
            "authority": device.pubkey(),
            "market": self.market,
            "participant": self.participant(device_id),
            "device_key": find(b"key", bytes(self.market), bytes(device.pubkey())),
            "system_program": SYSTEM_PROGRAM,
        }
        return self.call("register", device_id, role, accounts=accounts, signers=[self.admin, device])

    def deposit(self, amount: int) -> Any:
        """Move the aggregator's tokens into its vault."""
        accounts = {
            "authority": self.aggregator.pubkey(),
            "market": self.market,
            "participant": self.participant(AGGREGATOR_ID),
            "escrow": self.escrow,
            "vault": self.vault,
            "source": self.source,
            "mint": self.mint,
            "token_program": TOKEN_PROGRAM,
            "system_program": SYSTEM_PROGRAM,
        }
        return self.call("deposit", amount, accounts=accounts, signers=[self.aggregator])

    def till(self, lot_id: int) -> dict[str, Pubkey]:
        """The accounts of all instructions about a lot; more of them than any one takes."""
        return self.parties | {
            "escrow": self.escrow,
            "vault": self.vault,
            "payout": self.payout,
            "fee_account": self.fees,
            "trade": self.trade(lot_id),
            "mint": self.mint,
            "token_program": TOKEN_PROGRAM,
            "system_program": SYSTEM_PROGRAM,
            "instructions": INSTRUCTIONS,
        }

    def settle(self, lot_id: int) -> Any:
        """Present the lot's Confirm."""
        accounts = self.till(lot_id) | {"battery": self.battery.pubkey()}
        return self.call("settle", accounts=accounts, signers=[self.battery], before=self.confirm(lot_id))

    def record_default(self, lot_id: int) -> Any:
        """Present the lot's Confirm to an escrow that cannot pay it."""
        accounts = self.till(lot_id) | {"battery": self.battery.pubkey()}
        return self.call("record_default", accounts=accounts, signers=[self.battery], before=self.confirm(lot_id))

    def release(self, lot_id: int) -> Any:
        """Have held money paid."""
        return self.call("release", accounts=self.till(lot_id), signers=[self.arbiter])

    def refund(self, lot_id: int) -> Any:
        """Present the lot's Terminate."""
        return self.call("refund", accounts=self.till(lot_id), signers=[self.arbiter], before=self.terminate(lot_id))

    def dispute(self, lot_id: int) -> Any:
        """Have the buyer stop the release."""
        accounts = self.till(lot_id) | {"authority": self.aggregator.pubkey()}
        return self.call("dispute", accounts=accounts, signers=[self.aggregator])

    def resolve(self, lot_id: int, *, to_battery: bool) -> Any:
        """Have the arbiter decide."""
        accounts = self.till(lot_id) | {"arbiter": self.arbiter.pubkey()}
        return self.call("resolve", to_battery, accounts=accounts, signers=[self.arbiter])

    # Records.

    def confirm(self, lot_id: int) -> Instruction:
        """The precompile's instruction over the buyer's Confirm."""
        frame = Frame(
            CONFIRM,
            message_id=NOW * 10**6 + lot_id,
            device_id=AGGREGATOR_ID,
            sale_price=PRICE / 10_000,
            required_energy_amount=ENERGY_WH / 1_000,
        )
        return self.signed(frame, (lot_id, PRICE, ENERGY_WH), self.aggregator, self.battery)

    def terminate(self, lot_id: int) -> Instruction:
        """The precompile's instruction over the battery's Terminate."""
        frame = Frame(TERMINATE, message_id=NOW * 10**6, device_id=BATTERY_ID, termination_code=2)
        return self.signed(frame, (lot_id, 0, 0), self.battery, self.aggregator)

    def signed(self, frame: Frame, terms: tuple[int, int, int], sender: Keypair, to: Keypair) -> Instruction:
        """The precompile's instruction over a record; terms are lot_id, price and energy."""
        lot_id, price, energy_wh = terms
        trailer = struct.pack("<4sBBHQQII32s", b"ETPS", 1, 1, 0, 1, lot_id, price, energy_wh, bytes(to.pubkey()))
        message = b"ETP-SIG-v1\0" + self.network_id + encode(frame) + trailer
        signature = SigningKey(sender.secret()).sign(message).signature
        header = struct.pack("<BB7H", 1, 0, 48, 0xFFFF, 16, 0xFFFF, 112, len(message), 0xFFFF)
        return Instruction(ED25519, header + bytes(sender.pubkey()) + signature + message, [])


def code(world: World, error: str) -> int:
    """Number of an error in the IDL."""
    return next(one.code for one in world.idl.errors if one.name == error)


@pytest.fixture
def world() -> Iterator[World]:
    yield from opened(dispute_window=3600)


@pytest.fixture
def instant_world() -> Iterator[World]:
    yield from opened(dispute_window=0)


def opened(*, dispute_window: int) -> Iterator[World]:
    """A market with both devices registered and money for five trades."""
    world = World(dispute_window=dispute_window)
    assert world.open_market().name == "MarketOpened"
    assert world.register(world.battery, BATTERY_ID, 1).data.device_id == BATTERY_ID
    assert world.register(world.aggregator, AGGREGATOR_ID, 2).data.device_id == AGGREGATOR_ID
    assert world.deposit(5 * AMOUNT).data.available == 5 * AMOUNT
    yield world
    for name, units in world.units.items():
        print(f"{name:17}{units:7} CU")  # noqa: T201 - what -s is for
        assert units <= MAX_UNITS, name


def test_a_held_trade_is_paid_after_the_window(world: World) -> None:
    event = world.settle(1)
    assert (event.name, event.data.amount, event.data.fee, event.data.status) == ("Settled", AMOUNT, FEE, 1)
    escrow = world.state(world.escrow)
    assert (escrow.available, escrow.held) == (4 * AMOUNT, AMOUNT)
    world.clock(NOW + 3600)
    assert world.release(1).name == "Released"
    assert (world.balance(world.payout), world.balance(world.fees)) == (AMOUNT - FEE, FEE)
    assert world.balance(world.vault) == 4 * AMOUNT
    trade = world.state(world.trade(1))
    assert (trade.status, trade.price, trade.energy_wh, trade.aggregator) == (2, PRICE, ENERGY_WH, AGGREGATOR_ID)
    assert world.state(world.participant(BATTERY_ID)).settled == 1
    assert world.state(world.participant(AGGREGATOR_ID)).settled == 1


def test_without_a_window_it_is_paid_at_once(instant_world: World) -> None:
    assert instant_world.settle(1).data.status == 2
    assert instant_world.balance(instant_world.payout) == AMOUNT - FEE
    assert instant_world.balance(instant_world.fees) == FEE


def test_the_record_that_is_kept_is_that_of_the_wire(world: World) -> None:
    world.settle(7)
    data = bytes(world.confirm(7).data)
    wire = data[112 + 11 + 32 :] + data[48:112]
    assert len(wire) == 212
    assert bytes(world.state(world.trade(7)).record_hash) == hashlib.sha256(wire).digest()


def test_an_address_with_money_on_it_is_no_obstacle(world: World) -> None:
    world.svm.airdrop(world.trade(1), 1_000_000)
    assert world.settle(1).name == "Settled"


@pytest.mark.parametrize(("price", "years"), [(3480, 2.0), (6960, 1.0)])
def test_both_rules_of_rent_are_honoured(world: World, price: int, years: float) -> None:
    world.svm.set_rent(Rent(price, years, 50))
    world.settle(1)
    account = world.svm.get_account(world.trade(1))
    assert account is not None
    assert account.lamports == (128 + len(account.data)) * 6960


def test_a_terminate_gives_the_money_back(world: World) -> None:
    world.settle(1)
    assert world.refund(1).name == "Refunded"
    escrow = world.state(world.escrow)
    assert (escrow.available, escrow.held) == (5 * AMOUNT, 0)
    assert world.state(world.trade(1)).status == 4
    assert world.state(world.participant(BATTERY_ID)).lost == 1


@pytest.mark.parametrize("to_battery", [True, False])
def test_the_arbiter_decides_a_dispute(world: World, to_battery: bool) -> None:
    world.settle(1)
    assert world.dispute(1).data.disputed_at == NOW
    assert world.resolve(1, to_battery=to_battery).data.to_battery is to_battery
    assert world.state(world.trade(1)).status == (2 if to_battery else 4)
    assert world.balance(world.payout) == (AMOUNT - FEE if to_battery else 0)
    assert world.state(world.participant(AGGREGATOR_ID)).lost == to_battery
    assert world.state(world.participant(BATTERY_ID)).lost == (not to_battery)


def test_a_battery_that_gave_its_payout_away_stops_no_refund(world: World) -> None:
    """The owner of a token account can be changed; then it is not paid, but the arbiter still gives back."""
    world.settle(1)
    world.dispute(1)
    given = spl.SetAuthorityParams(
        TOKEN_PROGRAM, world.payout, spl.AuthorityType.ACCOUNT_OWNER, world.battery.pubkey(), [], world.admin.pubkey()
    )
    world.send([spl.set_authority(given)], world.battery)
    with pytest.raises(AssertionError, match=str(code(world, "WrongTokenAccount"))):
        world.resolve(1, to_battery=True)
    world.resolve(1, to_battery=False)
    assert world.state(world.escrow).available == 5 * AMOUNT


def test_a_default_is_recorded_and_paid_later(world: World) -> None:
    for lot_id in range(1, 6):
        world.settle(lot_id)
    assert world.record_default(6).data.available == 0
    assert world.state(world.participant(AGGREGATOR_ID)).defaulted == 1
    world.deposit(AMOUNT)
    assert world.settle(6).data.status == 1


def test_money_leaves_after_the_delay(world: World) -> None:
    accounts = world.till(0) | {
        "authority": world.aggregator.pubkey(),
        "participant": world.participant(AGGREGATOR_ID),
        "destination": world.source,
    }
    asked = world.call("request_withdraw", 9 * AMOUNT, accounts=accounts, signers=[world.aggregator])
    assert (asked.data.amount, asked.data.since) == (9 * AMOUNT, NOW)
    world.settle(1)
    world.clock(NOW + 2 * DAY)
    assert world.call("withdraw", accounts=accounts, signers=[world.aggregator]).data.amount == 4 * AMOUNT
    assert world.balance(world.vault) == AMOUNT


def test_rules_change_and_devices_are_revoked(world: World) -> None:
    accounts = {"admin": world.admin.pubkey(), "market": world.market, "fee_account": world.fees}
    event = world.call("set_market", *world.rules, True, accounts=accounts, signers=[world.admin])
    assert (event.data.paused_at, event.data.settles_from) == (NOW, NOW - DAY)
    accounts["participant"] = world.participant(BATTERY_ID)
    assert world.call("revoke", accounts=accounts, signers=[world.admin]).data.revoked_at == NOW


def test_a_key_has_one_id(world: World) -> None:
    """Two ids of one key would settle each Confirm twice: it names the battery by its key."""
    with pytest.raises(AssertionError, match="6012"):
        world.register(world.battery, BATTERY_ID + 1, 1)


def test_the_rent_of_a_finished_trade_goes_back(world: World) -> None:
    world.settle(1)
    world.clock(NOW + 2 * DAY + 3600)
    world.release(1)
    before = world.svm.get_balance(world.battery.pubkey())
    rent = world.svm.get_balance(world.trade(1))
    accounts = world.till(1) | {"payer": world.battery.pubkey()}
    assert world.call("close_trade", accounts=accounts, signers=[world.arbiter]).name == "Closed"
    assert world.svm.get_balance(world.battery.pubkey()) == (before or 0) + (rent or 0)
    left = world.svm.get_account(world.trade(1))
    assert left is None or (left.lamports, left.data) == (0, b"")
