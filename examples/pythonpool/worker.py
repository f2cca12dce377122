"""Is a worker of a Go program's pool: see main.go."""

import collections
import json
import os
import signal

import mp


def count(text):
    return json.dumps(collections.Counter(text.decode().split())).encode()


def crash(_):
    os.kill(os.getpid(), signal.SIGSEGV)


mp.serve({"count": count, "crash": crash})
