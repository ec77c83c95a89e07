"""What WebSocket clients are told: JSON objects with a `type`, and a `text` to be shown as it is."""

from __future__ import annotations

from datetime import datetime

import msgspec

from ibstream.contracts.base import type_of
from ibstream.contracts.system import ModeChanged
from ibstream_gateway_watchdog.domain.picture import ConnectionNews

FIRST_INSTANCE = "0"


def mode_announcement(message: ModeChanged) -> str:
    """`ModeChanged` as JSON, with its `text`: `mode: degraded (broker: absent)`."""
    reasons = "; ".join(reason.text for reason in message.reasons)
    text = f"mode: {message.mode} ({reasons})" if reasons else f"mode: {message.mode}"
    return _json({"type": type_of(message), **msgspec.to_builtins(message), "text": text})


def connection_announcement(news: ConnectionNews, at: datetime) -> str:
    """A connection that came or went, with its `text`: `broker: disconnected`, `feed/1: connected`, `data: absent`."""
    name = news.service if news.instance == FIRST_INSTANCE else f"{news.service}/{news.instance}"
    return _json(
        {
            "type": "system.connection",
            "service": news.service,
            "instance": news.instance,
            "state": "connected" if news.connected else "disconnected",
            "reason": news.reason,
            "text": f"{name}: {news.words}",
            "at": at,
        }
    )


def _json(value: dict[str, object]) -> str:
    return msgspec.json.encode(value).decode()
