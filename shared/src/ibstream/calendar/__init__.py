"""When the exchanges trade: holidays, half days and hours of each group of instruments. Pure: no I/O and no clock.

    holidays <- hours <- sessions      rules of the days, hours of a group, and what follows from both
                         text          the same in IBKR's form, as contract details carry them

Import from the modules.
"""
