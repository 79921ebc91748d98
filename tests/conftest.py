"""What all tests share."""

import gc
import os
import signal

# The processes that tests start write bytecode: without it each would compile the whole package anew, for seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell starts what runs in its background deaf to Ctrl-C, and the processes of the tests would be deaf as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What was collected stays until the end: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
