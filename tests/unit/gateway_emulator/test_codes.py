"""IBKR's codes: in order, and each with one text, wherever it is said."""

from __future__ import annotations

from ibstream.simulation import rules
from ibstream_gateway_emulator.domain import codes
from ibstream_gateway_emulator.domain.codes import Code
from ibstream_gateway_emulator.faults import texts, verbs

ENGINES_OWN = {201}
"""A rejection gives a reason in words: there are several."""


def test_the_codes_that_say_always_the_same_are_ordered_by_number() -> None:
    numbers = [value.code for value in vars(codes).values() if isinstance(value, Code)]
    assert len(numbers) > 30
    # Where one text has two numbers, they are made together.
    assert [number for number in numbers if number != 343] == sorted(number for number in numbers if number != 343)


def test_the_engine_and_the_gateway_say_the_same_under_the_same_code() -> None:
    ours = {value.code: value.text for value in vars(codes).values() if isinstance(value, Code)}
    engines = {value.code: value.text for value in vars(rules).values() if isinstance(value, rules.Objection)}
    shared = ours.keys() & engines.keys() - ENGINES_OWN
    assert shared >= {103, 105, 329, 387, 10006}
    assert {code: ours[code] for code in shared} == {code: engines[code] for code in shared}
    assert tuple(codes.order_not_found(7)) == tuple(rules.not_found(7))
    assert tuple(codes.parent_ended(7)) == tuple(rules.no_such_order(7))


def test_a_commanded_fault_says_what_the_gateway_says_by_itself() -> None:
    assert tuple(texts.rejection(verbs.RejectOrders())) == tuple(rules.INSUFFICIENT_FUNDS)
    assert texts.history(verbs.FailHistory(code=162)) == codes.pacing_violation()
    assert texts.PERMISSION[10167] == codes.SHOWING_DELAYED.text
