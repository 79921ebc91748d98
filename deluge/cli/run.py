"""``deluge run``: a file of prompts in, a file of records out."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from deluge import _json
from deluge.cli.clients import client_from
from deluge.cli.signals import BROKEN_PIPE, Signals
from deluge.cli.summaries import write_summary, writable
from deluge.cli.terminal import log_to_stderr, on_terminal, quiet_stdout, say
from deluge.errors import ConfigError
from deluge.response import APIResponse
from deluge.summary import summary
from deluge.worklist import RecordWriter, Row, count_rows, read_rows, record

_SETTLE = 0.7  # seconds that an interrupted run waits for answers on their way to the file


def run(options: argparse.Namespace, signals: Signals) -> int:
    """Answers every row and writes a record as each finishes; 0 when all were answered, 1 when some failed."""
    log_to_stderr(options.verbosity)
    if _same_file(options.file, options.output):
        raise ConfigError(f"{options.output} is the work list itself")
    schema = _schema(options.schema) if options.schema else None
    with read_rows(
        options.file, column=options.column, template=options.template, system=options.system, limit=options.limit
    ) as rows:
        writable(options.summary_json)
        job = Job(options)
        with RecordWriter(options.output, overwrite=options.overwrite) as writer:
            code = job.run(rows, writer, schema, signals)
    now = job.client.status()
    if options.summary_json:
        write_summary(options.summary_json, now)
    if not options.quiet:
        sys.stderr.write(summary(now))
    if job.notice:
        say(job.notice)
    return code


class Job:
    """One run. The courier writes each record, in the client's ``postprocess`` hook, before anybody sees the response.

    The main thread feeds and waits, and is the one that signals interrupt: none ever falls between an answer and its
    line in the file.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.client = client_from(options, postprocess=self._keep)
        self._rows: dict[int, Row] = {}  # under way, by index
        self._lock = threading.Condition()
        self._writer: RecordWriter | None = None
        self._closed = False
        self._failure: OSError | None = None
        self._failed = 0
        self.notice = ""  # what is to be said at the end

    def run(self, rows: Iterator[Row], writer: RecordWriter, schema: Any, signals: Signals) -> int:
        """The exit code, when all rows are done, nothing can be written any more, or a signal came."""
        self._writer = writer
        show = on_terminal() and not self._options.quiet
        self.client.open(self._total(), show_progress=show)
        try:
            for _ in self.client.map(self._registered(rows), ordered=False, output_schema=schema):
                if self._failure is not None:
                    break
        except KeyboardInterrupt:
            self._settle()
            self.notice = f"{signals.word}: {self._done()}"
            writer.discard()
            return signals.exit_code
        finally:
            with self._lock:
                self._closed = True
            self.client.close()
        return self._outcome()

    def _total(self) -> int | None:
        count, limit = count_rows(self._options.file), self._options.limit
        return count if count is None or limit is None else min(count, limit)

    def _registered(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self._rows[row.index] = row
            yield row

    def _keep(self, response: APIResponse) -> None:
        """Writes the record of one response; on the courier, one at a time."""
        row = self._rows[response.index]
        made = None
        if response.error_kind != "cancelled":
            self._failed += response.is_error
            made = record(response, id=row.id, index=row.index, metadata=row.metadata, prompts=not self._options.no_prompts)
        with self._lock:
            try:
                if made is not None and self._writer is not None and not self._closed and self._failure is None:
                    self._writer.write(made)
            except OSError as error:
                self._failure = error
            finally:
                del self._rows[response.index]
                self._lock.notify_all()

    def _settle(self) -> None:
        """Waits, not for long, until the courier has written what was answered before the signal came."""
        with self._lock:
            self._lock.wait_for(lambda: not self._rows, _SETTLE)

    def _done(self) -> str:
        count = 0 if self._writer is None else self._writer.records
        if not count:
            return "nothing was answered yet"
        where = "were written to stdout" if self._options.output == "-" else f"are in {self._options.output}"
        return f"the records of {count:,} prompts {where}"

    def _outcome(self) -> int:
        if isinstance(self._failure, BrokenPipeError):
            quiet_stdout()
            return BROKEN_PIPE
        if self._failure is not None:
            self.notice = f"{self._options.output} cannot be written any more: {self._failure.strerror}; {self._done()}"
            return 1
        return 1 if self._failed else 0


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other) and os.path.isfile(one)
    except OSError:
        return False


def _schema(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            schema = _json.loads(file.read())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ConfigError(f"{path} is no JSON schema: it has to be an object")
    return schema
