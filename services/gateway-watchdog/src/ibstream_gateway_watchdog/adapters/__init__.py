"""Ways to look at a Gateway. A simulated provider has none, so nothing is looked at and there is no adapter for it."""
