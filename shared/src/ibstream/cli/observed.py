"""What the demo has seen so far, what that amounts to, and what is missing. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from ibstream.cli.formats import event_line
from ibstream.client import EpochChanged, Gap, OrderOutcome, QuoteEvent, QuoteSnapshot, Repeated
from ibstream.contracts.orders import OrderEvent, OrderStatus
from ibstream.contracts.quotes import Quality, Quote, QuoteBatch
from ibstream.contracts.registry import SERVICES
from ibstream.contracts.system import ConnectionState, Heartbeat, Mode, ModeChanged

SYMBOLS_WANTED = 100
"""The usual number of market data lines; quotes for fewer symbols are a failure."""

ORDER_EVENTS_KEPT = 8
NONE = "none"


@dataclass
class Observed:
    """Filled in by the demo's watchers, read by its view and its verdict."""

    quotes: int = 0
    """Rows that came in batches, but for stale ones: those say that there is no quote."""
    gaps: int = 0
    """Places where continuity is broken or cannot be proved: gaps, repeats, epochs begun after quotes flowed."""
    quoted: set[str] = field(default_factory=set)
    """Symbols of which a bid and an ask came that were not stale; where no line is free, of a snapshot."""
    latest: dict[str, Quote] = field(default_factory=dict)
    first_quote_s: float | None = None
    """Seconds from the start to the first bid and ask that a line brought, delayed or not; a snapshot is not waited for."""
    order_lines: list[str] = field(default_factory=list)
    order_outcome: str = NONE
    order_filled: int = 0
    bars: int = 0
    bars_note: str = ""
    mode: ModeChanged | None = None
    heartbeats: list[Heartbeat] = field(default_factory=list)
    http_health: int = 0
    """HTTP status of the health page; 0 without an answer."""

    def take_quotes(self, event: QuoteEvent, *, elapsed_s: float) -> None:
        """The next event of the quote subscription, `elapsed_s` seconds after the start."""
        match event:
            case Gap() | Repeated() | EpochChanged():
                self.gaps += 1
            case QuoteSnapshot():
                self.latest.update((row.symbol, row) for row in event.rows)
            case QuoteBatch():
                self.latest.update((row.symbol, row) for row in event.rows)
                self._count([row for row in event.rows if row.quality is not Quality.STALE], elapsed_s)

    def _count(self, rows: list[Quote], elapsed_s: float) -> None:
        self.quotes += len(rows)
        priced = [row for row in rows if row.bid is not None and row.ask is not None]
        self.quoted.update(row.symbol for row in priced)
        if self.first_quote_s is None and any(row.quality is not Quality.SNAPSHOT for row in priced):
            self.first_quote_s = elapsed_s

    def take_order_event(self, event: OrderEvent) -> None:
        """The next event of the demo's order."""
        self.order_lines = [*self.order_lines, event_line(event)][-ORDER_EVENTS_KEPT:]

    def take_outcome(self, outcome: OrderOutcome) -> None:
        """How the demo's order ended."""
        self.order_outcome, self.order_filled = outcome.status.value, int(outcome.filled)

    def not_up(self) -> str:
        """What the demo still waits for before it may begin, in words; empty when all is up."""
        states = {beat.service: beat for beat in self.heartbeats}
        waiting = [_standing(name, states.get(name)) for name in SERVICES]
        if self.mode is None:
            waiting.append("the watchdog is silent")
        elif self.mode.mode is not Mode.NORMAL:
            waiting.append(self._mode_in_words())
        return "; ".join(word for word in waiting if word)

    def report(self) -> dict[str, object]:
        """The figures under the names that are promised."""
        return {
            "quotes": self.quotes,
            "symbols": len(self.quoted),
            "gaps": self.gaps,
            "order": {"outcome": self.order_outcome, "filled": self.order_filled},
            "bars": self.bars,
            "mode": self.mode.mode.value if self.mode else NONE,
            "http_health": self.http_health,
        }

    def missing(self) -> str:
        """What is missing for success, in one line; empty for success."""
        checks = [
            (len(self.quoted) >= SYMBOLS_WANTED, f"quotes for {len(self.quoted)} symbols, not {SYMBOLS_WANTED}"),
            (self.gaps == 0, f"{self.gaps} gaps in the quotes"),
            (self.order_outcome == OrderStatus.FILLED, f"the order is {self.order_outcome}, not filled"),
            (self.bars > 0, f"no bars{f' ({self.bars_note})' if self.bars_note else ''}"),
            (self.mode is not None and self.mode.mode is Mode.NORMAL, self._mode_in_words()),
        ]
        return "; ".join(text for is_met, text in checks if not is_met)

    def summary(self) -> str:
        """The figures for people."""
        mode = self.mode.mode if self.mode else NONE
        return (
            f"{self.quotes:,} quotes of {len(self.quoted)} symbols, {self.gaps} gaps; order {self.order_outcome}, "
            f"{self.order_filled} filled; {self.bars} bars; mode {mode}; health page {self.http_health or 'silent'}"
        )

    def _mode_in_words(self) -> str:
        if self.mode is None:
            return "the watchdog is silent"
        reasons = ", ".join(reason.text for reason in self.mode.reasons)
        return f"the mode is {self.mode.mode}" + (f" ({reasons})" if reasons else "")


def _standing(name: str, beat: Heartbeat | None) -> str:
    if beat is None:
        return f"{name} is not there"
    if beat.state is ConnectionState.READY:
        return ""
    return f"{name} is {beat.state}" + (f" ({beat.reason})" if beat.reason else "")
