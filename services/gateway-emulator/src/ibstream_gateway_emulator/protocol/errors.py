"""The two ways in which what a client sent can be wrong."""

from __future__ import annotations


class ProtocolError(Exception):
    """The byte stream cannot be read on: the connection must be closed. The text says what was wrong."""


class FieldError(Exception):
    """One message has a field that cannot be read: the request is refused, the connection lives. The text names the field."""
