"""Redis streams, and everything this project asks of Redis. Nothing else imports `redis`.

`connection` holds the client and its reasons; `publisher` writes; `pipe` writes at once and is told later; `reader` reads for
oneself; `consumer` works a stream off together with others, through its `group`; `lease` gives a thing to one process at a time;
`embedded` starts a server where none is configured.

    RecoverableError
    └── BusUnavailable        Redis does not answer, or says that it cannot now
    BusRefused                Redis understood and said no: wrong type, no permission
    LeaseLost(RecoverableError)
"""

from ibstream.bus.connection import Bus, BusRefused, BusUnavailable
from ibstream.bus.consumer import GroupConsumer
from ibstream.bus.group import Group
from ibstream.bus.lease import Lease, LeaseLost
from ibstream.bus.pipe import OnAnswer, Pipe
from ibstream.bus.publisher import Publisher
from ibstream.bus.reader import Entry, StreamReader

__all__ = [
    "Bus",
    "BusRefused",
    "BusUnavailable",
    "Entry",
    "Group",
    "GroupConsumer",
    "Lease",
    "LeaseLost",
    "OnAnswer",
    "Pipe",
    "Publisher",
    "StreamReader",
]
