"""The fast decoder against a naive one: however the bytes are cut, the same values, the same lines touched, the same rest."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibstream_feed.adapters.ibkr_ticks import TickDecoder
from ibstream_feed.domain.line import DELAYED, LIVE, Line, Value

WATCHED = (1, 7, 12, 50, 2100)
"""Request ids; one is the number of a message, one begins with the digits of another."""
UNKNOWN = 99

BID, ASK, LAST, BID_SIZE, ASK_SIZE, LAST_SIZE, VOLUME = range(7)
PRICES = {b"1": (0, 3), b"2": (1, 4), b"4": (2, 5), b"66": (0, 3), b"67": (1, 4), b"68": (2, 5)}
SIZES = {b"0": 3, b"3": 4, b"5": 5, b"8": 6, b"69": 3, b"70": 4, b"71": 5, b"74": 6}
PRICE_OF_SIZE = {b"0": 0, b"3": 1, b"69": 0, b"70": 1}
FIELDS = {b"1": 7, b"2": 5, b"45": 5, b"57": 3, b"58": 4}
DROPPED = {b"21", b"46", b"81"}


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def frame(*fields: object) -> bytes:
    return framed(b"".join((one if isinstance(one, bytes) else str(one).encode()) + b"\0" for one in fields))


@dataclass
class Heard:
    """What a decoder has said, in order, and the lines that it wrote into."""

    lines: dict[int, Line] = field(default_factory=lambda: {one: Line(str(one), 0) for one in WATCHED})
    said: list[Any] = field(default_factory=list)

    def ticked(self, lines: Iterable[Line]) -> None:
        touched = list(lines)
        assert len(set(touched)) == len(touched), "a line is told twice of one read"
        for line in touched:
            line.known = line.values  # as the book does
        self.said.append((frozenset(line.symbol for line in touched), self.state()))

    def state(self) -> list[tuple[list[Value], int, bool]]:
        return [(line.values.copy(), line.data_type, line.halted) for line in self.lines.values()]


class Fast(Heard):
    """The decoder under test."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = TickDecoder(on_ticks=self.ticked, on_snapshot_end=self.said.append, on_other=self.said.append)
        for request_id, line in self.lines.items():
            line.begin()
            self.decoder.watch(request_id, line)

    @property
    def malformed(self) -> int:
        return self.decoder.malformed

    def feed(self, data: bytes) -> None:
        self.decoder.feed(data)


class Naive(Heard):
    """Frame by frame, field by field."""

    def __init__(self) -> None:
        super().__init__()
        self.rest = b""
        self.malformed = 0
        self.touched: list[Line] = []
        for line in self.lines.values():
            line.begin()

    def feed(self, data: bytes) -> None:
        self.rest += data
        while len(self.rest) >= 4:
            (length,) = struct.unpack(">I", self.rest[:4])
            if len(self.rest) < 4 + length:
                break
            body, self.rest = self.rest[4 : 4 + length], self.rest[4 + length :]
            self.take(body)
        self.tell()

    def tell(self) -> None:
        if self.touched:
            self.ticked(dict.fromkeys(self.touched))
            self.touched.clear()

    def take(self, body: bytes) -> None:
        kind, *_ = fields = body.split(b"\0")
        if kind in DROPPED:
            return
        if kind not in FIELDS:
            self.tell()
            self.said.append(framed(body))
        elif fields.pop() or len(fields) != FIELDS[kind]:
            self.malformed += 1
        else:
            line = {str(one).encode(): line for one, line in self.lines.items()}.get(fields[2])
            if line is not None:
                self.tick(line, kind, fields)

    def tick(self, line: Line, kind: bytes, fields: Sequence[bytes]) -> None:
        told = fields[3] if len(fields) > 3 else b""
        if kind == b"57":
            self.tell()
            self.said.append(int(fields[2]))
        elif kind == b"1" and told in PRICES and fields[4]:
            price, size = PRICES[told]
            has_none = price in (BID, ASK) and float(fields[5] or 0) == 0
            self.write(line, {price: b"-1" if has_none else fields[4], size: fields[5] or b"0"})
        elif kind == b"2" and told in SIZES:
            has_none = told in PRICE_OF_SIZE and float(fields[4] or 0) == 0
            self.write(line, {SIZES[told]: fields[4] or b"0"} | ({PRICE_OF_SIZE[told]: b"-1"} if has_none else {}))
        elif kind == b"58" or (kind == b"45" and told in (b"49", b"90")):
            self.state_told(line, kind, fields)

    def write(self, line: Line, values: dict[int, bytes]) -> None:
        for place, value in values.items():
            line.values[place] = value
        self.touched.append(line)

    def state_told(self, line: Line, kind: bytes, fields: Sequence[bytes]) -> None:
        before = line.data_type, line.halted
        try:
            if kind == b"58":
                line.data_type = int(fields[3])
            else:
                line.halted = float(fields[4]) > 0
        except ValueError:
            self.malformed += 1
        if before != (line.data_type, line.halted) and line.known is line.values:
            self.touched.append(line)


requests = st.sampled_from([*WATCHED, UNKNOWN])
numbers = st.one_of(
    st.sampled_from([b"", b"0", b"0.0", b"-1", b"-1.0", b"1", b"100", b"0.5", b"1.7976931348623157E308", b"9" * 260]),
    st.integers(0, 10**6).map(lambda one: str(one).encode()),
)
prices = st.builds(
    lambda *fields: frame(1, 6, *fields),
    requests,
    st.sampled_from([*PRICES, b"6", b"14"]),
    numbers,
    numbers,
    st.just(3),
)
sizes = st.builds(lambda *fields: frame(2, 6, *fields), requests, st.sampled_from([*SIZES, b"21", b"86"]), numbers)
texts = st.text("0123456789;.=\x01", max_size=70).map(str.encode)
states = st.one_of(
    st.builds(
        lambda *fields: frame(45, 6, *fields),
        requests,
        st.sampled_from([49, 90, 23]),
        st.sampled_from(["0", "1", "1.0", "-1", "2", "", "x"]),
    ),
    st.builds(lambda *fields: frame(58, 1, *fields), requests, st.sampled_from(["1", "2", "3", "4", "", "x"])),
    requests.map(lambda one: frame(57, 1, one)),
)
dropped = st.one_of(
    st.builds(lambda *fields: frame(46, 6, *fields), requests, st.sampled_from([45, 88]), texts),
    st.builds(lambda one, text: frame(21, one, 13, 0, text, "-2", "-1"), requests, texts),
    requests.map(lambda one: frame(81, one, "0.01", "9c0001", 3)),
)
fields_of_others = st.lists(st.binary(max_size=90).map(lambda one: one.replace(b"\0", b"")), max_size=8)
others = st.builds(
    lambda kind, fields: frame(kind, *fields),
    st.sampled_from([4, 9, 10, 15, 17, 20, 49, 99, 100, 12, 22]),
    fields_of_others,
)
filled = st.builds(
    lambda kind, length: framed(kind + b"\0" + b"7" * (length - len(kind) - 2) + b"\0"),
    st.sampled_from([b"4", b"1", b"2", b"46", b"10"]),
    st.sampled_from([10, 48, 49, 50, 57, 255, 256, 257, 304, 512, 768, 12_544]),
)
"""Lengths whose bytes look like digits, or like nothing."""
broken = st.one_of(
    st.builds(
        lambda kind, fields: frame(kind, *fields), st.sampled_from([1, 2, 45, 57, 58]), st.lists(numbers, max_size=8)
    ),
    st.binary(max_size=40).map(framed),
    st.builds(
        lambda kind, rest: framed(kind + rest),
        st.sampled_from([b"1\x006", b"2\x006\x001", b"2"]),
        st.binary(max_size=12),
    ),
    st.integers(0, 9).map(lambda count: framed(b"\0" * count)),
    st.one_of(prices, sizes, states).map(lambda one: framed(one[4:] + b"x")),
    st.one_of(prices, sizes, states).map(lambda one: framed(one[4:-1])),
)
any_frame = st.one_of(prices, sizes, prices, sizes, states, dropped, others, filled, broken)


@st.composite
def repeated(draw: st.DrawFn) -> list[bytes]:
    """Of a few frames, many: what is learnt at the first of its kind is used at the next."""
    few = draw(st.lists(any_frame, min_size=1, max_size=12))
    return draw(st.lists(st.sampled_from(few), min_size=8, max_size=60))


one_side = st.one_of(
    st.builds(
        lambda *fields: frame(1, 6, 1, *fields, 3),
        st.sampled_from([1, 66, 2]),
        st.sampled_from(["10.5", "10.6", "-1", ""]),
        st.sampled_from(["0", "5", "", "7"]),
    ),
    st.builds(
        lambda *fields: frame(2, 6, 1, *fields), st.sampled_from([0, 69, 3]), st.sampled_from(["0", "5", "", "7", "-0"])
    ),
)
"""Ticks of one book, close together: what a size of 0 does to a price, and what a price does after it."""
frames = st.one_of(
    repeated(),
    st.lists(one_side, min_size=8, max_size=60),
    st.lists(st.one_of(any_frame, one_side), max_size=40),
)


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Frames in a row, cut anywhere; the end of the last may be missing."""
    data = b"".join(draw(frames))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    ends = [*cuts, len(data)] if draw(st.booleans()) or not cuts else cuts
    return [data[start:end] for start, end in zip([0, *cuts], ends, strict=False)]


@settings(max_examples=400, deadline=None)
@given(streams())
def test_any_stream_however_cut_is_read_as_frame_by_frame(chunks: list[bytes]) -> None:
    """Values, lines touched, snapshots ended, messages handed on: the same, in the same order, at the end of every read."""
    fast, naive = Fast(), Naive()
    for chunk in chunks:
        fast.feed(chunk)
        naive.feed(chunk)
        assert fast.said == naive.said
        assert fast.state() == naive.state()
        assert fast.malformed == naive.malformed


@settings(max_examples=50, deadline=None)
@given(frames)
def test_byte_by_byte_is_as_good_as_at_once(each: list[bytes]) -> None:
    """In the end the same stands in the lines, and the same was handed on."""
    data = b"".join(each)
    whole, bytewise = Fast(), Fast()
    whole.feed(data)
    for at in range(len(data)):
        bytewise.feed(data[at : at + 1])
    assert whole.state() == bytewise.state()
    assert [one for one in whole.said if isinstance(one, bytes | int)] == [
        one for one in bytewise.said if isinstance(one, bytes | int)
    ]


def test_a_read_tells_each_line_once_with_its_newest_values() -> None:
    """Two ticks of one value are one touch; no number is read on the way."""
    fast = Fast()
    fast.feed(frame(1, 6, 1, 1, "10.5", 300, 3) + frame(2, 6, 1, 0, "400") + frame(2, 6, 7, 8, "12"))
    [(symbols, _)] = fast.said
    assert symbols == {"1", "7"}
    assert fast.lines[1].values[BID] == b"10.5"
    assert fast.lines[1].values[BID_SIZE] == b"400"
    assert fast.lines[7].values[VOLUME] == b"12"


def test_what_is_handed_on_comes_after_the_ticks_before_it() -> None:
    """A code that says that a line is lost must not be undone by a tick that came earlier."""
    fast = Fast()
    code = frame(4, 2, 1, 354, "not subscribed", "")
    fast.feed(frame(2, 6, 1, 0, 5) + code + frame(2, 6, 7, 0, 5))
    assert [one if isinstance(one, bytes) else set(one[0]) for one in fast.said] == [{"1"}, code, {"7"}]


@pytest.mark.parametrize("other", [frame(20, 6, 1, 0, "5"), frame(15, 6, 1, 1, "10.5", 300, 3)])
def test_another_message_with_the_fields_of_a_tick_is_handed_on(other: bytes) -> None:
    """Its number begins with that of a tick, and it is none."""
    fast = Fast()
    fast.feed(other * 2 + frame(49, 1, 1))
    assert fast.said == [other, other, frame(49, 1, 1)]


@pytest.mark.parametrize("again", [False, True])
def test_a_request_forgotten_is_written_no_more(again: bool) -> None:
    """Nor is its line through another's id: late ticks go nowhere, and a new request has its own."""
    fast = Fast()
    ticks = frame(1, 6, 1, 1, "10.5", 300, 3) + frame(2, 6, 1, 0, "400")
    fast.feed(ticks * 3)
    fast.decoder.forget(1)
    fast.said.clear()
    former = fast.lines[1]
    stood = former.values.copy()
    if again:
        fast.decoder.watch(1, fast.lines[7])
    fast.feed(frame(1, 6, 1, 1, "10.6", 300, 3) + frame(2, 6, 1, 0, "500"))
    assert former.values == stood
    assert fast.lines[7].values[BID_SIZE] == (b"500" if again else None)
    assert len(fast.said) == again


def test_a_size_of_zero_takes_the_price_with_it_until_one_comes() -> None:
    """As ib_async has it: a size alone does not bring an old price back."""
    fast = Fast()
    fast.feed(frame(1, 6, 1, 2, "10.5", 300, 3) + frame(2, 6, 1, 3, "0") + frame(2, 6, 1, 3, "200"))
    row = fast.lines[1].row()
    assert (row.ask, row.ask_size) == (None, 200.0)
    fast.feed(frame(1, 6, 1, 2, "10.6", 100, 3))
    row = fast.lines[1].row()
    assert (row.ask, row.ask_size) == (10.6, 100.0)


def test_a_line_that_says_only_its_state_is_not_touched_before_its_first_tick() -> None:
    """Its old values are still shown until then; after that a change alone is worth a row."""
    fast = Fast()
    fast.feed(frame(58, 1, 1, 3) + frame(45, 6, 1, 90, "1"))
    assert fast.said == []
    assert (fast.lines[1].data_type, fast.lines[1].halted) == (DELAYED, True)
    fast.feed(frame(2, 6, 1, 69, "5"))
    fast.feed(frame(58, 1, 1, 1))
    fast.feed(frame(58, 1, 1, 1))
    assert len(fast.said) == 2
    assert fast.lines[1].data_type == LIVE


def test_a_session_begins_with_the_rest_that_the_handshake_left() -> None:
    """The beginning of a frame was read already; nothing of the session before is."""
    fast = Fast()
    fast.feed(frame(2, 6, 1, 0, "400") * 2 + b"\0\0")
    tick = frame(2, 6, 7, 0, "500")
    fast.decoder.begin(tick[:6])
    fast.decoder.watch(7, fast.lines[7])
    fast.feed(tick[6:] + frame(2, 6, 1, 0, "600"))
    assert fast.lines[7].values[BID_SIZE] == b"500"
    assert fast.lines[1].values[BID_SIZE] == b"400"
