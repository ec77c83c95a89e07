"""`Client`: orders, quotes, bars and health over Redis."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import structlog

from ibstream.bus import Bus
from ibstream.client.bars import BarJob, BarsDetails, bars_request
from ibstream.client.errors import InvalidRequestError
from ibstream.client.leases import FeedLease, consumer_name, instruments_of
from ibstream.client.quotes import QuoteSubscription
from ibstream.client.requests import checked
from ibstream.client.ticks import DepthSubscription, LiveBarSubscription, TickSubscription
from ibstream.client.trading import Trading
from ibstream.contracts.base import Codec, Message, UndecodableError, type_of
from ibstream.contracts.data import Bar
from ibstream.contracts.feed import PRIORITY_DEFAULT, DataKind
from ibstream.contracts.instrument import Instrument, quote_symbol
from ibstream.contracts.orders import FINAL_STATUSES, OrderStatus
from ibstream.contracts.registry import HEARTBEAT_PATTERN, STATUS_KEY, SYSTEM_CONTROL
from ibstream.contracts.system import AcceptPositions, Halt, Heartbeat, ModeChanged, Resume, SettleOrder
from ibstream.runtime.clock import SYSTEM_CLOCK, Clock
from ibstream.runtime.settings import Settings, load_settings

LEASE_S = 60.0
"""How long a lease outlives a consumer that was killed, unless told otherwise."""

PATIENCE_S = 30.0
"""How long a subscription outlives a silent Redis."""

SETTLE_INTERVALS = 4
SETTLE_MARGIN_S = 1.0
"""The feed's hashes are trusted to hold what its streams held so long ago: a few of its intervals, and a margin."""

_log = structlog.get_logger(__name__)

M = TypeVar("M", bound=Message)


class Client(Trading):
    """One connection to an ibstream system, for one event loop. Use it as an asynchronous context manager.

    Without arguments it finds Redis as the services do: by `config/settings.yaml` and `SA_REDIS__URL`,
    `SA_REDIS__QUOTES_URL`. `strategy` stands on every order. `patience_s`: how long subscriptions wait for a Redis that
    is away before they raise. Methods raise `BusUnavailable` when Redis does not answer, `BusRefused` when it says no,
    and `InvalidRequestError` for a request that no service would understand.
    """

    def __init__(
        self,
        url: str | None = None,
        quotes_url: str | None = None,
        *,
        strategy: str = "client",
        patience_s: float = PATIENCE_S,
        settings: Settings | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        settings = settings or load_settings()
        url, quotes_url = _addresses(url, quotes_url, settings)
        super().__init__(Bus(url, client_name="ibstream-client"), strategy=strategy, patience_s=patience_s, clock=clock)
        self._quotes_bus = self._bus if quotes_url == url else Bus(quotes_url, client_name="ibstream-client-quotes")
        self._shards = settings.feed.shards
        self._settle_s = SETTLE_INTERVALS * settings.feed.last_values_interval_s + SETTLE_MARGIN_S

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every subscription and connection."""
        for subscription in self._subscriptions:
            await subscription.close()
        await self._bus.close()
        if self._quotes_bus is not self._bus:
            await self._quotes_bus.close()

    @property
    def address(self) -> str:
        """Host and port of the bus."""
        return self._bus.address

    async def ping(self) -> None:
        """Return if Redis answers; else raise `BusUnavailable`."""
        await self._bus.ping()

    # Market data

    def quotes(self, symbols: Collection[str | Instrument] | None = None) -> QuoteSubscription:
        """Quotes of all symbols, or of some: a `QuoteSnapshot`, then `QuoteBatch`es in order, `Gap` and `EpochChanged`
        where continuity broke. What stands of a shard whose feed process has died comes again as a snapshot, stale.

        Symbols as rows call them (`AAPL`, `EUR.USD`, `ES 202612`, `SPX IND`), or instruments. What is not of the feed's list
        is only quoted while somebody holds a `lease` on it.
        """
        wanted = [_symbol(one) for one in symbols or ()]
        return self._held(
            QuoteSubscription(
                self._quotes_bus,
                leases=self._bus,
                shards=self._shards,
                symbols=wanted or None,
                settle_s=self._settle_s,
                patience_s=self._patience_s,
                clock=self._clock,
            )
        )

    def lease(
        self,
        instruments: str | Instrument | Iterable[str | Instrument],
        *,
        data: DataKind | str = DataKind.QUOTES,
        priority: int = PRIORITY_DEFAULT,
        ttl_s: float = LEASE_S,
        consumer: str | None = None,
    ) -> FeedLease:
        """Have the feed bring market data of some instruments for as long as this is held: `async with client.lease(...)`.

        Stocks, ETFs, currency pairs, futures, options and indices, in words (`AAPL`, `EUR.USD`, `ES 202612 @CME`,
        `AAPL 20261218 250 C`, `SPX IND @CBOE`) or as made by `ibstream.stock`, `fx`, `future`, `option` and `index`. `data` is
        what of them: `quotes`, `ticks`, `bars` of five seconds or `depth`, read with `quotes`, `ticks`, `live_bars` and `depth`.
        Where market data lines are short, `priority` 1 is served first and 9 last. `ttl_s`: how long it lasts when it
        is not renewed any more. `consumer` names the holder, whose leases of one name are one; default: the strategy and
        a random word. Raises `InvalidRequestError`; see `FeedLease` for the rest.
        """
        lease = FeedLease(
            self._bus,
            instruments_of(instruments),
            consumer=consumer or consumer_name(self._strategy),
            data=_kind(data),
            priority=priority,
            ttl_s=ttl_s,
            patience_s=self._patience_s,
            clock=self._clock,
        )
        return self._held(lease)

    def ticks(self, instrument: str | Instrument) -> TickSubscription:
        """Every trade and every change of bid and ask of one instrument, from now on, and where continuity broke.

        They come while somebody holds a `lease` on them. A string is the symbol that the lease shows: `EUR.USD`, `ES 202612`.
        """
        return self._held(TickSubscription(self._quotes_bus, _symbol(instrument), **self._following()))

    def live_bars(self, instrument: str | Instrument) -> LiveBarSubscription:
        """Bars of five seconds of one instrument, as each is over, from now on. For the rest see `ticks`."""
        return self._held(LiveBarSubscription(self._quotes_bus, _symbol(instrument), **self._following()))

    def depth(self, instrument: str | Instrument) -> DepthSubscription:
        """The order book of one instrument, as it stands and as it changes. For the rest see `ticks`."""
        return self._held(DepthSubscription(self._quotes_bus, _symbol(instrument), **self._following()))

    def _following(self) -> dict[str, Any]:
        return {"patience_s": self._patience_s, "clock": self._clock}

    async def bars(
        self, instrument: str | Instrument, *, deadline_s: float = 120.0, **details: Unpack[BarsDetails]
    ) -> list[Bar]:
        """Historical bars, oldest first, all at once. What it raises: see `bar_job`."""
        async with self.bar_job(instrument, deadline_s=deadline_s, **details) as chunks:
            return [bar async for chunk in chunks for bar in chunk.bars]

    def bar_job(
        self, instrument: str | Instrument, *, deadline_s: float = 120.0, **details: Unpack[BarsDetails]
    ) -> BarJob:
        """Historical bars, chunk by chunk as they come.

        Iterating raises `JobFailedError` with the service's reason, or `NoAnswerError` after `deadline_s`; this call
        raises `InvalidRequestError`.
        """
        request = bars_request(instrument, details, now=self._clock.now())
        job = BarJob(self._bus, request, deadline_s=deadline_s, patience_s=self._patience_s, clock=self._clock)
        return self._held(job)

    # The system

    async def status(self) -> ModeChanged | None:
        """The system's mode and why; None where the watchdog is silent, or speaks a newer version."""
        value = await self._bus.get(STATUS_KEY)
        return None if value is None else _decode(ModeChanged, STATUS_KEY, value)

    async def heartbeats(self) -> list[Heartbeat]:
        """Every service instance that is alive, by service and instance; one that cannot be read is left out, with a warning."""
        values = await self._bus.values_matching(HEARTBEAT_PATTERN)
        read = [_decode(Heartbeat, key, value) for key, value in values.items()]
        return sorted((beat for beat in read if beat is not None), key=lambda beat: (beat.service, beat.instance))

    # For the people who run it

    async def halt(self, who: str, why: str, *, cancel_orders: bool = False) -> None:
        """Ask that no new order is accepted until `resume`, also after a restart; cancels still pass.

        `cancel_orders`: every working order of ours is cancelled, too, as soon as that can be done.
        """
        request = Halt(who=who, why=why, cancel_orders=cancel_orders, at=self._clock.now())
        await self._publisher.publish(SYSTEM_CONTROL, checked(SYSTEM_CONTROL, request))

    async def resume(self, who: str, why: str = "") -> None:
        """End a halt."""
        request = Resume(who=who, why=why, at=self._clock.now())
        await self._publisher.publish(SYSTEM_CONTROL, checked(SYSTEM_CONTROL, request))

    async def accept_positions(self, who: str, why: str, *, account: str = "", con_id: int = 0) -> None:
        """Take what IBKR says is held for right, so that a position mismatch no longer blocks orders.

        Of one instrument by IBKR's contract id, or of all; `account` empty for the broker's own.
        """
        request = AcceptPositions(who=who, why=why, account=account, con_id=con_id, at=self._clock.now())
        await self._publisher.publish(SYSTEM_CONTROL, checked(SYSTEM_CONTROL, request))

    async def settle_order(self, who: str, why: str, client_order_id: str, status: OrderStatus | str) -> None:
        """Give an order that stays `unknown` the outcome that was found at IBKR: `filled`, `cancelled` or `rejected`.

        Obeyed only while it is `unknown`; its events tell. Raises `InvalidRequestError` for a status that is no outcome.
        """
        if status not in FINAL_STATUSES:
            raise InvalidRequestError(f"{status} is no outcome: name filled, cancelled or rejected")
        told: Any = OrderStatus(status).value
        request = SettleOrder(who=who, why=why, client_order_id=client_order_id, status=told, at=self._clock.now())
        await self._publisher.publish(SYSTEM_CONTROL, checked(SYSTEM_CONTROL, request))


def _addresses(url: str | None, quotes_url: str | None, settings: Settings) -> tuple[str, str]:
    """An explicit `url` stands for quotes too, unless `quotes_url` says otherwise."""
    if url is not None:
        return url, quotes_url or url
    return settings.redis.bus_url, quotes_url or settings.redis.quotes_bus_url


def _symbol(one: str | Instrument) -> str:
    return one if isinstance(one, str) else quote_symbol(one)


def _kind(data: DataKind | str) -> DataKind:
    try:
        return DataKind(data)
    except ValueError:
        raise InvalidRequestError(f"data {data!r} is none of {', '.join(DataKind)}") from None


def _decode(kind: type[M], key: str, value: bytes) -> M | None:
    try:
        message = Codec(kind).decode(type_of(kind).encode(), value)
    except UndecodableError as error:
        _log.warning("client.undecodable_value", key=key, error=str(error))
        return None
    assert isinstance(message, kind)  # noqa: S101 - the codec knows one type
    return message
