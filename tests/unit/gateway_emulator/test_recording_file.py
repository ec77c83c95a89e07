"""The file of a recording: what is written is read back, what is damaged is refused by its line, what is new is skipped."""

from __future__ import annotations

import asyncio
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import run

from ibstream.runtime.clock import ManualClock
from ibstream_gateway_emulator.recording.file_writer import RecordingWriter
from ibstream_gateway_emulator.recording.format import (
    CLOSED,
    FRAME,
    GREETING,
    HELLO,
    Event,
    RecordingError,
    load,
    parse,
    to_line,
)

HEADER = (
    b'{"format":"ibstream-gateway-recording","version":1,"recorded_at":"2026-11-23T15:00:00Z","server_version":178}\n'
)
FRAME_LINE = b'{"t":0.5,"connection":1,"by":"server","kind":"frame","fields":["9","1","7"]}\n'
TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)


def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 23, 15, 0, tzinfo=UTC))


def event(kind: str, *fields: str, by: str = "server", t: float = 0.0) -> Event:
    return Event(t=t, connection=1, by="client" if by == "client" else "server", kind=kind, fields=fields or None)


@given(st.lists(TEXT, min_size=1, max_size=8), st.floats(0, 1e6), st.integers(1, 99))
def test_a_frame_is_read_back_as_it_was_written(fields: list[str], t: float, connection: int) -> None:
    written = Event(t=t, connection=connection, by="client", kind=FRAME, fields=tuple(fields))
    read = parse([HEADER, to_line(written)], "file")
    assert read.events == (written,)
    assert read.events[0].payload == ("\0".join(fields) + "\0").encode()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], r"^file, line 1: this is no recording"),
        ([b"\x1f\x8b\x08\n"], r"^file, line 1: this is no recording"),
        ([b'{"format":"something","version":1,"recorded_at":"","server_version":1}\n'], r"line 1: the format is 'something'"),
        ([HEADER.replace(b'"version":1', b'"version":2')], r"line 1: written in version 2 .* reads up to 1"),
        ([HEADER, FRAME_LINE, b"{]\n"], r"^file, line 3: JSON is malformed"),
        ([HEADER, FRAME_LINE, FRAME_LINE[:40]], r"^file, line 3: the line has no end"),
        ([HEADER, b'{"t":"soon","connection":1,"by":"server","kind":"frame"}\n'], r"^file, line 2: Expected `float`"),
        ([HEADER, b'{"t":0,"connection":1,"by":"nobody","kind":"frame"}\n'], r"^file, line 2: Invalid enum value 'nobody'"),
        ([HEADER, b'{"t":0,"connection":1,"by":"server","kind":"frame"}\n'], r"^file, line 2: a frame without fields"),
        ([HEADER, b'{"t":0,"connection":1,"by":"server","kind":"frame","raw":"%%"}\n'], r"^file, line 2: "),
        ([HEADER, b'{"t":0,"connection":1,"by":"server","kind":"frame","fields":["\\u0000"]}\n'], r"2: a field with a NUL"),
        ([HEADER, b"\xff\xfe\n"], r"^file, line 2: "),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_by_the_line(lines: list[bytes], message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        parse(lines, "file")


def test_keys_and_kinds_of_a_later_program_are_skipped_and_counted() -> None:
    later = b'{"t":1,"connection":1,"by":"server","kind":"mood","of":"the market"}\n'
    with_key = FRAME_LINE.replace(b'"kind"', b'"colour":"blue","kind"')
    recording = parse([HEADER.replace(b"}", b',"user":"of a later version"}'), later, with_key], "file")
    assert recording.skipped == 1
    assert [one.fields for one in recording.events] == [("9", "1", "7")]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"cannot read .*nowhere.jsonl: No such file"):
        load(tmp_path / "nowhere.jsonl")


def test_the_header_waits_for_the_version_and_names_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        writer = RecordingWriter(tmp_path / "new.jsonl", clock())
        writing = asyncio.create_task(writer.run())
        writer.put(event(HELLO, "v157..178", by="client"))
        writer.put(event(GREETING, "178", "20261123 10:00:00 EST", t=0.1))
        writer.stop()
        await writing

    run(scenario())
    recording = load(tmp_path / "new.jsonl")
    assert recording.header.server_version == 178
    assert recording.header.recorded_at == "2026-11-23T15:00:00Z"
    assert [one.kind for one in recording.events] == [HELLO, GREETING]


def test_only_the_owner_may_read_a_recording_and_none_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"

    async def scenario() -> None:
        writer = RecordingWriter(path, clock())
        writer.stop()
        await writer.run()
        with pytest.raises(RecordingError, match="never overwritten"):
            RecordingWriter(path, clock())

    run(scenario())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(path).header.server_version is None


def test_a_disk_that_fails_ends_the_file_and_nothing_else(tmp_path: Path) -> None:
    """/dev/full takes no byte, as a full disk."""
    path = tmp_path / "full.jsonl"

    async def scenario() -> None:
        writer = RecordingWriter(path, clock())
        writer._file.close()
        writer._file = os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb")
        writing = asyncio.create_task(writer.run())
        writer.put(event(CLOSED))
        writer.stop()
        await writing
        assert str(writer.error) == f"cannot write {path}: No space left on device"
        writer.put(event(CLOSED))

    run(scenario())
