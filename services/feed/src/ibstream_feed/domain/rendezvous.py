"""Which member is the best for which shard: weighted rendezvous hashing, evened out.

Every process computes the same from the same members, without asking another. Plain rendezvous hashing gives a member its
share on average only: of eight shards, two of three members may well get one, and the third six. So each member has a quota,
its exact share rounded down or up, and pairs of shard and member are made best first while the quota of the member lasts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b

_HASH_BYTES = 8
_SCORES_KEPT_MAX = 65_536
"""Of shards and members seen lately, so that comparing them twice a second costs next to nothing."""


def owners(shards: int, members: Mapping[str, float]) -> tuple[str, ...]:
    """The owner of each shard, in the order of the shards; empty where there are no members.

    `members` maps each to its weight, more than 0: the market data lines that it brings. A member owns its exact share,
    `shards * weight / sum of weights`, rounded down or up. Raises `ValueError` for a weight of 0 or less.

    A shard and the member that is best for it are sure of each other while the shard is among the best that fill the member's
    share, rounded down: no better pair can come between. As shares only grow when another member leaves, such a pair stays
    together then; so what moves was the leaver's, or was placed where room was left. A join is a leave looked at backwards.
    """
    if not members:
        return ()
    least, odd = _quotas(shards, members)
    spare = shards - sum(least.values())
    owned = dict.fromkeys(members, 0)
    found: dict[int, str] = {}
    for _, member, shard in _pairs(shards, members):
        beyond = owned[member] - least[member]
        if shard in found or beyond > 0 or (beyond == 0 and (not spare or member not in odd)):
            continue
        spare -= beyond == 0
        owned[member] += 1
        found[shard] = member
    return tuple(found[shard] for shard in range(shards))


def _quotas(shards: int, members: Mapping[str, float]) -> tuple[dict[str, int], Collection[str]]:
    """Each member's share rounded down, and the members whose share had to be rounded. Exact, so in any order the same."""
    if min(members.values()) <= 0:
        raise ValueError(f"weights must be more than 0: {dict(members)}")
    weights = {member: Fraction(weight) for member, weight in members.items()}
    total = sum(weights.values())
    shares = {member: shards * weight / total for member, weight in weights.items()}
    return {member: math.floor(share) for member, share in shares.items()}, {
        member for member, share in shares.items() if share.denominator != 1
    }


def _pairs(shards: int, members: Mapping[str, float]) -> list[tuple[float, str, int]]:
    """Every pair of member and shard with its score, the best first."""
    return sorted(
        (
            (weight * _score(shard, member), member, shard)
            for member, weight in members.items()
            for shard in range(shards)
        ),
        reverse=True,
    )


@lru_cache(_SCORES_KEPT_MAX)
def _score(shard: int, member: str) -> float:
    """`-1 / ln(h)` of a stable hash 0 < h < 1: times the weight, the greatest of them wins as often as its weight says."""
    digest = blake2b(f"{shard}|{member}".encode(), digest_size=_HASH_BYTES).digest()
    return -1 / math.log((int.from_bytes(digest, "big") + 0.5) / 2 ** (8 * _HASH_BYTES))
