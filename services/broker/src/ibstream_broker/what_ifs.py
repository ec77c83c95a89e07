"""Questions what an order would do: asked beside the queue, so that a slow answer holds up no order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from ibstream.contracts.orders import Reason, SubmitOrder, WhatIf, WhatIfAnswered
from ibstream.ibkr.codes import CodeClass, classify
from ibstream_broker.domain.lanes import Waiting
from ibstream_broker.domain.lifecycle import TEXT_CHARACTERS_MAX
from ibstream_broker.domain.refusal import Refusal
from ibstream_broker.domain.validation import check_account, check_terms
from ibstream_broker.ledger import Change
from ibstream_broker.office import Office, Room, Send
from ibstream_broker.ports import OrderRefused, Placement, Preview

AT_ONCE = 4
"""Questions under way; the Gateway answers each within a second or so."""


class _Question(Send):
    """Begins to be asked when all that was staged with it is written, and goes on by itself."""

    def __init__(self, begin: Callable[[], None]) -> None:
        super().__init__(still_refused=lambda: None, act=_nothing, take_back=lambda _change, _refusal: None)
        self._begin = begin

    async def perform(self, room: Room) -> None:  # noqa: ARG002 - the executor takes room for it when it is sent
        """Begin."""
        self._begin()


async def _nothing() -> None:
    """Nothing is sent from here."""


class WhatIfs:
    """Asks, and publishes the answer or the refusal."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._asking: dict[Waiting, asyncio.Task[None]] = {}

    def is_asking(self, item: Waiting) -> bool:
        """Whether its answer is still to come."""
        return item in self._asking

    def clear(self) -> None:
        """Give up all questions; their requests stay pending."""
        for task in self._asking.values():
            task.cancel()
        self._asking.clear()

    def stage(
        self, change: Change, item: Waiting, group: asyncio.TaskGroup, finish: Callable[[Waiting], None]
    ) -> list[Send]:
        """Refuse the question, or begin to ask it; `finish` is told when it is answered."""
        request = item.request
        assert isinstance(request, WhatIf)  # noqa: S101 - the desk sorts by kind
        refusal = self._against(item, request)
        if refusal is not None:
            self._office.refuse(change, request, request.order.client_order_id, refusal, None)
            return []
        return [_Question(lambda: self._begin(item, request, group, finish))]

    def _begin(
        self, item: Waiting, request: WhatIf, group: asyncio.TaskGroup, finish: Callable[[Waiting], None]
    ) -> None:
        self._asking[item] = group.create_task(self._ask(item, request, finish), name="what-if")

    def _against(self, item: Waiting, request: WhatIf) -> Refusal | None:
        early = next(iter(item.refusals.values()), None) or self._office.refuses_what_ifs(request)
        if early is not None:
            return early
        terms = self._office.port.known_terms(request.order.instrument)
        if terms is None:
            return Refusal(
                Reason.RECONCILING, f"{request.order.instrument.symbol} has to be looked up again: ask again"
            )
        return check_account(request.order.account, self._office.port.account) or check_terms(request.order, terms)

    async def _sent(self, order: SubmitOrder) -> asyncio.Future[Preview]:
        """Send the question; the answer is to come. Ids go out in their order: none is drawn while others are on their way."""
        office = self._office
        async with office.sending:
            order_id = office.port.next_order_id(office.ledger.order_id_high_water + 1)
            placement = Placement(order_id=order_id, request=order, account=order.account or office.port.account)
            sent = asyncio.Event()
            answer = asyncio.ensure_future(office.port.what_if(placement, sent=sent.set))
            is_out = asyncio.ensure_future(sent.wait())
            try:
                await asyncio.wait({answer, is_out}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                answer.cancel()
                raise
            finally:
                is_out.cancel()
        return answer

    async def _ask(self, item: Waiting, request: WhatIf, finish: Callable[[Waiting], None]) -> None:
        office, order = self._office, request.order
        refusal: Refusal | None = None
        code = 0
        preview = Preview()
        try:
            async with self._slots:
                preview = await (await self._sent(order))
        except OrderRefused as error:
            refusal, code = Refusal(Reason.REJECTED_BY_IBKR, f"{error.text} ({error.code})"), error.code
            if classify(error.code, error.text) is CodeClass.READ_ONLY:
                office.standing.read_only = error.text
                refusal = office.refuses_what_ifs(request) or refusal
        except ConnectionError as error:
            refusal = Refusal(Reason.GATEWAY_DISCONNECTED, str(error))
        async with office.ledger.changing() as change:
            if refusal is not None:
                office.refuse(change, request, order.client_order_id, refusal, None, code=code)
            else:
                told = {**msgspec.structs.asdict(preview), "warning": preview.warning[:TEXT_CHARACTERS_MAX]}
                change.tell(WhatIfAnswered(client_order_id=order.client_order_id, at=office.clock.now(), **told))
        self._asking.pop(item, None)
        finish(item)
