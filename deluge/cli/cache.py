"""``deluge cache``: what a cache of answers holds, and an end to it."""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
from dataclasses import asdict

from deluge.caches import SQLiteCache
from deluge.cli.signals import Signals
from deluge.cli.terminal import say
from deluge.errors import ConfigError

_DAY = 86_400.0


def cache(options: argparse.Namespace, signals: Signals) -> int:
    """Prints the figures, or clears the file; 2 when there is none."""
    if not os.path.isfile(options.file):
        raise ConfigError(f"{options.file} does not exist")
    try:
        with SQLiteCache(options.file) as answers:
            if options.action == "clear":
                days = options.older_than
                gone = answers.clear(None if days is None else days * _DAY)
                return say(f"{options.file}: {gone:,} answers forgotten")
            now = answers.stats()
    except sqlite3.Error as error:  # a damaged file, or one that another process does not let go
        raise ConfigError(f"{options.file} cannot be used: {error}") from None
    if options.json:
        text = json.dumps(asdict(now))
    else:
        asked = now.hits + now.misses
        share = f" ({100 * now.hits / asked:.0f} % of {asked:,})" if asked else ""
        text = f"{now.entries:,} answers, {(now.bytes or 0) / 1e6:,.1f} MB, {now.hits:,} hits{share}"
    sys.stdout.write(text + "\n")
    return 0
