"""Telling subscriptions what is new: in turns, at the pace that is set, with livelier books where the market is too quiet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.desks.lines import Line
from ibstream_gateway_emulator.desks.outbox import Outbox
from ibstream_gateway_emulator.desks.streams import Stream
from ibstream_gateway_emulator.domain.pace import Pace
from ibstream_gateway_emulator.domain.tick_frames import BEGINNING, MARK, Form, form
from ibstream_gateway_emulator.domain.ticks import Tick
from ibstream_gateway_emulator.settings import EmulatorSettings

_NS_PER_MS = 1_000_000
_UNBOUNDED = 1 << 62
BATCH_MAX = 128
"""So many subscriptions are told what is new to them before it is handed over."""
UPDATE_MAX = 64
"""No update has more messages."""


class Teller:
    """Sends at most `settings.ticks_per_second` tick messages to all clients together.

    If the market makes more than that, subscriptions take turns, and what changed in the meantime is told as one change. If it
    makes less, the sizes of the books change between its ticks, see `Line.sizes`; prices, trades and volumes stay the market's.
    """

    def __init__(self, settings: Callable[[], EmulatorSettings]) -> None:
        self._settings = settings
        self._outbox = Outbox(settings)
        self._pace = Pace()
        self._turn: list[Stream] | None = None
        self._next = self._now_ns = 0
        self.told = 0
        """Tick messages sent since the start."""

    def streams_changed(self) -> None:
        """A subscription has come or gone."""
        self._turn = None

    def told_apart(self, messages: int) -> None:
        """So many tick messages went out by another way; they count."""
        self._pace.spent(messages)
        self.told += messages

    def leave(self, client: Client) -> None:
        """Forget a client that has gone."""
        self._outbox.leave(client)

    def step(self, now_ns: int, streams: Callable[[], list[Stream]], may_be_slow: Callable[[], bool]) -> None:
        """Tell all `streams` what they have not been told."""
        settings = self._settings()
        if self._turn is None:
            self._turn = streams()
        if now_ns < self._now_ns:
            # The clock was put back; what was quiet until a time must not be so until then.
            for stream in self._turn:
                stream.quiet_until_ns = 0
        self._now_ns = now_ns
        self._outbox.open(now_ns)
        if settings.ticks_per_second is None:
            spent = self._tell(self._turn, now_ns, _UNBOUNDED, may_be_slow)
        else:
            share = self._pace.share(now_ns, settings.ticks_per_second, settings.tick_interval_ms * _NS_PER_MS)
            spent = self._tell(self._rotated(), now_ns, share, may_be_slow)
            spent += self._tell_sizes(self._rotated(), (share - spent) // 2)
            self._pace.spent(spent)
        self._outbox.flush()
        self.told += spent

    def _rotated(self) -> list[Stream]:
        """All streams, beginning with the one whose turn it is."""
        turn = self._turn or []
        self._next = self._next % len(turn) if turn else 0
        return turn[self._next :] + turn[: self._next]

    def _tell(self, streams: list[Stream], now_ns: int, share: int, may_be_slow: Callable[[], bool]) -> int:
        """Tell what is new until the share is used up; the number of messages."""
        spent = place = 0
        while place < len(streams) and spent < share:
            beyond = place + min(BATCH_MAX, max((share - spent) // UPDATE_MAX, 1))
            for client, batch in groupby(streams[place:beyond], attrgetter("client")):
                if self._outbox.takes(client):
                    text = "".join(_texts(batch, now_ns, may_be_slow))
                    spent += text.count(BEGINNING)
                    self._outbox.put(client, text)
            place = beyond
        if place < len(streams):
            self._next += place
        return spent

    def _tell_sizes(self, streams: list[Stream], pairs: int) -> int:
        """Change both sizes of the books, round by round, so often in all; the number of messages."""
        rows = [stream for stream in streams if self._has_sizes(stream)] if pairs > 0 else []
        if not rows:
            return 0
        rounds, rest = divmod(pairs, len(rows))
        self._next += rest
        changes = {line: line.next_sizes(rounds + 1) for line in {stream.line for stream in rows}}
        clients = _by_client(rows, changes)
        going, left = clients, pairs
        for number in range(rounds + 1):
            still: list[_Rounds] = []
            for one in going:
                text, told = one.round(number, left)
                left -= told
                if not told or self._outbox.put(one.client, text):
                    still.append(one)
            going = still
        for one in clients:
            one.keep()
        return 2 * (pairs - left)

    def _has_sizes(self, stream: Stream) -> bool:
        line = stream.line
        return (
            stream.told is not None
            and line.is_flowing
            and line.kind.has_book
            and not line.standing.is_delayed
            and not stream.asked.is_without_quotes
            and self._outbox.takes(stream.client)
        )


@dataclass(slots=True)
class _Rounds:
    """The streams of one client whose sizes change, each with its prepared frames and the steps to come."""

    client: Client
    streams: list[Stream]
    rows: list[tuple[tuple[str, ...], tuple[str, ...], list[int], list[int]]]
    last: tuple[int, int] = (-1, 0)
    """The last round that was told, and how many of the streams took part."""

    def round(self, number: int, at_most: int) -> tuple[str, int]:
        """The frames of round `number` for at most so many of the streams, and how many they are."""
        rows = self.rows if at_most >= len(self.rows) else self.rows[:at_most]
        if rows:
            self.last = (number, len(rows))
        return "".join([bids[bid[number]] + asks[ask[number]] for bids, asks, bid, ask in rows]), len(rows)

    def keep(self) -> None:
        """Note what each stream was told last."""
        last, reached = self.last
        for place, (stream, (_, _, bid, ask)) in enumerate(zip(self.streams, self.rows, strict=True)):
            number = last if place < reached else last - 1
            if number >= 0:
                stream.told = stream.line.resized(bid[number], ask[number])


def _by_client(streams: list[Stream], changes: dict[Line, tuple[list[int], list[int]]]) -> list[_Rounds]:
    found: dict[Client, _Rounds] = {}
    for stream in streams:
        rounds = found.setdefault(stream.client, _Rounds(stream.client, [], []))
        rounds.streams.append(stream)
        rounds.rows.append((*stream.sizes, *changes[stream.line]))
    return list(found.values())


def _texts(streams: Iterable[Stream], now_ns: int, may_be_slow: Callable[[], bool]) -> list[str]:
    """The frames that are new to subscriptions of one client.

    All ticks come by here. What holds for nearly all of them is therefore done without a call: the next quote was read ahead
    together with the frames that lead to it, and who was told the one before is sent these.
    """
    texts: list[str] = []
    for stream in streams:
        if now_ns < stream.quiet_until_ns:
            continue
        line = stream.line
        row = line.rows[line.next_row]
        if row[0] <= now_ns < row[1] and line.is_within_day:
            line.row = row
            line.next_row += 1
        else:
            row = line.row
            if now_ns >= row[1] or now_ns < row[0] or line.day is None:
                line.refresh(now_ns, may_be_slow)
                row = line.row
        _, until_ns, before, quote, found = row
        if stream.told is before and stream.quick_length == line.id_length and stream.day is line.day:
            stream.told, stream.quiet_until_ns = quote, until_ns
        else:
            found = _news(stream, may_be_slow)
            stream.quiet_until_ns = line.row[1] if _is_quiet(stream) else 0
        texts.append(found.replace(MARK, stream.id_text))
    return texts


def _news(stream: Stream, may_be_slow: Callable[[], bool]) -> Form:
    """What is new to a subscription."""
    line, told = stream.line, stream.told
    quote, day = line.quote, line.day
    if quote is None or not line.is_flowing:
        return ""
    found = ""
    if told is None or told.sequence != quote.sequence or stream.day is not day:
        if told is not None and stream.day is day and stream.quick_length > 0 and line.follows(told):
            found = line.next_form(stream.id_length)
            quote = line.quote
        elif not stream.asked.is_without_quotes:
            found = line.news_form(told, stream.day, stream.id_length)
        stream.told, stream.day = quote, day
    if stream.asked.given:
        found += form(_new_extras(stream, may_be_slow), len(stream.id_text))
    return found


def _is_quiet(stream: Stream) -> bool:
    """Whether there is nothing to tell until the next quote: it has been told all, and no more is to come."""
    line = stream.line
    return stream.told is line.quote and stream.day is line.day is not None and not stream.has_extras


def _new_extras(stream: Stream, may_be_slow: Callable[[], bool]) -> list[Tick]:
    """Generic ticks that the subscription has not been told."""
    ticks: list[Tick] = []
    for number in stream.asked.given:
        for tick in stream.line.generic(number, may_be_slow):
            if stream.extras.get(tick[:2]) != tick:
                stream.extras[tick[0], tick[1]] = tick
                ticks.append(tick)
    return ticks
