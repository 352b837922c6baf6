"""An RPC between the settler and the real chain that loses, delays, repeats, refuses, invents and denies.

It stands where a real one does: behind HTTP. The client is the real one (`contracts.io.rpc.Rpc`), only its connections are ours;
nothing in it waits for a loop, so that a request is carried out in one go, at a moment of virtual time.
"""

import json
import random
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from hashlib import sha256
from struct import Struct
from typing import Any, Final, NamedTuple, TypeVar

import httpx
from solders.hash import Hash
from solders.signature import Signature

from contracts.accounts import TradeStatus
from contracts.addresses import PROGRAM_ID, Address
from contracts.devnet.sending import last_valid
from contracts.io.rpc import TIMEOUT_S, Rpc
from contracts.outbox import Entry
from contracts.rpc import Answer, Request, RpcFailure
from sim.io.chain.bank import MEMORY, RealChain
from sim.io.chain.faults import LIES, Chance, Fault, Odds
from sim.io.chain.market import INTERFACE
from sim.io.chain.views import bank_behind

Json = dict[str, Any]
T = TypeVar("T")

WAY_S: Final = (0.002, 0.06)
"""One way between a node and an RPC, s: from, to."""
DELAY_S: Final = 9.0
AGAIN_S: Final = 40.0
"""A request that is carried out twice is so within this, s."""
LATE_S: Final = 90.0
"""A transaction that is handed on late is so within this, s: its blockhash may be dead by then."""
DOWN_S: Final = 90.0
GARBAGE: Final = (
    b"",
    b"<html><h1>502 Bad Gateway</h1></html>",
    b"null",
    b"[]",
    b"{}",
    b"[null]",
    b'"ok"',
    b"7",
    b"\xff\xfe\x00",
    b'{"jsonrpc":"2.0","id":0}',
    b'{"jsonrpc":"2.0","id":0,"result":[]}',
    b'{"jsonrpc":"2.0","id":0,"result":"x"}',
    b'{"jsonrpc":"2.0","id":0,"result":-1}',
    b'{"jsonrpc":"2.0","id":0,"result":{"context":{"slot":1},"value":"x"}}',
    b'{"jsonrpc":"2.0","id":0,"error":{"code":-32005,"message":"Node is behind by 42 slots"}}',
    b'{"jsonrpc":"2.0","id":0,"error":"no"}',
    b'{"jsonrpc":"2.0","id":0,"result":{"context":{"slot":1},"value":[[[[[[[[[[[[',
)
JUNK: Final[tuple[Any, ...]] = (None, "", "x", -1, 2**64, 1.5, [], {}, True, "1" * 200)
HTTP_ERRORS: Final = (400, 403, 500, 502, 503)
NO_SPACE: Final[Json] = {"err": None, "logs": [], "accounts": None, "unitsConsumed": 0, "returnData": None}
REFUSALS: Final = (
    "BlockhashNotFound",
    "AlreadyProcessed",
    "InsufficientFundsForFee",
    "AccountNotFound",
    {"InsufficientFundsForRent": {"account_index": 0}},
    {"InstructionError": [3, "ComputationalBudgetExceeded"]},
    {"InstructionError": [3, "InvalidAccountData"]},
    {"InstructionError": [3, {"Custom": 1}]},
)


class Carried(NamedTuple):
    """An answer, and so much later than usual, s."""

    answer: Answer | RpcFailure
    late_s: float


class Expected(NamedTuple):
    """A trade that is to come at an address of the chain, and whose it is."""

    market: Address
    battery: int
    payer: Address
    entry: Entry


TRADE: Final = Struct("<8sB32sQQQQIIQQBqq32s32s")
"""A Trade account as the program lays it out (contracts/idl)."""


POST: Final = httpx.Request("POST", "http://rpc")
"""What every answer is to."""


class _Connections:
    """All that the client's provider asks of httpx's client, which takes three times as long as the request that it carries."""

    def __init__(self, answered: Callable[[bytes], httpx.Response]) -> None:
        self._answered = answered

    async def post(self, *, content: str, **_: object) -> httpx.Response:
        """The answer to a request, or the error of its connection."""
        return self._answered(content.encode())


class HostileRpc:
    """See the module. `lots`: by address, the trade that is to come there."""

    def __init__(
        self,
        number: int,
        chain: RealChain,
        odds: Odds,
        *,
        rng: random.Random,
        lots: Mapping[str, Expected],
        counts: Counter[Fault],
        behind: int = 0,
    ) -> None:
        self.rpc = Rpc(f"http://rpc-{number}")
        self.chance = Chance(odds, rng, counts)
        self._rng, self._chain, self._lots, self._counts = rng, chain, lots, counts
        self._behind = behind
        if behind:
            counts[Fault.BEHIND] += 1
        self._bank_behind = bank_behind(chain, behind)
        self._down_until_s = 0.0
        self._late_s = 0.0
        self.rpc._provider.session = _Connections(self._post)  # type: ignore[assignment]
        self._lies: dict[str, Callable[[Json], Any]] = {
            "getGenesisHash": self._genesis,
            "getLatestBlockhash": self._blockhash,
            "getBlockHeight": self._height,
            "getSignatureStatuses": self._statuses,
            "getMultipleAccounts": self._accounts,
        }

    @property
    def is_liar(self) -> bool:
        """Whether it means harm."""
        return any(fault in LIES for fault in self.chance.odds)

    def calm(self) -> None:
        """From now on it is as an RPC should be."""
        self.chance.on, self._down_until_s, self._behind = False, 0.0, 0

    def ask(self, request: Request) -> Carried:
        """What comes of a request that arrives now."""
        self._late_s = 0.0
        answer = driven(self.rpc.ask(request))
        return Carried(answer, self._late_s)

    def ask_from_afar(self, request: Request, rng: random.Random, heard: Callable[[Carried], None]) -> None:
        """A request leaves a node now, and arrives whatever becomes of the node; `heard`: told when the answer is back."""
        scheduler = self._chain.scheduler
        there_s, back_s = (WAY_S[0] + (WAY_S[1] - WAY_S[0]) * rng.random() ** 2 for _ in range(2))

        def arrive(_: None) -> None:
            carried = self.ask(request)
            scheduler.call(scheduler.time_s + back_s + carried.late_s, heard, carried)

        scheduler.call(scheduler.time_s + there_s, arrive, None)

    def hand_on(self, raw: bytes) -> None:
        """A transaction reaches a leader by some other way, unchecked."""
        config = {"encoding": "base64", "skipPreflight": True}
        params = [b64encode(raw).decode(), config]
        self._chain.handle({"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": params})

    # -- on the way

    def _post(self, content: bytes) -> httpx.Response:
        chance, now_s = self.chance, self._chain.scheduler.time_s
        if chance.strikes(Fault.DOWN):
            self._down_until_s = now_s + DOWN_S * self._rng.random()
        if now_s < self._down_until_s:
            raise httpx.ConnectError("down")
        if chance.strikes(Fault.LOSE_REQUEST):
            self._never()
        if chance.strikes(Fault.RATE_LIMIT):
            return httpx.Response(429, request=POST)
        body = json.loads(content)
        if chance.strikes(Fault.DUPLICATE):
            self._chain.scheduler.after(AGAIN_S * self._rng.random(), lambda: self._carry(body))
        answer = json.dumps(self._carry(body)).encode()
        if chance.strikes(Fault.LOSE_ANSWER):
            self._never()
        if chance.strikes(Fault.DELAY):
            self._late_s += DELAY_S * self._rng.random()
        if chance.strikes(Fault.GARBAGE):
            return self._garbage(answer)
        return httpx.Response(200, content=answer, request=POST)

    def _never(self) -> None:
        self._late_s += TIMEOUT_S
        raise httpx.ReadTimeout("no answer")

    def _garbage(self, answer: bytes) -> httpx.Response:
        kind = self._rng.randrange(3)
        if kind == 0:
            return httpx.Response(self._rng.choice(HTTP_ERRORS), request=POST)
        if kind == 1:
            return httpx.Response(200, content=answer[: self._rng.randrange(len(answer))], request=POST)
        return httpx.Response(200, content=self._rng.choice(GARBAGE), request=POST)

    def _carry(self, body: Any) -> Any:
        return [self._one(each) for each in body] if isinstance(body, list) else self._one(body)

    def _one(self, call: Json) -> Any:
        if call["method"] == "sendTransaction":
            return self._send(call)
        answer = self._honest(call)
        lie = self._lies.get(call["method"])
        if lie is not None and "result" in answer:
            self._called = call
            answer["result"] = lie(answer["result"])
        if self.chance.strikes(Fault.MUTATED):
            mutate(answer, self._rng)
        return answer

    def _honest(self, call: Json) -> Json:
        if not self._behind:
            answer: Json = self._chain.handle(call)
            return answer
        late = self._bank_behind.handle(call, self._chain.now())
        assert isinstance(late, dict)
        self._chain.records += self._bank_behind.take_records()
        return late

    # -- transactions

    def _send(self, call: Json) -> Json:
        text, config = call["params"]
        success = {"jsonrpc": "2.0", "id": call["id"], "result": signature_of(text)}
        unchecked = call | {"params": [text, config | {"skipPreflight": True}]}
        if self.chance.strikes(Fault.NOTHING_FOR_SUCCESS):
            return success
        if self.chance.strikes(Fault.LATE):
            self._chain.scheduler.after(LATE_S * self._rng.random(), lambda: self._chain.handle(unchecked))
            return success
        if self.chance.strikes(Fault.NO_PREFLIGHT):
            self._chain.handle(unchecked)
            return success
        answer = self._honest(call)
        if "result" in answer and self.chance.strikes(Fault.ERROR_THOUGH_LANDED):
            return {"jsonrpc": "2.0", "id": call["id"], "error": self._refusal()}
        return answer

    def _refusal(self) -> Json:
        kind = self._rng.randrange(4)
        if kind == 0:
            return {"code": -32603, "message": "Internal error"}
        if kind == 1:
            return {"code": -32005, "message": "Node is unhealthy", "data": {"numSlotsBehind": 42}}
        err: Any = self._rng.choice(REFUSALS)
        if kind == 2:
            err = {"InstructionError": [2, {"Custom": self._rng.choice(list(INTERFACE.errors))}]}
        data = NO_SPACE | {"err": err, "innerInstructions": None, "replacementBlockhash": None}
        return {"code": -32002, "message": "Transaction simulation failed", "data": data}

    # -- lies

    def _genesis(self, result: Any) -> Any:
        return str(Hash(sha256(b"another chain").digest())) if self.chance.strikes(Fault.OTHER_CHAIN) else result

    def _blockhash(self, result: Any) -> Any:
        value, rng, slot = result["value"], self._rng, result["context"]["slot"]
        if self.chance.strikes(Fault.UNKNOWN_BLOCKHASH):
            value["blockhash"] = str(Hash(rng.randbytes(32)))
        elif self.chance.strikes(Fault.EXPIRED_BLOCKHASH):
            old = max(0, slot - 140 - rng.randrange(200))
            value["blockhash"] = str(Hash(self._chain.chain.slots.blockhash(old)))
            value["lastValidBlockHeight"] = rng.choice([last_valid(old), last_valid(slot)])
        elif self.chance.strikes(Fault.LAST_VALID_TOO_LOW):
            value["lastValidBlockHeight"] = max(0, slot - 200 + rng.randrange(349))
        elif self.chance.strikes(Fault.LAST_VALID_TOO_HIGH):
            value["lastValidBlockHeight"] += rng.choice([1, 20, 100, 149, 1000, 2**40])
        return result

    def _height(self, result: Any) -> Any:
        if self.chance.strikes(Fault.HEIGHT_TOO_HIGH):
            return result + self._rng.choice([1, 20, 150, 300, 1000, 2**40])
        return result

    def _statuses(self, result: Any) -> Any:
        found = {"slot": 1, "confirmations": None, "confirmationStatus": "finalized"}
        for index in range(len(result["value"])):
            if self.chance.strikes(Fault.STATUS_FOR_NOTHING):
                result["value"][index] = found | {"err": None, "status": {"Ok": None}}
            elif self.chance.strikes(Fault.STATUS_DENIED):
                result["value"][index] = None
            elif self.chance.strikes(Fault.STATUS_FAILED):
                err = self._refusal().get("data", {}).get("err") or "AccountInUse"
                result["value"][index] = found | {"err": err, "status": {"Err": err}}
        return result

    def _accounts(self, result: Any) -> Any:
        addresses = self._called["params"][0]
        for index, address in enumerate(addresses):
            if self.chance.strikes(Fault.ACCOUNT_DENIED):
                result["value"][index] = None
            elif self.chance.strikes(Fault.ACCOUNT_STALE):
                old = bank_behind(self._chain, self._rng.randrange(1, MEMORY))
                call = self._called | {"params": [[address], self._called["params"][1]]}
                answer = old.handle(call, self._chain.now())
                assert isinstance(answer, dict)
                result["value"][index] = answer["result"]["value"][0]
            elif address in self._lots and self.chance.strikes(Fault.ACCOUNT_INVENTED):
                result["value"][index] = self._invented(self._lots[address])
        return result

    def _invented(self, expected: Expected) -> Json:
        market, battery, payer, entry = expected
        status = self._rng.choice(list(TradeStatus))
        amount = entry.amount + self._rng.choice([0, 0, 0, 0, 1])
        data = TRADE.pack(
            INTERFACE.discriminator("Trade"), 1, bytes(market), battery, entry.lot_id, entry.buyer,
            entry.message_id, entry.energy, entry.price, amount, 0, status, 0, 0, bytes(payer),
            entry.record_hash,
        )  # fmt: skip
        encoded = [b64encode(data).decode(), "base64"]
        return {
            "data": encoded,
            "executable": False,
            "lamports": 1,
            "owner": str(PROGRAM_ID),
            "rentEpoch": 0,
            "space": len(data),
        }


def signature_of(text: str) -> str:
    """The first signature of a transaction in base64, as an RPC names it."""
    return str(Signature(b64decode(text)[1:65]))


def mutate(answer: Json, rng: random.Random) -> None:
    """Change one leaf of an answer to junk."""
    at: Any = answer
    key: Any = rng.choice(list(answer))
    while isinstance(at[key], dict | list) and at[key] and rng.random() < 0.8:
        at = at[key]
        key = rng.choice(list(at)) if isinstance(at, dict) else rng.randrange(len(at))
    at[key] = rng.choice(JUNK)


def driven(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never has to wait."""
    try:
        work.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    raise AssertionError("it waits for an event loop")
