"""The README keeps its promises where a machine can check them."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_every_figure_is_filled_in() -> None:
    """No placeholder is left where a measured figure belongs."""
    assert re.findall(r"@[A-Z0-9]+@", README) == []


def test_every_link_leads_somewhere() -> None:
    """Files and folders that the README points to exist."""
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert targets
    assert [target for target in targets if not (REPOSITORY / target).exists()] == []


def test_every_make_target_it_names_exists() -> None:
    """`make demo`, `make test` and the others."""
    rules = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`(?:SA_\S+ )?make ([a-z]+)", README))
    assert named
    assert named <= rules
