"""The data service: historical bars of one IBKR connection (client id base + 1) as jobs on a stream."""
