"""Every line of this process, and which of them still have to be sent or saved. Memory is bounded by the number of symbols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ibstream.contracts.quotes import Quote, shard_of
from ibstream_feed.domain.line import Line


class QuoteBook:
    """Lines by symbol, conflated: one that changes again before it is sent is sent once, as it is then.

    A row that says nothing new but the time is not sent. What could not be written is put back; where the line has moved on
    meanwhile, its newer state is what is sent.
    """

    def __init__(self, shards: int) -> None:
        self._lines: dict[str, Line] = {}
        self._unsent: list[list[Line]] = [[] for _ in range(shards)]
        self._unsaved: list[list[Line]] = [[] for _ in range(shards)]
        self._shards = shards
        self.flows = False
        """Whether ticks are believed. While the session or its link to IBKR is down, what still arrives is not."""
        self.conflated = 0
        """Touches of a line that was touched already and not sent yet: what one read of the socket brought counts once."""

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())

    def get(self, symbol: str) -> Line | None:
        """The line of a symbol; None where there is none."""
        return self._lines.get(symbol)

    def shard_of(self, symbol: str) -> int:
        """The shard of a symbol, whether there is a line of it or not."""
        return shard_of(symbol, self._shards)

    def open(self, symbol: str) -> Line:
        """The line of a symbol, made where there is none."""
        line = self._lines.get(symbol)
        if line is None:
            line = self._lines[symbol] = Line(symbol, self.shard_of(symbol))
        return line

    def close(self, symbol: str) -> None:
        """Forget a line. What is unsent of it is not sent any more, and ticks that still come for it change nothing."""
        line = self._lines.pop(symbol, None)
        if line is None:
            return
        line.is_closed = True
        if line.is_unsent:
            self._unsent[line.shard].remove(line)
        if line.is_unsaved:
            self._unsaved[line.shard].remove(line)

    def ticked(self, lines: Iterable[Line], time_ns: int) -> set[int]:
        """New values stand in these lines, received at `time_ns`. Returns the shards in which something is to be sent."""
        touched: set[int] = set()
        if not self.flows:
            return touched
        for line in lines:
            if line.is_gathering or line.is_closed:
                continue
            line.time_ns = time_ns
            line.known = line.values
            line.is_stale = False
            if line.is_unsent:
                self.conflated += 1
            if not (line.is_unsent and line.is_unsaved):
                self._mark(line)
            touched.add(line.shard)
        return touched

    def mark_stale(self, lines: Iterable[Line], time_ns: int) -> set[int]:
        """Say of these lines that they are no longer kept up; prices stay as last known. Returns the shards that changed."""
        changed: set[int] = set()
        for line in lines:
            if line.is_stale or line.is_closed or not line.time_ns:
                continue
            line.is_stale = True
            line.hold()  # what still arrives is not shown, until it is believed
            line.time_ns = time_ns
            self._mark(line)
            changed.add(line.shard)
        return changed

    def show(self, line: Line) -> None:
        """Have a line sent and saved as it stands, such as one that was restored; unless it was closed."""
        if not line.is_closed:
            line.sent = None
            self._mark(line)

    def unsent(self, shard: int) -> bool:
        """Whether anything of a shard is to be sent."""
        return bool(self._unsent[shard])

    def take_unsent(self, shard: int) -> list[Quote]:
        """The rows that have to be sent of a shard; they count as sent from now on."""
        lines, self._unsent[shard] = self._unsent[shard], []
        rows: list[Quote] = []
        for line in lines:
            line.is_unsent = False
            shown = line.shown()
            if shown != line.sent:
                line.sent = shown
                rows.append(line.row_of(shown))
        return rows

    def put_back(self, rows: Iterable[Quote]) -> None:
        """These were not sent after all: their lines are sent again, as they stand then."""
        for row in rows:
            line = self._lines.get(row.symbol)
            if line is not None and line.time_ns:  # else it was closed, and opened anew
                line.sent = None
                self._mark(line)

    def unsaved(self, shard: int) -> bool:
        """Whether anything of a shard's last values is to be saved."""
        return bool(self._unsaved[shard])

    def take_unsaved(self, shard: int) -> list[Quote]:
        """The rows of a shard's last values that have changed; they count as saved from now on."""
        lines, self._unsaved[shard] = self._unsaved[shard], []
        for line in lines:
            line.is_unsaved = False
        return [line.row() for line in lines]

    def put_back_unsaved(self, rows: Iterable[Quote]) -> None:
        """These were not saved after all."""
        for row in rows:
            line = self._lines.get(row.symbol)
            if line is not None and line.time_ns and not line.is_unsaved:
                line.is_unsaved = True
                self._unsaved[line.shard].append(line)

    def _mark(self, line: Line) -> None:
        if not line.is_unsent:
            line.is_unsent = True
            self._unsent[line.shard].append(line)
        if not line.is_unsaved:
            line.is_unsaved = True
            self._unsaved[line.shard].append(line)
