"""What can go wrong between a consumer and the services.

IbstreamError
├── RecoverableError
│   ├── bus.BusUnavailable       Redis does not answer
│   ├── OrderUnconfirmedError    the request may or may not have been written: repeat it under the same id
│   └── NoAnswerError            no service answered in time
│       └── OrderUnresolvedError the order has no outcome yet; it may still get one
├── JobFailedError               the data service ended the job without its bars, and says why
└── InvalidRequestError          the request fits no contract; nothing was written
"""

from __future__ import annotations

from ibstream.contracts.data import FailureReason, JobFailed
from ibstream.contracts.orders import OrderStatusChanged
from ibstream.runtime.errors import IbstreamError, RecoverableError


class InvalidRequestError(IbstreamError):
    """A request that its reader could not decode. Nothing was written; the text names the field."""


class NoAnswerError(RecoverableError):
    """Nobody answered within the deadline: the service may be down, or slow."""


class OrderUnconfirmedError(RecoverableError):
    """The reply to the write was lost. Submitting again under the same `client_order_id` is safe: it is sent once at most."""

    def __init__(self, client_order_id: str, why: str) -> None:
        super().__init__(
            f"whether order {client_order_id} was written is not known ({why}); repeat it under the same id, which is safe"
        )
        self.client_order_id = client_order_id


class OrderUnresolvedError(NoAnswerError):
    """The deadline passed before the order had an outcome. It may be working: look at `last`, then wait on or cancel."""

    def __init__(self, client_order_id: str, last: OrderStatusChanged | None, deadline_s: float) -> None:
        state = f"its last status is {last.status}" if last else "the broker has not answered"
        super().__init__(f"order {client_order_id} has no outcome after {deadline_s:g} s: {state}")
        self.client_order_id = client_order_id
        self.last = last
        """Its latest status; None if the broker said nothing."""


class JobFailedError(IbstreamError):
    """The data service could not get the bars. `reason` is for machines, the text for people."""

    def __init__(self, failed: JobFailed) -> None:
        detail = f": {failed.text}" if failed.text else ""
        super().__init__(f"the bar job failed ({failed.reason}){detail}")
        self.reason: FailureReason = failed.reason
        self.code = failed.code
        """IBKR's code where it gave one, else 0."""
