"""What all tests share."""

import os

# The processes that tests start write bytecode: without it each would compile the whole package anew, for seconds.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
