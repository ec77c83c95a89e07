"""A bar job: asked for once, read chunk by chunk until it is done."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TypedDict, get_args

from ibstream.bus import Bus, Publisher
from ibstream.bus.reader import BEGINNING, BLOCK_S_MAX
from ibstream.client.errors import InvalidRequestError, JobFailedError, NoAnswerError
from ibstream.client.instruments import instrument_of
from ibstream.client.requests import checked
from ibstream.client.subscription import PatientReader, Subscription
from ibstream.contracts.base import Message
from ibstream.contracts.data import BarSize, BarsRequest, JobChunk, JobDone, JobFailed, WhatToShow
from ibstream.contracts.instrument import Instrument
from ibstream.contracts.registry import DATA_JOBS, DATA_REQUESTS
from ibstream.runtime.clock import Clock


class BarsDetails(TypedDict, total=False):
    """What may be said about a bar job beyond the instrument. Sizes and durations are in IBKR's spelling."""

    bar_size: BarSize | str
    """Default `1 min`."""
    duration: str
    """How far back from `end`: `2 D`. Default `1 D`."""
    end: datetime | None
    """Default: now."""
    what_to_show: WhatToShow | str
    """Default `TRADES`."""
    regular_hours_only: bool
    """Default true."""
    job_id: str
    """Default: a new random one."""


def bars_request(what: str | Instrument, details: BarsDetails, *, now: datetime) -> BarsRequest:
    """The request for one bar job; raise `InvalidRequestError`."""
    size = details.get("bar_size", "1 min")
    if size not in get_args(BarSize):
        raise InvalidRequestError(f"bar_size {size!r} is none of IBKR's: {', '.join(get_args(BarSize))}")
    request = BarsRequest(
        job_id=details.get("job_id") or uuid.uuid4().hex,
        instrument=instrument_of(what),
        bar_size=size,  # type: ignore[arg-type]  # checked below, as its reader will
        duration=details.get("duration", "1 D"),
        end=details.get("end"),
        what_to_show=details.get("what_to_show", "TRADES"),  # type: ignore[arg-type]
        regular_hours_only=details.get("regular_hours_only", True),
        requested_at=now,
    )
    return checked(DATA_REQUESTS, request)


class BarJob(Subscription[JobChunk]):
    """The chunks of one job, oldest bars first, each once; ends when the job is done.

    Opening it sends the request. Raises `JobFailedError` with the service's reason, and `NoAnswerError` when the job is
    not done within `deadline_s`, or when chunks are missing at its end.
    """

    def __init__(self, bus: Bus, request: BarsRequest, *, deadline_s: float, patience_s: float, clock: Clock) -> None:
        super().__init__()
        self.request = request
        """What was asked for; the same `job_id` is not done twice."""
        self._publisher = Publisher(bus)
        self._stream = DATA_JOBS.named(request.job_id)
        self._reader = PatientReader(bus, {self._stream: BEGINNING}, patience_s=patience_s, clock=clock)
        self._deadline_s = deadline_s
        self._clock = clock
        self._give_up_at = 0.0
        self._chunks = 0
        self._done: JobDone | None = None

    async def _close(self) -> None:
        await self._reader.close()

    async def _open(self) -> None:
        self._give_up_at = self._clock.monotonic() + self._deadline_s
        await self._publisher.publish(DATA_REQUESTS, self.request)

    async def _more(self) -> list[JobChunk]:
        if self._done is not None:
            raise StopAsyncIteration
        left_s = self._give_up_at - self._clock.monotonic()
        if left_s <= 0:
            raise NoAnswerError(
                f"bar job {self.request.job_id} is not done after {self._deadline_s:g} s; is the data service running?"
            )
        entries = await self._reader.read(block_s=min(BLOCK_S_MAX, left_s))
        return [chunk for entry in entries if (chunk := self._next_chunk(entry.message)) is not None]

    def _next_chunk(self, event: Message) -> JobChunk | None:
        match event:
            case JobChunk() if event.seq == self._chunks + 1:
                self._chunks += 1
                return event
            case JobFailed():
                raise JobFailedError(event)
            case JobDone():
                self._refuse_missing_chunks(event)
                self._done = event
        return None  # accepted, or a chunk repeated by a service that died and went on

    def _refuse_missing_chunks(self, done: JobDone) -> None:
        if done.chunks != self._chunks:
            raise NoAnswerError(
                f"bar job {done.job_id} has {done.chunks} chunks, of which {self._chunks} could be read; ask again"
            )
