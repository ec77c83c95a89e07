"""Leases on market data: taken on entering, renewed while they are held, given back on leaving."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable

import structlog

from ibstream.bus import Bus, Publisher
from ibstream.bus.reader import LATEST
from ibstream.client.errors import InvalidRequestError, NoAnswerError
from ibstream.client.instruments import instrument_of
from ibstream.client.requests import checked
from ibstream.client.subscription import PatientReader, Subscription
from ibstream.contracts.feed import DataKind, Subscribe, SubscriptionChanged, SubscriptionOutcome, Unsubscribe
from ibstream.contracts.instrument import Instrument, quote_symbol
from ibstream.contracts.registry import FEED_EVENTS, FEED_REQUESTS
from ibstream.runtime.backoff import exponential
from ibstream.runtime.clock import Clock
from ibstream.runtime.errors import IbstreamError
from ibstream.runtime.supervise import cancelled, unless

RENEWALS = 3
"""How often a lease is renewed in the time that it lasts."""

RENEW_WITHIN_S = 60.0
"""A lease that lasts longer is renewed more often than `RENEWALS` times: where Redis has lost it unnoticed, the feed remembers it
for its time, and for two minutes at most."""

OUTCOME_WITHIN_S = 15.0
"""How long an outcome is waited for unless told otherwise; IBKR's first quote takes a second or two."""

NAME_CHARACTERS = 8
_RETRY = exponential(0.1, 2.0)

_log = structlog.get_logger(__name__)


def consumer_name(strategy: str) -> str:
    """A name for one holder of leases that no other bears."""
    return f"{strategy}:{uuid.uuid4().hex[:NAME_CHARACTERS]}"


def instruments_of(what: str | Instrument | Iterable[str | Instrument]) -> dict[str, Instrument]:
    """Instruments, one or several, in words or as they are, by the symbol that quotes use; raise `InvalidRequestError`."""
    several = [what] if isinstance(what, str | Instrument) else what
    named = {quote_symbol(instrument): instrument for instrument in map(instrument_of, several)}
    if not named:
        raise InvalidRequestError("a lease is on one instrument at least: name it")
    return named


class FeedLease(Subscription[SubscriptionChanged]):
    """Market data of some instruments, for as long as this is held: an asynchronous context manager.

        async with client.lease(["AAPL", "EUR.USD"]) as lease:
            print((await lease.outcome("AAPL")).outcome)

    Entering asks the feed for them, and raises `BusUnavailable` when Redis does not answer. While it is held the request is
    repeated `RENEWALS` times in the time that it lasts, and every `RENEW_WITHIN_S` seconds; leaving gives it back. A process
    that is killed gives nothing back: the lease ends `ttl_s` seconds after its last renewal. While Redis is away it goes on
    trying. Where a renewal failed, or whoever iterates was cut off, it asks anew as soon as Redis is back. Leases of several
    consumers on one instrument do not disturb each other.

    Iterating yields what became of the subscriptions, from entering on; the same symbol again where that changes. It raises
    `BusUnavailable` after the client's patience without Redis.
    """

    def __init__(
        self,
        bus: Bus,
        instruments: dict[str, Instrument],
        *,
        consumer: str,
        data: DataKind,
        priority: int,
        ttl_s: float,
        patience_s: float,
        clock: Clock,
    ) -> None:
        super().__init__()
        self.consumer = consumer
        """Who holds it."""
        self.symbols = tuple(instruments)
        """What quotes call the instruments, and what outcomes are told of."""
        self.data = data
        """What of them it is for."""
        self.latest: dict[str, SubscriptionChanged] = {}
        """By symbol: what was told last, as far as it was read by `outcome` or by iterating."""
        self.failure: Exception | None = None
        """Why it could not be renewed when that was tried last; None while all is well. Each failure is logged, too."""
        self._instruments = instruments
        self._priority = priority
        self._ttl_s = ttl_s
        self._clock = clock
        self._publisher = Publisher(bus)
        self._hurry = asyncio.Event()
        self._reader = PatientReader(
            bus, {FEED_EVENTS: LATEST}, patience_s=patience_s, clock=clock, on_return=self._hurry.set
        )
        self._reading = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None
        self._check()

    async def outcome(self, instrument: str | Instrument, *, within_s: float = OUTCOME_WITHIN_S) -> SubscriptionChanged:
        """What became of the subscription of one of the instruments: the latest that was told since entering.

        An `ENDED` is waited out: it is the end of an earlier lease, of which this one's outcome is told again. Raises
        `NoAnswerError` where nothing is told within `within_s` seconds, and `InvalidRequestError` where the lease is not on it.
        """
        symbol = instrument if isinstance(instrument, str) else quote_symbol(instrument)
        if symbol not in self._instruments:
            raise InvalidRequestError(f"the lease is not on {symbol}, but on {', '.join(self.symbols)}")
        await self.open()
        try:
            async with asyncio.timeout(within_s):
                return await self._outcome(symbol)
        except TimeoutError:
            text = f"nothing is told of {symbol} ({self.data}) within {within_s:g} s; is the feed running?"
            raise NoAnswerError(text) from None

    async def _outcome(self, symbol: str) -> SubscriptionChanged:
        while True:
            async with self._reading:
                told = self.latest.get(symbol)
                if told is not None and told.outcome is not SubscriptionOutcome.ENDED:
                    return told
                self._pending.extend(await self._read())

    async def _open(self) -> None:
        try:
            await self._reader.start()  # before asking, so that no answer is missed
            await self._ask()
        except BaseException:
            await self._reader.close()
            raise
        self._renewing = asyncio.create_task(self._renew(), name=f"renew-{self.consumer}")
        self._renewing.add_done_callback(self._renewing_ended)

    async def _close(self) -> None:
        renewing, self._renewing = self._renewing, None
        await cancelled(renewing)
        if renewing is not None:
            await self._give_back()
        await self._reader.close()

    async def _more(self) -> list[SubscriptionChanged]:
        async with self._reading:
            if self._pending:  # `outcome` has read meanwhile
                return []
            return await self._read()

    async def _read(self) -> list[SubscriptionChanged]:
        if self._renewing is not None and self._renewing.done():
            self._renewing.result()  # a lease that is not renewed any more is none: its error is raised here
        entries = await self._reader.read()
        told = [entry.message for entry in entries if isinstance(entry.message, SubscriptionChanged)]
        ours = [event for event in told if event.symbol in self._instruments and event.data is self.data]
        self.latest.update((event.symbol, event) for event in ours)
        return ours

    async def _renew(self) -> None:
        """Ask again and again. What fails is tried again soon, whatever it is: the lease must not end for it."""
        waits = _RETRY()
        wait_s = renew_s = min(self._ttl_s / RENEWALS, RENEW_WITHIN_S)
        while True:
            await unless(self._hurry, self._clock.sleep(wait_s))
            self._hurry.clear()
            try:
                await self._ask()
            except IbstreamError as error:
                self.failure = error
                wait_s = next(waits)
                _log.warning("client.lease_not_renewed", consumer=self.consumer, error=str(error), next_try_in_s=wait_s)
            else:
                self.failure, waits, wait_s = None, _RETRY(), renew_s

    async def _ask(self) -> None:
        for request in self._requests(self._subscribe):
            await self._publisher.publish(FEED_REQUESTS, request)

    async def _give_back(self) -> None:
        try:
            for request in self._requests(self._unsubscribe):
                await self._publisher.publish(FEED_REQUESTS, request)
        except IbstreamError as error:
            _log.warning(
                "client.lease_not_given_back", consumer=self.consumer, error=str(error), ends_within_s=self._ttl_s
            )

    def _requests(self, make: Callable[[Instrument], Subscribe | Unsubscribe]) -> list[Subscribe | Unsubscribe]:
        return [make(instrument) for instrument in self._instruments.values()]

    def _subscribe(self, instrument: Instrument) -> Subscribe:
        return Subscribe(
            consumer=self.consumer,
            instrument=instrument,
            data=self.data,
            ttl_s=self._ttl_s,
            priority=self._priority,
            requested_at=self._clock.now(),
        )

    def _unsubscribe(self, instrument: Instrument) -> Unsubscribe:
        return Unsubscribe(
            consumer=self.consumer, instrument=instrument, data=self.data, requested_at=self._clock.now()
        )

    def _check(self) -> None:
        for request in self._requests(self._subscribe):
            checked(FEED_REQUESTS, request)

    def _renewing_ended(self, renewing: asyncio.Task[None]) -> None:
        error = None if renewing.cancelled() else renewing.exception()
        if isinstance(error, Exception):
            self.failure = error
            _log.error("client.lease_renewed_no_more", consumer=self.consumer, exc_info=error)
