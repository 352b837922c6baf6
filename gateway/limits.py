"""Named bounds of the gateway: each stops one way of using it up. Injected, never looked up."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one gateway."""

    # connections
    connections: int = 4_000
    """Open connections; one more gets 503. 1,000 dashboards hold one each and open a few for their pages."""
    connections_per_address: int = 400
    """Of one address (IPv6: a /64) that are no websockets; more are closed. 60 browsers behind one address open that many at
    once. Not of this machine, nor of a known proxy."""
    head_bytes: int = 32 * 1024
    """Of a request's line and headers: browsers send about 1 KiB; more gets 431."""
    headers: int = 100
    """Headers of a request; more get 431."""
    parameters: int = 50
    """In a URL; more get 400. The API takes a dozen, and looking at 16,000 takes 30 ms."""
    pipelined: int = 8
    """Requests that wait on a connection behind one that is answered; more end it. Browsers send none; a packet has room for
    10,000, which are all parsed and held."""
    body_bytes: int = 16 * 1024
    """Of a request's body; more gets 413. The longest that the API takes is a few hundred bytes."""
    rest_bytes: int = 128 * 1024
    """Of all that follows a request's head, as it comes over the wire: chunks of one byte take six times the body that they
    carry, and trailers, which nobody reads, may be as large as a head. One without an end would be held until the request is over."""
    requests_per_s: float = 50.0
    """Of one client, sustained; a dashboard's page asks about ten at once, then a few a minute."""
    request_burst: int = 300
    """Of one client at once: the files of the dashboard and some pages."""
    addresses: int = 10_000
    """Clients whose rates are remembered; the longest unseen is forgotten first, which had time to refill."""

    # logins
    logins_per_s: float = 0.1
    """Attempts of one address, sustained: 8,640 a day find no good password."""
    login_burst: int = 10
    """Attempts at once: a person who tries all passwords they have."""
    name_logins_per_s: float = 1.0
    """Attempts at one name from all addresses, sustained: ten times one address', so that no single one locks its owner out."""
    name_login_burst: int = 100
    """The same at once."""
    noted_per_s: float = 1 / 60
    """Refused logins of one address that the audit log is told of: the first in a minute. Each is a durable write."""
    audit_lines: int = 100_000
    """The audit log's newest lines are kept, some 20 MB; older ones go."""
    hashes_at_once: int = 2
    """Passwords that are hashed at a time: 32 MiB and a core each."""
    hashes_waiting: int = 32
    """Beyond it a login gets 503: 16 turns of about 0.1 s are the longest anybody waits."""
    users: int = 1_000
    """Accounts and API keys, each."""
    sessions_per_user: int = 50
    """Beyond it the oldest session ends."""

    # stream
    ring: int = 10_000
    """Events that `resume` can bring back: 50 s at 200 a second; REST has the rest."""
    message_bytes: int = 64 * 1024
    """Of a client's message; more closes with 1009. The longest verb names 1,000 nodes: 23 KiB."""
    messages_per_s: float = 20.0
    """Of one client, sustained; more closes with 1008."""
    message_burst: int = 40
    subscribed_nodes: int = 1_000
    """Named by one subscription."""
    waiting_bytes: int = 512 * 1024
    """In the send buffer of one client before it counts as lagging: 7 s of 200 events/s. The bytes are shared by all
    clients that were sent the same, so that 100 stalled ones cost little more than one."""
    socket_bytes: int = 64 * 1024
    """The kernel's send buffer of a stream's socket (it takes twice that): it grows to megabytes by itself, which hide
    for a minute that nobody reads."""
    chunk_bytes: int = 256 * 1024
    """What a client that catches up is given at a time: half of what may wait."""
    snapshot_trades: int = 50
    """Newest trades in a Snapshot."""
    fragments: int = 1_000
    """Frames that one message may be cut into: empty ones would cost no bytes of `message_bytes`."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The gateway's times, s."""

    batch_s: float = 0.1
    """Events of the stream gather so long: a tenth of a second is at once for people, and a tenth of the frames."""
    lag_s: float = 10.0
    """A client that has not read what waits for it within this is closed (1013)."""
    snapshot_s: float = 1.0
    """Between two Snapshots of one client: they are the largest thing that it can ask for."""
    farewell_s: float = 2.0
    """A connection that is told to go is cut after this, whether it reads or not."""
    head_s: float = 10.0
    """From a connection, or the first byte of a request, to the end of its headers."""
    request_s: float = 30.0
    """From its headers to the end of the answer; an export that takes longer is written by `etp gateway export`."""
    keep_alive_s: int = 75
    """An idle connection is kept so long: longer than the 60 s after which clients stop to use one."""
    ping_s: float = 20.0
    """Between pings of a websocket, and until one unanswered ends it."""
    grace_s: int = 3
    """Answers that are under way at SIGTERM get so long."""
    session_idle_s: float = 12 * 3600.0
    """A session that is not used for this long is over: a working day."""
    session_s: float = 7 * 24 * 3600.0
    """A session is over after this, used or not."""
    used_s: float = 60.0
    """How exactly the last use of a session or key is kept: a write each request would cost the disk."""
    link_s: float = 3600.0
    """A login link works so long."""
    revoked_s: float = 90 * 24 * 3600.0
    """A revoked key is listed so long, then forgotten: the audit log still says who made and revoked it."""
    recheck_s: float = 15.0
    """How often the accounts behind open websockets are looked up again: what another process revoked ends by then."""

    def __post_init__(self) -> None:
        if not self.batch_s < self.snapshot_s < self.lag_s:
            raise ValueError(f"expected batch_s < snapshot_s < lag_s: {self}")
