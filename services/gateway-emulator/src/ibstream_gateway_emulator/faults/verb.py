"""What every verb has in common. The verbs themselves are in `verbs`."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

Seconds = Annotated[float, msgspec.Meta(ge=0, le=30 * 24 * 3600)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=3_600_000)]
Count = Annotated[int, msgspec.Meta(ge=1)]
ClientId = Annotated[int, msgspec.Meta(ge=0)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
Copies = Annotated[int, msgspec.Meta(ge=1, le=100)]
PieceBytes = Annotated[int, msgspec.Meta(ge=1, le=65_536)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


def name_of(class_name: str) -> str:
    """`DropConnection` is commanded as `drop_connection`."""
    return _WORD.sub("_", class_name).lower()


class Verb(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="verb", tag=name_of, forbid_unknown_fields=True, gc=False
):
    """Something the Gateway is commanded to do. In JSON and YAML the field `verb` says which: `{"verb": "delay", "ms": 40}`."""

    @property
    def name(self) -> str:
        """As in JSON and YAML: `drop_connection`."""
        return name_of(type(self).__name__)


class Event(Verb, frozen=True, kw_only=True):
    """Happens once, at once."""


class State(Verb, frozen=True, kw_only=True):
    """Lasts until it is cleared, or its time is over, or it has happened `count` times where it counts."""

    for_s: Seconds | None = None
    """How long it lasts, to the next tick; None: until cleared."""


class OrderScope(State, frozen=True, kw_only=True):
    """A state that touches those orders that fit all that is given."""

    client_id: ClientId | None = None
    """Orders of this client; None: of every client."""
    symbol: str | None = None
    """Orders for the instrument with this key (`AAPL`, `EUR.USD`, `ESZ2026`), however the client names it; of a combination
    the symbol. None: for any."""
    order_ref: str | None = None
    """Orders with this orderRef; None: with any."""
    count: Count | None = None
    """So many orders, the next ones; None: all while it lasts."""
