"""Where bars come from: `ibkr` (a Gateway) or `simulated` (the simulated market)."""
