"""What the demo shows at a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ibstream.cli.formats import price, whole
from ibstream.cli.observed import Observed
from ibstream.contracts.quotes import Quality, Quote
from ibstream.contracts.system import ConnectionState, Mode

ROWS = 12
"""Symbols shown."""

_MODE_STYLES = {Mode.NORMAL: "bold green", Mode.DEGRADED: "bold yellow", Mode.MAINTENANCE: "bold blue"}


def render(observed: Observed, *, symbols: list[str], elapsed_s: float) -> RenderableType:
    """The whole picture; `symbols` most wanted first."""
    return Group(
        _headline(observed, elapsed_s),
        _services(observed),
        _quotes(observed, symbols),
        _work(observed),
        Text("Ctrl-C stops everything.", style="dim"),
    )


def _headline(observed: Observed, elapsed_s: float) -> RenderableType:
    mode = observed.mode.mode if observed.mode else None
    line = Text.assemble(
        ("ibstream demo  ", "bold"), (mode or "starting", _MODE_STYLES.get(mode, "bold red") if mode else "")
    )
    line.append(
        f"   {observed.quotes:,} quotes of {len(observed.quoted)} symbols, {observed.gaps} gaps, {elapsed_s:.0f} s"
    )
    return line


def _services(observed: Observed) -> RenderableType:
    line = Text()
    for beat in observed.heartbeats:
        style = "green" if beat.state is ConnectionState.READY else "yellow"
        line.append(f"{beat.service} {beat.state}  ", style=style)
    return line


def _quotes(observed: Observed, symbols: list[str]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("symbol", min_width=7)
    for name in ("bid", "ask", "last"):
        table.add_column(name, justify="right", min_width=9)
    table.add_column("volume", justify="right", min_width=12)
    table.add_column("quality")
    shown = [symbol for symbol in symbols if symbol in observed.latest][:ROWS]
    for symbol in shown:
        table.add_row(*_cells(observed.latest[symbol]), style="" if _is_live(observed.latest[symbol]) else "dim")
    for _ in range(ROWS - len(shown)):
        table.add_row()
    return table


def _cells(row: Quote) -> list[str]:
    return [row.symbol, price(row.bid), price(row.ask), price(row.last), whole(row.volume), row.quality]


def _is_live(row: Quote) -> bool:
    return row.quality is Quality.LIVE


def _work(observed: Observed) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(Text("order", style="bold"), Text(" → ".join(observed.order_lines) or "-"))
    table.add_row(Text("bars", style="bold"), Text(observed.bars_note or "-"))
    return table
