"""What is written of a connection: whole frames whatever the segments, masked before they are written, binary ones withheld."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream_gateway_emulator.protocol.framing import frame
from ibstream_gateway_emulator.recording.format import CLOSED, FRAME, GREETING, HELLO, UNREADABLE, Event, Party
from ibstream_gateway_emulator.recording.masking import AccountMask
from ibstream_gateway_emulator.recording.payloads import CLIENT_PREFIX, HelloClamp, clamped, framed
from ibstream_gateway_emulator.recording.tap import HELD_BYTES_MAX, HELD_EVENTS_MAX, Tap

HELLO_BYTES = CLIENT_PREFIX + framed(b"v157..178")
GREETING_BYTES = frame(("178", "20261123 10:00:00 EST"))
START = frame(("71", "2", "1", ""))
ACCOUNTS = frame(("15", "1", "DU9000001,U7777777"))


class Heard:
    """A tap and what it emitted."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.tap = Tap(3, AccountMask(), self.events.append)

    def __call__(self, by: Party, *pieces: bytes, t: float = 0.0) -> None:
        for piece in pieces:
            self.tap.heard(by, piece, t)

    @property
    def said(self) -> list[tuple[str, str, tuple[str, ...] | None]]:
        return [(event.by, event.kind, event.fields) for event in self.events]


def logged_in(version: int = 178) -> Heard:
    heard = Heard()
    heard("client", HELLO_BYTES)
    heard("server", frame((str(version), "20261123 10:00:00 EST")))
    heard("client", START)
    heard("server", ACCOUNTS)
    return heard


def test_a_conversation_is_written_frame_by_frame() -> None:
    assert logged_in().said == [
        ("client", HELLO, ("v157..178",)),
        ("server", GREETING, ("178", "20261123 10:00:00 EST")),
        ("client", FRAME, ("71", "2", "1", "")),
        ("server", FRAME, ("15", "1", "DU0000001,DU0000002")),
    ]


@given(st.data())
def test_segments_do_not_matter(data: st.DataObject) -> None:
    """However the bytes of both sides are cut, the same frames are written."""
    heard = Heard()
    streams: list[tuple[Party, bytes]] = [
        ("client", HELLO_BYTES),
        ("server", GREETING_BYTES),
        ("client", START + frame(("17", "1"))),
        ("server", ACCOUNTS + frame(("9", "1", "5"))),
    ]
    for by, stream in streams:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            heard(by, stream[begin:end])
    assert [fields for _, _, fields in heard.said][-2:] == [("15", "1", "DU0000001,DU0000002"), ("9", "1", "5")]
    assert len(heard.said) == 6


def test_what_is_said_before_the_accounts_are_known_waits_and_is_masked_with_them() -> None:
    heard = Heard()
    heard("client", HELLO_BYTES)
    heard("server", GREETING_BYTES)
    heard("client", START, frame(("7", "3", "1", "0", "", "x_Private_y")))
    assert heard.events == []
    heard("server", frame(("15", "1", "Private")))
    assert heard.said[3] == ("client", FRAME, ("7", "3", "1", "0", "", "x_DU0000001_y"))


def test_no_more_than_so_many_wait() -> None:
    heard = Heard()
    heard("client", HELLO_BYTES, START, frame(("49", "1")) * HELD_EVENTS_MAX)
    assert len(heard.events) == HELD_EVENTS_MAX + 2


def test_no_more_bytes_than_so_many_wait() -> None:
    """A few long frames fill the memory as well as many short ones."""
    heard = Heard()
    heard("client", HELLO_BYTES, START, framed(b"7\0" + b"x" * (HELD_BYTES_MAX // 2) + b"\0"))
    assert heard.events == []
    heard("client", framed(b"7\0" + b"x" * (HELD_BYTES_MAX // 2) + b"\0"))
    assert len(heard.events) == 4


def test_accounts_named_too_late_are_masked_from_their_very_naming_on() -> None:
    heard = Heard()
    heard("client", HELLO_BYTES, START, frame(("49", "1")) * HELD_EVENTS_MAX)
    heard("server", GREETING_BYTES, frame(("15", "1", "Private-1")), frame(("4", "2", "-1", "321", "of Private-1", "")))
    assert [fields for _, _, fields in heard.said[-2:]] == [
        ("15", "1", "DU0000001"),
        ("4", "2", "-1", "321", "of DU0000001", ""),
    ]


def test_the_end_of_a_connection_lets_out_what_waited() -> None:
    heard = Heard()
    heard("client", HELLO_BYTES)
    heard.tap.closed("server", 2.5, "connection reset")
    heard.tap.closed("client", 2.6)
    assert [(event.kind, event.by, event.t, event.note) for event in heard.events[1:]] == [
        (CLOSED, "server", 2.5, "connection reset")
    ]


def test_a_frame_in_another_encoding_is_written_masked_in_base64() -> None:
    heard = logged_in()
    heard("server", framed(b"10\x005\x00Soci\xe9t\xe9 DU9000001\x00"))
    raw = heard.events[-1].raw
    assert raw is not None
    assert base64.b64decode(raw) == b"10\x005\x00Soci\xe9t\xe9 DU0000001\x00"


def test_binary_frames_are_counted_and_not_written() -> None:
    """From server version 201 on frames are protobuf, in which an account may stand anywhere."""
    heard = Heard()
    heard("client", HELLO_BYTES)
    heard("server", frame(("203", "20261123 10:00:00 EST")))
    heard("server", framed(struct.pack(">I", 215) + b"\x0a\x09DU9000001"))
    assert heard.events[-1].withheld == 15
    assert heard.events[-1].fields is heard.events[-1].raw is None


@pytest.mark.parametrize("nonsense", [b"GET / HTTP/1.1\r\n", CLIENT_PREFIX + struct.pack(">I", 0)])
def test_what_is_no_protocol_is_noted_once_and_nothing_of_it_written(nonsense: bytes) -> None:
    heard = Heard()
    heard("client", nonsense, nonsense)
    heard.tap.closed("client", 1.0)
    assert [event.kind for event in heard.events] == [UNREADABLE, CLOSED]
    assert heard.events[0].fields is None


@pytest.mark.parametrize(
    ("hello", "sent"),
    [
        (b"v100..226", b"v100..178"),
        (b"v100..226 +PACEAPI", b"v100..178 +PACEAPI"),
        (b"v157..178", b"v157..178"),
        (b"v176", b"v176"),
        (b"v201..226", b"v201..226"),
        (b"hello", b"hello"),
    ],
)
def test_the_hello_is_clamped_where_that_leaves_a_version_to_speak(hello: bytes, sent: bytes) -> None:
    assert clamped(hello, 178) == sent


@given(st.lists(st.integers(0, 60), max_size=5))
def test_a_clamped_hello_may_come_in_pieces_and_what_follows_is_untouched(cuts: list[int]) -> None:
    stream = CLIENT_PREFIX + framed(b"v100..226 +PACEAPI") + START + START
    places = sorted(min(cut, len(stream)) for cut in cuts)
    clamp = HelloClamp(178)
    sent = b"".join(
        clamp.feed(stream[begin:end]) for begin, end in zip([0, *places], [*places, len(stream)], strict=True)
    )
    assert sent == CLIENT_PREFIX + framed(b"v100..178 +PACEAPI") + START + START


def test_a_clamp_lets_what_is_no_hello_pass() -> None:
    assert HelloClamp(178).feed(b"GET / HTTP/1.1\r\n") == b"GET / HTTP/1.1\r\n"
