"""How the quantities of a moment ago came to be what they are now: whether a listing may be true of some moment."""

from __future__ import annotations

from collections import defaultdict, deque
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from ibstream_broker.domain.position_lines import GRACE, ZERO

KEPT_FOR = timedelta(seconds=60)
"""How long moves are remembered: a listing that takes longer to come is judged by what is left."""
SUMS_MAX = 1000
"""Quantities that a listing may show, by which of the executions around it are in it. With more it proves nothing."""
MOVES_MAX = 50_000
"""Moves remembered of one instrument. More within the time that a listing is judged by, and it is not judged."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing said of one instrument, and between which instants it was made."""

    quantity: Decimal
    asked_at: datetime
    come_at: datetime


class Movements:
    """What moved each instrument lately, and when: an execution when it was made, a correction when it was heard of."""

    def __init__(self, moves_max: int = MOVES_MAX) -> None:
        self._moves: defaultdict[int, deque[tuple[datetime, Decimal]]] = defaultdict(lambda: deque(maxlen=moves_max))
        self._moves_max = moves_max

    def add(self, con_id: int, at: datetime, moved: Decimal) -> None:
        """Something moved an instrument's quantity by so much."""
        self._moves[con_id].append((at, moved))

    def add_older_form(self, con_id: int, at: datetime, now: datetime, older: Decimal, counted: Decimal) -> None:
        """An execution of `at` that was heard of in its corrected form first: for a while it was of another quantity.

        The two moves cancel out, so that the quantity stays as it is; a listing may show what lay between them. Nothing where
        the older form was counted when it was heard of, or is told again, or is too old to matter.
        """
        moves = self._moves[con_id]
        if now - at > KEPT_FOR or (at, older) in moves or (at, older - counted) in moves:
            return
        moves.extend([(at, older - counted), (now, counted - older)])

    def prune(self, now: datetime) -> None:
        """Forget what is older than `KEPT_FOR`."""
        for con_id, moves in list(self._moves.items()):
            while moves and moves[0][0] < now - KEPT_FOR:
                moves.popleft()
            if not moves:
                del self._moves[con_id]

    def explains(self, con_id: int, quantity: Decimal, listed: Listed) -> bool:
        """Whether a listing says what the quantity, which is now this, was around it.

        What moved within `GRACE` of it may be in it or not, each for itself: executions are told in no certain order. True
        also where so much has moved that this proves nothing.
        """
        moves = self._moves.get(con_id, ())
        if len(moves) == self._moves_max:
            return True
        quantity -= sum((moved for at, moved in moves if at > listed.come_at + GRACE), ZERO)
        close = (moved for at, moved in moves if listed.asked_at - GRACE <= at <= listed.come_at + GRACE)
        sums = {quantity}
        for moved in close:
            sums |= {one - moved for one in sums}
            if len(sums) > SUMS_MAX:
                return True
        return listed.quantity in sums

    def any_around(self, con_id: int, listed: Listed) -> bool:
        """Whether anything moved within `GRACE` of a listing, so that it may be in it or not."""
        moves = self._moves.get(con_id, ())
        return any(listed.asked_at - GRACE <= at <= listed.come_at + GRACE for at, _ in moves)

    def then(self, con_id: int, quantity: Decimal, listed: Listed) -> Decimal:
        """What the quantity, which is now this, was when a listing was asked for, by the times of the executions."""
        return quantity - sum((moved for at, moved in self._moves.get(con_id, ()) if at > listed.asked_at), ZERO)
