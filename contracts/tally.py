"""What the outbox holds, counted as it changes: trades by state, what each buyer owes, and since when."""

from contracts.outbox import FINAL, UNSETTLED, Entry, OutboxState
from etp.units import DeviceId, LotId, Micro, WallUs


class Tally:
    """See the module. Everything is looked up without a walk through the outbox."""

    def __init__(self) -> None:
        self._states = dict.fromkeys(OutboxState, 0)
        self._owed: dict[DeviceId, int] = {}
        self._since: dict[LotId, WallUs] = {}
        """Confirmed and not on the chain, oldest first: when they were confirmed."""

    def put(self, entry: Entry) -> None:
        """An entry that is new."""
        if entry.state in UNSETTLED:
            self._since[entry.lot_id] = entry.confirmed_us
        self._count(entry, 1)

    def change(self, before: Entry, after: Entry) -> None:
        """An entry changed."""
        self._count(before, -1)
        self._count(after, 1)
        if after.state not in UNSETTLED:
            self._since.pop(after.lot_id, None)

    def drop(self, entry: Entry) -> None:
        """An entry is over."""
        self._count(entry, -1)
        self._since.pop(entry.lot_id, None)

    def _count(self, entry: Entry, sign: int) -> None:
        self._states[entry.state] += sign
        if entry.state not in UNSETTLED:
            return
        owed = self._owed.get(entry.buyer, 0) + sign * entry.amount
        self._owed[entry.buyer] = owed
        if not owed:
            del self._owed[entry.buyer]

    def owed(self, buyer: DeviceId) -> Micro:
        """What a buyer owes that is not on the chain yet, µ."""
        return Micro(self._owed.get(buyer, 0))

    @property
    def owed_in_all(self) -> Micro:
        """What all buyers owe, µ."""
        return Micro(sum(self._owed.values()))

    @property
    def oldest_us(self) -> WallUs | None:
        """When the oldest trade that is not on the chain was confirmed."""
        return next(iter(self._since.values()), None)

    def by_state(self) -> dict[str, int]:
        """How many trades are in each state that is not final."""
        return {state.value: count for state, count in self._states.items() if state not in FINAL}
