"""Errors of the `etp` package.

EtpError
├── UnitError            a number that has no exact integer reading
├── FrameError           bytes that are no frame
│   └── FrameLengthError   of another length than 84
└── SocketError          (etp.io.multicast) the operating system refused a socket at an address
    └── AddressInUse       another socket has the port
"""


class EtpError(Exception):
    """Root of everything this package raises."""


class UnitError(EtpError, ValueError):
    """A quantity on the wire that is not a whole number of internal units."""

    def __init__(self, *, quantity: str, value: float, expected: str) -> None:
        self.quantity, self.value, self.expected = quantity, value, expected
        super().__init__(f"{quantity} is {value!r}; expected {expected}")


class FrameError(EtpError, ValueError):
    """Bytes that cannot be read as a frame."""


class FrameLengthError(FrameError):
    """A frame of another length than the wire format's."""

    def __init__(self, *, length: int, expected: int) -> None:
        self.length, self.expected = length, expected
        super().__init__(f"a frame is {expected} bytes long; these are {length}")
