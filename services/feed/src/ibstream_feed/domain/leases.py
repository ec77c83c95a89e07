"""Who holds which lease, and what is wanted therefore: each symbol once, however many hold one on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cached_property

import msgspec

from ibstream.contracts.feed import Consumer, DataKind, Priority
from ibstream.contracts.instrument import Instrument, quote_symbol

ANYWHERE = "SMART"
"""An exchange that says nothing."""

Key = tuple[DataKind, str, str]
"""What of which symbol, and for whom: of the leases that agree in this the newest is in force."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """One consumer's claim on one kind of data of one instrument. Times are by the clock of Redis, in ms since 1970 UTC."""

    since_ms: int
    """When it was first asked for; renewals do not count."""
    expires_ms: int
    request_id: str
    """The id of the entry by which it was asked for last."""
    consumer: Consumer
    instrument: Instrument
    data: DataKind
    priority: Priority

    @property
    def symbol(self) -> str:
        """As quotes call it."""
        return quote_symbol(self.instrument)

    @property
    def key(self) -> Key:
        """What of which symbol, and for whom."""
        return self.data, self.symbol, self.consumer

    @property
    def asked(self) -> tuple[int, int]:
        """By what requests are ordered: the two numbers of `request_id`, whose first is when it was written, in ms."""
        written_ms, _, number = self.request_id.partition("-")
        return int(written_ms), int(number)

    @property
    def ttl_ms(self) -> int:
        """For how long it was asked for."""
        return self.expires_ms - self.asked[0]


class Want(msgspec.Struct, frozen=True):
    """One kind of data of one symbol that somebody holds a lease on."""

    symbol: str
    instrument: Instrument
    """Of several that are called the same, the one that says more: with a primary exchange."""
    data: DataKind
    priority: int
    """The best of those who hold a lease."""
    since_ms: int
    """Since when it is wanted: the earliest of those who hold a lease."""


class Leases:
    """The leases in force. A table is never changed: `replaced` makes the next one."""

    def __init__(self, leases: Iterable[Lease] = ()) -> None:
        self._leases = {lease.key: lease for lease in leases}

    def __len__(self) -> int:
        return len(self._leases)

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._leases.values())

    def get(self, key: Key) -> Lease | None:
        """One of them, or None."""
        return self._leases.get(key)

    def wants(self, data: DataKind, now_ms: int) -> list[Want]:
        """What is wanted of one kind, the most wanted first: by priority, then who asked first, then symbol."""
        held: dict[str, list[Lease]] = {}
        for (kind, symbol, _), lease in self._leases.items():
            if kind is data and lease.expires_ms > now_ms:
                held.setdefault(symbol, []).append(lease)
        wants = [_want(symbol, leases) for symbol, leases in held.items()]
        return sorted(wants, key=lambda want: (want.priority, want.since_ms, want.symbol))

    def expired(self, now_ms: int) -> list[Lease]:
        """Those whose time is over, as far as this table knows: a renewal need not have come to its notice."""
        if self.next_expiry_ms is None or self.next_expiry_ms > now_ms:
            return []
        return [lease for lease in self._leases.values() if lease.expires_ms <= now_ms]

    @cached_property
    def next_expiry_ms(self) -> int | None:
        """When the first of them ends; None where there is none."""
        return min((lease.expires_ms for lease in self._leases.values()), default=None)

    def replaced(self, old: Collection[Lease], new: Iterable[Lease]) -> Leases:
        """The table with `new` in the place of `old`."""
        table = Leases()
        table._leases = {**self._leases}
        for lease in old:
            table._leases.pop(lease.key, None)
        table._leases.update((lease.key, lease) for lease in new)
        return table

    def unknown_to(self, later: Leases, now_ms: int) -> list[Lease]:
        """Those whose time is not over and of which `later` says nothing, or less: given back, or lost by Redis."""
        known = self._leases.items()
        return [lease for key, lease in known if lease.expires_ms > now_ms and _is_behind(later.get(key), lease)]

    def newly_taken(self, before: Leases) -> set[str]:
        """The symbols on which somebody has taken a lease since `before`: a new one, or anew after an earlier one had ended."""
        known = before._leases
        return {
            lease.symbol
            for key, lease in self._leases.items()
            if key not in known or known[key].since_ms != lease.since_ms
        }


def _is_behind(said: Lease | None, known: Lease) -> bool:
    return said is None or (said.request_id != known.request_id and said.asked < known.asked)


def _want(symbol: str, leases: list[Lease]) -> Want:
    return Want(
        symbol,
        min(leases, key=_says_less).instrument,
        leases[0].data,
        min(lease.priority for lease in leases),
        min(lease.since_ms for lease in leases),
    )


def _says_less(lease: Lease) -> tuple[bool, bool, int, str]:
    """Orders the leases of one symbol: who says more of its instrument first, then who came first."""
    instrument = lease.instrument
    return not instrument.primary_exchange, instrument.exchange == ANYWHERE, lease.since_ms, lease.consumer
