"""The list of symbols: what counts in it, and what is wrong with one that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibstream.runtime.errors import ConfigurationError
from ibstream.runtime.symbols import load_symbols


def test_comments_and_doubles_in_a_list_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "symbols.txt"
    path.write_text("# head\nAAPL\n\nBRK.B # class B\nAAPL\n")
    assert load_symbols(path) == ["AAPL", "BRK.B"]


@pytest.mark.parametrize("text", ["", "# nothing but this\n"])
def test_an_empty_list_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "symbols.txt"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="names no symbol"):
        load_symbols(path)


def test_a_missing_list_is_named() -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        load_symbols(Path("nowhere.txt"))


def test_a_line_that_is_no_symbol_is_named(tmp_path: Path) -> None:
    path = tmp_path / "symbols.txt"
    path.write_text("AAPL\nBRK B\n")
    with pytest.raises(ConfigurationError, match="'BRK B'"):
        load_symbols(path)
