"""The real client of an RPC against whatever bytes: an answer or a failure comes out of it, never an exception."""

import json
import random
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from contracts.rpc import (
    GetAccounts,
    GetBlockhash,
    GetGenesis,
    GetHeight,
    GetStatuses,
    GetTrades,
    Request,
    RpcFailure,
    Sendings,
    SendTransactions,
    TradeAccounts,
)
from sim.io.chain.bank import RealChain
from sim.io.chain.rpc import GARBAGE, POST, HostileRpc, mutate
from sim.scheduler import Scheduler
from tests.contracts.hostile.founding import PLACE, Market

REQUESTS: tuple[Request, ...] = (
    GetGenesis(),
    GetBlockhash(),
    GetHeight(),
    SendTransactions((bytes(200),)),
    SendTransactions((bytes(200), bytes(201))),
    GetStatuses((bytes(64),)),
    GetAccounts((PLACE.market, PLACE.escrow(500))),
    GetTrades(PLACE.program_id, ((0, b"12345678"),)),
)
IDS = [f"{type(request).__name__}{number}" for number, request in enumerate(REQUESTS)]


class Wire(HostileRpc):
    """Answers with given bytes, or with an honest answer of which one leaf is junk."""

    given: bytes | None = None
    given_status = 200

    def _post(self, content: bytes) -> httpx.Response:
        body = self.given
        if body is None:
            answer = self._carry(json.loads(content))
            for each in answer if isinstance(answer, list) else [answer]:
                mutate(each, self._rng)
            body = json.dumps(answer).encode()
        return httpx.Response(self.given_status, content=body, request=POST)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    scheduler = Scheduler()
    chain = RealChain(scheduler, slot_ms=40, finality_slots=4)
    Market(chain, [10**9], dispute_window=0)
    scheduler.run(3)
    return Wire(0, chain, {}, rng=random.Random(7), lots={}, counts=Counter())


@pytest.mark.parametrize("request_", REQUESTS, ids=IDS)
@pytest.mark.parametrize("body", GARBAGE)
def test_bytes_that_are_no_answer_are_a_failure(wire: Wire, request_: Request, body: bytes) -> None:
    wire.given = body
    answer = wire.ask(request_).answer
    # An empty list is an answer to getProgramAccounts; of a batch each transaction has an answer of its own, or none.
    assert isinstance(answer, RpcFailure) or answer in (TradeAccounts(()), Sendings((None, None)))


@pytest.mark.parametrize("request_", REQUESTS, ids=IDS)
def test_an_answer_with_a_leaf_of_junk_is_an_answer_or_a_failure(wire: Wire, request_: Request) -> None:
    """500 of each; `ask` raises nothing."""
    wire.given = None
    for _ in range(500):
        assert wire.ask(request_).answer is not None


@pytest.mark.parametrize("request_", REQUESTS, ids=IDS)
@pytest.mark.parametrize("status", [204, 301, 400, 429, 500, 503])
def test_an_http_error_is_a_failure(wire: Wire, request_: Request, status: int) -> None:
    wire.given, wire.given_status = b"", status
    answer = wire.ask(request_).answer
    wire.given_status = 200
    assert isinstance(answer, RpcFailure)
    assert answer.kind == ("busy" if status in (429, 503) else "unreadable" if status == 204 else "refused")
