"""``deluge estimate``: what a file of prompts will take, before a cent is spent."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from deluge import _json
from deluge.cli.clients import client_from
from deluge.cli.run import schema_of
from deluge.cli.signals import Signals
from deluge.summary import estimate_lines
from deluge.worklist import read_rows


def estimate(options: argparse.Namespace, signals: Signals) -> int:
    """Prints tokens, dollars and time of a work list; nothing is sent."""
    client = client_from(options)
    schema = schema_of(options.schema) if options.schema else None
    with read_rows(
        options.file, column=options.column, template=options.template, system=options.system, limit=options.limit
    ) as rows:
        found = client.estimate(rows, sample=options.sample, output_schema=schema)
    text = _json.dumps(asdict(found)).decode() + "\n" if options.json else estimate_lines(found)
    sys.stdout.write(text)
    return 0
