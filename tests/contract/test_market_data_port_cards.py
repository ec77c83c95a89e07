"""The page of cards of market data and the suite that proves them name each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CONTRACT = Path(__file__).parent
PAGE = CONTRACT.parents[1] / "docs" / "market-data-contract.md"
CARD = re.compile(r"M-\d+")
CARDS_MIN = 45


def cards() -> list[str]:
    """The cards of the page, in its order."""
    return re.findall(r"^### (M-\d+) \S", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def suite() -> Iterator[tuple[str, list[str]]]:
    """Every test of the suite and the cards at the beginning of its docstring."""
    for path in sorted(CONTRACT.glob("test_market_data_port*.py")):
        if path.name == Path(__file__).name:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                named = (ast.get_docstring(node) or "").partition(":")[0]
                yield node.name, CARD.findall(named)


def test_every_card_is_proved_by_a_test_and_every_test_names_its_cards() -> None:
    """A rule that nothing proves is a wish; and whoever sees a test fail finds the rule."""
    found = list(suite())
    assert {name for name, named in found if not named} == set()
    assert {card for _, named in found for card in named} == set(cards())


def test_the_cards_are_numbered_once_and_in_order() -> None:
    """So that a number can be looked up."""
    numbers = [int(card[2:]) for card in cards()]
    assert len(numbers) >= CARDS_MIN
    assert numbers == sorted(set(numbers))
