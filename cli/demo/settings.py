"""Options of `etp demo`: those of the days, and where their files go."""

from pathlib import Path

from pydantic import Field

from lab.scenario import ScenarioSettings


class DemoSettings(ScenarioSettings):
    """Options of `etp demo`."""

    out: Path | None = Field(None, description="directory of the results; default: runs/TIME")
    rpc: str | None = Field(
        None, description="URL of a Solana RPC; default: a local chain of the demo's own; a real cluster needs --payer"
    )
    payer: Path | None = Field(
        None, description="file with the key that opens the market and pays for everything; default: one of its own"
    )
    program_id: str | None = Field(None, description="where the settlement program is deployed; default: as on devnet")
    dashboard: str = Field(
        "127.0.0.1:0", description="where the dashboard is served, HOST:PORT on loopback; port 0 picks a free one"
    )
    gateway: list[str] = Field([], description="URL of another gateway that all nodes report to; several allowed")
    interface: str = Field("127.0.0.1", description="address of the network interface for multicast")
    print_json: bool = Field(
        default=False,
        description="the last line on stdout is the summary as JSON",
        json_schema_extra={"flag": "--json"},
    )
