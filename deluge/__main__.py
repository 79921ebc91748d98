"""``python -m deluge`` is the command ``deluge``."""

import sys

from deluge.cli import main

sys.exit(main())
