"""What is quoted: one line per instrument and kind of data, whoever and however many are told it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ibstream.simulation.extents import TimedQuote
from ibstream.simulation.hashing import splitmix64, stable_hash
from ibstream.simulation.instruments import Listing
from ibstream.simulation.market import Market
from ibstream.simulation.quotes import DayStatistics, Quote, Side
from ibstream.simulation.sessions import day_window, new_york_date
from ibstream_gateway_emulator.domain.ahead import NO_ROW, Row, are_within, how_many, rows
from ibstream_gateway_emulator.domain.book_sizes import BookSizes
from ibstream_gateway_emulator.domain.combinations import QuoteAt
from ibstream_gateway_emulator.domain.data_types import DELAY_NS, Standing
from ibstream_gateway_emulator.domain.extras import QUICK, SLOW, Known
from ibstream_gateway_emulator.domain.tick_frames import Form, form, quote_form, shapes
from ibstream_gateway_emulator.domain.ticks import (
    ASK_GREEKS,
    BID_GREEKS,
    LAST_GREEKS,
    MODEL_GREEKS,
    Kind,
    Tick,
    day_ticks,
    delayed,
    greek_tick,
    halted_tick,
    quote_ticks,
)

MISSED_MAX = 64
"""So many ticks between two steps are looked at one by one for a new high or low; after more the day is computed anew."""
_UNITS = {"CASH": 500_000, "FUT": 1, "OPT": 1}
_SHARES = 100

_GREEKS: tuple[tuple[int, Side], ...] = (
    (BID_GREEKS, "bid"),
    (ASK_GREEKS, "ask"),
    (LAST_GREEKS, "last"),
    (MODEL_GREEKS, "model"),
)

COMBINATION = Kind(has_trades=False, has_volume=False, has_day=False)


def kind_of(listing: Listing) -> Kind:
    """What is told of an instrument."""
    return Kind(
        has_book=listing.has_book,
        has_trades=listing.has_trades,
        has_volume=listing.has_trades and listing.has_book,
    )


class Subject(msgspec.Struct, frozen=True):
    """What a line is about: an instrument, or a combination of some."""

    key: str
    kind: Kind
    quote_at: QuoteAt
    listing: Listing | None = None
    """None for a combination."""

    @property
    def security_type(self) -> str:
        """As IBKR names it."""
        return "BAG" if self.listing is None else self.listing.security_type


Place = tuple[str, int | None, int]
"""What tells lines apart: the subject's key, the market data type, and the moment that is frozen, if one is."""


Shift = Callable[[int], int]
"""What moment is shown at a time, both in nanoseconds since the epoch; None: the same."""


class Line:
    """The quote of one subject as it stands, and what of it is new since any earlier one, ready to be sent."""

    def __init__(
        self,
        place: Place,
        subject: Subject,
        market: Market,
        standing: Standing,
        shift: Shift | None,
        *,
        delayed_types: bool = True,
    ) -> None:
        self.place = place
        self.subject = subject
        self.kind = subject.kind
        self.standing = standing
        self.row: Row = NO_ROW
        """What stands, with the frames that lead to it where they were read ahead."""
        self.rows: list[Row] = [NO_ROW]
        self.next_row = 0
        """Where in `rows` that goes on, once the next one begins."""
        self.id_length = 0
        """How long the request ids are that the frames are for; 0 where nothing was read ahead."""
        self.is_within_day = False
        """Whether `rows` change nothing in the day's figures."""
        self.day: DayStatistics | None = None
        """None until it is needed, and anew after midnight."""
        self.readers = 0
        """How many subscriptions there are."""
        self.is_flowing = standing.data_type is not None
        """Whether anything comes at the moment."""
        self.is_halted = False
        """Whether trading is halted."""
        salt = splitmix64(market.seed ^ stable_hash(subject.key))
        self.sizes = BookSizes(_UNITS.get(subject.security_type, _SHARES), salt)
        self._market = market
        self._source = _always_new(subject.quote_at) if subject.listing is None else market.source(subject.key)
        self._shift = shift
        self._is_renamed = standing.is_delayed and delayed_types
        self._is_plain = shift is None and not standing.is_delayed and subject.security_type not in ("OPT", "BAG")
        self._phase = salt
        self._before: Quote | None = None
        """The quote before the one that stands, if none was missed."""
        self._day_ends_ns = 0
        self._news: tuple[Quote, Quote | None, DayStatistics | None, int] | None = None
        self._form: Form = ""
        self._quick: tuple[Quote | None, dict[int, list[Tick]]] = (None, {})
        self._slow: dict[int, tuple[int, list[Tick]]] = {}

    @property
    def quote(self) -> Quote | None:
        """The quote that stands. None until the first is needed; that one costs more than all others."""
        return self.row[3]

    def refresh(self, now_ns: int, may_be_slow: Callable[[], bool]) -> None:
        """Take the quote that stands now and the day's figures; not yet what takes long if there is no time now."""
        if not self.is_flowing or (self.quote is None and not may_be_slow()):
            return
        self.advance(now_ns)
        if self.wants_day and may_be_slow():
            self.open_day()

    def advance(self, now_ns: int) -> None:
        """Take the quote that stands now."""
        if self.row[0] <= now_ns < self.row[1] or (self.is_halted and self.quote is not None):
            return
        row, told = self.rows[self.next_row], self.quote
        if row[0] <= now_ns < row[1]:
            self.row = row
            self.next_row += 1
        else:
            self._look(now_ns)
        if told is not None and self.quote is not None and not self.is_within_day:
            self._extend_day(told, self.quote)

    def _look(self, now_ns: int) -> None:
        """Take the quote that stands now, which has not been read ahead."""
        shift, told = self._shift, self.quote
        since_ns, until_ns, quote = self._source(now_ns if shift is None else shift(now_ns))
        if shift is not None:
            since_ns, until_ns = now_ns, now_ns + 1
        if told is not None and quote.sequence == told.sequence:
            self.row = (since_ns, until_ns, None, told, "")
            return
        is_next = told is not None and quote.sequence == told.sequence + 1
        self._before = told if is_next and self._is_plain else None
        self.row = (since_ns, until_ns, None, quote, "")
        self.look_ahead_no_more()

    def look_ahead_no_more(self) -> None:
        """Forget what was read ahead."""
        self.rows, self.next_row, self.id_length, self.is_within_day = [NO_ROW], 0, 0, False

    def follows(self, told: Quote) -> bool:
        """Whether the quote that stands is the one after this one and nothing else is to come: `next_form` can tell it."""
        return told is self._before and self.day is not None and not self.id_length

    def next_form(self, id_length: int) -> Form:
        """What leads to the quote that stands from the one before, without the day's figures.

        Who asks for this was told two quotes in a row, and will be told the next ones, too. So they are read ahead.
        """
        before, quote, since_ns = self._before, self.quote, self.row[0]
        if before is None or quote is None:
            raise AssertionError(f"{self.subject.key} has no two quotes in a row")
        run = self._market.run(self.subject.key, since_ns, how_many(quote.sequence, self._phase))
        run[1][0] = quote
        self.rows, self.next_row, self.id_length = rows(before, run, self.kind, id_length), 1, id_length
        self.row = self.rows[0]
        self.is_within_day = are_within(run[1], self.day, self._day_ends_ns)
        return self.row[4]

    def _extend_day(self, told: Quote, quote: Quote) -> None:
        if self.day is not None and quote is not told:
            self.day = self._extended(self.day, told, quote)
            if self.day is None:
                self.look_ahead_no_more()

    def open_day(self) -> None:
        """Compute the day's figures if they are not known; they cost as much as many quotes."""
        quote = self.quote
        if self.day is None and quote is not None and self.kind.has_day:
            self.day = self._market.day(self.subject.key, quote.time_ns)
            self._day_ends_ns = day_window(new_york_date(quote.time_ns))[1]

    @property
    def wants_day(self) -> bool:
        """Whether the day's figures are still to be computed."""
        return self.day is None and self.kind.has_day

    def news(self, told: Quote | None, day: DayStatistics | None) -> list[Tick]:
        """The ticks that lead from what was told to what stands now."""
        quote = self.quote
        if quote is None:
            return []
        ticks: list[Tick] = []
        if told is None and self.subject.security_type != "BAG":
            ticks.append(halted_tick(is_halted=self.is_halted))
        ticks += quote_ticks(quote, told, self.kind)
        if self.day is not None and self.day is not day:
            ticks += day_ticks(self.day, day)
        if self.subject.security_type == "OPT":
            ticks += self._greeks(quote)
        return delayed(ticks) if self._is_renamed else ticks

    def halt(self) -> list[Tick]:
        """Whether trading is halted, told by itself."""
        ticks = [halted_tick(is_halted=self.is_halted)]
        return delayed(ticks) if self._is_renamed else ticks

    def news_form(self, told: Quote | None, day: DayStatistics | None, id_length: int) -> Form:
        """The same as frames for request ids of that length. Written once for all that were told the same."""
        quote, known = self.quote, self._news
        if quote is None:
            return ""
        if (
            known is None
            or known[0] is not quote
            or known[1] is not told
            or known[2] is not day
            or known[3] != id_length
        ):
            if told is not None and day is self.day and self._is_plain:
                self._form = quote_form(quote, told, self.kind, shapes(id_length))
            else:
                self._form = form(self.news(told, day), id_length)
            self._news = (quote, told, day, id_length)
        return self._form

    def generic(self, number: int, may_be_slow: Callable[[], bool]) -> list[Tick]:
        """What the market says to a number of the generic tick list; nothing yet where it takes long and there is no time now.

        Delayed data has no such ticks, a combination neither.
        """
        quote, day, listing = self.quote, self.day, self.subject.listing
        if quote is None or day is None or listing is None or self.standing.is_delayed:
            return []
        if self._quick[0] is not quote:
            self._quick = (quote, {})
        quick = self._quick[1]
        known = quick.get(number)
        if known is not None:
            return known
        if number in SLOW:
            computed, known = self._slow.get(number, (0, []))
            if computed == self._day_ends_ns or not may_be_slow():
                return known
            self._slow[number] = self._day_ends_ns, SLOW[number](Known(self._market, listing, quote, day))
            return self._slow[number][1]
        known = quick[number] = QUICK[number](Known(self._market, listing, quote, day))
        return known

    def next_sizes(self, count: int) -> tuple[list[int], list[int]]:
        """Bid and ask sizes, in steps from 0 to 9, of the next `count` changes between the market's last tick and its next."""
        return self.sizes.next(self._known_quote(), count)

    def resized(self, bid_step: int, ask_step: int) -> Quote:
        """The quote that stands, with sizes of `next_sizes`."""
        return self.sizes.resized(self._known_quote(), bid_step, ask_step)

    def _known_quote(self) -> Quote:
        if self.quote is None:
            raise AssertionError(f"{self.subject.key} has no quote whose sizes could change")
        return self.quote

    def _extended(self, day: DayStatistics, told: Quote, quote: Quote) -> DayStatistics | None:
        """The day's figures with all that was traded since `told`; None if they must be computed anew."""
        if quote.time_ns >= self._day_ends_ns or not 0 < quote.sequence - told.sequence <= MISSED_MAX:
            return None
        high, low = max(day.high, quote.last), min(day.low, quote.last)
        if quote.sequence - told.sequence > 1:
            for missed in self._market.quotes(self.subject.key, told.time_ns + 1, quote.time_ns):
                high, low = max(high, missed.last), min(low, missed.last)
        if (high, low) == (day.high, day.low):
            return day
        return DayStatistics(day.open, high, low, day.previous_close)

    def _greeks(self, quote: Quote) -> list[Tick]:
        key, time_ns = self.subject.key, quote.time_ns
        found = [(tick_type, self._market.greeks(key, time_ns, side)) for tick_type, side in _GREEKS]
        return [greek_tick(tick_type, greeks) for tick_type, greeks in found if greeks is not None]


def _always_new(quote_at: QuoteAt) -> Callable[[int], TimedQuote]:
    return lambda time_ns: (time_ns, time_ns + 1, quote_at(time_ns))


def shift_of(standing: Standing, closed_ns: int | None) -> Shift | None:
    """What moment a line shows; the last close where it is frozen and there was one."""
    if standing.is_frozen and closed_ns is not None:
        frozen_ns = closed_ns
        return lambda _: frozen_ns
    return _a_quarter_of_an_hour_before if standing.is_delayed else None


def _a_quarter_of_an_hour_before(now_ns: int) -> int:
    return now_ns - DELAY_NS
