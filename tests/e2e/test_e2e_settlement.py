"""Payment from end to end with real processes: a market made from nothing, daemons that are killed, RPCs that fail, escrows
that run short, disputes, revocations, and the demo on a chain that was there before.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from solders.pubkey import Pubkey

from contracts.accounts import TradeStatus
from contracts.outbox import OutboxState
from etp.codes import MessageType, TerminateCode
from etp.frame import decode
from etp.record import is_signed_by, trailer
from tests.e2e.test_e2e_bess import close_sockets, connect
from tests.e2e.test_e2e_demo import daemons, first_trade
from tests.paying import ROOT, Devnet, Door, Node, World, environment, secrets, until
from tests.signing import Hand, Wire

__all__ = ["close_sockets"]

FEE_BPS = 50
LOT_MICRO = 24_600
"""What a lot of 123 Wh costs a buyer that bids 20 c/kWh alone."""
PRICE = ("--max-price", "20")
ONE_BY_ONE = ("--mechanism", "first-above-reserve")
HOUR_S = 3600
AHEAD_S = 15 * 86_400
KILLS = 4


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """A chain for the markets of this module."""
    made = Devnet(tmp_path_factory.mktemp("chain"))
    yield made
    made.running.kill()


@pytest.fixture(scope="module")
def street(chain: Devnet, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A market that pays at once."""
    made = World(tmp_path_factory.mktemp("street"), chain)
    made.open("--fee-bps", str(FEE_BPS), "--dispute-window-s", "0")
    return made


@pytest.fixture
def world(street: World) -> Iterator[World]:
    """The same, for one test's daemons."""
    with street.ending():
        yield street


@pytest.fixture(scope="module")
def abroad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Another chain."""
    made = Devnet(tmp_path_factory.mktemp("abroad"))
    yield made
    made.running.kill()


# -- from nothing to paid


def test_from_nothing_to_paid(tmp_path: Path) -> None:
    """Each command as a user types it; then every trade is paid, verified, compared, and exact to the µ."""
    chain = Devnet(tmp_path)
    world = World(tmp_path, chain, name="from nothing")
    try:
        world.etp("keygen", world.key_file("admin"))
        admin = world.key("admin").public
        chain.fund(admin)
        place = ("--genesis-hash", chain.genesis_hash, "--program-id", chain.program_id, "--admin", str(Pubkey(admin)))
        world.do("registry", "init", "--name", "from nothing", *place)
        opened = world.etp("market", "open", *world.by("admin"), "--mint", chain.mint, "--dispute-window-s", "0")
        assert "market opened, finalized: " in opened
        world.do("market", "set", *world.by("admin"), "--fee-bps", str(FEE_BPS))
        for device_id, role in ((101, "bess"), (501, "aggregator"), (502, "aggregator")):
            world.join(device_id, role)
        for buyer, amount in ((501, "5"), (502, "0.75")):
            world.deposit(buyer, amount)
        _trade_and_check(world)
    finally:
        world.end()
        chain.running.kill()
    searched, found = secrets(tmp_path)
    assert searched > 10
    assert found == []


def _trade_and_check(world: World) -> None:
    battery = world.battery(101)
    options = ("--demand-kwh", "0.738", "--strategy", "conservative", "--until-filled")
    most = {501: "20", 502: "19.5"}
    buyers = [world.buyer(buyer, 101, options=[*options, "--max-price", cents]) for buyer, cents in most.items()]
    assert [buyer.wait(40) for buyer in buyers] == [0, 0]
    until(lambda: world.all_settled(101), what="the last payment")
    assert world.check_paid(101, (501, 502), fee_bps=FEE_BPS) == 12
    state = ["--state-dir", str(world.state(101))]
    # Beside the running daemon, as its owner looks at it.
    assert "12 trades, 12 of them settled or refunded; 0.000000 not on the chain yet" in world.etp(
        "settle", "status", *state
    )
    assert "12 trades compared: 0 differences" in world.do("settle", "reconcile", *state)
    assert "NOT" not in world.etp("settle", "verify", str(max(world.trades(101))), *state)
    rows = [row for row in world.export(101) if row["kind"] == "settlement"]
    records = sorted({row["record"] for row in rows})
    shown = world.etp("decode", "-", "--verify", "--json", "--registry", str(world.registry), stdin="\n".join(records))
    assert [json.loads(line)["valid"] for line in shown.splitlines()] == [True] * 12
    for buyer in (501, 502):
        world.check_escrow(buyer)
        escrow = json.loads(world.do("escrow", "show", "--device-id", str(buyer)))
        assert escrow["free_micro"] == world.deposited[buyer] - sum(world.trades(buyer).values())
    fees = sum(micro * FEE_BPS // 10_000 for micro in world.trades(101).values())
    assert world.tokens(world.key("admin").public) == fees
    assert battery.settlement["alarm"] is None
    assert battery.end() == 0


# -- kill -9


def test_killed_again_and_again_everything_is_paid_once(tmp_path: Path) -> None:
    """The battery dies four times while it settles, the chain once: each trade is paid once, no µ is lost or made."""
    chain = Devnet(tmp_path)
    world = World(tmp_path, chain)
    world.open("--fee-bps", str(FEE_BPS), "--dispute-window-s", "0")
    world.join(101, "bess")
    for buyer in (501, 502):
        world.join(buyer, "aggregator", deposit="3")
    try:
        battery = world.battery(101, *ONE_BY_ONE)
        options = ("--demand-kwh", "1.23", "--until-filled", *PRICE)
        buyers = [world.buyer(buyer, 101, options=options) for buyer in (501, 502)]
        for life in range(KILLS):
            _die_while_settling(world, battery)
            if life == 1:
                chain.again()
            battery = world.battery(101, *ONE_BY_ONE)
        assert [buyer.wait(60) for buyer in buyers] == [0, 0]
        until(lambda: world.all_settled(101), what="the last payment")
        assert world.check_paid(101, (501, 502), fee_bps=FEE_BPS) >= 20
        for buyer in (501, 502):
            assert sum(int(str(row.body["energy_wh"])) for row in world.of_kind(buyer, "trade")) == 1230
            world.check_escrow(buyer)
        assert "0 differences" in world.do("settle", "reconcile", "--state-dir", str(world.state(101)))
        assert battery.settlement["alarm"] is None
        assert battery.end() == 0
    finally:
        world.end()
        chain.running.kill()
    assert secrets(tmp_path)[1] == []


def _die_while_settling(world: World, battery: Node) -> None:
    """Kill it between the Confirm of a new trade and its payment."""
    assert battery.line
    before = len(world.outbox(101))

    def settles() -> bool:
        outbox = world.outbox(101)
        going = any(entry.state in (OutboxState.CONFIRMED, OutboxState.SETTLING) for entry in outbox.values())
        return going and len(outbox) > before

    until(settles, what="a trade that is on its way")
    battery.kill()


# -- RPCs


def test_an_rpc_that_is_down_and_one_that_is_dead(world: World) -> None:
    """Trades go on up to the limit and no further, say why they wait, and are paid once two RPCs of three are back; then trade
    goes on. The third stays dead.
    """
    world.join(110, "bess")
    world.join(510, "aggregator", deposit="1")
    door = Door(world.chain.url)
    battery = world.battery(110, *ONE_BY_ONE, "--unsettled", "3", rpc=["http://127.0.0.1:9", door.url, f"{door.url}/"])
    world.buyer(510, 110, options=["--demand-kwh", "0.615", *PRICE])
    until(lambda: len(world.trades(110)) == 2 and world.bids(110)[-1] == "unavailable", what="the limit")
    shown = battery.settlement
    assert shown["unsettled_micro"] == 2 * LOT_MICRO
    assert all(rpc["state"] != "closed" for rpc in shown["rpcs"])
    assert all("cannot be reached" in rpc["reason"] for rpc in shown["rpcs"])
    assert "cannot be reached" in battery.log
    said = world.do("settle", "status", "--state-dir", str(world.state(110)))
    assert "2 trades, 0 of them settled or refunded; 0.049200 not on the chain yet" in said
    assert len(world.trades(110)) == 2
    door.open()
    until(lambda: len(world.trades(110)) == 5 and world.all_settled(110), what="trade after the RPC was back")
    world.check_paid(110, (510,), fee_bps=FEE_BPS)
    world.check_escrow(510)
    dead, *back = [rpc["state"] for rpc in battery.settlement["rpcs"]]
    assert dead != "closed"
    assert back == ["closed", "closed"]
    assert battery.end() == 0
    door.shut()


def test_another_network_and_an_empty_purse(world: World, abroad: Devnet) -> None:
    """An RPC of another chain is not used, and said so; a battery without SOL says where to send it. Trade goes on in both,
    and all of it is paid once the RPC is right and the SOL is there.
    """
    name = world.join(111, "bess", sol=0)
    world.join(511, "aggregator", deposit="1")
    world.join(512, "aggregator", deposit="1")
    battery = world.battery(111, *ONE_BY_ONE, rpc=[abroad.url])
    lost = world.buyer(512, 111, options=["--demand-kwh", "0.369", *PRICE], rpc=[abroad.url])
    options = ["--demand-kwh", "0.369", "--until-filled", *PRICE]
    assert world.buyer(511, 111, options=options).wait(30) == 0
    until(lambda: "another chain" in battery.settlement["rpcs"][0]["reason"], what="the refusal of that RPC")
    assert battery.settlement["rpcs"][0]["state"] != "closed"
    assert battery.settlement["outbox"]["confirmed"] == 3
    assert "is an RPC of another chain" in battery.log
    assert "give the RPC of that chain" in battery.log
    said = world.do("settle", "reconcile", "--state-dir", str(world.state(111)), "--rpc", abroad.url, status=1)
    assert "of the right chain" in said
    assert battery.end() == 0
    battery = world.battery(111, *ONE_BY_ONE)
    address = str(Pubkey(world.key(name).public))
    until(lambda: all(address in entry.reason for entry in world.outbox(111).values()), what="the call for SOL")
    assert all(f"send SOL to {address}" in entry.reason for entry in world.outbox(111).values())
    world.chain.fund(world.key(name).public)
    until(lambda: world.all_settled(111), what="the payment after the SOL came")
    assert world.check_paid(111, (511,), fee_bps=FEE_BPS) == 3
    assert battery.end() == 0
    # A buyer whose own RPC is of another chain knows nothing of its escrow: it bids nothing, and says why once.
    assert lost.log.count("rpc_of_another_chain") == lost.log.count("no_bids_without_escrow") == 1
    assert not lost.count("bids")
    assert lost.end() == 0


# -- escrows


def test_a_buyer_bids_what_it_has(world: World) -> None:
    """Without an escrow nothing, and it says why; with one for a lot never two that are not paid yet, at two batteries at
    once; after a deposit it goes on.
    """
    for battery in (120, 121):
        world.join(battery, "bess")
    world.join(520, "aggregator")
    sellers = [world.battery(battery, *ONE_BY_ONE, rpc=[]) for battery in (120, 121)]
    buyer = world.buyer(520, 120, 121, options=["--demand-kwh", "0.492", *PRICE])
    until(lambda: buyer.count("received").get("RESPONSE", 0) >= 2, what="two offers")
    until(lambda: "no_bids_without_escrow" in buyer.log, what="the reason")
    assert "there is no escrow yet: `etp escrow deposit` makes one" in buyer.log
    assert not buyer.count("bids")
    world.deposit(520, "0.024601")
    until(lambda: world.trades(520), what="a trade")
    held, heard = world.trades(520), buyer.count("received").get("STATUS", 0)
    assert list(held.values()) == [LOT_MICRO]
    until(lambda: buyer.count("received").get("STATUS", 0) >= heard + 2, what="news of both batteries")
    assert (world.trades(520), buyer.count("bids")) == (held, {"": 1})
    assert [seller.end() for seller in sellers] == [0, 0]
    sellers = [world.battery(battery, *ONE_BY_ONE) for battery in (120, 121)]
    until(lambda: world.escrow(520).available == 1, what="its payment")
    world.deposit(520, "0.1")
    until(lambda: len(world.trades(520)) == 4, what="the other lots")
    until(lambda: all(world.all_settled(battery) for battery in (120, 121) if world.trades(battery)), what="payments")
    world.check_escrow(520)
    assert buyer.end() == 0
    assert [seller.end() for seller in sellers] == [0, 0]


def test_a_battery_asks_for_an_escrow_and_a_past(world: World) -> None:
    """Bids are refused as UNAVAILABLE until the deposit is there, and a newcomer's until a trade of it was paid."""
    for battery in (130, 131):
        world.join(battery, "bess")
    world.join(530, "aggregator", deposit="0.05")
    careful = world.battery(130, *ONE_BY_ONE, "--min-escrow", "20")  # c: 0.2 USDC
    choosy = world.battery(131, *ONE_BY_ONE, "--min-reputation", "0.6")
    buyer = world.buyer(530, 130, 131, options=["--demand-kwh", "0.369", *PRICE])
    for battery in (130, 131):
        until(lambda battery=battery: world.bids(battery), what="a bid")  # type: ignore[misc]
    assert set(world.bids(130) + world.bids(131)) == {"unavailable"}
    assert not world.trades(530)
    world.deposit(530, "0.3")
    until(lambda: len(world.trades(130)) >= 1 and world.all_settled(130), what="a trade after the deposit")
    until(lambda: world.trades(131) or len(world.trades(530)) == 3, what="a trade of somebody with a past")
    assert buyer.end() == 0
    if not world.trades(131):  # the careful one sold it all before it had a past: it has one now
        buyer = world.buyer(530, 131, options=["--demand-kwh", "0.492", *PRICE])
        until(lambda: world.trades(131), what="a trade of somebody with a past")
        assert buyer.end() == 0
    until(lambda: world.all_settled(130) and world.all_settled(131), what="payments")
    world.check_escrow(530)
    assert [careful.end(), choosy.end()] == [0, 0]


# -- a market with a dispute window


@pytest.fixture
def slow(chain: Devnet, tmp_path: Path) -> Iterator[World]:
    """A market that holds money for an hour, with five lots held."""
    world = World(tmp_path, chain, name="slow")
    world.open("--fee-bps", str(FEE_BPS), "--dispute-window-s", str(HOUR_S), "--settle-days", "1")
    world.join(101, "bess")
    world.join(501, "aggregator", deposit="1")
    with world.ending():
        world.battery(101, *ONE_BY_ONE)
        buyer = world.buyer(501, 101, options=["--demand-kwh", "0.615", "--until-filled", *PRICE])
        assert buyer.wait(30) == 0
        until(lambda: set(world.states(101)) == {OutboxState.HELD}, what="the money set aside")
        yield world
    chain.again(signal.SIGTERM)
    assert secrets(tmp_path)[1] == []


def _terminates(world: World, battery: Node) -> dict[int, str]:
    """The battery cannot deliver any more and says so, signed, to a buyer that is back to hear it: lot → HEX."""
    buyer = world.buyer(501, 101, options=["--demand-kwh", "0.615", *PRICE])
    until(lambda: any(one["connected"] for one in buyer.view.get("batteries", ())), what="a session")
    battery.process.send_signal(signal.SIGUSR1)
    until(
        lambda: len([row for row in world.of_kind(501, "energy") if row.state == "short"]) == 5, what="the Terminates"
    )
    assert buyer.end() == 0
    return {row["lot_id"]: row["terminate"] for row in world.export(501) if row.get("terminate")}


def test_held_disputed_refunded_released_withdrawn(slow: World) -> None:
    """Five trades: disputed, and decided for each side or by nobody for 14 days; refunded by the battery's own Terminate;
    released after the window. Then the buyer's withdrawal after its delay. Clocks are set ahead, nothing waits.
    """
    world, battery = slow, slow.started[0]
    assert isinstance(battery, Node)
    for_battery, for_buyer, refunded, left, disputed = sorted(world.trades(101))
    assert (world.escrow(501).available, world.escrow(501).held) == (1_000_000 - 5 * LOT_MICRO, 5 * LOT_MICRO)
    by_buyer, by_admin = world.by("aggregator-501"), world.by("admin")

    def of(lot: int) -> list[str]:
        return ["--battery", "101", "--lot", str(lot)]

    for lot in (for_battery, for_buyer, disputed):
        assert "disputed, finalized" in world.do("dispute", "open", *by_buyer, *of(lot))
    world.do("dispute", "resolve", *by_admin, *of(for_battery), "--to-battery")
    world.do("dispute", "resolve", *by_admin, *of(for_buyer), "--to-buyer")
    said = _terminates(world, battery)
    raw = bytes.fromhex(said[refunded])
    assert (decode(raw[:84]).termination_code, trailer(raw).lot_id) == (TerminateCode.CANNOT_DELIVER, refunded)
    assert is_signed_by(world.key("bess-101").public, world.members.network.network_id, raw)
    assert "refused" in world.do("dispute", "refund", *by_buyer, *of(left), said[refunded], status=1)
    assert "refunded, finalized" in world.do("dispute", "refund", *by_buyer, *of(refunded), said[refunded])
    assert battery.end() == 0
    world.do("escrow", "withdraw", *by_buyer, "--device-id", "501", "0.5")
    assert "refused" in world.do("escrow", "withdraw", *by_buyer, "--device-id", "501", status=1)

    world.chain.again(signal.SIGTERM, ahead_s=AHEAD_S)
    battery = world.battery(101, *ONE_BY_ONE, ahead_s=AHEAD_S)
    until(lambda: world.states(101) == {OutboxState.SETTLED: 3, OutboxState.REFUNDED: 2}, what="the end of each trade")
    paid, returned = TradeStatus.PAID, TradeStatus.REFUNDED
    ends = {for_battery: paid, for_buyer: returned, refunded: returned, left: paid, disputed: paid}
    assert {lot: trade.status for lot, trade in world.trades_on_chain(101).items()} == ends
    assert "0 differences" in world.do("settle", "reconcile", "--state-dir", str(world.state(101)))
    assert battery.end() == 0
    _check_sums(world)


def _check_sums(world: World) -> None:
    """Three lots of five were paid; half a unit leaves the escrow."""
    fees = 3 * (LOT_MICRO * FEE_BPS // 10_000)
    assert world.tokens(world.key("bess-101").public) == 3 * LOT_MICRO - fees
    assert world.tokens(world.key("admin").public) == fees
    assert (world.escrow(501).available, world.escrow(501).held) == (1_000_000 - 3 * LOT_MICRO, 0)
    world.do("escrow", "withdraw", *world.by("aggregator-501"), "--device-id", "501")
    assert world.tokens(world.key("aggregator-501").public) == 500_000
    assert world.tokens(world.place.escrow(501)) == world.escrow(501).available == 500_000 - 3 * LOT_MICRO
    seller, payer = world.participant(101), world.participant(501)
    assert (seller.settled, seller.disputed, seller.lost) == (3, 3, 2)
    assert (payer.settled, payer.disputed, payer.lost) == (3, 3, 1)


# -- revocation


def test_a_revocation_on_the_chain_ends_the_buyer_s_session(world: World) -> None:
    """`market revoke`, `registry sync`: within seconds the battery says NOT_AUTHORISED to it, and counts it; its bids count
    no more, and somebody else's do.
    """
    name = world.join(140, "bess")
    revoked = world.join(540, "aggregator", deposit="1")
    world.join(541, "aggregator", deposit="1")
    battery = world.battery(140, *ONE_BY_ONE, "--unsettled", "3", rpc=["http://127.0.0.1:9"])
    buyer = world.buyer(541, 140, options=["--demand-kwh", "0.123", *PRICE])
    network, to = world.members.network, world.key(name).public
    hand = Hand(540, 140, boot=int(time.time()), network=network, key=world.key(revoked))
    assert battery.line
    host, port = world.address(140).split(":")
    wire = Wire(connect((host, int(port))), hand)
    wire.give(hand.query(recipient=to))  # type: ignore[arg-type]
    wire.expect(MessageType.RESPONSE)
    assert "revoked, finalized" in world.do("market", "revoke", *world.by("admin"), "--device-id", "540")
    began_s = time.monotonic()
    assert "1 revoked" in world.do("registry", "sync", "--registry", str(world.registry))
    wire.socket.settimeout(10)
    told = wire.expect(MessageType.TERMINATE)
    assert decode(told[:84]).termination_code == TerminateCode.NOT_AUTHORISED
    assert time.monotonic() - began_s < 6
    until(lambda: battery.count("security").get("revoked", 0) == 1, what="the count")
    assert "0 new, 0 no longer there, 1 revoked" in world.do("registry", "sync", "--registry", str(world.registry))
    assert buyer.process.poll() is None
    assert len(world.trades(541)) == 1
    again = Wire(connect((host, int(port))), hand)
    again.give(hand.query(recipient=to))  # type: ignore[arg-type]
    again.socket.settimeout(0.5)
    with pytest.raises((TimeoutError, EOFError, ConnectionError)):
        again.expect(MessageType.RESPONSE)
    assert buyer.end() == 0
    assert battery.end() == 0


# -- the demo


def demo(out: Path, *options: str) -> "subprocess.Popen[str]":
    """`etp demo` over six half-hours."""
    days = ("--first-slot", "36", "--slots", "6", "--bess", "1", "--aggregators", "2")
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "demo", "--out", str(out), *days, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment(out.parent) | {"COLUMNS": "120"},
    )


def end_demo(process: "subprocess.Popen[str]", below: Path) -> None:
    """End what is left of a demo, by process ids."""
    for pid in daemons(below):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=10)


def test_the_demo_on_a_chain_that_is_there(abroad: Devnet, tmp_path: Path) -> None:
    """As against a cluster: `--rpc` and `--payer`; everything is paid there, and the chain is left running."""
    market = World(tmp_path, abroad)
    market.do("keygen", market.key_file("payer"))
    abroad.fund(market.key("payer").public, sol=20)
    process = demo(tmp_path / "out", "--json", "--rpc", abroad.url, "--payer", market.key_file("payer"))
    try:
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr.count("Traceback")) == (0, 0), stderr
        said: dict[str, Any] = json.loads(stdout.splitlines()[-1])
        assert said["trades"] >= 2
        assert (said["settled"], said["unsettled"]) == (said["trades"], 0)
        assert said["violations"] == said["faults"] == []
        paid = said["chain"]
        assert sum(paid["earned_micro"].values()) + paid["fees_micro"] == said["paid_micro"]
        assert 2 * 2_000_000_000 - sum(paid["escrow_micro"].values()) == said["paid_micro"]
        assert daemons(tmp_path / "out") == {}
        assert abroad.call("getHealth") == "ok"
    finally:
        end_demo(process, tmp_path)
    assert secrets(tmp_path)[1] == []


def test_a_demo_whose_chain_dies(tmp_path: Path) -> None:
    """It ends at once with status 1 and a message that names the chain and its log; no daemon is left."""
    process = demo(tmp_path / "out", "--seconds-per-slot", "3")
    try:
        assert " sells " in first_trade(process)
        victim = next(pid for pid, words in daemons(tmp_path).items() if "devnet" in words)
        os.kill(victim, signal.SIGKILL)
        try:
            _, stderr = process.communicate(timeout=8)
        except subprocess.TimeoutExpired:
            pytest.fail("it goes on without its chain")
        assert process.returncode == 1
        assert "devnet" in stderr
        assert "its log is" in stderr
        assert "Traceback" not in stderr
        assert daemons(tmp_path) == {}
    finally:
        end_demo(process, tmp_path)


def test_a_demo_that_cannot_open_its_market_leaves_no_chain(tmp_path: Path) -> None:
    """A payer's key file that is not there: one line, status 1, and no process is left."""
    process = demo(tmp_path / "out", "--payer", str(tmp_path / "none.json"))
    try:
        _, stderr = process.communicate(timeout=20)
        assert process.returncode == 1
        assert "is not there" in stderr
        assert "Traceback" not in stderr
        assert daemons(tmp_path) == {}
    finally:
        end_demo(process, tmp_path)


# -- secrets


def test_no_key_was_written_anywhere(street: World, chain: Devnet) -> None:
    """Of admin, batteries, buyers and faucet: in no log, journal, metrics file, ledger, and in nothing that a command said."""
    said = street.directory / "said.txt"
    said.write_text("\n".join(street.said))
    for directory in (street.directory, Path(chain.running.log_path).parent):
        searched, found = secrets(directory)
        assert searched > 1
        assert found == []
