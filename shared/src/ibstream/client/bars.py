"""A bar job: asked for once, read chunk by chunk until it is done."""

from __future__ import annotations

from ibstream.bus import Bus, Publisher
from ibstream.bus.reader import BEGINNING, BLOCK_S_MAX
from ibstream.client.errors import JobFailedError, NoAnswerError
from ibstream.client.subscription import PatientReader, Subscription
from ibstream.contracts.base import Message
from ibstream.contracts.data import BarsRequest, JobChunk, JobDone, JobFailed
from ibstream.contracts.registry import DATA_JOBS, DATA_REQUESTS
from ibstream.runtime.clock import Clock


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
