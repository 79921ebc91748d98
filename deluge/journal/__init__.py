"""The journal of a run: a file of records, one line per finished prompt, from which the same run goes on."""

from __future__ import annotations

from deluge.journal.file import Journal
from deluge.journal.oneway import OneWay
from deluge.journal.recorder import DURABLE, Asked, Recorder

__all__ = ["DURABLE", "Asked", "Journal", "OneWay", "Recorder"]
