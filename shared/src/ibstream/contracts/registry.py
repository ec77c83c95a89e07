"""Every stream, key and hash on the bus: its name, who writes it, who reads it, what travels on it, how long it is kept."""

from __future__ import annotations

from dataclasses import dataclass

from ibstream.contracts import data, feed, orders, portfolio, quotes, system, ticks
from ibstream.contracts.base import Codec, Message

SERVICES = ("broker", "data", "feed")
"""The services that own a connection to IBKR, in the order of their client ids."""

DEAD_SUFFIX = ":dead"
"""Appended to a stream's name: where its undecodable and undeliverable entries go, with the error."""


@dataclass(frozen=True)
class Stream:
    """One stream. `name` may have a parameter in angle brackets; `named` fills it in."""

    name: str
    title: str
    writers: str
    readers: str
    messages: tuple[type[Message], ...]
    keep_entries: int = 0
    """About how many entries are kept (XADD MAXLEN ~). Never used where a group works the stream off, because MAXLEN
    would trim entries that are still pending."""
    keep_s: int = 0
    """How long acknowledged entries are kept where a group works the stream off: its consumer trims by MINID, and never
    past the oldest pending entry."""
    group: str = ""
    """The consumer group that works it off; empty for plain readers."""
    expires_s: int = 0
    """Seconds after the last entry when the stream goes; 0 for never."""

    def named(self, parameter: str | int) -> Stream:
        """This stream with its parameter filled in: `QUOTES.named(3)` is `quotes:3`."""
        head, _, _ = self.name.partition("<")
        return Stream(**{**self.__dict__, "name": f"{head}{parameter}"})

    @property
    def dead(self) -> str:
        """The name of its dead-letter stream."""
        return self.name + DEAD_SUFFIX

    def codec(self) -> Codec:
        """A decoder for the messages of this stream."""
        return Codec(*self.messages)


ORDER_REQUESTS = Stream(
    name="orders:requests",
    title="What strategies ask of the broker",
    writers="strategies",
    readers="broker",
    messages=(
        orders.SubmitOrder,
        orders.SubmitGroup,
        orders.ModifyOrder,
        orders.CancelOrder,
        orders.CancelAllOrders,
        orders.WhatIf,
    ),
    keep_s=7 * 86400,
    group="broker",
)
ORDER_EVENTS = Stream(
    name="orders:events",
    title="Every step of every order: states, fills, commissions, refusals; and orders that are not ours",
    writers="broker",
    readers="anyone",
    messages=(
        orders.OrderStatusChanged,
        orders.OrderFilled,
        orders.CommissionCharged,
        orders.RequestRefused,
        orders.WhatIfAnswered,
        orders.ExternalOrder,
    ),
    keep_entries=1_000_000,
)
PORTFOLIO_EVENTS = Stream(
    name="portfolio:events",
    title="Changes of positions, account values, profit and loss; positions that do not add up",
    writers="broker",
    readers="anyone",
    messages=(
        portfolio.PositionChanged,
        portfolio.AccountValueChanged,
        portfolio.PnlChanged,
        portfolio.PositionMismatch,
    ),
    keep_entries=100_000,
)
QUOTES = Stream(
    name="quotes:<shard>",
    title="Batches of quotes, one stream per shard",
    writers="feed",
    readers="anyone, with plain XREAD",
    messages=(quotes.QuoteBatch,),
    keep_entries=10_000,
)
TICKS = Stream(
    name="ticks:<symbol>",
    title="Every tick of a symbol, while somebody holds a lease on its ticks",
    writers="feed",
    readers="anyone, with plain XREAD",
    messages=(ticks.TickBatch,),
    keep_entries=10_000,
    expires_s=3600,
)
LIVE_BARS = Stream(
    name="bars:<symbol>",
    title="Bars of five seconds of a symbol, while somebody holds a lease on them",
    writers="feed",
    readers="anyone, with plain XREAD",
    messages=(ticks.FiveSecondBar,),
    keep_entries=10_000,
    expires_s=86400,
)
DEPTH = Stream(
    name="depth:<symbol>",
    title="The order book of a symbol, while somebody holds a lease on it",
    writers="feed",
    readers="anyone, with plain XREAD",
    messages=(ticks.Depth,),
    keep_entries=1_000,
    expires_s=3600,
)
FEED_REQUESTS = Stream(
    name="feed:requests",
    title="Subscription leases",
    writers="anyone",
    readers="feed",
    messages=(feed.Subscribe, feed.Unsubscribe),
    keep_s=feed.TTL_S_MAX,
    group="feed",
)
FEED_EVENTS = Stream(
    name="feed:events",
    title="What became of subscriptions",
    writers="feed",
    readers="anyone",
    messages=(feed.SubscriptionChanged,),
    keep_entries=100_000,
)
DATA_REQUESTS = Stream(
    name="data:requests",
    title="Bar jobs",
    writers="anyone",
    readers="data",
    messages=(data.BarsRequest,),
    keep_s=86400,
    group="data",
)
DATA_JOBS = Stream(
    name="data:jobs:<id>",
    title="The answer to one bar job",
    writers="data",
    readers="the requester",
    messages=(data.JobAccepted, data.JobChunk, data.JobDone, data.JobFailed),
    keep_entries=100_000,
    expires_s=3600,
)
SYSTEM_MODE = Stream(
    name="system:mode",
    title="Changes of the system's mode, with reasons",
    writers="gateway-watchdog",
    readers="anyone",
    messages=(system.ModeChanged,),
    keep_entries=10_000,
)
SYSTEM_CONTROL = Stream(
    name="system:control",
    title="Orders from the people who run the system",
    writers="operators",
    readers="broker and gateway-watchdog, for halt and resume, and broker, to accept positions and settle orders; the rest "
    "is part of the contract, not acted on yet",
    messages=(
        system.Halt,
        system.Resume,
        system.AcceptPositions,
        system.SettleOrder,
        system.Reconnect,
        system.RestartGateway,
    ),
    keep_entries=10_000,
)


def _edges(service: str) -> tuple[Stream, Stream]:
    common = {"writers": service, "readers": "gateway-watchdog, anyone", "keep_entries": 10_000}
    return (
        Stream(
            name=f"system:{service}:disconnected",
            title=f"The {service} lost its connection to IBKR",
            messages=(system.Disconnected,),
            **common,  # type: ignore[arg-type]
        ),
        Stream(
            name=f"system:{service}:reconnected",
            title=f"The {service} is ready (again)",
            messages=(system.Reconnected,),
            **common,  # type: ignore[arg-type]
        ),
    )


EDGES: dict[str, tuple[Stream, Stream]] = {service: _edges(service) for service in SERVICES}
"""Per service: the streams of its `disconnected` and `reconnected` edges."""

STREAMS: tuple[Stream, ...] = (
    ORDER_REQUESTS,
    ORDER_EVENTS,
    PORTFOLIO_EVENTS,
    QUOTES,
    TICKS,
    LIVE_BARS,
    DEPTH,
    FEED_REQUESTS,
    FEED_EVENTS,
    DATA_REQUESTS,
    DATA_JOBS,
    *(stream for pair in EDGES.values() for stream in pair),
    SYSTEM_MODE,
    SYSTEM_CONTROL,
)
"""All of them, in the order in which they are documented."""

STATUS_KEY = "system:status"
"""The latest `ModeChanged`; expires `STATUS_TTL_S` after the watchdog's last word."""
STATUS_TTL_S = 5

HEARTBEAT_TTL_S = 3
"""A heartbeat key is gone this many seconds after the last beat."""


def heartbeat_key(service: str, instance: str) -> str:
    """Where an instance's latest `Heartbeat` lies."""
    return f"system:heartbeat:{service}:{instance}"


HEARTBEAT_PATTERN = heartbeat_key("*", "*")


def last_quotes_key(shard: int) -> str:
    """Hash of the latest row per symbol of a shard: field symbol, value the row as a JSON array."""
    return f"quotes:last:{shard}"


def positions_key(account: str) -> str:
    """Hash of an account's positions: field contract id, value `PositionChanged`."""
    return f"portfolio:positions:{account}"


def account_key(account: str) -> str:
    """Hash of an account's values: field `<tag>:<currency>`, value `AccountValueChanged`."""
    return f"portfolio:account:{account}"


def pnl_key(account: str) -> str:
    """Hash of an account's profit and loss: field contract id, 0 for the account, value `PnlChanged`."""
    return f"portfolio:pnl:{account}"


def client_id_lease(host: str, port: int, client_id: int) -> str:
    """The lease that makes a client id of one Gateway belong to one process on this bus."""
    return f"lease:client-id:{host}:{port}:{client_id}"


def order_journal_key(client_order_id: str) -> str:
    """Hash in which the broker journals one order: `seq` of its last event and its `record`."""
    return f"orders:journal:order:{client_order_id}"


def order_positions_key(account: str) -> str:
    """Hash in which the broker journals what fills add up to: by contract id; with them `account`, and the executions seen."""
    return f"orders:journal:positions:{account}"


STRATEGY_POSITIONS_KEY = "orders:journal:strategies"
"""Hash in which the broker journals what each strategy's fills add up to: field `<account>|<strategy>|<contract id>`.

By account, because a strategy may have traded on paper before, over the same Redis."""

OPEN_ORDERS_KEY = "orders:journal:open"
"""Set of the client order ids whose orders have no outcome yet; what recovery has to look at."""

ORDER_ID_KEY = "orders:journal:order_id"
"""The greatest order id journalled: a floor for the next one, because the Gateway's own counter can roll back."""

ACKNOWLEDGED_ID_KEY = "orders:journal:acknowledged_id"
"""The greatest order id journalled of an order that IBKR has shown as its own: where the Gateway's counter is below it, it has
rolled back, and proves nothing about orders that are missing."""

ORDER_EPOCHS_KEY = "orders:journal:epochs"
"""Hash of the sessions with the Gateway, counted: field epoch, value the Gateway's next order id when it began."""

ORDER_FENCE_KEY = "orders:journal:fence"
"""The greatest fencing token that wrote to the journal; a smaller one writes nothing any more."""

FEED_LEASES_KEY = "feed:leases"
"""Hash of the leases in force: field `<data>|<symbol>|<consumer>`, value a lease as JSON. Every feed process reads it."""

FEED_LEASES_VERSION_KEY = "feed:leases:version"
"""Counted up with each change of `feed:leases` but renewals."""


def ended_lease_key(lease: str) -> str:
    """Key that remembers for a while by which entry a lease, named as in `feed:leases`, was given back."""
    return f"feed:leases:ended:{lease}"


FEED_MEMBERS_KEY = "feed:members"
"""Set of the names of all feed processes that live, or lived lately: which of them do, their member keys say."""


def feed_member_key(instance: str) -> str:
    """Key by which a feed process says that it lives and takes a share of the shards; expires with it."""
    return f"feed:member:{instance}"


def shard_lease(shard: int) -> str:
    """The lease that makes one feed process the only writer of a shard."""
    return f"lease:quotes:{shard}"


def contracts_key(account: str) -> str:
    """Hash of the contracts looked up so far, by the symbol that quotes use. By account: a stand-in's ids are not IBKR's."""
    return f"feed:contracts:{account}"
