"""The hashes `quotes:last:<shard>`: the latest row of every symbol that is wanted, for whoever comes late."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import structlog

from ibstream.bus import Bus, BusUnavailable, Pipe
from ibstream.contracts.quotes import Quote
from ibstream.contracts.registry import last_quotes_key
from ibstream.runtime.clock import Clock
from ibstream_feed.domain.book import QuoteBook

RETRY_S = 0.5
"""Between two tries to write what Redis refuses."""

_encode = msgspec.json.Encoder().encode
_row = msgspec.json.Decoder(Quote)
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Hash:
    key: str
    saving: list[Quote] | None = None
    """The rows that were sent and not answered yet."""
    gone: set[str] = field(default_factory=set)
    """Symbols whose rows are to be removed."""
    dropping: list[str] | None = None
    """Those of them whose removal was sent and not answered yet."""
    resting: dict[str, float] = field(default_factory=dict)
    """Commands that failed when they were sent last, and until when, by the monotonic clock, they are not tried again."""


class LastValues:
    """Reads, saves and removes rows. Whether a shard is ours to be written is for the caller to know.

    Saving and removing go over the pipe, one of each under way per shard: a row that is being saved can be removed at once.
    What Redis does not take is done with the first call that comes `RETRY_S` later.
    """

    def __init__(
        self, bus: Bus, pipe: Pipe, book: QuoteBook, shards: int, on_answer: Callable[[], None], *, clock: Clock
    ) -> None:
        """`on_answer` is called after each answer of Redis, and in its stead."""
        self._bus = bus
        self._pipe = pipe
        self._book = book
        self._hashes = [_Hash(last_quotes_key(shard)) for shard in range(shards)]
        self._on_answer = on_answer
        self._clock = clock

    def is_idle(self, shard: int) -> bool:
        """Whether nothing of a shard is under way."""
        last = self._hashes[shard]
        return last.saving is None and last.dropping is None

    async def take_over(self, shard: int, wanted: Collection[str]) -> list[Quote]:
        """The rows of `wanted` symbols that another process has left; all others are removed. Raises as `Bus.call`."""
        key = self._hashes[shard].key
        fields = await self._bus.hash(key)
        names = frozenset(wanted)
        rows = [row for name, value in fields.items() if (row := self._found(shard, name, value, names))]
        others = fields.keys() - {row.symbol.encode() for row in rows}
        if others:
            await self._bus.ask("HDEL", key, *others)
        return rows

    def let_go(self, shard: int) -> None:
        """The shard's rows are another's to remove, also those whose removal is under way and may fail."""
        last = self._hashes[shard]
        last.gone.clear()
        if last.dropping is not None:
            last.dropping.clear()

    def forget(self, symbols: Iterable[str]) -> set[int]:
        """Have `drop` remove the rows of these symbols, unless they are in the book again by then. Returns their shards."""
        shards = {symbol: self._book.shard_of(symbol) for symbol in symbols}
        for symbol, shard in shards.items():
            self._hashes[shard].gone.add(symbol)
        return set(shards.values())

    def save(self, shard: int) -> None:
        """Write the rows that have changed."""
        last = self._hashes[shard]
        if last.saving is not None or not self._book.unsaved(shard) or not self._can_send(last, "HSET"):
            return
        last.saving = rows = self._book.take_unsaved(shard)
        fields = [part for row in rows for part in (row.symbol, _encode(row))]
        self._send(("HSET", last.key, *fields), partial(self._on_saved, last))

    def drop(self, shard: int) -> None:
        """Remove the rows of symbols that nobody wants any more."""
        last = self._hashes[shard]
        if last.dropping is not None or not last.gone or not self._can_send(last, "HDEL"):
            return
        symbols, last.gone = [symbol for symbol in last.gone if self._book.get(symbol) is None], set()
        if symbols:
            last.dropping = symbols
            self._send(("HDEL", last.key, *symbols), partial(self._on_dropped, last))

    def _can_send(self, last: _Hash, command: str) -> bool:
        return self._pipe.is_connected and last.resting.get(command, 0.0) <= self._clock.monotonic()

    def _send(self, command: tuple[str | bytes, ...], on_answer: Callable[[Any], None]) -> None:
        try:
            self._pipe.send(command, on_answer)
        except BusUnavailable as error:
            on_answer(error)

    def _on_saved(self, last: _Hash, answer: Any) -> None:
        rows, last.saving = last.saving or [], None
        if isinstance(answer, Exception):
            self._book.put_back_unsaved(rows)
        self._note(last, "HSET", answer)
        self._on_answer()

    def _on_dropped(self, last: _Hash, answer: Any) -> None:
        symbols, last.dropping = last.dropping or [], None
        if isinstance(answer, Exception):
            last.gone.update(symbols)
        self._note(last, "HDEL", answer)
        self._on_answer()

    def _note(self, last: _Hash, command: str, answer: Any) -> None:
        """Let a command rest that failed; the first failure of a row of them is told."""
        if not isinstance(answer, Exception):
            last.resting.pop(command, None)
            return
        if command not in last.resting:
            _log.warning("feed.last_values_not_written", key=last.key, command=command, error=str(answer))
        last.resting[command] = self._clock.monotonic() + RETRY_S

    def _found(self, shard: int, name: bytes, value: bytes, wanted: Collection[str]) -> Quote | None:
        """The row in a field; None where nobody wants it, it belongs into another shard, or it cannot be read."""
        try:
            row = _row.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.warning("feed.undecodable_last_value", shard=shard, symbol=repr(name), error=str(error))
            return None
        belongs = row.symbol.encode() == name and self._book.shard_of(row.symbol) == shard
        return row if belongs and row.symbol in wanted else None
