"""What can be wrong with an order by itself, topic by topic; `domain.validation` puts them in order.

    numbers       quantities, and which prices an order type needs and may have
    times         time in force, good till, good after, and how long a request is worth sending
    algos         IBKR's algorithms and their parameters
    instruments   which fields each kind of instrument has
    groups        how the orders of a bracket or an OCA group fit together

Each answers with a `Refusal`, or with None.
"""
