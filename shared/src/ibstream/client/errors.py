"""What can go wrong between a consumer and the services.

IbstreamError
├── RecoverableError
│   ├── bus.BusUnavailable       Redis does not answer
│   ├── OrderUnconfirmedError    the request may or may not have been written: repeat it under the same id
│   └── NoAnswerError            no service answered in time
│       ├── OrderUnresolvedError the order has no outcome yet; it may still get one
│       └── GroupUnresolvedError the same of some orders of a group
├── RequestRefusedError          the broker would not do it, and says why; the order stands as it stood
├── JobFailedError               the data service ended the job without its bars, and says why
└── InvalidRequestError          the request fits no contract; nothing was written
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ibstream.contracts.data import FailureReason, JobFailed
from ibstream.contracts.orders import OrderStatusChanged, Reason, RequestRefused
from ibstream.runtime.errors import IbstreamError, RecoverableError

if TYPE_CHECKING:
    from ibstream.client.orders import OrderOutcome


class InvalidRequestError(IbstreamError):
    """A request that its reader could not decode. Nothing was written; the text names the field."""


class NoAnswerError(RecoverableError):
    """Nobody answered within the deadline: the service may be down, or slow."""


class OrderUnconfirmedError(RecoverableError):
    """The reply to the write was lost. Submitting again under the same `client_order_id` is safe: it is sent once at most."""

    def __init__(self, client_order_id: str, why: str, *, what: str = "order") -> None:
        super().__init__(
            f"whether {what} {client_order_id} was written is not known ({why}); repeat it under the same id, which is safe"
        )
        self.client_order_id = client_order_id
        """Of a group: its `group_id`."""


class OrderUnresolvedError(NoAnswerError):
    """The deadline passed before the order had an outcome. It may be working: look at `last`, then wait on or cancel."""

    def __init__(self, client_order_id: str, last: OrderStatusChanged | None, deadline_s: float) -> None:
        state = f"its last status is {last.status}" if last else "the broker has not answered"
        super().__init__(f"order {client_order_id} has no outcome after {deadline_s:g} s: {state}")
        self.client_order_id = client_order_id
        self.last = last
        """Its latest status; None if the broker said nothing."""


class GroupUnresolvedError(NoAnswerError):
    """The deadline passed before every order of a group had an outcome. What has none may be working."""

    def __init__(
        self,
        group_id: str,
        outcomes: Mapping[str, OrderOutcome],
        last: Mapping[str, OrderStatusChanged | None],
        deadline_s: float,
    ) -> None:
        states = ", ".join(f"{name} {status.status if status else 'not answered'}" for name, status in last.items())
        super().__init__(f"group {group_id} is not at its end after {deadline_s:g} s: {states}")
        self.group_id = group_id
        self.outcomes = outcomes
        """By `client_order_id`: what ended."""
        self.last = last
        """By `client_order_id`: the latest status of what did not; None where the broker said nothing."""


class RequestRefusedError(IbstreamError):
    """The broker refused a request that is no order of its own: a what-if, a cancel. `reason` is for machines."""

    def __init__(self, refused: RequestRefused) -> None:
        detail = f": {refused.text}" if refused.text else ""
        code = f" [{refused.code}]" if refused.code else ""
        super().__init__(f"{refused.request} of {refused.client_order_id} was refused ({refused.reason}){detail}{code}")
        self.reason: Reason = refused.reason
        self.code = refused.code
        """IBKR's code where it gave one, else 0."""
        self.refused = refused
        """The event, with where the order stands."""


class JobFailedError(IbstreamError):
    """The data service could not get the bars. `reason` is for machines, the text for people."""

    def __init__(self, failed: JobFailed) -> None:
        detail = f": {failed.text}" if failed.text else ""
        super().__init__(f"the bar job failed ({failed.reason}){detail}")
        self.reason: FailureReason = failed.reason
        self.code = failed.code
        """IBKR's code where it gave one, else 0."""
