"""Ticks off the wire, without making an object of any: bytes from the socket go straight into the lines they are about.

A frame is a length of four bytes, most significant first, and so many bytes of fields, each ended by a NUL. What one read of
the socket brought is cut by one `split` where the NUL that ends a frame meets the three that begin the length of the next.
Each piece then begins with the last byte of its length, and is as long as that says: if so, it is one whole frame; if not
(256 bytes and more, empty fields at its end or in a row), it is taken by its true length. So the length decides, always.
A price or a size of a known request is then one `split`, and two looks into small dictionaries: whose it is, and where it
goes. No number is read here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import length_hint

from ibstream_feed.domain.line import ASK, ASK_SIZE, BID, BID_SIZE, LAST, LAST_SIZE, VOLUME, Line, Value, number

_SEAM = b"\0\0\0\0"
_PREFIX = 4
_PIECE_MIN = 3
"""Bytes: the length, and the number of a message with its end; shorter ones are left to `_take`."""

_NONE = -1
"""In the place of a price: there is none that falls with this size."""
_SIDES = (BID, ASK)
_NO_PRICE, _ZERO, _ONE = b"-1", b"0", b"1"

_SIZE_PLACES = {b"0": (BID, BID_SIZE), b"3": (ASK, ASK_SIZE), b"5": (_NONE, LAST_SIZE), b"8": (_NONE, VOLUME)}
_DELAYED_SIZE_PLACES = {
    b"69": (BID, BID_SIZE),
    b"70": (ASK, ASK_SIZE),
    b"71": (_NONE, LAST_SIZE),
    b"74": (_NONE, VOLUME),
}
_PRICE_PLACES = {b"1": (BID, BID_SIZE), b"2": (ASK, ASK_SIZE), b"4": (LAST, LAST_SIZE)}
_DELAYED_PRICE_PLACES = {b"66": (BID, BID_SIZE), b"67": (ASK, ASK_SIZE), b"68": (LAST, LAST_SIZE)}
_HALTS = (b"49", b"90")

_PRICE, _SIZE, _GENERIC, _SNAPSHOT_END, _DATA_TYPE = b"1", b"2", b"45", b"57", b"58"
_OPTION, _STRING, _PARAMETERS = b"21", b"46", b"81"
_DROPPED = {_OPTION, _STRING, _PARAMETERS}
_FIELDS = {_PRICE: 7, _SIZE: 5, _GENERIC: 5, _SNAPSHOT_END: 3, _DATA_TYPE: 4}
_PLACES = {_PRICE: _PRICE_PLACES | _DELAYED_PRICE_PLACES, _SIZE: _SIZE_PLACES | _DELAYED_SIZE_PLACES}
"""By kind and type of tick, where values go: the price, or what falls with the size; and the size."""

_PRICE_BYTE, _SIZE_BYTE = _PRICE[0], _SIZE[0]


class TickDecoder:
    """Writes ticks into the lines of their requests, and hands every other message on, whole and in order.

    `on_ticks` is called with the lines into which values were written, each once, at the end of a read; and before a message
    is handed on, so that what it says is heard after the ticks that came before it. `on_snapshot_end` is called with the id
    of a request that is watched, likewise after its ticks. `on_other` is called with one frame, as it came.

    Where one of them raises, what is left of the read is lost, and the session with it.
    """

    def __init__(
        self,
        *,
        on_ticks: Callable[[list[Line]], None],
        on_snapshot_end: Callable[[int], None],
        on_other: Callable[[bytes], None],
    ) -> None:
        self._on_ticks = on_ticks
        self._on_snapshot_end = on_snapshot_end
        self._on_other = on_other
        self._lines: dict[bytes, Line] = {}
        self._touched: dict[Line, None] = {}
        self._rest = b""
        """The beginning of a frame whose end has not come yet."""
        self.frames = 0
        """Messages that came, without those that were handed on."""
        self.malformed = 0
        """Messages about ticks that could not be read, and were left out."""

    def begin(self, rest: bytes) -> None:
        """A session begins, and has brought the beginning of a frame already. No request is watched."""
        self.clear()
        self._touched.clear()
        self._rest = rest

    def clear(self) -> None:
        """No request is watched any more."""
        self._lines.clear()

    def watch(self, request_id: int, line: Line) -> None:
        """Write the ticks of a request into a line."""
        self._lines[b"%d" % request_id] = line

    def forget(self, request_id: int) -> None:
        """Write nothing of a request any more."""
        self._lines.pop(b"%d" % request_id, None)

    def feed(self, data: bytes) -> None:
        """Take what one read of the socket brought."""
        buffer = self._rest + data if self._rest else data
        pieces = (b"\0" + buffer).split(_SEAM)
        pieces.pop()  # it may still lack its end
        index, begins, offset = 0, -len(_SEAM), 0
        while True:
            while begins < offset and index < len(pieces):
                begins += len(pieces[index]) + len(_SEAM)
                index += 1
            if begins == offset:
                taken = pieces[index : index + self._take_pieces(pieces[index:] if index else pieces)]
                index += len(taken)
                begins = offset = offset + sum(map(len, taken)) + len(_SEAM) * len(taken)
            end = self._take_frame(buffer, offset)
            if end == offset:
                break
            offset = end
        self._rest = buffer[offset:]
        self._tell_ticks()

    def _take_pieces(self, pieces: Sequence[bytes]) -> int:
        """Take the pieces that are whole frames, and return how many there are before the first that is not.

        This loop is what the feed spends its time in.
        """
        lines, touched = self._lines, self._touched
        price_places, size_places = _PLACES[_PRICE], _PLACES[_SIZE]
        coming = iter(pieces)
        odd = 0
        for piece in coming:
            if len(piece) < _PIECE_MIN or piece[0] != len(piece):
                odd = 1
                break
            kind = piece[1]
            if piece[2] or (kind != _SIZE_BYTE and kind != _PRICE_BYTE):
                self._take(piece[1:] + b"\0")
                continue
            try:
                if kind == _SIZE_BYTE:
                    _, _, request, tick_type, size = piece.split(b"\0")
                    line = lines[request]
                    price_place, size_place = size_places[tick_type]
                    values = line.values
                else:
                    _, _, request, tick_type, price, size, _ = piece.split(b"\0")
                    line = lines[request]
                    price_place, size_place = price_places[tick_type]
                    if not price:
                        continue
                    values = line.values
                    values[price_place] = price
            except (KeyError, ValueError):  # not so many fields, or nothing that is kept
                self._take(piece[1:] + b"\0")
                continue
            values[size_place] = size
            if size < _ONE:
                _settle(values, price_place, size_place)
            touched[line] = None
        taken = len(pieces) - length_hint(coming) - odd
        self.frames += taken
        return taken

    def _take_frame(self, buffer: bytes, offset: int) -> int:
        """Take the frame at `offset` by its length, and return where the next one begins: at `offset` if it is not whole."""
        begins = offset + _PREFIX
        ends = begins + int.from_bytes(buffer[offset:begins], "big")
        if len(buffer) < ends:
            return offset
        self.frames += 1
        self._take(buffer[begins:ends])
        return ends

    def _take(self, body: bytes) -> None:
        """Take a message, whatever it is about."""
        kind = body.partition(b"\0")[0]
        if kind in _DROPPED:
            return
        wanted = _FIELDS.get(kind)
        if wanted is None:
            self._hand_on(body)
            return
        *fields, end = body.split(b"\0")
        if end or len(fields) != wanted:
            self.malformed += 1
            return
        line = self._lines.get(fields[2])
        if line is None:
            return  # it was on its way when we cancelled
        if kind == _SNAPSHOT_END:
            self._tell_ticks()
            self._on_snapshot_end(int(fields[2]))
        elif kind in _PLACES:
            self._write(line, kind, fields)
        else:
            self._take_state(line, kind, fields)

    def _take_state(self, line: Line, kind: bytes, fields: Sequence[bytes]) -> None:
        try:
            if kind == _DATA_TYPE:
                self._say(line, data_type=int(fields[3]), halted=line.halted)
            elif fields[3] in _HALTS:
                self._say(line, data_type=line.data_type, halted=float(fields[4]) > 0)
        except ValueError:
            self.malformed += 1

    def _write(self, line: Line, kind: bytes, fields: Sequence[bytes]) -> None:
        places = _PLACES[kind].get(fields[3])
        price = fields[4]
        if places is None or (kind == _PRICE and not price):
            return
        price_place, size_place = places
        values = line.values
        if kind == _PRICE:
            values[price_place] = price
        values[size_place] = fields[-1] if kind == _SIZE else fields[5]
        _settle(values, price_place, size_place)
        self._touched[line] = None

    def _say(self, line: Line, *, data_type: int, halted: bool) -> None:
        """What is said of a line before its first tick is shown with that."""
        if (data_type, halted) == (line.data_type, line.halted):
            return
        line.data_type, line.halted = data_type, halted
        if line.known is line.values:
            self._touched[line] = None

    def _hand_on(self, body: bytes) -> None:
        self.frames -= 1
        self._tell_ticks()
        self._on_other(len(body).to_bytes(_PREFIX, "big") + body)

    def _tell_ticks(self) -> None:
        if self._touched:
            lines = list(self._touched)
            self._touched.clear()
            self._on_ticks(lines)


def _settle(values: list[Value], price_place: int, size_place: int) -> None:
    """A side of size 0 has no price, whatever came with it or before it; and no size at all is one of 0."""
    size = values[size_place] or _ZERO
    values[size_place] = size
    if price_place in _SIDES and number(size) == 0:
        values[price_place] = _NO_PRICE
