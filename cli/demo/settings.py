"""Options of `etp demo`: those of the days, and where their files go."""

from pathlib import Path

from pydantic import Field

from lab.scenario import ScenarioSettings


class DemoSettings(ScenarioSettings):
    """Options of `etp demo`."""

    out: Path | None = Field(None, description="directory of the results; default: runs/TIME")
    interface: str = Field("127.0.0.1", description="address of the network interface for multicast")
    print_json: bool = Field(
        default=False,
        description="the last line on stdout is the summary as JSON",
        json_schema_extra={"flag": "--json"},
    )
