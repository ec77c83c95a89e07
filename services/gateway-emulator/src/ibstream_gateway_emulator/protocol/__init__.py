"""The TWS wire protocol at server versions 176 to 178, without I/O: bytes to typed requests, typed messages to bytes.

framing       bytes <-> frames of text fields
handshake     which version is spoken
fields        reading typed fields; the contract
requests      what a client may send, and the table of message ids
place_order   the longest of these
messages      what the server sends
open_order    the longest of these
errors        ProtocolError closes the connection, FieldError refuses one request
"""
