"""The parts of `benchmarks/feed.py`."""
