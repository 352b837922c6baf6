"""The invariants while a market runs: told of each turn of a core, each transaction and each frame that leaves, it says what is broken.

Cheap, for millions of frames: whose words a frame is costs a few look-ups, and what can change nothing is passed over by its
type. Feed it in the order in which things happen: `turn` after a core decided and before that is carried out, `durable` and
`failed` before a core hears of it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from etp.clock import Now
from etp.codes import MessageType
from etp.effects import BidRow, Commit, Effect, RecordBid, Row, Settle
from etp.record import message_id_of, sender_of
from sim.invariants.auction import STANDING
from sim.invariants.books import Books, Violation
from sim.invariants.ended import violations
from sim.invariants.evidence import Kept
from sim.invariants.purchases import Purchases
from sim.invariants.seller import Seller
from sim.invariants.sizes import Size, sizes

SPOKEN: Final = frozenset(kind.value for kind in (MessageType.ACCEPT, MessageType.TERMINATE))
"""What a battery says of promises."""
ACCEPT: Final = MessageType.ACCEPT.value
CONFIRM: Final = MessageType.CONFIRM.value
ONCE: Final = frozenset(kind.value for kind in (MessageType.BID, MessageType.CONFIRM))
"""What counts once even where nothing tells a repetition but its bytes (`plain`)."""
NOBODY: Final[Mapping[int, Now]] = MappingProxyType({})
MOST: Final = 100
"""Violations kept of one run; the first one says it."""


class Watch:
    """See the module. `hostile` devices lie, `tainted` ones lost their journal or ran twice: nothing is asked of either.

    `is_genuine`: whether a record is signed by a device; asked only of what hostile ones say.
    """

    def __init__(
        self,
        books: Books,
        *,
        tainted: Collection[int] = (),
        hostile: Collection[int] = (),
        is_genuine: Callable[[int, bytes], bool] = lambda *_: True,
    ) -> None:
        self.found: list[Violation] = []
        self._tainted, self._hostile, self._is_genuine = tainted, hostile, is_genuine
        self._sellers = {each.device_id: Seller(each) for each in books.batteries if each.device_id not in hostile}
        self._buyers = {each.device_id: Purchases(each) for each in books.buyers if each.device_id not in hostile}
        self._signed = {each.device_id for each in books.batteries if each.signed}
        self._signed |= {each.device_id for each in books.buyers if each.signed}
        self._sent: dict[bytes, int] = {}
        """Every frame that a node said in its own name, and to whom."""
        self._taken: dict[int, set[bytes]] = {device_id: set() for device_id in (*self._sellers, *self._buyers)}
        self._this_life: dict[int, set[bytes]] = {device_id: set() for device_id in self._taken}
        self._kept = {device_id: Kept() for device_id in self._taken}

    # -- told by the world

    def wire(self, sender: int, receiver: int, raw: bytes, time_s: float) -> None:  # noqa: ARG002 - for those who log
        """A frame or record left a node."""
        kind = raw[0]
        seller = self._sellers.get(sender)
        if seller is not None:
            # In `plain` whoever says it is 501 is 501: what is promised to that one then goes to a liar.
            known = sender in self._signed or receiver not in self._hostile
            if (kind in SPOKEN and known) or seller.unended:
                self._tell(sender, seller.left(receiver, raw))
        elif kind in ONCE:
            buyer = self._buyers.get(sender)
            if buyer is not None:
                self._tell(sender, buyer.left(receiver, raw))
        if sender not in self._hostile or (sender_of(raw) == sender and self._is_genuine(sender, raw)):
            self._sent.setdefault(raw, receiver)  # first to whom it is addressed, whatever is done with it then

    def durable(self, device_id: int, rows: Sequence[Row], bids: Sequence[BidRow] = ()) -> None:  # noqa: ARG002
        """What one transaction made durable."""
        party = self._sellers.get(device_id) or self._buyers.get(device_id)
        if party is not None and rows:
            self._tell(device_id, party.durable(rows))

    def turn(  # noqa: PLR0917 - the world's callback, for each frame: names would cost a tenth of it
        self, device_id: int, raw: bytes | None, peer: int, fresh: bool, effects: Sequence[Effect], now: Now
    ) -> None:
        """A core decided: about a frame of a peer, about its lost session (`raw` is empty), or by itself (`raw` is None)."""
        if device_id in self._hostile:
            return
        if effects:
            self._measure(device_id, self._kept[device_id].decided(effects, now))
        new = self._heard(device_id, raw, peer, fresh, effects) if raw else True
        seller = self._sellers.get(device_id)
        if seller is None or (raw and not fresh and raw[0] not in ONCE):
            return
        found = seller.turn(raw, peer, effects, now, new=new)
        if found:
            self._tell(device_id, found)

    def failed(self, device_id: int, rows: Sequence[Row]) -> None:
        """A commit of these rows is not in the journal, and will not be."""
        seller = self._sellers.get(device_id)
        if seller is not None:
            seller.failed(rows)

    def restart(self, device_id: int) -> None:
        """A node is about to be built anew from its journal."""
        seller = self._sellers.get(device_id)
        if seller is not None:
            seller.restarted()
        if device_id in self._this_life:
            self._this_life[device_id] = set()
            self._kept[device_id] = Kept()

    def raised(self, device_id: int, error: BaseException) -> None:
        """A core raised: whatever a peer says, that is our own bug."""
        self.found.append(Violation("raised", device_id, f"{type(error).__name__}: {error}"))

    def sizes(self, device_id: int, core: object) -> None:
        """Every table of a core is below its limit."""
        if device_id in self._hostile:
            return
        self._measure(device_id, sizes(core))

    def _measure(self, device_id: int, found: Iterable[Size]) -> None:
        for name, size, limit in found:
            if size > limit:
                self._tell(device_id, [Violation("limits", device_id, f"{name} holds {size}; at most {limit}")])

    def ended(self, books: Books, living: Mapping[int, Now] = NOBODY) -> list[Violation]:
        """All that was found, and what the journals say once nodes have stopped; `living`: the clocks of those that ran to the end."""
        for device_id, now in living.items():
            if device_id in self._sellers:
                self._tell(device_id, self._sellers[device_id].overdue(now))
        return [*self.found, *violations(books)]

    # -- whose words they are

    def _heard(self, device_id: int, raw: bytes, peer: int, fresh: bool, effects: Sequence[Effect]) -> bool:
        """Whether this life of the node has not had these bytes yet (in `plain` nothing tells that, but of what counts once)."""
        signed = device_id in self._signed
        if not signed and raw[0] not in ONCE:
            return True
        if signed and self._sent.get(raw) != device_id:
            said = f"takes {MessageType(raw[0]).name} {message_id_of(raw)} as of {peer}, which did not say it to it"
            self._tell(device_id, [Violation("sender", device_id, said)])
        taken, in_this_life = self._taken[device_id], self._this_life[device_id]
        new = raw not in in_this_life
        if not new:
            self._tell(device_id, self._again(device_id, raw, fresh and signed, effects))
        elif raw in taken and raw[0] == CONFIRM:
            # what it made of it before it crashed may be lost; but the promise that a Confirm of then was about is over
            self._tell(device_id, self._again(device_id, raw, False, effects))
        taken.add(raw)
        in_this_life.add(raw)
        return new

    def _again(self, device_id: int, raw: bytes, fresh: bool, effects: Sequence[Effect]) -> Iterator[Violation]:
        """What came before, byte for byte, is answered at most; it changes nothing (design §4, Repetition)."""
        name = f"{MessageType(raw[0]).name} {message_id_of(raw)}"
        if fresh:
            yield Violation("duplicate", device_id, f"takes {name} for new a second time")
        for effect in effects:
            kind = type(effect)
            stands = kind is RecordBid and effect.row.state == STANDING  # type: ignore[union-attr]  # by its type
            # An Accept that was declined before may be confirmed now; one that was confirmed may not (Purchases).
            decides = kind is Commit and raw[0] != ACCEPT
            if decides or kind is Settle or stands:
                yield Violation("duplicate", device_id, f"{name} comes again, and {kind.__name__} follows")

    def _tell(self, device_id: int, found: Iterator[Violation] | Sequence[Violation]) -> None:
        if device_id in self._tainted:
            for _ in found:
                pass  # it is still followed: others have dealings with it
            return
        room = MOST - len(self.found)
        self.found += list(found)[:room]
