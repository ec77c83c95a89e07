"""A shard as `Sharing` holds it, and what its keeper is told of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from ibstream.bus.lease import Trust
from ibstream_feed.adapters.shard_leases import TTL_S

TRUST_S = TTL_S - 0.2
"""How long a lease is trusted from when its renewal was sent: a loop that is late must still be done before another begins."""


class HeldShard:
    """A shard that is held."""

    __slots__ = ("is_going", "is_told", "token", "trust")

    def __init__(self, token: int, trust: Trust) -> None:
        self.token = token
        self.trust = trust
        self.is_told = False
        """Whether the keeper knows of it. Before that it must not be written: what was known of it is from an earlier time."""
        self.is_going = False


class ShardKeeper(Protocol):
    """What is done about the shards that come and go. No two of these run at once for one shard; `gained` comes first."""

    async def gained(self, shard: int, token: int) -> None:
        """This process is the only writer from now on; `token` is greater than that of any writer before.

        Nothing may be written before this has read how the shard stands, though `Sharing.holds` says yes. Cancelled when the
        shard is lost or to be let go meanwhile; called again after a `RecoverableError` or `BusRefused`, while it is held.
        """
        ...

    async def letting_go(self, shard: int) -> None:
        """A better owner lives, or this process stops: return when nothing of the shard is subscribed or written any more.

        Cancelled, with `lost` after it, when it takes more than `LETTING_GO_S`.
        """
        ...

    def lost(self, shards: Collection[int]) -> None:
        """The leases could not be kept: another may write from now on. Nothing may be written any more when this returns."""
        ...

    def peers_changed(self, peers: int) -> None:
        """So many feed processes are on this Gateway now, this one included."""
        ...
