"""For the tests of any program that talks to a Gateway: a stand-in that runs beside the test, and the fixture for pytest."""

WELL_KNOWN = (
    "AAPL",
    "AMZN",
    "BRK.B",
    "F",
    "GOOG",
    "IBM",
    "INTC",
    "JPM",
    "KO",
    "META",
    "MSFT",
    "NVDA",
    "TSLA",
    "WMT",
    "XOM",
)
"""Stocks that a test can trade unless it asks for others; ETFs, FX, futures, options and indices are always there."""
