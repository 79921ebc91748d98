"""What all tests share."""

import gc
import os

# The processes that tests start write bytecode: without it each would compile the whole package anew, for seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_finish() -> None:
    """What was collected stays until the end: the garbage collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
