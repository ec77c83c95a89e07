"""Conversations with a real Gateway, kept in a file and served again.

`proxy` stands between a client and a Gateway and writes down what they say; `player` decides what of a recording answers a
client, and `stage` serves it. `commands` are the two commands over them. The file is described in `format`, what is masked in it
in `masking`.
"""
