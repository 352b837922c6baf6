"""What can be asked of a chain's RPC, and what may come back: values only. `contracts.io.rpc` carries them out.

Nothing here is proof. Every question about effects is asked at commitment *finalized*.
"""

from typing import Final, NamedTuple, TypeAlias

from contracts.addresses import Address

MAX_STATUSES: Final = 256
"""Signatures of one getSignatureStatuses (Solana's JSON-RPC)."""
MAX_SENDS: Final = 32
"""Transactions of one request: more would make the first of them wait for the last one's simulation."""
MAX_ACCOUNTS: Final = 100
"""Addresses of one getMultipleAccounts (Solana's JSON-RPC)."""


class GetGenesis(NamedTuple):
    """Which chain is it? Answer: bytes, 32."""


class GetBlockhash(NamedTuple):
    """A recent blockhash, confirmed. Answer: Blockhash."""


class GetHeight(NamedTuple):
    """The finalized block height. Answer: int."""


class SendTransactions(NamedTuple):
    """Hand signed bytes on. Answer: Sendings."""

    raws: tuple[bytes, ...]


class GetStatuses(NamedTuple):
    """What became of transactions. Answer: Statuses."""

    signatures: tuple[bytes, ...]
    search_history: bool = False


class GetAccounts(NamedTuple):
    """Accounts, all as of one finalized slot. Answer: Accounts."""

    addresses: tuple[Address, ...]


class GetTrades(NamedTuple):
    """All finalized accounts of a program with these bytes at these offsets. Answer: TradeAccounts."""

    program_id: Address
    matches: tuple[tuple[int, bytes], ...]


Request: TypeAlias = GetGenesis | GetBlockhash | GetHeight | SendTransactions | GetStatuses | GetAccounts | GetTrades


class Blockhash(NamedTuple):
    """What a transaction is bound to, and the last block height in which it can land."""

    hash: bytes
    last_valid_height: int


class Sent(NamedTuple):
    """The RPC took it: no proof of anything."""

    signature: bytes


class Refused(NamedTuple):
    """The RPC's simulation failed: a hint, no proof."""

    name: str
    """The runtime's name of the error, such as BlockhashNotFound; Custom where a program refused."""
    code: int | None
    """The program's error code, if a program refused."""
    words: str


class Sendings(NamedTuple):
    """What became of each; None: no answer to that one."""

    found: tuple[Sent | Refused | None, ...]


class SignatureStatus(NamedTuple):
    """What an RPC says of a transaction."""

    finalized: bool
    error: Refused | None
    """None: it says that it succeeded."""


class Account(NamedTuple):
    """An account as it is on the chain."""

    owner: Address
    lamports: int
    data: bytes
    executable: bool


class Accounts(NamedTuple):
    """Accounts in the order asked for; None where there is none."""

    slot: int
    found: tuple[Account | None, ...]


class Statuses(NamedTuple):
    """What an RPC says of transactions, in the order asked for; None: it does not know it."""

    found: tuple[SignatureStatus | None, ...]


class TradeAccounts(NamedTuple):
    """All accounts that match: address and data."""

    found: tuple[tuple[Address, bytes], ...]


class RpcFailure(NamedTuple):
    """No answer, or none that can be read."""

    kind: str
    """unreachable | timeout | busy | refused | unreadable"""
    words: str


Answer: TypeAlias = bytes | Blockhash | int | Sendings | Statuses | Accounts | TradeAccounts
