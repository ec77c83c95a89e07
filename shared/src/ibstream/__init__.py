"""ibstream: an Interactive Brokers Gateway behind Redis Streams.

For strategies and consumers: `from ibstream import Client`, and `stock`, `fx`, `future`, `option`, `index`, `combo` of `leg`s for
what they trade and watch. Rooms: `contracts` (what travels), `bus` (Redis streams),
`runtime` (what every process needs), `ibkr` (what the three connections share), `simulation` (the market without a
Gateway), `client` (the SDK), `cli` (the `ibstream` command).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ibstream.client import Client, combo, future, fx, index, leg, option, stock

__all__ = ["Client", "combo", "future", "fx", "index", "leg", "option", "stock"]


def __getattr__(name: str) -> Any:
    """The SDK's names on first use, so that importing a contract does not import Redis."""
    if name in __all__:
        from ibstream import client

        return getattr(client, name)
    raise AttributeError(name)
