"""``deluge report``: a page about a run, from its records."""

from __future__ import annotations

import argparse
import os

from deluge.cli.signals import Signals
from deluge.cli.terminal import say
from deluge.report import write_report


def report(options: argparse.Namespace, signals: Signals) -> int:
    """Writes the page; 0, or 1 when lines of the file were no records."""
    output = options.output or os.path.splitext(options.file)[0] + ".html"
    gathered = write_report(options.file, output)
    damaged = f"; {gathered.damaged:,} lines are no records" if gathered.damaged else ""
    return say(f"{output}: {gathered.prompts:,} prompts{damaged}", code=1 if gathered.damaged else 0)
