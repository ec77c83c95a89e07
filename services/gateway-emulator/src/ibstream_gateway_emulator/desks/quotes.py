"""Who is quoted what: subscriptions to the top of the book, and snapshots of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ibstream.calendar.sessions import is_open
from ibstream.simulation.market import Market
from ibstream.simulation.sessions import from_ns, to_ns
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.client import Client
from ibstream_gateway_emulator.desks.lines import Line, Place, Subject, shift_of
from ibstream_gateway_emulator.desks.slots import Slots
from ibstream_gateway_emulator.desks.streams import Stream
from ibstream_gateway_emulator.desks.telling import Teller
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import RequestError
from ibstream_gateway_emulator.domain.data_types import LIVE, Standing, standing
from ibstream_gateway_emulator.domain.extras import last_close
from ibstream_gateway_emulator.domain.generic_ticks import Asked
from ibstream_gateway_emulator.domain.ticks import Tick, message_of
from ibstream_gateway_emulator.faults.state import Faults
from ibstream_gateway_emulator.protocol.messages import MarketDataType, Message, TickReqParams, TickSnapshotEnd
from ibstream_gateway_emulator.settings import EmulatorSettings

SNAPSHOT_NS_MAX = 11 * NS_PER_S
"""A snapshot ends after this time, whatever is known by then."""
SLOW_PER_STEP = 128
"""So many first quotes, days' figures and other slow answers are computed in one step; the rest waits for the next, so that
hundreds of new subscriptions do not hold up orders."""
_BBO_EXCHANGE, _SNAPSHOT_PERMISSIONS = "9c0001", 3


class QuoteDesk:
    """All quotes of all clients.

    A step sends every subscription what is new to it since it was told last, at most `settings.ticks_per_second` messages in all.
    If the market makes more than that, subscriptions take turns, and what changed in the meantime is told as one change. If it
    makes less, the sizes of the book change between its ticks; prices, trades and volumes stay the market's.
    """

    def __init__(self, market: Market, settings: Callable[[], EmulatorSettings], faults: Faults, slots: Slots) -> None:
        self._market = market
        self._settings = settings
        self._faults = faults
        self._slots = slots
        self._streams: dict[Client, dict[int, Stream]] = {}
        self._lines: dict[Place, Line] = {}
        self._wanted: dict[Client, int] = {}
        self._snapshots: dict[Stream, int] = {}
        self._objected: set[Stream] = set()
        self._teller = Teller(settings)
        self._slow_left = SLOW_PER_STEP
        self._was_calm = True

    @property
    def told(self) -> int:
        """Tick messages sent to all subscriptions since the start."""
        return self._teller.told

    @property
    def is_settled(self) -> bool:
        """Whether all that takes long for new subscriptions is done."""
        return all(line.quote is not None and not line.wants_day for line in self._lines.values())

    def want(self, client: Client, data_type: int) -> None:
        """The client's requests from now on ask for data of this type."""
        self._wanted[client] = data_type

    def is_used(self, client: Client, req_id: int) -> bool:
        """Whether the client has a subscription under this request id."""
        return req_id in self._streams.get(client, {}) or any(
            one.client is client and one.req_id == req_id for one in self._snapshots
        )

    def subscriptions(self) -> list[Stream]:
        """All subscriptions: client by client, the oldest first."""
        return [stream for streams in self._streams.values() for stream in streams.values()]

    def count(self, client: Client) -> int:
        """How many subscriptions the client has."""
        return len(self._streams.get(client, {}))

    def subscribe(self, client: Client, req_id: int, subject: Subject, asked: Asked, now_ns: int) -> Iterator[Message]:
        """Quotes from now on. Raises `RequestError` with 101 where all lines are in use, or why there is no data."""
        stream = self._stream(client, req_id, subject, asked, now_ns)
        if stream.standing.is_refused and stream.standing.notice is not None:
            raise RequestError(stream.standing.notice)
        self._slots.take(subject.key)
        self._enter(stream)
        yield from self._opening(stream)
        if self._has_quotes(stream) and (stream.line.quote is not None or self._may_be_slow()):
            stream.line.advance(now_ns)
            if stream.line.wants_day and self._may_be_slow():
                stream.line.open_day()
            ticks = self._first(stream)
            self._teller.told_apart(len(ticks))
            yield from (message_of(req_id, tick) for tick in ticks)

    def snapshot(self, client: Client, req_id: int, subject: Subject, now_ns: int) -> Iterator[Message]:
        """One quote and the end of it; at once where quotes flow, else when they do or time is over."""
        stream = self._stream(client, req_id, subject, Asked(), now_ns)
        if stream.standing.is_refused and stream.standing.notice is not None:
            raise RequestError(stream.standing.notice)
        yield from self._opening(stream)
        if self._has_quotes(stream):
            yield from self._snapped(stream, now_ns)
        else:
            self._snapshots[stream] = now_ns + SNAPSHOT_NS_MAX

    def cancel(self, client: Client, req_id: int) -> None:
        """No more quotes under that id. Raises `RequestError` with 300 if there are none."""
        stream = self._streams.get(client, {}).pop(req_id, None)
        if stream is not None:
            self._forget(stream)
            return
        waiting = [one for one in self._snapshots if one.client is client and one.req_id == req_id]
        if not waiting:
            raise RequestError(codes.no_such_ticker(req_id))
        del self._snapshots[waiting[0]]

    def forget(self, client_id: int | None, symbol: str | None, count: int | None) -> int:
        """End subscriptions that fit, the oldest of a client's first, without a word; how many that were."""
        found = [
            stream
            for stream in self.subscriptions()
            if client_id in (None, stream.client.client_id) and symbol in (None, stream.subject.key)
        ][:count]
        for stream in found:
            del self._streams[stream.client][stream.req_id]
            self._forget(stream)
        return len(found)

    def leave(self, client: Client) -> None:
        """Forget a client that has gone."""
        for stream in self._streams.pop(client, {}).values():
            self._forget(stream)
        for stream in [one for one in self._snapshots if one.client is client]:
            del self._snapshots[stream]
        self._wanted.pop(client, None)
        self._teller.leave(client)

    def step(self, now_ns: int) -> None:
        """Send every client what it has not seen yet."""
        self._slow_left = SLOW_PER_STEP
        self._review(now_ns)
        self._let_flow()
        self._teller.step(now_ns, self.subscriptions, self._may_be_slow)
        self._end_snapshots(now_ns)

    # Coming and going.

    def _stream(self, client: Client, req_id: int, subject: Subject, asked: Asked, now_ns: int) -> Stream:
        wanted = self._wanted.get(client, LIVE)
        given = self._standing(client, subject, wanted, now_ns)
        return Stream(client, req_id, subject, asked, wanted, self._line(subject, given, now_ns), given)

    def _enter(self, stream: Stream) -> None:
        self._streams.setdefault(stream.client, {})[stream.req_id] = stream
        self._hold(stream)
        self._teller.streams_changed()

    def _forget(self, stream: Stream) -> None:
        self._slots.free(stream.subject.key)
        self._release(stream)
        self._objected.discard(stream)
        self._teller.streams_changed()

    def _line(self, subject: Subject, given: Standing, now_ns: int) -> Line:
        """The line of this subject and kind of data; `_hold` keeps it."""
        closed_ns = self._closed_ns(subject, now_ns) if given.is_frozen else None
        place = (subject.key, given.data_type, closed_ns or 0)
        known = self._lines.get(place)
        if known is not None:
            return known
        delayed_types = self._settings().delayed_tick_types
        line = Line(place, subject, self._market, given, shift_of(given, closed_ns), delayed_types=delayed_types)
        line.is_halted = self._faults.is_halted(subject.key)
        return line

    def _hold(self, stream: Stream) -> None:
        line = stream.line
        line.readers += 1
        self._lines.setdefault(line.place, line)
        if stream.standing.notice is not None:
            self._objected.add(stream)

    def _release(self, stream: Stream) -> None:
        stream.line.readers -= 1
        if not stream.line.readers:
            self._lines.pop(stream.line.place, None)

    # What is permitted.

    def _standing(self, client: Client, subject: Subject, wanted: int, now_ns: int) -> Standing:
        objection = self._faults.objection_to_quotes(client.client_id, subject.key)
        return standing(wanted, objection, is_closed=self._closed_ns(subject, now_ns) is not None)

    def _closed_ns(self, subject: Subject, now_ns: int) -> int | None:
        """When the exchange closed; None while it is open, or where hours do not count."""
        if self._settings().market_hours == "always" or subject.listing is None:
            return None
        at = from_ns(now_ns)
        if is_open(subject.listing.hours, at, extended=True):
            return None
        return to_ns(last_close(subject.listing, at)) - 1

    def _review(self, now_ns: int) -> None:
        """Tell those whose permission has changed, and give them what they have a right to now."""
        if not self._objected and self._is_calm():
            return
        for streams in list(self._streams.values()):
            for stream in list(streams.values()):
                self._review_one(stream, now_ns)

    def _review_one(self, stream: Stream, now_ns: int) -> None:
        given = self._standing(stream.client, stream.subject, stream.wanted, now_ns)
        if given == stream.standing:
            return
        self._release(stream)
        stream.restart(given, self._line(stream.subject, given, now_ns))
        self._objected.discard(stream)
        self._hold(stream)
        stream.client.outlet.send(self._opening(stream))

    def _opening(self, stream: Stream) -> Iterator[Message]:
        given, listing = stream.standing, stream.subject.listing
        if given.notice is not None:
            yield given.notice.about(stream.req_id)
        if stream.asked.is_part_missing:
            # What a Gateway says of a part of the data that is not to be had; the other ticks flow.
            yield codes.PART_NOT_SUBSCRIBED.about(stream.req_id)
        if given.data_type is not None:
            yield MarketDataType(stream.req_id, given.data_type)
            if listing is not None and given.notice is None:
                yield TickReqParams(stream.req_id, listing.min_tick, _BBO_EXCHANGE, _SNAPSHOT_PERMISSIONS)

    def _has_quotes(self, stream: Stream) -> bool:
        return stream.standing.data_type is not None and self._faults.has_quotes(stream.subject.key)

    # What is told.

    def _first(self, stream: Stream) -> list[Tick]:
        line = stream.line
        ticks = line.news(None, None)
        stream.told, stream.day = line.quote, line.day
        return [] if stream.asked.is_without_quotes else ticks

    def _snapped(self, stream: Stream, now_ns: int) -> Iterator[Message]:
        stream.line.advance(now_ns)
        stream.line.open_day()
        for tick in self._first(stream):
            yield message_of(stream.req_id, tick)
        yield TickSnapshotEnd(stream.req_id)

    def _end_snapshots(self, now_ns: int) -> None:
        for stream, deadline_ns in list(self._snapshots.items()):
            if self._has_quotes(stream):
                stream.client.outlet.send(self._snapped(stream, now_ns))
            elif now_ns >= deadline_ns:
                stream.client.outlet.send([TickSnapshotEnd(stream.req_id)])
            else:
                continue
            del self._snapshots[stream]

    def _let_flow(self) -> None:
        """Note which lines stand still by a fault, while there is one and once after."""
        is_calm = self._is_calm()
        if is_calm and self._was_calm:
            return
        self._was_calm = is_calm
        for line in self._lines.values():
            line.look_ahead_no_more()
            line.is_flowing = line.standing.data_type is not None and self._faults.quotes_flow(line.subject.key)
            if line.is_halted != self._faults.is_halted(line.subject.key):
                line.is_halted = not line.is_halted
                self._tell_halt(line)

    def _tell_halt(self, line: Line) -> None:
        """Say that a halt begins or ends, to who has heard of the instrument; the others hear it with their first quote."""
        for stream in self.subscriptions():
            if stream.line is line and stream.told is not None:
                self._teller.told_apart(1)
                stream.client.outlet.send([message_of(stream.req_id, tick) for tick in line.halt()])

    def _is_calm(self) -> bool:
        """Whether nothing is wrong, so that no fault need be asked for line by line."""
        return next(iter(self._faults.in_force()), None) is None

    def _may_be_slow(self) -> bool:
        """Whether one more thing that takes long may be done in this step; if so, it counts."""
        if not self._slow_left:
            return False
        self._slow_left -= 1
        return True
