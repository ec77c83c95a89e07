"""Account numbers in a recording: none is left, and each is masked the same way everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibstream_gateway_emulator.recording.masking import AccountMask


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("DU1234567", "DU0000001"),
        ("DUP770846", "DU0000001"),
        ("U7654321", "DU0000001"),
        ("F1234567", "DU0000001"),
        ("F1234567A", "DU0000001A"),
        ("DF1234567", "DU0000001"),
        ("FA1234567", "DU0000001"),
        ("I1234567", "DU0000001"),
        ("U7654321,DU1234567,U7654321", "DU0000001,DU0000002,DU0000001"),
        ("1376327563.0/DU1234567/100", "1376327563.0/DU0000001/100"),
        ("Invalid account code 'U1234567'.", "Invalid account code 'DU0000001'."),
    ],
)
def test_an_account_is_known_by_its_looks(text: str, masked: str) -> None:
    assert AccountMask().text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "AAPL  261218C00250000",
        "US0378331005",
        "265598",
        "20261123 10:00:00 US/Eastern",
        "0000e0d5.69e042cf.01.01",
        "ESZ6",
        "F",
        "U12",
        "v157..178",
    ],
)
def test_what_is_no_account_stays(text: str) -> None:
    assert AccountMask().text(text) == text


def test_accounts_the_gateway_names_are_found_whatever_they_look_like() -> None:
    mask = AccountMask()
    mask.learn("Paper-Account-1, X99,")
    assert mask.text("ref:paper-account-1-7 X99 AX99A") == "ref:DU0000001-7 DU0000002 AX99A"
    assert mask.accounts == 2


def test_an_account_inside_another_text_is_found_once_it_is_known() -> None:
    mask = AccountMask()
    assert mask.text("myU7654321order") == "myU7654321order"
    mask.learn("U7654321,U76543210")
    assert mask.text("myU7654321order myu76543210order") == "myDU0000001order myDU0000002order"


def test_two_accounts_of_which_one_begins_like_the_other_stay_apart() -> None:
    """Though the Gateway named but the shorter one."""
    mask = AccountMask()
    mask.learn("DU1234567")
    assert mask.text("DU12345678 du1234567 DU12345678") == "DU0000002 DU0000001 DU0000002"


def test_digits_behind_a_known_account_do_not_hide_it() -> None:
    """An account and a date in one word: the whole of it is masked, as the account may be as long."""
    mask = AccountMask()
    mask.learn("DU1234567,Paper-Account-1")
    assert mask.text("xDU123456720261123 Paper-Account-12") == "xDU0000003 DU0000004"


def test_what_only_looks_like_an_account_is_masked_too_and_alike_everywhere() -> None:
    """Rather too much than an account left: a reference made of one of the letters and a date is no account."""
    mask = AccountMask()
    mask.learn("U1234567")
    assert mask.text("F20261123 U20261123-17 I10000 F20261123") == "DU0000002 DU0000003-17 DU0000004 DU0000002"


def test_text_of_eight_bits_is_masked_too() -> None:
    mask = AccountMask()
    mask.learn("DU1234567")
    assert mask.raw(b"Soci\xe9t\xe9 DU1234567\0") == b"Soci\xe9t\xe9 DU0000001\0"


@given(
    st.lists(st.from_regex(r"\A(DU|U|F|DF)[0-9]{6,8}\Z"), min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from([",", " ", "/", "x", "A", "'"]), min_size=5, max_size=5),
)
def test_no_known_account_is_left_in_any_surroundings(accounts: list[str], glue: list[str]) -> None:
    mask = AccountMask()
    mask.learn(",".join(accounts))
    text = "".join(part for pair in zip(glue, accounts + accounts, strict=False) for part in pair)
    masked = mask.text(text)
    names = {f"DU{number:07d}" for number in range(1, len(accounts) + 1)}
    assert not [one for one in accounts if one in masked and one not in names]
