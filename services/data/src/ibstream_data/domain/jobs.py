"""How the bars of a job travel: in chunks, oldest first, with the progress after each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ibstream.contracts.data import Bar, JobChunk


def chunks(job_id: str, bars: Sequence[Bar], bars_per_chunk: int) -> Iterator[JobChunk]:
    """Cut `bars` into chunks of at most `bars_per_chunk`; `progress` reaches 1 with the last. No bars, no chunk."""
    for seq, start in enumerate(range(0, len(bars), bars_per_chunk), start=1):
        part = list(bars[start : start + bars_per_chunk])
        yield JobChunk(job_id=job_id, seq=seq, bars=part, progress=(start + len(part)) / len(bars))
