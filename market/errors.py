"""Errors of the `market` package: bugs of the caller. A refusal in trade is a value (`auction.Refused`), never one of these.

MarketError
├── TermsError           a lot that cannot be sold lawfully
└── BidError             a bid that the desk must have refused: to let it in could sell energy that is not there
"""


class MarketError(Exception):
    """Root of everything this package raises."""


class TermsError(MarketError, ValueError):
    """A field of a lot's terms outside its range."""

    def __init__(self, *, field: str, value: float, expected: str) -> None:
        self.field, self.value, self.expected = field, value, expected
        super().__init__(f"{field} of a lot is {value!r}; expected {expected}")


class BidError(MarketError, ValueError):
    """A field of a bid outside its range."""

    def __init__(self, *, field: str, value: int, expected: str) -> None:
        self.field, self.value, self.expected = field, value, expected
        super().__init__(f"{field} of a bid is {value!r}; expected {expected}")
