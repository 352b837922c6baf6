"""The torture's chain is what it says: a fork leaves what a replay without the lost slots comes to; an RPC behind shows the past."""

from base64 import b64encode

import pytest
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from contracts.accounts import TradeStatus
from contracts.devnet.bank import Bank
from contracts.devnet.ledger import Transaction
from contracts.outbox import Act, Entry
from contracts.rpc import Blockhash
from contracts.transactions import Signer
from sim.io.chain.bank import FAUCET, PROGRAM, RealChain
from sim.io.chain.market import market_rules
from sim.io.chain.rpc import signature_of
from sim.io.chain.views import bank_behind
from sim.scheduler import Scheduler
from tests.contracts.hostile.founding import (
    BATTERY,
    BATTERY_ADDRESS,
    BATTERY_ID,
    PLACE,
    Market,
    confirm,
)

SLOT_S = 0.4


class Town:
    """A chain with a market, and a way to settle by hand."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.chain = RealChain(self.scheduler, slot_ms=400, finality_slots=32)
        self.market = Market(self.chain, [10**9, 10**9], dispute_window=0)
        self.signer = Signer(self.market.make, BATTERY_ADDRESS, BATTERY_ID, BATTERY.sign)
        self.slots(40)
        self.rules = market_rules(self.market)

    def slots(self, count: float) -> None:
        """Let time pass."""
        self.scheduler.run(self.scheduler.time_s + count * SLOT_S)
        self.chain.advance()

    def trade(self, lot_id: int, buyer: int = 500) -> Entry:
        """Confirmed now."""
        return confirm(lot_id, buyer, price=200_000, energy=1_000 + lot_id, time_us=self.scheduler.now().wall_us)

    def signed(self, entry: Entry) -> bytes:
        """Its transaction, bound to the newest blockhash."""
        slots = self.chain.chain.slots
        blockhash = Blockhash(slots.blockhash(slots.confirmed), slots.confirmed + 150)
        parties = self.signer.parties(entry.buyer, entry.lot_id)
        return self.signer.attempt(
            Act.SETTLE,
            parties,
            market=self.rules,
            record=entry.record,
            buyer_key=entry.buyer_key,
            blockhash=blockhash,
            create_payout=True,
        ).raw

    def send(self, raw: bytes) -> str | None:
        """Send it; the name of what stands against it."""
        answer = self.chain.handle(sending(raw))
        if "error" not in answer:
            return None
        err = answer["error"]["data"]["err"]
        return err if isinstance(err, str) else next(iter(err))


def sending(raw: bytes) -> dict[str, object]:
    """The JSON-RPC call."""
    config = {"encoding": "base64", "preflightCommitment": "confirmed"}
    params = [b64encode(raw).decode(), config]
    return {"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": params}


@pytest.mark.parametrize("depth", [3, 5, 9, 31, 200])
def test_a_fork_leaves_what_a_replay_without_it_comes_to(depth: int) -> None:
    """Every account of the chain, byte for byte, at the newest slot."""
    town = Town()
    for lot_id in range(1, 25):
        assert town.send(town.signed(town.trade(lot_id, 500 + lot_id % 2))) is None
        town.slots(2)
    before = len(town.chain.chain.landed)
    lost = town.chain.fork(depth)
    chain = town.chain.chain
    assert before - len(chain.landed) == len(lost) == min((depth - 1) // 2, 15), "31 of the 32 slots are not final"
    records = list(town.chain.records)
    again = Bank.restore(iter(records), FAUCET, town.chain.pace, lambda _: PROGRAM, town.scheduler.now()).chain
    addresses = {key for each in records if isinstance(each, Transaction) for key in keys_of(each.raw)}
    assert len(addresses) > 30
    for address in addresses | {PLACE.trade(BATTERY_ID, lot_id) for lot_id in range(1, 25)}:
        assert chain.account(address, chain.slots.processed) == again.account(address, again.slots.processed)
    for address in addresses:
        assert chain.account(address, chain.slots.finalized) == again.account(address, again.slots.finalized)


def keys_of(raw: bytes) -> list[Pubkey]:
    """The accounts of a transaction, but for the sysvars, which are of their slot."""
    keys = VersionedTransaction.from_bytes(raw).message.account_keys
    return [key for key in keys if not str(key).startswith("Sysvar")]


def test_what_was_forked_away_can_land_again_only_if_its_blockhash_is_older() -> None:
    town = Town()
    old, entry = town.signed(town.trade(1)), town.trade(2)
    town.slots(4)
    assert town.send(old) is None
    town.slots(2)
    young = town.signed(entry)
    assert town.send(young) is None
    assert town.market.trade(1) is None
    town.chain.fork(5)
    assert not {signature_of_raw(old), signature_of_raw(young)} & {str(each) for each in town.chain.chain.landed}
    assert town.send(young) == "BlockhashNotFound"
    assert town.send(old) is None
    town.slots(33)
    trade = town.market.trade(1)
    assert trade is not None
    assert trade.status is TradeStatus.PAID
    assert town.market.trade(2) is None
    town.chain.fork(100)
    assert town.market.trade(1) is not None, "what is final stays"


def signature_of_raw(raw: bytes) -> str:
    """As an RPC names it."""
    return signature_of(b64encode(raw).decode())


def test_nothing_becomes_final_while_finality_stalls() -> None:
    """Ten minutes; then all of it, and blockhashes have died meanwhile."""
    town = Town()
    raw, late = town.signed(town.trade(1)), town.signed(town.trade(2))
    assert town.send(raw) is None
    before = town.chain.finalized
    town.chain.stall(on=True)
    town.slots(1500)
    assert town.chain.finalized == before
    assert town.market.trade(1) is None
    assert town.send(late) == "BlockhashNotFound"
    town.chain.stall(on=False)
    town.slots(1)
    assert town.chain.finalized == town.chain.chain.slots.processed - 32
    assert town.market.trade(1) is not None


def test_an_rpc_that_is_behind_shows_one_moment_of_the_past() -> None:
    town = Town()
    entry = town.trade(1)
    raw = town.signed(entry)
    town.send(raw)
    town.slots(33)
    behind = bank_behind(town.chain, 5)

    def ask(method: str, *params: object) -> object:
        answer = behind.handle(
            {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}, town.scheduler.now()
        )
        assert isinstance(answer, dict)
        return answer["result"]

    address = str(PLACE.trade(BATTERY_ID, 1))
    assert town.market.trade(1) is not None
    assert ask("getAccountInfo", address, {"encoding": "base64"})["value"] is None  # type: ignore[index]
    assert ask("getBlockHeight") == town.chain.finalized - 5
    status = ask("getSignatureStatuses", [signature_of_raw(raw)])["value"][0]  # type: ignore[index]
    assert status["confirmationStatus"] == "confirmed"
    town.slots(5)
    assert ask("getAccountInfo", address, {"encoding": "base64"})["value"] is not None  # type: ignore[index]
