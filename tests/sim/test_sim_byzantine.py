"""Hostile peers do what their name says, with their own key alone; and no honest node breaks a promise for it."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from aggregator_node.settings import AggregatorSettings
from bess_node.settings import BessSettings
from etp.codes import MessageType, Role
from etp.frame import FRAME_SIZE, decode, invalid
from etp.record import is_record, lot_of, message_id_of, sender_of
from sim.byzantine import HOSTILE
from sim.draw import Scenario
from sim.invariants import Watch
from sim.keyed_hash import is_hashed_by
from sim.plan import Plan
from sim.run import play
from sim.world import World

BATTERY, HOSTILE_BUYER, HONEST = 101, 501, 502


def market(role: Role, name: str, seed: int, mechanism: str = "english", *, profile: str = "signed") -> Plan:
    """One honest battery and one honest buyer at least, and one of `name`."""
    liar = HOSTILE_BUYER if role is Role.AGGREGATOR else BATTERY + 1
    rng = random.Random(seed)
    batteries = [BATTERY, BATTERY + 1] if role is Role.BESS else [BATTERY]
    return Plan(
        seed,
        tuple(
            BessSettings(
                device_id=device_id,
                profile=profile,  # type: ignore[arg-type]
                mechanism=mechanism,  # type: ignore[arg-type]
                reserve=6,
                closing_ms=200,
                horizon_h=0.5,
                discharge_kw=2.0,
                capacity_kwh=100.0,
                day_speed=60.0,
            )
            for device_id in batteries
        ),
        tuple(
            AggregatorSettings(
                device_id=device_id,
                profile=profile,  # type: ignore[arg-type]
                max_price=21.0 if device_id == HOSTILE_BUYER else rng.randint(90_000, 200_000) / 10_000,
                demand_kwh=20.0,
                strategy="aggressive",
            )
            for device_id in (HOSTILE_BUYER, HONEST, HONEST + 1)
        ),
        seconds=5.0,
        hashed=True,
        hostile={liar: HOSTILE[role][name]},
    )


MIXED = [(Role.AGGREGATOR, "rogue"), *((Role.BESS, name) for name in ("replayer", "garbler", "impostor", "rogue"))]


@pytest.mark.parametrize(("role", "name"), MIXED)
def test_the_honest_keep_their_promises(role: Role, name: str) -> None:
    """Those that are not looked at one by one below; and the honest trade beside them."""
    outcome = play(Scenario(1, "safety", market(role, name, 1, "uniform"), ()))
    assert outcome.violations == ()
    assert outcome.trades > 0


@dataclass
class Said:
    """A run, and what a hostile node said in it."""

    world: World
    watch: Watch
    raws: list[tuple[int, float, bytes]] = field(default_factory=list)
    """Receiver, time, bytes."""

    @property
    def frames(self) -> list[bytes]:
        """Of the length of a message."""
        return [raw for _, _, raw in self.raws if is_record(raw)]

    def of(self, kind: MessageType) -> list[bytes]:
        """Of one type."""
        return [raw for raw in self.frames if raw[0] == kind]


def heard(role: Role, name: str, seed: int = 0, mechanism: str = "english") -> Said:
    """All that a hostile node says, in a market whose honest nodes break nothing by it."""
    plan = market(role, name, seed, mechanism)
    world = World(plan)
    (liar,) = plan.hostile
    watch = Watch(world.books(), tainted=world.tainted, hostile=world.hostile)
    said = Said(world, watch)
    world.watch(watch)
    told = world.network.told

    def both(sender: int, receiver: int, raw: bytes, time_s: float) -> None:
        if told is not None:
            told(sender, receiver, raw, time_s)
        if sender == liar:
            said.raws.append((receiver, time_s, raw))

    world.network.told = both
    world.begin()
    world.scheduler.run(plan.seconds)
    assert watch.ended(world.books()) == []
    return said


def test_a_replayer_says_things_again() -> None:
    """Byte for byte."""
    assert max(Counter(heard(Role.AGGREGATOR, "replayer").frames).values()) > 1


def test_a_garbler_says_nothing_that_is_a_message() -> None:
    """Of the right length or not."""
    said = heard(Role.AGGREGATOR, "garbler")
    sizes = {len(raw) for _, _, raw in said.raws}
    assert len(sizes) > 1 or len(said.frames) < len(said.raws)


def test_an_impostor_has_no_key_but_its_own() -> None:
    """It speaks in the name of another member, and no such record verifies; none is acted on (the invariant `sender`)."""
    said = heard(Role.AGGREGATOR, "impostor")
    network = said.world.registry.network.network_id
    forged = [raw for raw in said.frames if sender_of(raw) != HOSTILE_BUYER]
    assert {sender_of(raw) for raw in forged} <= {HONEST, HONEST + 1}
    assert forged
    for raw in said.frames:
        key = said.world.keys[sender_of(raw)].public
        assert is_hashed_by(key, network, raw) == (sender_of(raw) == HOSTILE_BUYER)


def test_an_eavesdropper_says_what_others_said() -> None:
    """Records of others as they were signed: the battery keeps them as evidence of a replay, and does nothing else."""
    said = heard(Role.AGGREGATOR, "eavesdropper", 1)
    network = said.world.registry.network.network_id
    kept = [
        bytes.fromhex(str(row.body["frame_0"]))
        for row in said.world.node(BATTERY).disk.rows
        if (row.kind, row.state) == ("security", "replay")
    ]
    assert {sender_of(raw) for raw in kept} & {HONEST, HONEST + 1}
    assert all(is_hashed_by(said.world.keys[sender_of(raw)].public, network, raw) for raw in kept)


def test_a_withholder_wins_and_never_confirms() -> None:
    """Its promises are released."""
    said = heard(Role.AGGREGATOR, "withholder")
    reasons = Counter(row.body.get("reason") for row in said.world.node(BATTERY).disk.rows if row.kind == "promise")
    assert reasons["no confirm"] > 0
    assert not said.of(MessageType.CONFIRM)


def test_a_latecomer_comes_at_the_very_instant() -> None:
    """Within a microsecond of the end of the window, by the battery's clock."""
    said = heard(Role.AGGREGATOR, "latecomer")
    accepts = {}
    for row in said.world.node(BATTERY).disk.rows:
        if row.kind == "promise" and row.state == "released":
            accepts[row.lot_id] = row.body["reason"]
    assert said.of(MessageType.CONFIRM)
    assert {accepts.get(lot_of(raw)) for raw in said.of(MessageType.CONFIRM)} & {"late confirm", "no confirm"}


def test_an_equivocator_says_two_things_under_one_id() -> None:
    """Bids of two prices."""
    by_id: dict[int, set[bytes]] = {}
    for raw in heard(Role.AGGREGATOR, "equivocator").of(MessageType.BID):
        by_id.setdefault(message_id_of(raw), set()).add(raw)
    assert any(len(raws) > 1 for raws in by_id.values())


def test_a_haggler_bids_beside_the_ask() -> None:
    """1 µ below the reserve among it, and several times for one lot."""
    prices = Counter(
        round(decode(raw[:FRAME_SIZE]).bid_price * 10_000)
        for raw in heard(Role.AGGREGATOR, "haggler", 1).of(MessageType.BID)
    )
    assert prices[59_999] > 0


def test_nonsense_is_no_bid() -> None:
    """Not finite, nothing, or out of its time."""
    bids = [decode(raw[:FRAME_SIZE]) for raw in heard(Role.AGGREGATOR, "nonsense").of(MessageType.BID)]
    assert any(invalid(frame) for frame in bids)


def test_a_flooder_bids_more_than_a_battery_takes() -> None:
    """And is told so."""
    said = heard(Role.AGGREGATOR, "flooder", 2)
    states = Counter(row.state for row in said.world.node(BATTERY).disk.bids)
    assert states["too_many"] > 500


def test_a_deserter_confirms_otherwise_and_says_goodbye_for_others() -> None:
    """Terminates of lots that were promised to somebody else."""
    said = heard(Role.AGGREGATOR, "deserter")
    promised = {row.lot_id: row.body["bidder"] for row in said.world.node(BATTERY).disk.rows if row.kind == "promise"}
    about = {promised.get(lot_of(raw)) for raw in said.of(MessageType.TERMINATE)}
    assert about & {HONEST, HONEST + 1}


def test_a_mute_battery_never_accepts() -> None:
    """It takes bids, and that is all."""
    assert {raw[0] for raw in heard(Role.BESS, "mute").frames} <= {MessageType.RESPONSE, MessageType.STATUS}


def test_a_grasper_accepts_what_was_not_bid() -> None:
    """Dearer than any bid of that buyer; which does not confirm it (the invariant `terms`)."""
    said = heard(Role.BESS, "grasper")
    paid = [decode(raw[:FRAME_SIZE]) for raw in said.of(MessageType.ACCEPT)]
    assert any(frame.sale_price > frame.bid_price for frame in paid)


def test_a_denier_says_now_this_and_now_that() -> None:
    """Of one lot both FINISHED and something else."""
    codes: dict[int, set[int]] = {}
    for raw in heard(Role.BESS, "denier").of(MessageType.TERMINATE):
        codes.setdefault(lot_of(raw) or 0, set()).add(decode(raw[:FRAME_SIZE]).termination_code)
    assert any(len(each) > 1 for each in codes.values())
