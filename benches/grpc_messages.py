"""Bid and answer as protocol buffers, declared here and compiled by the library at import: what a `.proto` file would say."""

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE: Final = "etp.bench.Battery"
METHOD: Final = "Trade"
PATH: Final = f"/{SERVICE}/{METHOD}"
"""A stream of bids in, a stream of answers out: a bidder's session."""
_FIELD = descriptor_pb2.FieldDescriptorProto
_BID: Final = (
    ("message_type", _FIELD.TYPE_UINT32),
    ("message_id", _FIELD.TYPE_FIXED64),
    ("device_id", _FIELD.TYPE_FIXED64),
    ("ttl", _FIELD.TYPE_UINT32),
    ("bid_price", _FIELD.TYPE_DOUBLE),
    ("required_energy_amount", _FIELD.TYPE_DOUBLE),
)
_ANSWER: Final = (
    ("message_type", _FIELD.TYPE_UINT32),
    ("message_id", _FIELD.TYPE_FIXED64),
    ("device_id", _FIELD.TYPE_FIXED64),
    ("ttl", _FIELD.TYPE_UINT32),
    ("bid_price", _FIELD.TYPE_DOUBLE),
    ("sale_price", _FIELD.TYPE_DOUBLE),
    ("energy_total", _FIELD.TYPE_DOUBLE),
    ("percentage_for_sale", _FIELD.TYPE_DOUBLE),
    ("termination_code", _FIELD.TYPE_UINT32),
)


def _declared() -> tuple[Any, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="etp_bench.proto", package="etp.bench", syntax="proto3")
    for name, fields in (("Bid", _BID), ("Answer", _ANSWER)):
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            message.field.add(name=field, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"etp.bench.{name}")) for name in ("Bid", "Answer")
    )
    bid, answer = made
    return bid, answer


Bid, Answer = _declared()
