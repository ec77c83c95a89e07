"""The prose keeps up with the contracts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import pytest

from ibstream.contracts.base import type_of
from ibstream.contracts.feed import DataKind, SubscriptionOutcome
from ibstream.contracts.orders import AlgoName, OrderStatus, OrderType, Reason, TimeInForce
from ibstream.contracts.quotes import Quality
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
        row = next(line for line in section.splitlines() if line.startswith(f"| [`{type_of(kind)}`]"))
        assert (kind.__doc__ or "").strip().splitlines()[0] in row


@pytest.mark.parametrize(
    "choices",
    [Reason, OrderType, TimeInForce, OrderStatus, AlgoName, DataKind, SubscriptionOutcome, Quality],
    ids=lambda kind: kind.__name__,
)
def test_every_choice_is_described(choices: type[StrEnum]) -> None:
    """Whatever may be asked for, and whatever may be answered, stands in docs/streams.md in a table of its own."""
    text = (DOCS / "streams.md").read_text(encoding="utf-8")
    table = [line for line in text.splitlines() if line.startswith("| `")]
    assert [choice.value for choice in choices if choice and not any(f"`{choice}`" in line for line in table)] == []
