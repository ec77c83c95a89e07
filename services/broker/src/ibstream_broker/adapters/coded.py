"""What a code says of an order, whoever executes it."""

from __future__ import annotations

from ibstream.ibkr.codes import CodeClass, Verdict, classify, order_verdict
from ibstream_broker.domain.inputs import CodeReported


def code_reported(order_id: int, code: int, text: str) -> CodeReported:
    """The code with its meaning for a new order, which is all that can be said without knowing the order."""
    verdict = order_verdict(code, text, acknowledged=False)
    return CodeReported(
        order_id=order_id,
        code=code,
        text=text,
        cancelled=verdict is Verdict.CANCELLED,
        dead_if_new=verdict is Verdict.DEAD,
        advice=verdict is Verdict.ALIVE,
        cancel_refused=classify(code, text) is CodeClass.CANCEL_REJECTED,
        change_refused=classify(code, text) is CodeClass.MODIFY_REJECTED,
    )
