"""Every metric that a process of ibstream exports: one closed list, in Prometheus' naming.

Labels have few values: stream names, services, reasons from closed lists; never symbols or order ids.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

CONNECTION_STATE = Gauge(
    "ibstream_connection_state",
    "1 for the state the connection to IBKR is in, 0 for the others",
    ["service", "state"],
)
RECONNECTS = Counter("ibstream_reconnects", "Sessions with the Gateway that were lost or not made", ["service"])
IBKR_CODES = Counter(
    "ibstream_ibkr_codes",
    "Codes received from the Gateway; class `unlisted` wants a look",
    ["service", "code", "class"],
)

ENTRIES_PUBLISHED = Counter("ibstream_bus_entries_published", "Entries written to a stream", ["stream"])
ENTRIES_SKIPPED = Counter("ibstream_bus_entries_skipped", "Entries of a type this version does not know", ["stream"])
DEAD_LETTERS = Counter("ibstream_bus_dead_letters", "Entries moved to a dead-letter stream", ["stream"])
BUS_FAILURES = Counter("ibstream_bus_failures", "Calls to Redis that failed or timed out", ["client"])

ORDER_REQUESTS = Counter(
    "ibstream_order_requests", "Order requests handled, by outcome of the gate", ["kind", "outcome"]
)
ORDER_REQUEST_SECONDS = Histogram(
    "ibstream_order_request_seconds",
    "From reading an order request to its acknowledgement",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
ORDER_QUEUE = Gauge("ibstream_order_queue", "Order requests that wait for their turn, cancels left out")
ORDER_QUEUE_SECONDS = Histogram(
    "ibstream_order_queue_seconds",
    "From reading an order request until its turn came",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
ORDERS_OPEN = Gauge("ibstream_orders_open", "Orders without an outcome")
ORDERS_UNKNOWN = Gauge("ibstream_orders_unknown", "Orders of which IBKR has given no clear answer")
ORDERS_RISEN = Counter(
    "ibstream_orders_risen", "Orders that worked at IBKR after their outcome was told; each is cancelled"
)
ORDERS_RESENT = Counter(
    "ibstream_orders_resent", "Orders sent again because they had provably never reached the Gateway"
)
EXTERNAL_ORDERS = Counter("ibstream_external_orders", "Reports of orders at IBKR that are not ours")
JOURNAL_SECONDS = Histogram(
    "ibstream_journal_seconds",
    "One write of the order journal, on disk where that was asked for",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
JOURNAL_RECORDS = Histogram(
    "ibstream_journal_records",
    "Orders journalled in one write",
    buckets=(0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
)
RECONCILE_SECONDS = Histogram(
    "ibstream_reconcile_seconds",
    "Setting every open order against IBKR's lists, their coming included",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
POSITION_MISMATCHES = Gauge("ibstream_position_mismatches", "Instruments whose fills do not add up to IBKR's positions")
FILLS = Counter("ibstream_fills", "Executions published")
EXTERNAL_FILLS = Counter(
    "ibstream_external_fills", "Executions of orders that are not ours, counted into the positions"
)
COMMISSIONS_WAITING = Gauge(
    "ibstream_commissions_waiting", "Commissions that came before their execution, and still wait"
)

QUOTES_PUBLISHED = Counter("ibstream_quotes_published", "Quote rows written to the shards")
QUOTES_CONFLATED = Counter("ibstream_quotes_conflated", "Updates merged into a row that was not yet sent")
BATCHES_NOT_WRITTEN = Counter("ibstream_quote_batches_not_written", "Batches of quotes that Redis did not take")
SUBSCRIPTIONS = Gauge("ibstream_subscriptions", "Market data lines in use")
LINE_BUDGET = Gauge("ibstream_line_budget", "Market data lines that this process may use")
QUOTES_STALE = Gauge("ibstream_quotes_stale", "Symbols whose row is stale")
QUOTES_DELAYED = Gauge("ibstream_quotes_delayed", "Symbols whose row is delayed")
SWEEP_SECONDS = Gauge(
    "ibstream_sweep_seconds", "How long the last round of snapshots through the rest of the list took"
)
SNAPSHOTS = Counter("ibstream_snapshots", "Snapshots by how they ended", ["outcome"])
RESUBSCRIBED = Counter("ibstream_resubscribed", "Lines asked for again because they were silent")
QUARANTINED = Gauge("ibstream_symbols_quarantined", "Symbols that IBKR does not know, or will not give")
SHARDS_HELD = Gauge("ibstream_shards_held", "Shards that this feed process writes")

BAR_JOBS = Counter("ibstream_bar_jobs", "Bar jobs by how they ended", ["outcome"])
BARS_PUBLISHED = Counter("ibstream_bars_published", "Bars written to job streams")

MODE = Gauge("ibstream_mode", "1 for the mode the system is in, 0 for the others", ["mode"])
GATEWAY_UP = Gauge("ibstream_gateway_handshake_up", "1 while the Gateway answers the API handshake")


def stream_label(stream: str) -> str:
    """A stream's name as a label with few values: `quotes:3` → `quotes:*`, `data:jobs:<id>` → `data:jobs:*`."""
    head, colon, last = stream.rpartition(":")
    has_parameter = last.isdigit() or head in ("data:jobs", "ticks", "bars", "depth")
    return f"{head}:*" if colon and has_parameter else stream
