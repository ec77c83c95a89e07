"""Each page of cards and the suite that proves them name each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SUITES = Path(__file__).parent
PAGES = SUITES.parents[1] / "docs"


@dataclass(frozen=True)
class Cards:
    """A page of numbered cards, and the files of the suite that proves them."""

    page: str
    letter: str
    """That the numbers begin with."""
    suite: str
    cards_min: int
    """The page has so many at least."""

    def numbers(self) -> list[str]:
        """The cards of the page, in its order."""
        text = (PAGES / self.page).read_text(encoding="utf-8")
        return re.findall(rf"^### ({self.letter}-\d+) \S", text, re.MULTILINE)

    def named(self) -> Iterator[tuple[str, list[str]]]:
        """Every test of the suite and the cards at the beginning of its docstring."""
        for path in sorted(SUITES.glob(self.suite)):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    named = (ast.get_docstring(node) or "").partition(":")[0]
                    yield node.name, re.findall(rf"{self.letter}-\d+", named)


CARDS = pytest.mark.parametrize(
    "cards",
    [
        Cards("broker-contract.md", "B", "test_broker_port*.py", 51),
        Cards("market-data-contract.md", "M", "test_market_data_port*.py", 45),
    ],
    ids=lambda cards: cards.page,
)


@CARDS
def test_every_card_is_proved_by_a_test(cards: Cards) -> None:
    """A rule that nothing proves is a wish."""
    proved = {card for _, named in cards.named() for card in named}
    assert set(cards.numbers()) - proved == set()


@CARDS
def test_every_test_names_a_card_that_exists(cards: Cards) -> None:
    """Whoever sees it fail finds the rule."""
    found = list(cards.named())
    assert {name for name, named in found if not named} == set()
    assert {card for _, named in found for card in named} - set(cards.numbers()) == set()


@CARDS
def test_the_cards_are_numbered_once_and_in_order(cards: Cards) -> None:
    """So that a number can be looked up."""
    numbers = [int(card.partition("-")[2]) for card in cards.numbers()]
    assert len(numbers) >= cards.cards_min
    assert numbers == sorted(set(numbers))
