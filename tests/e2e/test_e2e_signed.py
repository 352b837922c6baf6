"""Signed nodes as real processes: attacks by TCP and UDP, kill -9, restarts, revocation, evidence; and no secret anywhere."""

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from typer.testing import CliRunner, Result

from benches import signature_flood
from benches.report import percentile
from cli.main import app
from etp import messages
from etp.codes import MessageType, RejectCode, Role, TerminateCode
from etp.frame import FRAME_SIZE, decode, encode
from etp.io.multicast import join_group
from etp.keys import KeyPair
from etp.record import RECORD_SIZE, is_signed_by, trailer
from etp.registry import Member, Network, Registry
from etp.timing import REPLY_BUDGET_MS
from etp.units import DeviceId, MicroPerKwh, Wh
from runtime.io.journal import FILE
from runtime.io.registry_file import LOOK_S, load_registry, save_registry
from tests.e2e.test_e2e_bess import OPEN, ROOT, Daemon, close_sockets, connect
from tests.paying import group
from tests.signing import (
    BUYERS,
    NETWORK,
    OTHER_BESS,
    PLAIN_BUYER,
    STRANGER,
    Hand,
    Wire,
    counter_in,
    lot_in,
    member,
    pair,
    registry,
    write_market,
)
from tests.support import BESS

__all__ = ["close_sockets"]

GROUP = group()
KILLS = 6
REVOKED_WITHIN_S = 60.0
"""What the issue allows; what is measured is a few seconds."""
Start = Callable[..., Daemon]


class Market:
    """A directory with a registry and keys; its nodes, and hands whose counters go on from one connection to the next."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.options = write_market(directory / "market", None, BESS, OTHER_BESS, *BUYERS)
        self.registry = directory / "market" / "registry.toml"
        self.hands: dict[int, Hand] = {}
        self.started: list[subprocess.Popen[str]] = []
        self.daemons: list[Daemon] = []

    def key(self, device: int) -> str:
        """A device's key file."""
        return str(self.directory / "market" / f"{device}.json")

    def battery(self, *options: str) -> Daemon:
        """`etp bess`, on the same journal each time."""
        given = (*self.options, "--key", self.key(BESS), "--group", GROUP, "--closing-ms", "50", *options)
        self.daemons.append(Daemon(self.directory / "state", *given))
        return self.daemons[-1]

    def kill(self, daemon: Daemon) -> None:
        """SIGKILL."""
        daemon.process.kill()
        daemon.process.communicate(timeout=10)

    def hand(self, device: int) -> Hand:
        """One for each device."""
        return self.hands.setdefault(device, Hand(device, boot=int(time.time())))

    def wire(self, daemon: Daemon, device: int, hand: Hand | None = None) -> Wire:
        """A new connection."""
        return Wire(connect(daemon.address), hand or self.hand(device))

    def aggregator(
        self, address: tuple[str, int], *options: str, log: str = "aggregator.log"
    ) -> "subprocess.Popen[str]":
        """`etp aggregator` 500 that dials battery 101 there."""
        with (self.directory / log).open("ab") as errors:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "cli.main", "aggregator", "--device-id", str(BUYERS[0])),
                    *("--peer", f"{BESS}@{address[0]}:{address[1]}", "--group", GROUP, "--key", self.key(BUYERS[0])),
                    *("--state-dir", str(self.directory / "buyer"), "--max-price", "20", "--demand-kwh", "6"),
                    *("--strategy", "truthful", "--metrics-ms", "50", *self.options, *options),
                ],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.started.append(process)
        return process

    def export(self, state: str = "state") -> list[dict[str, Any]]:
        """`etp export`."""
        done = tool("export", "--state-dir", str(self.directory / state))
        assert done.exit_code == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def security(self, state: str = "state") -> dict[str, list[dict[str, Any]]]:
        """Security events by kind."""
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self.export(state):
            if row["kind"] == "security":
                found.setdefault(row["state"], []).append(row)
        return found

    def counts(self, name: str, state: str = "state") -> dict[str, int]:
        """A counter of metrics.json by label."""
        path = self.directory / state / "metrics.json"
        found: dict[str, int] = json.loads(path.read_text())["counters"].get(name, {}) if path.exists() else {}
        return found

    def end(self) -> None:
        """End what still runs, by its id."""
        for process in (*self.started, *(daemon.process for daemon in self.daemons)):
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=10)


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    """Two batteries' keys, three buyers'."""
    made = Market(tmp_path)
    yield made
    made.end()


def tool(*arguments: str, stdin: str = "") -> Result:
    """`etp` with these arguments in this process: what is no daemon."""
    return CliRunner().invoke(app, arguments, input=stdin)


def etp(*arguments: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """`etp` with these arguments as a process."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=ROOT,
        env=os.environ | (env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def by_hand(wire: Wire, wh: int = 200, micro: int = 130_000) -> tuple[bytes, bytes]:
    """A whole trade: the Confirm and the Terminate that answers it."""
    lot_id = lot_in(wire.opened())
    wire.give(wire.hand.bid(lot_id, micro, wh))
    accept = wire.expect(MessageType.ACCEPT)
    confirm = wire.give(wire.hand.confirm(accept))
    return confirm, wire.expect(MessageType.TERMINATE)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what another process writes."""
    end_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.02)


def udp(daemon: Daemon) -> socket.socket:
    """A socket that speaks to a battery's UDP port."""
    ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ours.settimeout(2)
    ours.connect(daemon.address)
    return ours


# -- a trade


def test_a_trade_is_signed_from_end_to_end(market: Market) -> None:
    """Every record of it verifies offline with `etp decode --verify`; the journal holds what was bid and confirmed, signed."""
    daemon = market.battery()
    wire = market.wire(daemon, BUYERS[0])
    confirm, finished = by_hand(wire)
    assert decode(finished[:FRAME_SIZE]).termination_code == TerminateCode.FINISHED
    assert lot_in(finished) == lot_in(confirm) != 0
    assert daemon.stop() == 0
    stream = "\n".join(raw.hex() for raw in (*wire.sent, *wire.received))
    shown = tool("decode", "-", "--json", "--verify", "--registry", str(market.registry), stdin=stream)
    assert shown.exit_code == 0, shown.stdout
    assert {json.loads(line)["valid"] for line in shown.stdout.splitlines()} == {True}
    rows = market.export()
    (trade,) = [row for row in rows if row["kind"] == "trade"]
    assert (trade["lot_id"], trade["energy_wh"], trade["paid_micro"]) == (lot_in(confirm), 200, 26_000)
    reserved = next(row for row in rows if row["state"] == "reserved" and row["kind"] == "promise")
    assert reserved["bid_record"] == next(raw for raw in wire.sent if raw[0] == MessageType.BID).hex()


def test_two_daemons_trade(market: Market) -> None:
    """A real aggregator and a real battery, by its id and address; both journals agree on every lot."""
    daemon = market.battery()
    buyer = market.aggregator(daemon.address, "--until-filled")
    assert buyer.wait(20) == 0
    assert daemon.stop() == 0
    sold = {(row["lot_id"], row["paid_micro"]) for row in market.export() if row["kind"] == "trade"}
    bought = {(row["lot_id"], row["paid_micro"]) for row in market.export("buyer") if row["kind"] == "trade"}
    assert sold == bought
    assert sold
    assert not market.security()
    assert not market.security("buyer")


# -- never twice


def test_nothing_repeats_over_kill_9(market: Market) -> None:
    """Killed again and again: each (device, counter) and each message_id once, boots ascend, a lot is accepted once."""
    lives: list[list[bytes]] = []
    accepted: list[int] = []
    listener = join_group((GROUP.split(":", maxsplit=1)[0], int(GROUP.split(":")[1])), "127.0.0.1")
    listener.setblocking(False)
    for life in range(KILLS):
        daemon = market.battery()
        wires = [market.wire(daemon, device) for device in BUYERS[:2]]
        confirm, _ = by_hand(wires[0], wh=100)
        accepted.append(lot_in(confirm))
        wires[1].give(wires[1].hand.bid(lot_in(wires[1].opened()), 140_000, 100))
        if life % 2:
            accepted.append(lot_in(wires[1].expect(MessageType.ACCEPT)))
        market.kill(daemon)
        lives.append([raw for wire in wires for raw in (*wire.received, *wire.rest())])
        lives[-1] = list(dict.fromkeys(lives[-1] + wires[0].received + wires[1].received))
        while True:
            try:
                raw = listener.recv(RECORD_SIZE)
            except BlockingIOError:
                break
            if raw[9:17] == BESS.to_bytes(8, "little"):
                lives[-1].append(raw)
    listener.close()
    ever = [raw for life in lives for raw in life]
    assert all(is_signed_by(pair(BESS).public, NETWORK.network_id, raw) for raw in ever)
    assert any(raw[0] == MessageType.REGISTER for raw in ever)
    assert len(ever) > 6 * KILLS
    counters = [counter_in(raw) for raw in ever]
    ids = [decode(raw[:FRAME_SIZE]).message_id for raw in ever]
    assert len(set(counters)) == len(set(ids)) == len(ever)
    boots = [{counter_in(raw) >> 32 for raw in life} for life in lives]
    assert all(len(boot) == 1 for boot in boots)
    assert [min(boot) for boot in boots] == sorted({min(boot) for boot in boots})
    assert len(accepted) == len(set(accepted))
    assert accepted == sorted(accepted)


@pytest.mark.parametrize("role", ["bess", "aggregator"])
def test_a_clock_behind_the_journal_refuses_to_trade(market: Market, role: str) -> None:
    """Status 2, nothing on stdout, and the message says by how much; a clock within the mark's second is no fault."""
    if role == "bess":
        assert market.battery().stop() == 0
    else:
        process = market.aggregator(("127.0.0.1", 9))
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(15) == 0
    state = market.directory / ("state" if role == "bess" else "buyer")
    device = BESS if role == "bess" else BUYERS[0]
    with sqlite3.connect(state / FILE) as database:
        ahead_us = time.time_ns() // 1000 + 3_600_000_000
        database.execute("INSERT OR REPLACE INTO meta VALUES ('mark', ?)", (str(ahead_us),))
    database.close()
    done = etp(
        *(role, "--device-id", str(device), "--state-dir", str(state), "--key", market.key(device)), *market.options
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(
        r"the clock of this machine is .*: it is 35\d\d\.\d s behind what this node has signed", done.stderr
    )
    assert "set the clock, then start again" in done.stderr
    assert "Traceback" not in done.stderr


# -- attacks by TCP


def test_attacks_on_a_battery_are_refused_counted_and_kept(market: Market) -> None:
    """Each on a connection of its own, while an honest session goes on; `etp export` shows what came, as it came."""
    daemon = market.battery("--metrics-ms", "50")
    victim = market.wire(daemon, BUYERS[0])
    query = victim.hand
    victim.opened()
    captured = victim.sent[0]
    hand = Hand(BUYERS[1], boot=int(time.time()))
    attacks = {
        "replay": captured,
        "signature": Hand(BUYERS[1], boot=hand.boot, key=pair(STRANGER)).query(),
        "stranger": Hand(STRANGER).query(),
        "recipient": Hand(BUYERS[1], to=OTHER_BESS, boot=hand.boot).query(),
        "role": Hand(OTHER_BESS).record(messages.register(OTHER_BESS)),
        "profile": Hand(PLAIN_BUYER).query(),
    }
    foreign = Hand(BUYERS[1], boot=hand.boot, network=Network("another market")).query()
    for kind, raw in (*attacks.items(), ("signature", foreign)):
        attacker = market.wire(daemon, BUYERS[1], hand)
        attacker.give(raw)
        attacker.socket.settimeout(0.15)
        with pytest.raises(TimeoutError):
            attacker.next()
        attacker.give(raw)
        attacker.give(raw)
        attacker.socket.settimeout(5)
        farewell = decode(attacker.next()[:FRAME_SIZE])
        assert (farewell.message_type, farewell.termination_code) == (7, TerminateCode.PROTOCOL_ERROR), kind
        with pytest.raises((EOFError, ConnectionError)):
            attacker.next()
        time.sleep(0.2)  # ten rows of evidence a second
    bare = connect(daemon.address)
    bare.sendall((84).to_bytes(4, "little") + encode(messages.stamped(messages.query(BUYERS[1]), query.next_id())))
    assert decode(bare.recv(216)[4:88]).termination_code == TerminateCode.PROTOCOL_ERROR
    victim.give(victim.hand.query())
    assert victim.expect(MessageType.RESPONSE), "the honest session was not touched"
    victim.give(
        victim.hand.record(messages.response(BUYERS[0], offer=messages.Offer(Wh(1), Wh(1)), ask=MicroPerKwh(1)))
    )
    until(lambda: market.counts("security").get("role", 0) >= 4)
    counted = market.counts("security")
    assert {kind: counted[kind] for kind in attacks} == dict.fromkeys(attacks, 3) | {"signature": 6, "role": 4}
    assert daemon.stop() == 0
    kept = market.security()
    for kind, raw in attacks.items():
        assert raw.hex() in [row["frame_0"] for row in kept[kind]], kind
    assert foreign.hex() in [row["frame_0"] for row in kept["signature"]]


def test_an_equivocation_is_proof_that_anybody_can_verify(market: Market) -> None:
    """Two Bids and two Confirms under one id: refused; each pair, out of `etp export`, verifies offline."""
    daemon = market.battery()
    wire = market.wire(daemon, BUYERS[0])
    lot_id = lot_in(wire.opened())
    stamp = wire.hand.next_id()
    wire.give(wire.hand.bid(lot_id, 100_000, message_id=stamp))
    assert decode(wire.expect(MessageType.REJECT)[:84]).termination_code == RejectCode.BELOW_RESERVE
    wire.give(wire.hand.bid(lot_id, 140_000, message_id=stamp))
    assert decode(wire.expect(MessageType.REJECT)[:84]).termination_code == RejectCode.INVALID
    confirm, _ = by_hand(wire)
    frame = decode(confirm[:FRAME_SIZE])
    wire.give(wire.hand.record(frame._replace(sale_price=99.0), lot_id=lot_in(confirm), message_id=frame.message_id))
    assert decode(wire.expect(MessageType.REJECT)[:84]).termination_code == RejectCode.INVALID
    assert daemon.stop() == 0
    kept = market.security()
    assert set(kept) == {"bid_id_reused", "confirm_id_reused"}
    for rows in kept.values():
        (row,) = rows
        stream = f"{row['frame_0']}\n{row['frame_1']}"
        shown = tool("decode", "-", "--json", "--verify", "--registry", str(market.registry), stdin=stream)
        assert shown.exit_code == 0
        first, second = (json.loads(line) for line in shown.stdout.splitlines())
        assert first["frame"]["message_id"] == second["frame"]["message_id"]
        assert first["trailer"]["signature"] != second["trailer"]["signature"]
        assert first["frame"]["device_id"] == second["frame"]["device_id"] == BUYERS[0]


def test_no_replay_takes_a_session_over_after_a_restart(market: Market) -> None:
    """All that a buyer ever said by TCP and UDP, once more right after kill -9: no session, no answer, no trade."""
    daemon = market.battery()
    wire = market.wire(daemon, BUYERS[0])
    confirm, _ = by_hand(wire)
    asked = udp(daemon)
    by_udp = wire.hand.query()
    asked.send(by_udp)
    assert asked.recv(RECORD_SIZE)[0] == MessageType.RESPONSE
    asked.close()
    lost = wire.hand.query()  # signed, and never arrived
    market.kill(daemon)
    daemon = market.battery()
    for raw in (*wire.sent, by_udp, lost):
        attacker = market.wire(daemon, BUYERS[0], Hand(BUYERS[0]))
        attacker.give(raw)
        attacker.socket.settimeout(0.1)
        if raw[0] == MessageType.BID:  # a refusal says nothing and binds nobody
            attacker.next()
        with pytest.raises(TimeoutError):
            attacker.next()
        attacker.socket.close()
    honest = market.wire(daemon, BUYERS[0])
    honest.opened()
    honest.give(confirm)
    assert honest.expect(MessageType.TERMINATE) == wire.received[-1], "the stored answer, byte for byte"
    assert daemon.stop() == 0
    assert sum(row["kind"] == "trade" for row in market.export()) == 1


def test_a_repeated_bid_gets_its_stored_answer_after_a_reconnect(market: Market) -> None:
    """Byte for byte, on another connection, behind another Query."""
    daemon = market.battery("--closing-ms", "5000")
    wire = market.wire(daemon, BUYERS[0])
    bid = wire.hand.bid(lot_in(wire.opened()), 130_000)
    wire.give(bid)
    stored = wire.expect(MessageType.RESPONSE)
    assert decode(stored[:84]).bid_price == 13.0
    wire.socket.close()
    again = market.wire(daemon, BUYERS[0])
    again.opened()
    again.give(bid)
    assert again.expect(MessageType.RESPONSE) == stored


# -- attacks by UDP


def test_attacks_by_udp_get_no_answer(market: Market) -> None:
    """An honest Query is answered, to its asker's key; its replay, and all else, is not."""
    daemon = market.battery()
    asked = udp(daemon)
    hand = market.hand(BUYERS[0])
    honest = hand.query()
    asked.send(honest)
    answer = asked.recv(RECORD_SIZE)
    assert is_signed_by(pair(BESS).public, NETWORK.network_id, answer)
    assert trailer(answer).recipient == pair(BUYERS[0]).public
    asked.settimeout(0.3)
    for raw in (
        honest,
        Hand(STRANGER).query(),
        Hand(BUYERS[1], key=pair(STRANGER)).query(),
        Hand(BUYERS[1], network=Network("another")).query(),
        Hand(BUYERS[1], to=OTHER_BESS).query(),
        Hand(PLAIN_BUYER).query(),
        Hand(OTHER_BESS).query(),
        hand.query()[:84],
        hand.bid(1),
    ):
        asked.send(raw)
    with pytest.raises(TimeoutError):
        asked.recv(RECORD_SIZE)
    asked.close()


def test_attacks_by_udp_are_counted_and_kept(market: Market) -> None:
    """As those by TCP: in metrics.json, and as evidence."""
    daemon = market.battery("--metrics-ms", "50")
    asked = udp(daemon)
    forged = Hand(BUYERS[1], key=pair(STRANGER)).query()
    replayed = market.hand(BUYERS[0]).query()
    for raw in (forged, replayed, replayed):
        asked.send(raw)
    asked.recv(RECORD_SIZE)
    asked.close()
    time.sleep(0.2)
    assert daemon.stop() == 0
    assert set(market.security()) == {"signature", "replay"}
    assert market.counts("security") == {"signature": 1, "replay": 1}


@pytest.mark.parametrize(
    ("kind", "amount"), [("udp", signature_flood.DATAGRAMS_PER_S), ("tcp", signature_flood.CONNECTIONS)]
)
def test_a_flood_of_bad_signatures_keeps_nobody_waiting(tmp_path: Path, kind: str, amount: int) -> None:
    """The bench, for a second: all honest bids are answered within the reply budget (the bench wants half of it)."""
    outcome = signature_flood.measure(tmp_path, kind, amount, 1.0)
    assert outcome.flood["per_s"] > 5_000
    assert (outcome.unanswered, outcome.closed) == (0, 0)
    assert percentile(sorted(outcome.answer_ms), 99) < REPLY_BUDGET_MS


# -- the profile is a registry fact


def test_a_signed_device_does_not_speak_plain_to_a_plain_node(market: Market) -> None:
    """A plain battery with a registry hears members that are registered for plain, and nobody else."""
    market.options[1] = "plain"
    others = [one for one in registry() if one.device_id != BESS]
    save_registry(market.registry, Registry(NETWORK, [*others, member(BESS, Role.BESS, profile="plain")]))
    daemon = market.battery()
    for device, heard in ((PLAIN_BUYER, True), (BUYERS[0], False), (STRANGER, False)):
        raw = encode(messages.stamped(messages.query(DeviceId(device)), time.time_ns() // 1000))
        ours = connect(daemon.address)
        ours.settimeout(0.3)
        ours.sendall((84).to_bytes(4, "little") + raw)
        if heard:
            assert decode(ours.recv(88)[4:]).message_type == MessageType.RESPONSE
        else:
            with pytest.raises(TimeoutError):
                ours.recv(88)
    assert daemon.stop() == 0
    assert len(market.security()["profile"]) == 2


# -- revocation


def test_a_revocation_ends_live_sessions(market: Market) -> None:
    """`etp registry revoke`: told to go within seconds, refused when it comes back; others go on; a restart is not needed."""
    daemon = market.battery()
    revoked, other = (market.wire(daemon, device) for device in BUYERS[:2])
    revoked.opened()
    other.opened()
    done = tool("registry", "revoke", "--registry", str(market.registry), "--device-id", str(BUYERS[0]))
    assert done.exit_code == 0, done.stderr
    began_s = time.monotonic()
    revoked.socket.settimeout(REVOKED_WITHIN_S)
    farewell = decode(revoked.expect(MessageType.TERMINATE)[:FRAME_SIZE])
    assert farewell.termination_code == TerminateCode.NOT_AUTHORISED
    with pytest.raises((EOFError, ConnectionError)):
        revoked.next()
    assert time.monotonic() - began_s < 3 * LOOK_S
    again = market.wire(daemon, BUYERS[0])
    again.give(again.hand.query())
    again.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        again.next()
    lot_id = lot_in(other.opened())
    other.give(other.hand.bid(lot_id, 130_000, 200))
    assert other.expect(MessageType.ACCEPT)
    assert daemon.stop() == 0
    assert "revoked" in market.security()


# -- at an aggregator


class FakeBattery:
    """Battery 101 by hand: a listener that a real aggregator dials."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(15)
        self.hand = Hand(BESS, to=BUYERS[0], boot=int(time.time()))

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self.listener.getsockname()
        return host, port

    def called(self) -> Wire:
        """The next connection, its hello read."""
        ours, _ = self.listener.accept()
        ours.settimeout(10)
        OPEN.append(ours)
        wire = Wire(ours, self.hand)
        hello = wire.expect(MessageType.QUERY)
        assert is_signed_by(pair(BUYERS[0]).public, NETWORK.network_id, hello)
        assert trailer(hello).recipient == pair(BESS).public
        return wire

    def response(self, lot_id: int, wh: int = 1000) -> bytes:
        """An offer."""
        offer = messages.Offer(Wh(2000), Wh(wh))
        return self.hand.record(messages.response(BESS, offer=offer, ask=MicroPerKwh(125_000)), lot_id=lot_id)

    def accept(self, bid: bytes) -> bytes:
        """Of a Bid."""
        terms = messages.terms(decode(bid[:FRAME_SIZE]))
        frame = messages.accept(
            BESS,
            energy=terms.energy,
            paid=terms.bid_price,
            bid_price=terms.bid_price,
            offer=messages.Offer(Wh(2000), Wh(0)),
        )
        return self.hand.record(frame, lot_id=lot_in(bid))

    def terminate(self, code: TerminateCode, lot_id: int) -> bytes:
        """Of a lot."""
        return self.hand.record(messages.terminate(BESS, code), lot_id=lot_id)


@pytest.fixture
def fake() -> Iterator[FakeBattery]:
    """One."""
    made = FakeBattery()
    yield made
    made.listener.close()


def test_attacks_on_an_aggregator_are_refused_counted_and_kept(market: Market, fake: FakeBattery) -> None:
    """Whoever answers where the battery was dialled: forged, foreign, for another, by another battery, replayed."""
    process = market.aggregator(fake.address)
    lot_id = time.time_ns() // 1000
    attacks = [
        Hand(BESS, to=BUYERS[0], boot=fake.hand.boot, key=pair(STRANGER)),
        Hand(BESS, to=BUYERS[0], boot=fake.hand.boot, network=Network("other")),
        Hand(BESS, to=BUYERS[1], boot=fake.hand.boot),
        Hand(STRANGER, to=BUYERS[0]),
        Hand(BUYERS[1], to=BUYERS[0]),
    ]
    wire = fake.called()
    for hand in attacks[:3]:
        wire.give(hand.query())
    assert decode(wire.expect(MessageType.TERMINATE)[:84]).termination_code == TerminateCode.PROTOCOL_ERROR
    wire = fake.called()
    for hand in attacks[3:]:  # two strikes
        wire.give(hand.query())
    wire.give(fake.response(lot_id))
    bid = wire.expect(MessageType.BID)
    assert lot_in(bid) == lot_id
    wire.give(fake.accept(bid))
    confirm = wire.expect(MessageType.CONFIRM)
    assert lot_in(confirm) == lot_id
    wire.give(fake.response(lot_id + 7, wh=0))
    wire.give(fake.terminate(TerminateCode.TIMEOUT, lot_id + 1))
    finished = wire.give(fake.terminate(TerminateCode.FINISHED, lot_id))
    wire.give(fake.response(lot_id + 7))
    second = wire.expect(MessageType.BID)
    assert lot_in(second) == lot_id + 7
    wire.give(finished)
    wire.give(fake.terminate(TerminateCode.FINISHED, lot_id))
    wire.give(fake.accept(second))
    wire.expect(MessageType.CONFIRM)
    wire.give(fake.terminate(TerminateCode.FINISHED, lot_id + 7))
    counted = {"signature": 2, "recipient": 1, "stranger": 1, "role": 1, "replay": 1}
    until(lambda: market.counts("security", "buyer") == counted)
    until(lambda: len([row for row in market.export("buyer") if row["kind"] == "trade"]) == 2)
    process.terminate()
    assert process.wait(15) == 0
    kept = market.security("buyer")
    assert {"signature", "recipient", "stranger", "role", "replay"} <= set(kept)
    assert finished.hex() in [row["frame_0"] for row in kept["replay"]]
    assert [row["lot_id"] for row in market.export("buyer") if row["kind"] == "trade"] == [lot_id, lot_id + 7]


def test_a_stored_answer_reaches_a_restarted_aggregator(market: Market, fake: FakeBattery) -> None:
    """Killed with its Confirm unanswered: it repeats it byte for byte, and takes the FINISHED that was signed long before."""
    process = market.aggregator(fake.address)
    lot_id = time.time_ns() // 1000
    wire = fake.called()
    wire.give(fake.response(lot_id))
    wire.give(fake.accept(wire.expect(MessageType.BID)))
    confirm = wire.expect(MessageType.CONFIRM)
    stored = fake.terminate(TerminateCode.FINISHED, lot_id)
    process.kill()
    process.communicate(timeout=10)
    fake.hand.seq += 3000
    process = market.aggregator(fake.address)
    wire = fake.called()
    wire.give(fake.response(lot_id + 7, wh=0))
    assert wire.expect(MessageType.CONFIRM) == confirm
    wire.give(stored)
    until(lambda: any(row["kind"] == "trade" for row in market.export("buyer")))
    process.terminate()
    assert process.wait(15) == 0
    assert not market.security("buyer")


def test_an_aggregator_leaves_a_revoked_battery(market: Market, fake: FakeBattery) -> None:
    """Its session ends with NOT_AUTHORISED, and nothing counts that the battery says afterwards."""
    process = market.aggregator(fake.address)
    wire = fake.called()
    wire.give(fake.response(7, wh=0))
    wire.expect(MessageType.QUERY)
    now_us = time.time_ns() // 1000
    save_registry(market.registry, load_registry(market.registry).revoked(BESS, now_us))  # type: ignore[arg-type]
    assert decode(wire.expect(MessageType.TERMINATE)[:84]).termination_code == TerminateCode.NOT_AUTHORISED
    process.terminate()
    assert process.wait(15) == 0


# -- at start


@pytest.mark.parametrize(
    ("role", "what", "says"),
    [
        ("aggregator", "no key", ["key file", "is not there; make one with `etp keygen`"]),
        ("bess", "open key", ["has mode 0644", "chmod 600"]),
        ("bess", "no registry", ["registry", "the signed profile needs --registry FILE"]),
    ],
)
def test_what_is_missing_is_said_with_status_2(market: Market, role: str, what: str, says: list[str]) -> None:
    """One line that names the thing and what to do; the rest of the mistakes are in test_runtime_profile.py."""
    device = BESS if role == "bess" else BUYERS[0]
    key, options = market.key(device), market.options
    if what == "no key":
        key = str(market.directory / "none.json")
    elif what == "open key":
        Path(key).chmod(0o644)
    else:
        options = options[:2]
    done = etp(
        *(role, "--device-id", str(device), "--key", key, "--state-dir", str(market.directory / "new"), *options)
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    for text in says:
        assert text in done.stderr


# -- secrets

CRASH = """
import runtime.io.profile as profile
import etp.signed as signed
import os

_open, _read = profile.open_profile, signed.Signed.read

def _crash(*given):
    made = _open(*given)
    if os.environ["ETP_TEST_CRASH"] == "start":
        raise RuntimeError(f"crashed with {made!r} {made.identity!r} {vars(made)!r}")
    return made

def _fail(self, raw, *rest):
    if raw[17] == 77:
        raise RuntimeError(f"crashed with {self!r} {self.identity!r}")
    return _read(self, raw, *rest)

signed.Signed.read = _fail
profile.open_profile = _crash
"""


def test_no_secret_is_ever_said(market: Market) -> None:  # noqa: PLR0915 - one life, from start to end
    """A canary key at debug level, through trade, refusals, a broken key, a crash at start and one in a session: never seen."""
    seed = bytes(range(200, 232))
    canary = KeyPair(seed)
    forms = {
        "hex": seed.hex(),
        "base58": str(Keypair.from_seed(seed)),
        "base64": b64encode(seed).decode(),
        "list": ", ".join(map(str, seed)),
        "json": ",".join(map(str, seed)),
        "repr": repr(seed)[2:-1],
    }
    others = [one for one in registry() if one.device_id != BESS]
    save_registry(market.registry, Registry(NETWORK, [*others, Member(BESS, Role.BESS, canary.public)]))
    key = market.directory / "market" / "canary.json"
    key.touch(mode=0o600)
    key.write_text(json.dumps(list(seed + canary.public)))
    (market.directory / "crash").mkdir()
    (market.directory / "crash" / "sitecustomize.py").write_text(CRASH)
    env = {"PYTHONPATH": f"{market.directory / 'crash'}{os.pathsep}{ROOT}"}
    said: list[str] = []
    arguments = [
        "bess",
        "--device-id",
        str(BESS),
        "--state-dir",
        str(market.directory / "state"),
        "--log-level",
        "debug",
    ]
    arguments += [*market.options, "--key", str(key), "--group", GROUP]
    crashed = etp(*arguments, env=env | {"ETP_TEST_CRASH": "start"})
    assert crashed.returncode not in (0, 2)
    assert "crashed with" in crashed.stderr
    broken = market.directory / "market" / "broken.json"
    broken.touch(mode=0o600)
    broken.write_text(key.read_text()[:-9])
    damaged = etp(*arguments, "--key", str(broken))
    assert damaged.returncode == 2
    said += [crashed.stdout, crashed.stderr, damaged.stdout, damaged.stderr]
    os.environ.update(env | {"ETP_TEST_CRASH": "session"})
    try:
        daemon = market.battery("--key", str(key), "--log-level", "debug", "--metrics-ms", "50")
    finally:
        for name in (*env, "ETP_TEST_CRASH"):
            del os.environ[name]
    hand = Hand(BUYERS[0], boot=int(time.time()))
    recipient = canary.public

    def query(device: int = BUYERS[0], key_of: int | None = None, ttl: int = 5) -> bytes:
        signer = Hand(device, boot=hand.boot, seq=hand.seq, key=pair(key_of) if key_of else None)
        hand.seq += 1
        return signer.record(messages.query(DeviceId(device))._replace(ttl=ttl), recipient=recipient)

    for raw in (query(), query(key_of=STRANGER), query(STRANGER), query(ttl=77)):
        wire = market.wire(daemon, BUYERS[0], hand)
        wire.give(raw)
        wire.socket.settimeout(0.2)
        try:
            while True:
                wire.next()
        except (TimeoutError, EOFError, ConnectionError):
            pass
    assert daemon.stop() == 0
    stderr = (market.directory / "stderr").read_text()
    assert "crashed with" in stderr
    exported = tool("export", "--state-dir", str(market.directory / "state"))
    metrics = tool("export", "--state-dir", str(market.directory / "state"), "--metrics")
    shown = tool("keygen", "--show", str(key))
    listed = tool("registry", "list", "--registry", str(market.registry))
    said += [stderr, json.dumps(daemon.line)]
    said += [text for done in (exported, metrics, shown, listed) for text in (done.stdout, done.stderr)]
    files = [path for path in (market.directory / "state").rglob("*") if path.is_file()]
    assert (market.directory / "state" / "metrics.json") in files
    for name, form in forms.items():
        assert not [text for text in said if form in text], name
        assert not [path.name for path in files if form.encode() in path.read_bytes()], name
    assert not [path.name for path in files if seed in path.read_bytes()]
