"""Work in a child process that starts within milliseconds.

The caller imports its libraries once; every child is a fork of it. As the caller has computed
nothing, a child starts from the state of a new process.
"""

import os
import sys
from collections.abc import Callable


def forked(work: Callable[[], object]) -> int:
    """Fork a child that works and ends; return its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)
