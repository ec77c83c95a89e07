"""Account numbers out of what is written, wherever they stand in a field.

Each account becomes `DU0000001`, `DU0000002` and so on, the same one everywhere in a recording. An account is known from the
Gateway's list of managed accounts, or by its looks: `U`, `F`, `I`, `FA` or the same after a `D`, perhaps one more letter, and
five to nine digits. Known ones are found in capitals or not, and inside longer words unless they are shorter than six letters;
an advisor's `F1234567A` (all accounts) keeps its `A`. Digits that follow a known account directly are masked with it, and the
whole counts as an account of its own: whether `DU12345678` is another account or `DU1234567` with an 8 behind it cannot be told.

Both ways are applied to every field, as an account that the Gateway did not name may stand in any of them. Rather too much is
masked than an account left: an `orderRef` such as `F20261123`, a date after one of these letters, becomes `DU0000002`, too, and
so does an instrument's name of that form. The same text has the same mask everywhere, so what belonged together still does.

Nothing else is masked. The protocol carries no passwords, but `orderRef`, `connectOptions`, account aliases and model codes hold
what the user put there, and amounts stay as they are.
"""

from __future__ import annotations

import re

_LOOKS = r"(?<![A-Za-z0-9])D?(?:U|FA|F|I)[A-Z]?\d{5,9}(?=A?(?![A-Za-z0-9]))"
_LENGTH_MIN = 6
"""Shorter names are found as whole words alone: they would tear others apart."""


class AccountMask:
    """Learns accounts and replaces them, consistently for as long as it lives."""

    def __init__(self) -> None:
        self._masked: dict[str, str] = {}
        self._pattern = re.compile(_LOOKS)

    @property
    def accounts(self) -> int:
        """How many accounts are known."""
        return len(self._masked)

    def learn(self, accounts: str) -> None:
        """Take in a list of accounts, separated by commas."""
        for account in filter(None, (one.strip() for one in accounts.split(","))):
            self._mask_of(account)
        # The longest first: one account may begin like another.
        known = sorted(self._masked, key=len, reverse=True)
        self._pattern = re.compile("|".join([*(_pattern_of(one) for one in known), _LOOKS]))

    def text(self, text: str) -> str:
        """The text without account numbers."""
        return self._pattern.sub(lambda found: self._mask_of(found[0]), text)

    def raw(self, payload: bytes) -> bytes:
        """Bytes of some eight-bit text without account numbers."""
        return self.text(payload.decode("latin-1")).encode("latin-1")

    def _mask_of(self, account: str) -> str:
        return self._masked.setdefault(account.upper(), f"DU{len(self._masked) + 1:07d}")


def _pattern_of(account: str) -> str:
    if len(account) < _LENGTH_MIN:
        return rf"(?i:(?<![A-Za-z0-9]){re.escape(account)}(?![A-Za-z0-9]))"
    return rf"(?i:{re.escape(account)})\d*"
