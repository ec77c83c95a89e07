"""Bars from a Gateway."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from ibstream.contracts.data import Bar, BarsRequest, FailureReason
from ibstream.ibkr import RequestFailed
from ibstream.ibkr.codes import CodeClass, classify
from ibstream.ibkr.contracts import AmbiguousInstrument, ContractBook, UnknownInstrument
from ibstream.ibkr.session import IbkrSession, SessionOptions
from ibstream.runtime.clock import Clock
from ibstream.runtime.connection import ConnectionEvent
from ibstream.runtime.settings import Settings
from ibstream_data.ports import BarsRefused

if TYPE_CHECKING:
    from ib_async import BarData, Contract

_REASONS = {
    CodeClass.PACING: FailureReason.PACING,
    CodeClass.NO_PERMISSION: FailureReason.NO_PERMISSION,
    CodeClass.COMPETING_SESSION: FailureReason.NO_PERMISSION,
    CodeClass.VALIDATION: FailureReason.INVALID_REQUEST,
    CodeClass.UNKNOWN_CONTRACT: FailureReason.UNKNOWN_INSTRUMENT,
}

_UTC_DASH = "%Y%m%d-%H:%M:%S"
"""The one form of a time that IBKR reads without a zone."""


class IBKRDataAdapter:
    """The data service's connection: no orders, no account updates, history alone."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._timeout_s = settings.data.request_timeout_s
        self._clock = clock
        options = SessionOptions(service="data", requests_per_s=settings.data.requests_per_s)
        self._session = IbkrSession(settings, options, clock=clock, on_error=lambda *_: None)
        self._contracts = ContractBook(self._session)

    @property
    def gateway(self) -> str:
        """`host:port` of the Gateway."""
        return self._session.address

    @property
    def account(self) -> str:
        """The account of the session."""
        return self._session.account

    async def connect(self, client_id: int) -> None:
        """Make the session."""
        await self._session.connect(client_id)

    async def next_event(self) -> ConnectionEvent:
        """What happens next to the session."""
        return await self._session.next_event()

    async def close(self) -> None:
        """End the session."""
        await self._session.close()

    async def bars(self, request: BarsRequest) -> list[Bar]:
        """Ask the Gateway, and tell an empty answer from a failure (IBKR uses one code, 162, for both)."""
        contract = await self._find(request)
        asked_at = self._clock.monotonic()
        try:
            found = await self._session.request(
                lambda ib: ib.reqHistoricalDataAsync(
                    contract,
                    endDateTime=request.end.astimezone(UTC).strftime(_UTC_DASH) if request.end else "",
                    durationStr=request.duration,
                    barSizeSetting=request.bar_size,
                    whatToShow=request.what_to_show,
                    useRTH=request.regular_hours_only,
                    formatDate=2,  # seconds since 1970: no zone to guess
                    timeout=self._timeout_s,
                ),
                timeout_s=self._timeout_s + 5,  # ib_async's own timeout comes first and cancels the query
            )
        except RequestFailed as error:
            return _empty_or_refused(error)
        except TimeoutError as error:
            raise BarsRefused(FailureReason.TIMED_OUT, str(error)) from error
        if not found and self._clock.monotonic() - asked_at >= self._timeout_s:
            # ib_async answers its own timeout with an empty list.
            raise BarsRefused(FailureReason.TIMED_OUT, f"no answer within {self._timeout_s:g} s")
        return [_bar(bar) for bar in found]

    async def _find(self, request: BarsRequest) -> Contract:
        try:
            return await self._contracts.find(request.instrument)
        except UnknownInstrument as error:
            raise BarsRefused(FailureReason.UNKNOWN_INSTRUMENT, str(error), 200) from error
        except AmbiguousInstrument as error:
            raise BarsRefused(FailureReason.AMBIGUOUS_INSTRUMENT, str(error), 200) from error
        except RequestFailed as error:
            raise _refused(error) from error
        except TimeoutError as error:
            raise BarsRefused(FailureReason.TIMED_OUT, f"{request.instrument.symbol}: {error}") from error


def _empty_or_refused(error: RequestFailed) -> list[Bar]:
    if classify(error.code, error.text) is CodeClass.NO_DATA:
        return []
    raise _refused(error) from error


def _refused(error: RequestFailed) -> BarsRefused:
    reason = _REASONS.get(classify(error.code, error.text), FailureReason.REFUSED_BY_IBKR)
    return BarsRefused(reason, error.text, error.code)


def _bar(bar: BarData) -> Bar:
    return Bar(
        start=_start(bar.date),
        open=bar.open,
        high=bar.high,
        low=bar.low,
        close=bar.close,
        volume=bar.volume,
        average=bar.average,
        trades=bar.barCount,
    )


def _start(stamp: date | datetime) -> datetime:
    if isinstance(stamp, datetime):
        return stamp.astimezone(UTC)
    return datetime.combine(stamp, time(), UTC)
