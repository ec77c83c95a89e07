"""The contracts of every stream: what travels between the services and everyone who uses them.

`registry` lists the streams; one module per family of streams holds its messages; `base` says what a message is;
`schema` publishes all of it. This package imports msgspec alone, so that anyone may depend on it.
"""
