"""The market as a pure function of (seed, symbol, time), and a matching engine over it.

    hashing <- tree <- series <- market     what the prices are
    sessions <- bars <- market              what a day and a bar are
    instruments                             what can be traded
    commission, account, orders, rules <- matching    what becomes of an order

Nothing here does I/O, knows a clock or an event loop. Import from the modules.
"""
