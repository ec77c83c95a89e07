"""From `data:requests` to `data:jobs:<id>`: takes jobs, asks the port, publishes what comes."""

from __future__ import annotations

import structlog

from ibstream.bus import Bus, BusUnavailable, Entry, GroupConsumer, Publisher
from ibstream.bus.reader import last_message
from ibstream.contracts.data import BarsRequest, FailureReason, JobAccepted, JobDone, JobEvent, JobFailed
from ibstream.contracts.registry import DATA_JOBS, DATA_REQUESTS
from ibstream.contracts.system import ConnectionState
from ibstream.runtime import metrics
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent
from ibstream.runtime.errors import RecoverableError
from ibstream_data.domain.jobs import chunks
from ibstream_data.ports import BarsPort, BarsRefused

JOBS_AT_ONCE = 4
"""IBKR answers long requests slowly and takes 50 at once; a few in parallel keep short ones from waiting behind."""

_log = structlog.get_logger(__name__)


class DataService:
    """Works bar jobs off. At least once: a job that was interrupted is started again, and says `accepted` again."""

    def __init__(self, bus: Bus, port: BarsPort, *, bars_per_chunk: int, clock: Clock) -> None:
        self._bus = bus
        self._publisher = Publisher(bus)
        self._port = port
        self._bars_per_chunk = bars_per_chunk
        self._clock = clock
        self._state = ConnectionState.IDLE
        self._reason = ""
        self._jobs_done = 0

    async def synchronise(self, _: ConnectionEvent) -> None:
        """Nothing to fetch before work begins."""

    def on_state(self, state: ConnectionState, reason: str) -> None:
        """Remember whether there is anybody to ask."""
        self._state, self._reason = state, reason

    def details(self) -> dict[str, int | float | str]:
        """For the heartbeat: jobs worked off since the start."""
        return {"jobs_done": self._jobs_done}

    def worker(self, consumer: str, number: int) -> GroupConsumer:
        """One of `JOBS_AT_ONCE` consumers of `data:requests`."""
        return GroupConsumer(
            self._bus, DATA_REQUESTS, consumer=f"{consumer}-{number}", handler=self._handle, clock=self._clock
        )

    async def _handle(self, entry: Entry) -> None:
        request = entry.message
        assert isinstance(request, BarsRequest)  # noqa: S101 - the stream's only type
        if await self._already_ended(request.job_id):
            _log.info("data.job_repeated", job_id=request.job_id)
            return
        await self._publish(JobAccepted(job_id=request.job_id, at=self._clock.now()))
        outcome = await self._work(request)
        await self._publish(outcome)
        self._jobs_done += 1
        label = outcome.reason if isinstance(outcome, JobFailed) else "done"
        metrics.BAR_JOBS.labels(label).inc()
        _log.info("data.job_ended", job_id=request.job_id, symbol=request.instrument.symbol, outcome=label)

    async def _already_ended(self, job_id: str) -> bool:
        return isinstance(await last_message(self._bus, DATA_JOBS.named(job_id)), JobDone | JobFailed)

    async def _work(self, request: BarsRequest) -> JobDone | JobFailed:
        if self._state is not ConnectionState.READY:
            return self._failed(request, FailureReason.GATEWAY_DISCONNECTED, self._reason or str(self._state))
        try:
            bars = await self._port.bars(request)
        except BarsRefused as error:
            return self._failed(request, error.reason, error.text, error.code)
        except BusUnavailable:
            raise
        except RecoverableError as error:
            return self._failed(request, FailureReason.GATEWAY_DISCONNECTED, str(error))
        sent = 0
        for chunk in chunks(request.job_id, bars, self._bars_per_chunk):
            await self._publish(chunk)
            metrics.BARS_PUBLISHED.inc(len(chunk.bars))
            sent = chunk.seq
        return JobDone(job_id=request.job_id, bars=len(bars), chunks=sent, at=self._clock.now())

    def _failed(self, request: BarsRequest, reason: FailureReason, text: str, code: int = 0) -> JobFailed:
        return JobFailed(job_id=request.job_id, reason=reason, text=text, code=code, at=self._clock.now())

    async def _publish(self, event: JobEvent) -> None:
        await self._publisher.publish(DATA_JOBS.named(event.job_id), event)
