"""Pure decisions about orders: no I/O, no clock, no ib_async.

`gate` says whether a request may go out; `records` is what is known of an order; `inputs` is what can happen to it;
`lifecycle` moves a record by an input; `reconcile` compares the records with what IBKR says after a reconnect; `book` finds
the record an input is about.
"""
