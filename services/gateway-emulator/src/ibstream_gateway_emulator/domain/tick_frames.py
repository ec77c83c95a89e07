"""Ticks as frames, for subscriptions by the thousand: everything but the request id is written once for all who are told it.

A `Form` is the text of some frames with `MARK` in place of each request id: `form.replace(MARK, id)` is what one subscription
is sent, `form.count(MARK)` how many messages that is. Text is Latin-1 throughout, so that a character is a byte and the length
before each frame is one too. The frames are those that `protocol.encode` makes of the messages; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TypeVar

from ibstream.simulation.quotes import Quote
from ibstream.simulation.tree import NS_PER_S
from ibstream_gateway_emulator.domain.ticks import (
    ASK,
    ASK_SIZE,
    AUTO_EXECUTE,
    BID,
    BID_SIZE,
    GENERIC,
    LAST,
    LAST_SIZE,
    LAST_TIMESTAMP,
    NO_ATTRIBUTES,
    NO_PRICE,
    OPTION,
    PRICE,
    SIZE,
    STRING,
    VOLUME,
    Kind,
    Tick,
)

Form = str
"""Frames with `MARK` for the request ids."""

MARK = "\x01"
"""Nowhere else in a tick: its fields are printed characters, and no tick is as short as one byte."""
TICK_BYTES_MAX = 255
"""The longest tick; the three upper bytes of a frame's length are always 0."""
ENCODING = "latin-1"

BEGINNING = "\0\0\0"
"""How each frame begins, and nowhere else in frames of ticks: none of their fields is empty."""
PRICE_CHARACTERS_MAX = 24
"""No float is longer."""
SIZE_STEPS = 10
"""How many sizes there are in a table of `size_frames`."""
KEPT_MAX = 1 << 16
"""So many texts of each sort are kept; then they are forgotten, and written anew as they are needed."""

_HEADS = {PRICE: "1\x006\x00", SIZE: "2\x006\x00", OPTION: "21\x00", GENERIC: "45\x006\x00", STRING: "46\x006\x00"}

K = TypeVar("K", int, float)
V = TypeVar("V")


@cache
def _openings(message: int, id_length: int) -> tuple[str, ...]:
    """What comes before the fields of a frame, the request id's mark included, by how many characters come after that."""
    head = _HEADS[message]
    taken = len(head) + id_length
    return tuple("\0\0\0" + chr(length) + head + MARK for length in range(taken, TICK_BYTES_MAX + 1))


def form(ticks: Iterable[Tick], id_length: int) -> Form:
    """The frames of `ticks` for request ids of `id_length` digits."""
    return "".join([_frame(tick[0], "\0" + "\0".join(map(str, tick[1:])) + "\0", id_length) for tick in ticks])


def _frame(message: int, fields: str, id_length: int) -> Form:
    return _openings(message, id_length)[len(fields)] + fields


class _Kept(dict[K, V]):
    """What `make` makes of a key, kept for the next time."""

    def __init__(self, make: Callable[[K], V]) -> None:
        super().__init__()
        self._make: Callable[[K], V] = make

    def __missing__(self, key: K) -> V:
        if len(self) >= KEPT_MAX:
            self.clear()
        made: V = self._make(key)
        self[key] = made
        return made


_price_texts: _Kept[float, str] = _Kept(str)


Around = tuple[tuple[str, ...], str]
"""What comes before a price, by the length of the price's text, and what comes after it."""


class _Side:
    """Frames of one price and its size, put together from parts, since every price and size comes again and again."""

    def __init__(self, price_type: int, size_type: int, attributes: int, id_length: int) -> None:
        between = f"\0{price_type}\0"
        heads = tuple(opening + between for opening in _openings(PRICE, id_length)[len(between) :])

        def size_form(size: int) -> Form:
            return _frame(SIZE, f"\0{size_type}\0{size}\0", id_length)

        def alone(size: int) -> Around:
            rest = f"\0{size}\0{attributes}\0"
            return heads[len(rest) : len(rest) + PRICE_CHARACTERS_MAX + 1], rest

        def pair(size: int) -> Around:
            before, rest = alone(size)
            return before, rest + self.sizes[size]

        self.alone: _Kept[int, Around] = _Kept(alone)
        """By size, what is around a price that has this size."""
        self.pairs: _Kept[int, Around] = _Kept(pair)
        """The same with the frame of the size behind it."""
        self.sizes: _Kept[int, Form] = _Kept(size_form)
        """By size, its frame."""


class Shapes:
    """The parts of the frames of quotes, for request ids of one length."""

    def __init__(self, id_length: int) -> None:
        self.bid = _Side(BID, BID_SIZE, AUTO_EXECUTE, id_length)
        self.ask = _Side(ASK, ASK_SIZE, AUTO_EXECUTE, id_length)
        self.last = _Side(LAST, LAST_SIZE, NO_ATTRIBUTES, id_length)
        self.seconds: _Kept[int, Form] = _Kept(
            lambda second: _frame(STRING, f"\0{LAST_TIMESTAMP}\0{second}\0", id_length)
        )
        between = f"\0{VOLUME}\0"
        self.volumes = tuple(opening + between for opening in _openings(SIZE, id_length)[len(between) + 1 :])
        """What comes before a volume, by its length."""


@cache
def shapes(id_length: int) -> Shapes:
    """The one and only for a length."""
    return Shapes(id_length)


def quote_form(quote: Quote, told: Quote, kind: Kind, parts: Shapes) -> Form:
    """The same as `form(quote_ticks(quote, told, kind), id_length)`."""
    return quote_forms((told, quote), kind, parts)[0]


def quote_forms(quotes: Sequence[Quote], kind: Kind, parts: Shapes) -> list[Form]:  # noqa: C901 - no calls inside
    """What leads from each quote to the next: one form less than there are quotes.

    Nearly all ticks come by here. So it is one loop, which looks at each field of a quote once.
    """
    forms: list[Form] = []
    has_book, has_trades, has_volume = kind.has_book, kind.has_trades, kind.has_volume
    texts, seconds, volumes = _price_texts, parts.seconds, parts.volumes
    bid_pairs, bid_sizes, ask_pairs, ask_sizes = parts.bid.pairs, parts.bid.sizes, parts.ask.pairs, parts.ask.sizes
    trades, last_sizes = parts.last.pairs if has_volume else parts.last.alone, parts.last.sizes
    told = quotes[0]
    bid, bid_size, ask, ask_size = told.bid, told.bid_size, told.ask, told.ask_size
    second, last, last_size, volume = told.time_ns // NS_PER_S, told.last, told.last_size, told.volume
    for quote in quotes[1:]:
        found = ""
        if has_book:
            price, size = quote.bid, quote.bid_size
            if price != bid or (size == 0) is not (bid_size == 0):
                before, after = bid_pairs[size]
                text = texts[price if size else NO_PRICE]
                found = f"{before[len(text)]}{text}{after}"
                bid, bid_size = price, size
            elif size != bid_size:
                found = bid_sizes[size]
                bid_size = size
            price, size = quote.ask, quote.ask_size
            if price != ask or (size == 0) is not (ask_size == 0):
                before, after = ask_pairs[size]
                text = texts[price if size else NO_PRICE]
                found = f"{found}{before[len(text)]}{text}{after}"
                ask, ask_size = price, size
            elif size != ask_size:
                found += ask_sizes[size]
                ask_size = size
        if has_trades:
            now, price, size = quote.time_ns // NS_PER_S, quote.last, quote.last_size
            if now != second:
                found += seconds[now]
                second = now
            if price != last:
                before, after = trades[size]
                text = texts[price]
                found = f"{found}{before[len(text)]}{text}{after}"
                last, last_size = price, size
            elif has_volume and size != last_size:
                found += last_sizes[size]
                last_size = size
            if has_volume and quote.volume != volume:
                volume = quote.volume
                text = str(volume)
                found = f"{found}{volumes[len(text)]}{text}\0"
        forms.append(found)
    return forms


def size_frames(req_id: str, unit: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Frames of the bid sizes and of the ask sizes `unit`, 2 `unit` ... 10 `unit`, ready to be sent."""
    bids, asks = (
        tuple(
            form([(SIZE, tick_type, unit * step)], len(req_id)).replace(MARK, req_id)
            for step in range(1, SIZE_STEPS + 1)
        )
        for tick_type in (BID_SIZE, ASK_SIZE)
    )
    return bids, asks
