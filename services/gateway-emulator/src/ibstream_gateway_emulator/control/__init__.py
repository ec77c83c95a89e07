"""Commanding the Gateway, and asking what really happened.

journal     what was said and what was commanded, kept in bounds
views       clients, orders, executions, messages, faults as rows
scenario    a file of timed verbs
handle      the verbs and the questions as Python methods; `remote` has the same over HTTP
app         the HTTP API; `http` serves it
"""
