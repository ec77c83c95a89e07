"""The `ibstream` command.

`commands` declares it; `demo` and `up` run the services as processes (`processes`, in the surroundings that `environment`
fixes); `queries` are the commands that ask a running system; `view` and `formats` are what people see; `terminal` is how
a command talks and ends. Services are started as programs and never imported.
"""
