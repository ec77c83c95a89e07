"""Bytes become the same messages however the network cuts them, and nonsense ends the connection."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibstream_gateway_emulator.protocol.errors import ProtocolError
from ibstream_gateway_emulator.protocol.framing import (
    FRAME_BYTES_MAX,
    Frame,
    FrameReader,
    FrameSplitter,
    Hello,
    Inbound,
    frame,
    frame_bytes,
)
from ibstream_gateway_emulator.protocol.handshake import VersionError, negotiate

HELLO = b"API\0" + struct.pack(">I", 9) + b"v157..178"
CONVERSATION = HELLO + frame(("71", "2", "1", "")) + frame(("49", "1")) + frame(("6", "2", "1", "ÄÖ"))
MEANING = [
    Hello(157, 178, ""),
    Frame(("71", "2", "1", "")),
    Frame(("49", "1")),
    Frame(("6", "2", "1", "ÄÖ")),
]


def read(*chunks: bytes) -> list[Inbound]:
    reader = FrameReader()
    return [message for chunk in chunks for message in reader.feed(chunk)]


def test_glued_frames_are_read_one_by_one() -> None:
    assert read(CONVERSATION) == MEANING


@pytest.mark.parametrize("cut", range(1, len(CONVERSATION)))
def test_frames_may_be_split_at_any_byte(cut: int) -> None:
    assert read(CONVERSATION[:cut], CONVERSATION[cut:]) == MEANING


def test_frames_may_come_byte_by_byte() -> None:
    assert read(*(bytes([byte]) for byte in CONVERSATION)) == MEANING


@settings(deadline=None)
@given(st.lists(st.lists(st.text().filter(lambda text: "\0" not in text), min_size=1), max_size=5))
def test_what_is_framed_is_read_back(messages: list[list[str]]) -> None:
    stream = HELLO + b"".join(frame(fields) for fields in messages)
    assert read(stream)[1:] == [Frame(tuple(fields)) for fields in messages]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (b"v100..187 +PACEAPI", Hello(100, 187, "+PACEAPI")),
        (b"v178", Hello(178, 178, "")),
        (b"v157..178\0", Hello(157, 178, "")),
        (b"v100..187 -a --b=c d", Hello(100, 187, "-a --b=c d")),
    ],
)
def test_clients_introduce_themselves_in_several_ways(version: bytes, expected: Hello) -> None:
    assert read(b"API\0" + struct.pack(">I", len(version)) + version) == [expected]


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"API\0" + struct.pack(">I", 5) + b"hello",
        b"API\0" + struct.pack(">I", 12) + "v٣٣٣..178".encode(),
        HELLO + struct.pack(">I", 0),
        HELLO + struct.pack(">I", FRAME_BYTES_MAX + 1),
        HELLO + struct.pack(">I", 3) + b"abc",
        HELLO + struct.pack(">I", 3) + b"\xff\xfe\0",
    ],
)
def test_a_stream_that_makes_no_sense_is_refused(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(stream)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing but `ProtocolError` ever comes out of the reader."""
    reader = FrameReader()
    with contextlib.suppress(ProtocolError):
        assert all(isinstance(message, Hello | Frame) for message in reader.feed(data))


@pytest.mark.parametrize(
    ("hello", "version"),
    [(Hello(157, 178, ""), 178), (Hello(100, 225, ""), 178), (Hello(100, 177, ""), 177), (Hello(100, 176, ""), 176)],
)
def test_the_newest_version_both_sides_speak_is_spoken(hello: Hello, version: int) -> None:
    assert negotiate(hello) == version


@pytest.mark.parametrize("hello", [Hello(100, 175, ""), Hello(201, 225, "")])
def test_a_client_of_other_versions_is_refused(hello: Hello) -> None:
    """The reason names the versions of both sides, for the log."""
    with pytest.raises(
        VersionError, match=f"speaks versions {hello.version_min} to {hello.version_max}, this gateway 176"
    ):
        negotiate(hello)


def test_fields_that_are_bytes_make_the_same_frame() -> None:
    assert frame_bytes(b"2", b"6", b"7", b"0", b"300") == frame(("2", "6", "7", "0", "300"))


def test_frames_left_in_the_iterator_come_with_the_next_bytes() -> None:
    splitter = FrameSplitter()
    first = splitter.feed(frame(("1",)) + frame(("2",)) + frame(("3",))[:3])
    assert next(first) == b"1\0"
    first.close()  # type: ignore[attr-defined]  # it is a generator
    assert list(splitter.feed(frame(("3",))[3:])) == [b"2\0", b"3\0"]
