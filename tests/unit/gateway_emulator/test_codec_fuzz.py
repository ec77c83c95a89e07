"""Nonsense ends in a `ProtocolError` or a `FieldError`, and is refused before memory is spent on it."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibstream_gateway_emulator.protocol.base import encode
from ibstream_gateway_emulator.protocol.errors import FieldError, ProtocolError
from ibstream_gateway_emulator.protocol.framing import (
    FIELDS_MAX,
    FRAME_BYTES_MAX,
    HELLO_BYTES_MAX,
    Frame,
    FrameReader,
    FrameSplitter,
    Hello,
    frame,
    split_fields,
)
from ibstream_gateway_emulator.protocol.handshake import negotiate
from ibstream_gateway_emulator.protocol.requests import (
    REQUESTS,
    ReqMatchingSymbols,
    read_request,
    request_id,
    write_request,
)
from ibstream_gateway_emulator.protocol.table import MESSAGES, decode_message

HELLO = b"API\0" + struct.pack(">I", 9) + b"v157..178"
MEMORY_BYTES_MAX = 1_000_000
"""What a refusal may cost, whatever the message claims to hold."""
AAPL = ("265598", "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")
BAG = ("0", "SPY", "BAG", "", "0.0", "", "", "SMART", "", "USD", "", "")

nasty = st.sampled_from(
    [
        "",
        "0",
        "1",
        "-1",
        "3",
        "2147483647",
        "2147483648",
        "-2147483648",
        "1E999999",
        "nan",
        "Infinite",
        "1_0",
        "٣",
        "None",
        "BAG",
    ]
) | st.text(max_size=6)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"", b"API\0", HELLO, HELLO + frame(("71", "2", "1", ""))]), st.binary(max_size=300))
def test_any_bytes_become_requests_or_end_the_connection(opening: bytes, noise: bytes) -> None:
    reader = FrameReader()
    with contextlib.suppress(ProtocolError):
        for inbound in reader.feed(opening + noise):
            if isinstance(inbound, Hello):
                negotiate(inbound)
                continue
            request_id(inbound.fields)
            with contextlib.suppress(FieldError):
                read_request(inbound.fields, 178)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(REQUESTS)), st.lists(nasty, max_size=130), st.integers(176, 178))
def test_any_fields_become_a_request_that_can_be_written_or_are_refused(
    kind: int, fields: list[str], version: int
) -> None:
    with contextlib.suppress(FieldError):
        request = read_request((str(kind), *fields), version)
        assert request is not None
        assert write_request(request, version)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(MESSAGES)), st.lists(nasty, max_size=130), st.integers(164, 178))
def test_any_fields_become_a_message_that_can_be_written_or_are_refused(
    kind: int, fields: list[str], version: int
) -> None:
    with contextlib.suppress(FieldError):
        message = decode_message((str(kind), *fields), version)
        assert message is not None
        assert encode(message, version)


def test_messages_of_versions_too_old_are_refused() -> None:
    with pytest.raises(FieldError, match="163"):
        decode_message(("9", "1", "1"), 163)


def test_a_text_with_a_nul_is_not_written() -> None:
    """It would end its field, and all behind it would be read in the wrong place."""
    with pytest.raises(FieldError, match="NUL"):
        write_request(ReqMatchingSymbols(7, "A\0A"), 178)


ORDER_HEAD = (
    "3",
    "7",
    *BAG,
    "",
    "",
    "BUY",
    "1",
    "LMT",
    "",
    "",
    "DAY",
    "",
    "",
    "",
    "0",
    "",
    "1",
    "0",
    "0",
    "0",
    "0",
    "0",
    "0",
    "0",
)
"""placeOrder up to where the number of legs follows."""


@pytest.mark.parametrize("count", ["2147483647", "2147483648", "1000000", "-1", "4"])
@pytest.mark.parametrize(
    "head",
    [
        ORDER_HEAD,
        (*ORDER_HEAD, "0"),
        (*ORDER_HEAD, "0", "0"),
        ("1", "11", "7", *BAG),
        ("20", "7", *BAG, "0", "", "1 min", "1 D", "1", "TRADES", "1"),
    ],
    ids=["legs", "leg prices", "routing parameters", "legs of a quote", "legs of bars"],
)
def test_a_count_that_the_message_has_no_room_for_is_refused_at_once(head: tuple[str, ...], count: str) -> None:
    fields = (*head, count, "1", "1", "BUY")
    with refused_cheaply(), pytest.raises(FieldError, match=r"items|32 bits"):
        read_request(fields, 178)


@pytest.mark.parametrize(
    "head", [("17", "7", "", ""), ("79", "7"), ("93", "26"), ("106", "7", "", "", ""), ("98", "7")]
)
@pytest.mark.parametrize("count", ["2147483647", "-1", "9"])
def test_the_same_holds_for_messages_of_a_server(head: tuple[str, ...], count: str) -> None:
    with refused_cheaply(), pytest.raises(FieldError, match="items"):
        decode_message((*head, count, "1", "2", "3"), 178)


def test_more_legs_than_an_order_may_have_are_refused_though_they_are_there() -> None:
    legs = ("1", "1", "BUY", "SMART", "0", "0", "", "-1") * 1001
    with pytest.raises(FieldError, match="1001 items"):
        read_request((*ORDER_HEAD, "1001", *legs), 178)


def test_a_number_of_a_million_digits_is_refused_at_once() -> None:
    fields = ("2", "2", "9" * 1_000_000)
    with refused_cheaply(), pytest.raises(FieldError, match="not a whole number"):
        read_request(fields, 178)


def test_a_frame_of_too_many_fields_is_refused() -> None:
    with pytest.raises(ProtocolError, match="fields"):
        split_fields(b"\0" * (FIELDS_MAX + 1), FIELDS_MAX)


def test_a_frame_that_is_announced_too_long_is_refused_before_it_comes() -> None:
    with refused_cheaply(), pytest.raises(ProtocolError, match="frame of"):
        list(FrameSplitter().feed(struct.pack(">I", FRAME_BYTES_MAX + 1)))


def test_who_has_not_introduced_himself_gets_no_megabytes() -> None:
    with pytest.raises(ProtocolError, match=str(HELLO_BYTES_MAX)):
        list(FrameReader().feed(b"API\0" + struct.pack(">I", HELLO_BYTES_MAX + 1)))


def test_a_hundred_thousand_glued_frames_are_read() -> None:
    """In time linear in their bytes: 0.15 s here. Cutting each off by itself would move 60 GB."""
    stream = HELLO + frame(("49", "1")) * 100_000
    assert sum(isinstance(inbound, Frame) for inbound in FrameReader().feed(stream)) == 100_000


@contextlib.contextmanager
def refused_cheaply() -> Iterator[None]:
    """Fails if what is done within allocates much."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES_MAX
    finally:
        tracemalloc.stop()
