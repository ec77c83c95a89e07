"""The market as a pure function of (seed, symbol, time), and a matching engine over it.

    hashing <- shapes <- tree <- series <- options <- market    what the prices are, an option's by its underlying's
    sessions <- bars, indicators, depth <- market               what a day, a bar and a book are
    catalog <- keys <- expiries, strikes <- listings <- instruments     what can be traded
    commission, account, orders, rules <- matching    what becomes of an order

Nothing here does I/O, knows a clock or an event loop. Import from the modules.
"""
