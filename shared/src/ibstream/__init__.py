"""ibstream: an Interactive Brokers Gateway behind Redis Streams.

For strategies and consumers: `from ibstream import Client`. Rooms: `contracts` (what travels), `bus` (Redis streams),
`runtime` (what every process needs), `ibkr` (what the three connections share), `simulation` (the market without a
Gateway), `client` (the SDK), `cli` (the `ibstream` command).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ibstream.client import Client as Client

__all__ = ["Client"]


def __getattr__(name: str) -> Any:
    """`Client` on first use, so that importing a contract does not import Redis."""
    if name == "Client":
        from ibstream.client import Client

        return Client
    raise AttributeError(name)
