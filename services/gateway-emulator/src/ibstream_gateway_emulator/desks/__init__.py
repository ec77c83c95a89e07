"""Who does the work, one desk per topic: orders, quotes, history, portfolio.

A desk keeps what its topic must remember, of the Gateway as of each client, decides by the pure functions of `domain`, and
speaks to clients through their outlets. The handlers hand requests to the desks; `Gateway.step` lets each of them work once
per tick of the clock.
"""
