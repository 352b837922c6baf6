"""`etp export`: a node's journal as lines; reads only, also beside the running daemon."""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from etp.effects import BidRow, Row
from runtime.io.journal import JournalError
from runtime.io.journal_reader import JournalReader
from runtime.io.metrics_file import FILE as METRICS_FILE
from runtime.io.metrics_file import read_metrics

FAILED = 1
COLUMNS = ("kind", "seq", "lot_id", "bidder", "message_id", "energy_wh", "price_micro_per_kwh", "state", "time_us")
"""The stable columns; other keys of a row follow them in JSON."""
SHOWN = frozenset({"lot", "promise", "trade", "energy", "security", "settlement"})
"""Kinds of rows that are exported; the answers to Confirms are the node's own memory."""


def row_line(seq: int, row: Row) -> dict[str, Any]:
    """One journal row as an object."""
    line: dict[str, Any] = dict.fromkeys(COLUMNS)
    return (
        line
        | dict(row.body)
        | {
            "kind": row.kind,
            "seq": seq,
            "lot_id": row.lot_id,
            "state": row.state,
            "time_us": row.time_us,
        }
    )


def bid_line(row: BidRow) -> dict[str, Any]:
    """One bid as an object."""
    return dict.fromkeys(COLUMNS) | {"kind": "bid"} | row._asdict()


def lines(reader: JournalReader) -> Iterator[dict[str, Any]]:
    """The ring of bids, then the rows in journal order."""
    yield from (bid_line(row) for row in reader.bids())
    yield from (row_line(seq, row) for seq, row in reader.rows() if row.kind in SHOWN)


def command(
    state_dir: Annotated[Path, typer.Option("--state-dir", help="the node's state directory")],
    form: Annotated[Literal["jsonl", "csv"], typer.Option("--format", help="jsonl or csv")] = "jsonl",
    *,
    metrics: Annotated[bool, typer.Option("--metrics", help="instead: counters, latencies and queues as JSON")] = False,
) -> None:
    """Print a node's lots, bids, promises, trades, deliveries and security events, one per line."""
    if metrics:
        _print_metrics(state_dir)
        return
    try:
        reader = JournalReader(state_dir)
        broken = reader.broken_at()
        if broken is not None:
            typer.echo(f"etp: row {broken} does not follow from those before: changed by another hand", err=True)
        if form == "csv":
            writer = csv.DictWriter(sys.stdout, COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(lines(reader))
        else:
            for line in lines(reader):
                sys.stdout.write(json.dumps(line) + "\n")
    except JournalError as error:
        typer.echo(f"etp: {error}", err=True)
        raise typer.Exit(FAILED) from error
    raise typer.Exit(FAILED if broken is not None else 0)


def _print_metrics(state_dir: Path) -> None:
    found = read_metrics(state_dir)
    if not found:
        typer.echo(f"etp: there is no {METRICS_FILE} in {state_dir}; expected the --state-dir of a node", err=True)
        raise typer.Exit(FAILED)
    typer.echo(json.dumps(found))
