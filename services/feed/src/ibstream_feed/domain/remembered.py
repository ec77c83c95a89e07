"""Leases that Redis need not know any more: each is remembered until its holder, if it lives, has asked again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from ibstream_feed.domain.leases import Key, Lease, Leases

KEPT_MS_MAX = 120_000
"""No lease is remembered for longer, however long it was asked for: what nobody can give back must not stay."""


class Remembered:
    """Leases with the time up to which each counts. A table is never changed: `also` and `without` make the next one.

    A holder asks again within the time that the lease lasts. So whoever lives has asked again when that time has passed
    since Redis' return, whenever it had asked last.
    """

    def __init__(self, kept: Mapping[Key, tuple[Lease, int]] | None = None) -> None:
        self._kept = dict(kept or {})

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Lease]:
        return iter([lease for lease, _ in self._kept.values()])

    def also(self, leases: Iterable[Lease], now_ms: int, *, least_ms: int) -> Remembered:
        """With these, from now on for as long as each was asked for: `least_ms` at least, `KEPT_MS_MAX` at most."""
        return Remembered(
            self._kept
            | {
                lease.key: (lease, now_ms + min(max(lease.ttl_ms, least_ms), max(KEPT_MS_MAX, least_ms)))
                for lease in leases
            }
        )

    def without(self, leases: Iterable[Lease]) -> Remembered:
        """The table that these are not in."""
        gone = {lease.key for lease in leases}
        return Remembered({key: kept for key, kept in self._kept.items() if key not in gone}) if gone else self

    def over(self, now_ms: int) -> list[Lease]:
        """Those whose holders had time enough to ask again."""
        return [lease for lease, until_ms in self._kept.values() if until_ms <= now_ms]

    def absent_from(self, told: Leases) -> list[Lease]:
        """Those that Redis does not know: who still wants them has not asked again yet, or has given them back."""
        return [lease for key, (lease, _) in self._kept.items() if told.get(key) is None]

    def beside(self, told: Leases) -> Leases:
        """What is in force: what Redis says, on the terms that were asked for last, and what is remembered."""
        return told.replaced((), [_joined(told.get(key), *kept) for key, kept in self._kept.items()])


def _joined(told: Lease | None, remembered: Lease, until_ms: int) -> Lease:
    if told is None:
        return msgspec.structs.replace(remembered, expires_ms=until_ms)
    newer = told if told.asked >= remembered.asked else remembered
    return msgspec.structs.replace(newer, expires_ms=max(told.expires_ms, until_ms))
