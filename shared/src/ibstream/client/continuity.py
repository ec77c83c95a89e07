"""Proof that no batch of quotes was missed, or the exact place where one was. Pure: batches in, reports out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gap:
    """Batches `first` to `last` of one shard and epoch were never seen (trimmed before they were read, or lost)."""

    shard: int
    epoch: int
    first: int
    last: int

    @property
    def missing(self) -> int:
        """How many batches."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class EpochChanged:
    """The feed started anew on this shard. Whether batches at the end of `before` were missed cannot be known."""

    shard: int
    before: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Repeated:
    """A batch that was seen already, or came after a later one of its epoch. Its rows are not to be used."""

    shard: int
    epoch: int
    seq: int
    expected: int


Report = Gap | EpochChanged | Repeated


class Continuity:
    """Follows (epoch, seq) per shard.

    The first batch of a shard is its beginning. After it, every batch is the successor of the one before, or `observe`
    reports why it is not. No report between two batches of one epoch proves that nothing between them was missed. Any
    other epoch counts as a new one, a lower number too: a feed whose counter was lost must not fall silent.
    """

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, int]] = {}
        self.batches = 0
        """Batches observed."""
        self.missed = 0
        """Batches known to be missing."""
        self.gaps = 0
        """Gaps reported."""
        self.epoch_changes = 0
        """New epochs seen after the first."""
        self.repeats = 0
        """Batches reported as `Repeated`."""

    @property
    def unbroken(self) -> bool:
        """Whether everything from the first batch of each shard to the latest was seen, once and in order."""
        return not (self.gaps or self.epoch_changes or self.repeats)

    def last(self, shard: int) -> tuple[int, int] | None:
        """The latest (epoch, seq) of a shard; None before its first batch."""
        return self._last.get(shard)

    def observe(self, shard: int, epoch: int, seq: int) -> list[Report]:
        """Take the next batch of a shard and return what is wrong with it; empty where nothing is."""
        self.batches += 1
        last = self._last.get(shard)
        if last is None:
            self._last[shard] = (epoch, seq)
            return []
        expected = last[1] + 1 if epoch == last[0] else 1
        if epoch == last[0] and seq < expected:
            self.repeats += 1
            return [Repeated(shard, epoch, seq, expected)]
        self._last[shard] = (epoch, seq)
        return [*self._new_epoch(shard, last[0], epoch), *self._gap(shard, epoch, expected, seq)]

    def _new_epoch(self, shard: int, before: int, epoch: int) -> list[Report]:
        if epoch == before:
            return []
        self.epoch_changes += 1
        return [EpochChanged(shard, before, epoch)]

    def _gap(self, shard: int, epoch: int, expected: int, seq: int) -> list[Report]:
        if seq == expected:
            return []
        self.gaps += 1
        self.missed += seq - expected
        return [Gap(shard, epoch, expected, seq - 1)]
