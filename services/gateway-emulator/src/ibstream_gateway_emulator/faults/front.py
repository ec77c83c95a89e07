"""What a verb may ask of the front: the listening socket and the connections."""

from __future__ import annotations

from typing import Protocol


class Front(Protocol):
    """The Gateway's listening socket and its connections."""

    @property
    def port(self) -> int:
        """The port listened on."""
        ...

    @property
    def is_listening(self) -> bool:
        """Whether clients can connect."""
        ...

    def faults_changed(self) -> None:
        """Look anew at what is in force: whether to listen, and what is wrong with the wires."""
        ...

    def drop(self, client_id: int | None, *, abortive: bool) -> bool:
        """Close this client's connection, or all with None. False if there is none."""
        ...

    def fall_silent(self, client_id: int | None, *, keeps_client_id: bool) -> bool:
        """Let this client's socket stay, or all with None, and look at nothing that comes nor write any more.

        False if there is none.
        """
        ...

    def cut_silent(self) -> None:
        """End the connections that fell silent, and forget the clients that only they kept."""
        ...

    def restart(self, *, deaf_s: float, down_s: float, roll_back_order_ids: int) -> bool:
        """Begin a restart. False while another one is under way; then nothing happens."""
        ...

    def move(self, port: int | None) -> None:
        """Leave for another port, 0 for any free one, None for the same, and cut off all clients when they have been told.

        Raises `FatalError` if the port is not to be had; then nothing has happened.
        """
        ...
