"""A journal without a disk: what is durable survives a crash of its node, what is on its way does not."""

from collections.abc import Iterable, Sequence

from etp.effects import BidRow, Row


class Disk:
    """Rows in the order in which they became durable."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.bids: list[BidRow] = []
        self.mark = 0
        self._newest: dict[tuple[str, str], Row] = {}
        self._pending: dict[tuple[str, str], Row] = {}

    def store(self, rows: Iterable[Row]) -> None:
        """Make rows durable."""
        for row in rows:
            key = (row.kind, row.subject)
            self.rows.append(row)
            self._newest[key] = row
            if row.pending:
                self._pending[key] = row
            elif row.pending is False:
                self._pending.pop(key, None)

    def find(self, kind: str, subject: str) -> Row | None:
        """The newest row of a kind and subject."""
        return self._newest.get((kind, subject))

    def pending(self) -> Sequence[Row]:
        """What a restart must know."""
        return tuple(self._pending.values())
