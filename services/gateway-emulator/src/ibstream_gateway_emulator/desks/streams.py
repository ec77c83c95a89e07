"""One subscription to quotes, and what it has been told."""

from __future__ import annotations

from dataclasses import dataclass, field

from ibstream.simulation.quotes import DayStatistics, Quote
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.desks.lines import Line, Subject
from ibstream_gateway_emulator.domain.data_types import Standing
from ibstream_gateway_emulator.domain.generic_ticks import Asked
from ibstream_gateway_emulator.domain.tick_frames import size_frames
from ibstream_gateway_emulator.domain.ticks import Tick


@dataclass(slots=True, eq=False)
class Stream:
    """A client's request for quotes."""

    client: Client
    req_id: int
    subject: Subject
    asked: Asked
    wanted: int
    """The market data type that the client had asked for."""
    line: Line
    standing: Standing
    id_text: str = field(init=False)
    id_length: int = field(init=False)
    quick_length: int = field(init=False)
    """The same where nothing but quotes is told, else -1."""
    has_extras: bool = field(init=False)
    """Whether generic ticks are told."""
    quiet_until_ns: int = 0
    """Nothing is new to it before; 0 where that is not known."""
    told: Quote | None = None
    day: DayStatistics | None = None
    extras: dict[tuple[int, int], Tick] = field(default_factory=dict)
    """The last of every generic tick."""
    _sizes: tuple[tuple[str, ...], tuple[str, ...]] | None = None

    def __post_init__(self) -> None:
        self.id_text = str(self.req_id)
        self.id_length = len(self.id_text)
        self.has_extras = bool(self.asked.given)
        is_plain = not (self.has_extras or self.asked.is_without_quotes)
        self.quick_length = self.id_length if is_plain else -1

    @property
    def sizes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Prepared frames of bid sizes and of ask sizes; written once they are needed."""
        if self._sizes is None:
            self._sizes = size_frames(self.id_text, self.line.sizes.unit)
        return self._sizes

    def restart(self, standing: Standing, line: Line) -> None:
        """Follow another line from now on, of which nothing has been told."""
        self.standing, self.line = standing, line
        self.told = self.day = None
        self.quiet_until_ns = 0
        self.extras.clear()
