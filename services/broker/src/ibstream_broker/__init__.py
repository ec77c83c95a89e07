"""The broker: orders, fills, positions and account of one IBKR connection (client id base)."""
