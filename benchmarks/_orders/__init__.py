"""The parts of the orders' benchmark: what is started, who witnesses, what is measured."""
