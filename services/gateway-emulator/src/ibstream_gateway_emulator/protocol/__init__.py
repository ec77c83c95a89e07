"""The TWS wire protocol at server versions 176 to 178, without I/O: bytes to typed requests, typed messages to bytes.

framing        bytes <-> frames of text fields
handshake      which version is spoken, and what a client without a common one is told
requests       what a client may send, by topic, and the table of ids
messages       what the server sends, by topic
table          the table of those by id, and how they are decoded
place_order    the longest request
open_order     the two longest messages: openOrder, completedOrder
order_layout   how these three are laid out: data that reader and writer walk alike
order_parts    legs, conditions, and the groups they share
base           what all messages have in common
kinds          what the types in annotations mean on the wire: reading and writing are both derived from them
fields         reading and writing single fields; the contract
errors         ProtocolError closes the connection, FieldError refuses one request

Everything can be read and written: `requests.read_request` and `write_request`, `table.decode_message` and `messages.encode`.
"""
