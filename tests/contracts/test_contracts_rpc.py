"""The RPC's client over a real socket: every way to answer wrongly is a failure in words, and none of them shows the URL's secret."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from contracts.io.rpc import Rpc, _base58, shown
from contracts.rpc import (
    GetAccounts,
    GetBlockhash,
    GetGenesis,
    GetHeight,
    GetStatuses,
    GetTrades,
    Refused,
    Request,
    RpcFailure,
    Sendings,
    SendTransactions,
    Sent,
    SignatureStatus,
    Statuses,
)
from runtime.settings import SettingsError
from tests.contracts.fake_chain import MINT, PROGRAM_ID

SECRET = "api-key-of-an-operator"
SIGNATURE = "1" * 64
Handler = Callable[[Any], tuple[int, Any]]


@asynccontextmanager
async def node(handler: Handler) -> AsyncIterator[Rpc]:
    """A node that answers as `handler` says: (HTTP status, JSON or raw bytes)."""
    open_ones = 0
    all_closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_ones
        open_ones += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                )
                status, answer = handler(json.loads(await reader.readexactly(length)))
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()
            open_ones -= 1
            all_closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    rpc = Rpc(f"http://127.0.0.1:{port}/{SECRET}", timeout_s=10)
    try:
        yield rpc
    finally:
        await rpc.close()
        while open_ones:
            all_closed.clear()
            await all_closed.wait()
        server.close()
        await server.wait_closed()


def result(value: Any) -> Handler:
    return lambda body: (200, {"jsonrpc": "2.0", "id": body["id"], "result": value})


def error(code: int, message: str, data: Any = None) -> Handler:
    told = {"code": code, "message": message} | ({"data": data} if data is not None else {})
    return lambda body: (200, {"jsonrpc": "2.0", "id": body["id"], "error": told})


def context(value: Any) -> dict[str, Any]:
    return {"context": {"slot": 7, "apiVersion": "2.0.0"}, "value": value}


def simulated(err: Any) -> dict[str, Any]:
    return {"err": err, "logs": [], "accounts": None, "unitsConsumed": 1, "returnData": None, "innerInstructions": None}


REQUESTS: list[Request] = [
    GetGenesis(),
    GetBlockhash(),
    GetHeight(),
    SendTransactions((b"x",)),
    SendTransactions((b"x", b"y")),
    GetStatuses((bytes(64),)),
    GetAccounts((MINT,)),
    GetTrades(PROGRAM_ID, ((0, b"x"),)),
]
WRONG: dict[str, tuple[Handler, str]] = {
    "html": (lambda _: (200, b"<html>"), "unreadable"),
    "empty": (lambda _: (200, b""), "unreadable"),
    "not utf-8": (lambda _: (200, b"\xff\xfe\xff"), "unreadable"),
    "null": (result(None), "unreadable"),
    "a number": (result(-1), "unreadable"),
    "an object": (result({}), "unreadable"),
    "too many requests": (lambda _: (429, b"slow down"), "busy"),
    "server error": (lambda _: (500, b""), "refused"),
    "no such method": (lambda body: (200, _to_each(body, {"code": -32601, "message": "Method not found"})), "refused"),
    "behind": (
        lambda body: (200, _to_each(body, {"code": -32005, "message": "Node is behind", "data": {"numSlotsBehind": 4}})),
        "busy",
    ),
}  # fmt: skip


def _to_each(body: Any, told: dict[str, Any]) -> Any:
    answers = [
        {"jsonrpc": "2.0", "id": one["id"], "error": told} for one in (body if isinstance(body, list) else [body])
    ]
    return answers if isinstance(body, list) else answers[0]


def as_list(handler: Handler) -> Handler:
    """The same to each of a batch."""

    def answer(body: Any) -> tuple[int, Any]:
        if not isinstance(body, list):
            return handler(body)
        answers = [handler(one) for one in body]
        return answers[0][0], answers[0][1] if isinstance(answers[0][1], bytes) else [one for _, one in answers]

    return answer


@pytest.mark.parametrize("name", WRONG)
async def test_every_wrong_answer_to_every_request_is_a_failure(name: str) -> None:
    handler, kind = WRONG[name]
    async with node(handler if name in ("no such method", "behind") else as_list(handler)) as rpc:
        for request in REQUESTS:
            found = await rpc.ask(request)
            if name == "a number" and isinstance(request, GetTrades | GetStatuses):
                assert isinstance(found, RpcFailure)
                continue
            assert isinstance(found, RpcFailure), (name, request, found)
            assert found.kind == kind, (name, request, found)
            assert SECRET not in repr(found)
        assert SECRET not in repr(rpc)


PANICS: dict[str, tuple[Any, str]] = {
    "busy without data": ({"error": {"code": -32005, "message": "slow down"}}, "busy"),
    "busy with other data": ({"error": {"code": -32005, "message": "x", "data": {"numSlotsBehind": "y"}}}, "busy"),
    "simulation without data": ({"error": {"code": -32002, "message": "x"}}, "refused"),
    "slot without data": ({"error": {"code": -32016, "message": "x"}}, "refused"),
    "no message": ({"error": {"code": -32005, "message": 7}}, "unreadable"),
    "short blockhash": ({"result": {"context": {"slot": 1}, "value": {"blockhash": "", "lastValidBlockHeight": 1}}}, "unreadable"),
    "no blockhash": ({"result": {"context": {"slot": 1}, "value": {"blockhash": "1" * 33, "lastValidBlockHeight": 1}}}, "unreadable"),
}  # fmt: skip
"""What solders unwraps."""


@pytest.mark.parametrize("name", PANICS)
async def test_what_solders_panics_at_never_reaches_it(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    told, kind = PANICS[name]

    def answer(body: Any) -> tuple[int, Any]:
        return 200, {"jsonrpc": "2.0", "id": body["id"]} | told

    async with node(as_list(answer)) as rpc:
        for request in [GetBlockhash()] if "result" in told else REQUESTS:
            found = await rpc.ask(request)
            assert isinstance(found, RpcFailure), (request, found)
            assert found.kind == kind, (request, found)
    assert "panicked" not in capfd.readouterr().err


async def test_a_panic_all_the_same_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a kind that is not known yet."""
    monkeypatch.setattr("contracts.json_rpc.check", lambda _: None)
    async with node(error(-32005, "no data")) as rpc:
        found = await rpc.ask(GetHeight())
    assert isinstance(found, RpcFailure)
    assert found.kind == "unreadable"


async def test_who_gives_up_waiting_for_an_answer_is_not_kept() -> None:
    """The belt lets go of what is no panic."""
    arrived = asyncio.Event()

    def never(_: Any) -> tuple[int, Any]:
        arrived.set()
        raise asyncio.IncompleteReadError(b"", None)

    async with node(never) as rpc:
        task = asyncio.create_task(rpc.ask(GetHeight()))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("body", [b"[" * 10**5, b'{"result":' * 10**5, b'{"error":' + b"[" * 10**5])
async def test_json_however_deep_is_a_failure(body: bytes) -> None:
    async with node(lambda _: (200, body)) as rpc:
        for request in REQUESTS:
            found = await rpc.ask(request)
            assert isinstance(found, RpcFailure)
            assert found.kind == "unreadable"


@pytest.mark.parametrize("charset", ["zlib", "hex", "utf-16", "no such"])
async def test_a_charset_is_not_looked_at(charset: str) -> None:
    """JSON is UTF-8; codecs that a node names would raise what they like."""

    def answer(request: httpx.Request) -> httpx.Response:
        head = {"Content-Type": f"application/json; charset={charset}"}
        return httpx.Response(200, headers=head, content=b'{"jsonrpc":"2.0","id":0,"result":5}', request=request)

    rpc = Rpc("http://127.0.0.1:1")
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as session:
        rpc._provider.session = session
        assert await rpc.ask(GetHeight()) == 5


async def test_a_node_that_is_silent_or_not_there_is_a_failure() -> None:
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        left.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    rpc = Rpc(f"http://127.0.0.1:{port}", timeout_s=0.2)
    found = await rpc.ask(GetHeight())
    assert isinstance(found, RpcFailure)
    assert found.kind == "timeout"
    await rpc.close()
    await left.wait()
    server.close()
    await server.wait_closed()
    gone = Rpc(f"http://127.0.0.1:{port}", timeout_s=0.2)
    found = await gone.ask(GetHeight())
    assert isinstance(found, RpcFailure)
    assert found.kind == "unreachable"
    await gone.close()


async def test_answers_leave_nothing_to_the_cycle_collector() -> None:
    """A node asks its RPCs all day, and its collector looks seldom (`runtime.io.lifecycle`)."""
    async with node(result(42)) as rpc:
        await rpc.ask(GetHeight())
        gc.collect()
        gc.disable()
        try:
            before = len(gc.get_objects())
            for _ in range(50):
                assert await rpc.ask(GetHeight()) == 42
            assert len(gc.get_objects()) - before < 50
        finally:
            gc.enable()


async def test_right_answers_are_values() -> None:
    async with node(result(42)) as rpc:
        assert await rpc.ask(GetHeight()) == 42
    landed = {
        "slot": 5, "confirmations": None, "err": {"InstructionError": [2, {"Custom": 6050}]},
        "status": {"Err": {"InstructionError": [2, {"Custom": 6050}]}}, "confirmationStatus": "finalized",
    }  # fmt: skip
    async with node(result(context([None, landed]))) as rpc:
        found = await rpc.ask(GetStatuses((bytes(64), bytes(64))))
        assert found == Statuses((None, SignatureStatus(True, Refused("Custom", 6050, ""))))
        too_few = await rpc.ask(GetStatuses((bytes(64),)))
        assert isinstance(too_few, RpcFailure), "two answers to one question"


@pytest.mark.parametrize(
    ("err", "refused"),
    [
        ({"InstructionError": [2, {"Custom": 6050}]}, ("Custom", 6050)),
        ("BlockhashNotFound", ("BlockhashNotFound", None)),
        ("AlreadyProcessed", ("AlreadyProcessed", None)),
        ("InsufficientFundsForFee", ("InsufficientFundsForFee", None)),
        ({"InsufficientFundsForRent": {"account_index": 0}}, ("InsufficientFundsForRent", None)),
        ({"InstructionError": [1, "MissingAccount"]}, ("MissingAccount", None)),
        ("AnErrorOfTomorrow", ("AnErrorOfTomorrow", None)),
        ({"InstructionError": [1, {"OfTomorrow": {"x": 1}}]}, ("OfTomorrow", None)),
    ],
)
async def test_a_failed_simulation_is_a_refusal_by_its_name(err: Any, refused: tuple[str, int | None]) -> None:
    async with node(error(-32002, "Transaction simulation failed", simulated(err))) as rpc:
        found = await rpc.ask(SendTransactions((b"x",)))
        assert isinstance(found, Sendings)
        outcome = found.found[0]
        assert isinstance(outcome, Refused)
        assert (outcome.name, outcome.code) == refused


async def test_many_transactions_go_in_one_request_whatever_the_order_of_the_answers() -> None:
    sizes = []

    def handler(body: Any) -> tuple[int, Any]:
        sizes.append(len(body))
        answers = [{"jsonrpc": "2.0", "id": one["id"], "result": SIGNATURE} for one in body]
        failed = {"code": -32002, "message": "x", "data": simulated("BlockhashNotFound")}
        answers[1] = {"jsonrpc": "2.0", "id": 1, "error": failed}
        return 200, answers[::-1][:-1]  # in another order, and one not at all

    async with node(handler) as rpc:
        found = await rpc.ask(SendTransactions((b"a", b"b", b"c")))
    assert sizes == [3]
    assert found == Sendings((None, Refused("BlockhashNotFound", None, "x"), Sent(bytes(64))))


async def test_a_node_that_takes_one_at_a_time_gets_one_at_a_time() -> None:
    bodies = []

    def handler(body: Any) -> tuple[int, Any]:
        bodies.append(body)
        if isinstance(body, list):
            return 200, {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}}
        return 200, {"jsonrpc": "2.0", "id": body["id"], "result": SIGNATURE}

    async with node(handler) as rpc:
        for _ in range(2):
            assert await rpc.ask(SendTransactions((b"a", b"b"))) == Sendings((Sent(bytes(64)),) * 2)
    assert [isinstance(body, list) for body in bodies] == [True, False, False, False, False]


def test_a_url_is_shown_without_its_secrets() -> None:
    assert shown(f"https://user:{SECRET}@rpc.example:8899/{SECRET}?k={SECRET}") == "https://rpc.example:8899"
    for wrong in ("", "rpc.example", f"ftp://{SECRET}", "http://", "http://x:99999999"):
        with pytest.raises(SettingsError, match="expected a URL") as caught:
            shown(wrong)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "text"), [(b"", ""), (b"\0", "1"), (b"\0\0\x01", "112"), (bytes(MINT), str(MINT)), (b"hello", "Cn8eVZg")]
)
def test_base58_is_bitcoins(data: bytes, text: str) -> None:
    assert _base58(data) == text
