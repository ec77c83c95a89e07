"""The prose keeps up with the contracts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibstream.contracts.base import type_of
from ibstream.contracts.registry import STREAMS, Stream

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_every_stream_and_message_is_described(stream: Stream) -> None:
    """docs/streams.md has a heading for each stream, and a row for each message that travels on it."""
    text = (DOCS / "streams.md").read_text(encoding="utf-8")
    _, heading, rest = text.partition(f"## `{stream.name}`\n")
    assert heading
    section = rest.split("\n## ")[0]
    assert stream.title in section
    for kind in stream.messages:
        assert f"`{type_of(kind)}`" in section
