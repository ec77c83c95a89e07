"""The latest row of every symbol, and which of them still have to be sent. Memory is bounded by the number of symbols."""

from __future__ import annotations

import msgspec

from ibstream.contracts.quotes import Quality, Quote, shard_of


class QuoteBook:
    """Rows by symbol, conflated: a row that changes again before it is sent is sent once, as it is then."""

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._rows: dict[str, Quote] = {}
        self._unsent: list[dict[str, Quote]] = [{} for _ in range(shards)]
        self._unsaved: list[dict[str, Quote]] = [{} for _ in range(shards)]
        self.conflated = 0
        """Updates that were merged into a row not yet sent."""

    def __len__(self) -> int:
        return len(self._rows)

    def update(self, row: Quote) -> int | None:
        """Take a symbol's new row. Returns its shard if anything but the time has changed, else None."""
        if _says_the_same(self._rows.get(row.symbol), row):
            return None
        shard = shard_of(row.symbol, self._shards)
        self._rows[row.symbol] = row
        self._unsaved[shard][row.symbol] = row
        if row.symbol in self._unsent[shard]:
            self.conflated += 1
        self._unsent[shard][row.symbol] = row
        return shard

    def mark_one_stale(self, symbol: str, time_ns: int) -> int | None:
        """Say of one symbol's row that it is no longer kept up. Returns its shard if that is news."""
        row = self._rows.get(symbol)
        if row is None or row.quality is Quality.STALE:
            return None
        return self.update(msgspec.structs.replace(row, quality=Quality.STALE, time_ns=time_ns))

    def mark_stale(self, time_ns: int) -> set[int]:
        """Say of every row that it is no longer kept up; prices stay as last known. Returns the shards that changed."""
        marked = (self.mark_one_stale(symbol, time_ns) for symbol in list(self._rows))
        return {shard for shard in marked if shard is not None}

    def take_unsent(self, shard: int) -> list[Quote]:
        """What has to be sent of a shard; it counts as sent from now on."""
        rows, self._unsent[shard] = self._unsent[shard], {}
        return list(rows.values())

    def put_back(self, shard: int, rows: list[Quote]) -> None:
        """These were not sent after all; where a symbol has moved on meanwhile, the newer row stands."""
        self._unsent[shard] = {row.symbol: row for row in rows} | self._unsent[shard]

    def take_unsaved(self, shard: int) -> dict[str, Quote]:
        """What has changed in a shard's last values; it counts as saved from now on."""
        rows, self._unsaved[shard] = self._unsaved[shard], {}
        return rows

    def put_back_unsaved(self, shard: int, rows: dict[str, Quote]) -> None:
        """These were not saved after all."""
        self._unsaved[shard] = rows | self._unsaved[shard]


def _says_the_same(before: Quote | None, after: Quote) -> bool:
    return before is not None and msgspec.structs.replace(before, time_ns=after.time_ns) == after
