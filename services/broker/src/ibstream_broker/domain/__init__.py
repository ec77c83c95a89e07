"""Pure decisions about orders: no I/O, no clock, no ib_async.

may it go out    validation, checks (the request by itself); gate, restart_window (now); limits, risk, collar, exposure,
                 quotes, interest (limits); terms (of its instrument); refusal (what a no is)
who is next      lanes
what is known    records, book; positions and what it is made of
what happens     inputs → lifecycle, states, steps, fills, modifies
after a connect  reconcile (against IBKR's lists), fate (sent again, given up, or waited for)
"""
