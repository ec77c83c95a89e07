"""Who does the work, one desk per topic: orders, quotes, depth, single ticks, real-time bars, history, portfolio.

A desk keeps what its topic must remember, of the Gateway as of each client, decides by the pure functions of `domain`, and
speaks to clients through their outlets. The handlers hand requests to the desks; `Gateway.step` lets each of them work once
per tick of the clock.

    slots, subscriptions, outbox    what desks that stream have in common: limits, who asked for what, slow clients
    lines <- streams <- telling <- quotes    an instrument's quote, who is told it, in which turn and at which pace
"""
