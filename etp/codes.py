"""Numbers on the wire: message types, roles and the codes of `termination_code` (design §3)."""

from enum import Enum, IntEnum


class MessageType(IntEnum):
    """`message_type`, offset 0."""

    REGISTER = 0
    QUERY = 1
    RESPONSE = 2
    BID = 3
    ACCEPT = 4
    CONFIRM = 5
    REJECT = 6
    TERMINATE = 7
    DEVICE_FAILURE = 8
    STATUS = 9


class Role(Enum):
    """Who speaks: the seller's node or the buyer's."""

    BESS = "bess"
    AGGREGATOR = "aggregator"

    @property
    def peer(self) -> "Role":
        """The other role."""
        return Role.AGGREGATOR if self is Role.BESS else Role.BESS


class RejectCode(IntEnum):
    """`termination_code` of a Reject."""

    BELOW_RESERVE = 1
    INSUFFICIENT = 2
    UNAVAILABLE = 3
    OUTBID = 4
    LOT_CLOSED = 5
    LATE = 6
    INVALID = 7
    NOT_AUTHORISED = 8
    TOO_MANY = 9
    ANOTHER_WON = 10


class TerminateCode(IntEnum):
    """`termination_code` of a Terminate. 0, 1 and 2 end a trade and the session stays; 3 to 6 close it."""

    FINISHED = 0
    TIMEOUT = 1
    CANNOT_DELIVER = 2
    SHUTTING_DOWN = 3
    PROTOCOL_ERROR = 4
    NOT_AUTHORISED = 5
    BUSY = 6

    @property
    def closes_session(self) -> bool:
        """Whether the session ends with it."""
        return self >= TerminateCode.SHUTTING_DOWN


class FailureCode(IntEnum):
    """`termination_code` of a DeviceFailure."""

    COMMUNICATION = 1
    BATTERY = 2
    INVERTER = 3
    TEMPERATURE = 4


class Health(IntEnum):
    """`battery_health_status_code`."""

    EXCELLENT = 0
    GOOD = 1
    FAIR = 2
    POOR = 3


SENT_BY = {
    Role.BESS: frozenset(
        {
            MessageType.REGISTER,
            MessageType.RESPONSE,
            MessageType.ACCEPT,
            MessageType.REJECT,
            MessageType.TERMINATE,
            MessageType.DEVICE_FAILURE,
            MessageType.STATUS,
        }
    ),
    Role.AGGREGATOR: frozenset(
        {
            MessageType.REGISTER,
            MessageType.QUERY,
            MessageType.BID,
            MessageType.CONFIRM,
            MessageType.TERMINATE,
        }
    ),
}
"""Which types a role may send at all."""
