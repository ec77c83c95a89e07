"""Recorded conversations, held against the stand-in Gateway.

script       reads a recording: who says what, in order
words        what recordings call the protocol's messages and fields
moments      times and time zones as they are written
saying       contracts, flags and texts of a client's messages; `asking` makes requests of them, `ordering` orders
hearing      names what the stand-in answers in the recording's words
manners      which of several ways to tell a recording shows, and what goes wrong in it
past         what had happened before; `living` lets it happen
staging      the stand-in's state at the beginning
markets      the market in which orders rest and fill as recorded
performing   lets the two talk, over a `line`
comparing    what counts as a difference; `judging` performs a recording and finds them all
"""
