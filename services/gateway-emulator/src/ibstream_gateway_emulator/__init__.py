"""A stand-in IB Gateway: the real TWS wire protocol over the simulated market.

    protocol/     bytes <-> typed messages, without I/O
    domain/       what is answered: contracts, ticks, bars, orders, portfolio; time comes in as a number
    gateway       what lasts: market, account, orders, who is connected
    handlers/     one function per request
    connection    one client over TCP
    server        the listening socket and the tick; `running_gateway` for tests and the demo
    __main__      the command

Unlike a real Gateway the market never closes and follows from a seed; what is not supported is refused with an error.
"""
