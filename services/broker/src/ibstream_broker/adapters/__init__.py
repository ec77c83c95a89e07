"""Who executes: `ibkr` (a Gateway), `simulated` (the matching engine), `stub` (fixed answers); and `journal`, in Redis."""
