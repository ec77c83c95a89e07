"""A stand-in IB Gateway: the real TWS wire protocol over the simulated market.

    protocol/     bytes <-> typed messages, without I/O
    domain/       what is answered: contracts, ticks, bars, orders, portfolio; time comes in as a number
    desks/        what is remembered of a topic: orders, quotes, history, portfolio
    gateway       what lasts: market, account, orders, who is connected
    handlers/     one function per request
    faults/       what goes wrong on command: the verbs, what is in force, what is done at once
    connection    one client over TCP
    listener      the listening socket
    server        socket, connections and the tick; `running_gateway` for tests and the demo
    control/      commanding faults, and what really happened: HTTP API, scenarios, Python handle, journal
    recording/    conversations of real Gateways, written down and served again
    testing/      the pytest plugin
    __main__      the command

Unlike a real Gateway the market never closes unless told to and follows from a seed; what is not supported is refused with an
error.
"""
