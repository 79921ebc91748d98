"""``deluge run``: a file of prompts in, a file of records out, which is also where the next run goes on."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from typing import Any

from deluge import _json
from deluge.cli.clients import client_from
from deluge.cli.signals import BROKEN_PIPE, Signals
from deluge.cli.summaries import write_summary, writable
from deluge.cli.terminal import on_terminal, quiet_stdout, say, tell
from deluge.errors import ConfigError, JournalError
from deluge.estimates import Estimate
from deluge.journal import Journal, OneWay, Recorder
from deluge.report import forget_notes, notes_of, save_notes, write_report
from deluge.status import StatusSnapshot
from deluge.summary import summary
from deluge.worklist import Row, count_rows, read_rows

FIRST_ROWS = 1_000  # of the work list, which the estimate in the summary is made from


def run(options: argparse.Namespace, signals: Signals) -> int:
    """Answers every row and writes a record as each finishes; 0 when all were answered, 1 when some failed."""
    if _same_file(options.file, options.output):
        raise ConfigError(f"{options.output} is the work list itself")
    _check_apart(options)
    if options.report is not None and options.output == "-":
        raise ConfigError("--report needs records in a file: -o FILE")
    schema = schema_of(options.schema) if options.schema else None
    with read_rows(
        options.file, column=options.column, template=options.template, system=options.system, limit=options.limit
    ) as rows:
        writable(options.summary_json)
        writable(options.report)
        job, started_at = Job(options), time.time()
        code = job.run(rows, schema, signals)
    now = job.client.status()
    if job.resumable:
        _note(options, now, started_at)
    if options.summary_json:
        write_summary(options.summary_json, now, job.estimate)
    if not options.quiet:
        tell(summary(now, job.next_step, estimate=job.estimate))
    if job.notice:
        say(job.notice)
    return code


def _note(options: argparse.Namespace, now: StatusSnapshot, started_at: float) -> None:
    """Leaves the notes of this run beside its records, and makes the report."""
    if options.overwrite:
        forget_notes(options.output)
    if now.requests_sent or now.limited_minutes:
        save_notes(options.output, notes_of(now, started_at))
    if options.report is not None:
        try:
            write_report(options.output, options.report)
        except ConfigError as error:  # the answers are there all the same
            say(f"no report: {error}")


def recorder_of(options: argparse.Namespace) -> Recorder:
    """Where the records go: a journal; or stdout, a pipe or a device, from which nothing can be resumed."""
    path, prompts = options.output, not options.no_prompts
    if path == "-" or os.path.exists(path) and not os.path.isfile(path):
        return OneWay(path, prompts=prompts)
    return Journal(
        path, retry_failed=options.retry_failed, prompts=prompts, overwrite=options.overwrite, exact=True
    )


class Job:
    """One run. Each record is written before anybody sees its response, so that a signal never falls between them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.client = client_from(options)
        self.resumable = False  # whether there is a file to go on from
        self.notice = ""  # what is to be said at the end
        self.next_step = ""
        self.estimate: Estimate | None = None

    def run(self, rows: Iterator[Row], schema: Any, signals: Signals) -> int:
        """The exit code, when all rows are done, nothing can be written any more, or a signal came."""
        recorder = recorder_of(self._options)
        self.resumable = not isinstance(recorder, OneWay)
        clean = False
        failed = 0
        total = self._total()
        self.estimate = self._estimated(total, schema)
        self.client.open(total, show_progress=on_terminal() and not self._options.quiet)
        try:
            for response in self.client.map(rows, ordered=False, output_schema=schema, journal=recorder):
                failed += response.is_error
            clean = True
        except JournalError:
            pass  # the recorder says why
        except KeyboardInterrupt:
            self.notice = f"{signals.word}: {self._done(recorder)}"
            return signals.exit_code
        finally:
            recorder.close(clean)
            self.client.close()
            self._say_next(recorder, clean, failed)
        return self._outcome(recorder, failed)

    def _estimated(self, total: int | None, schema: Any) -> Estimate | None:
        """By the first rows, read apart from the others; None where the work list can be read only once."""
        options = self._options
        if total is None or options.quiet and not options.summary_json:
            return None
        with read_rows(options.file, column=options.column, template=options.template, system=options.system,
                       limit=min(total, FIRST_ROWS)) as rows:
            return self.client._estimated(rows, total, {"output_schema": schema})

    def _total(self) -> int | None:
        count, limit = count_rows(self._options.file), self._options.limit
        return count if count is None or limit is None else min(count, limit)

    def _done(self, recorder: Recorder) -> str:
        count = recorder.written + recorder.resumed
        if not count:
            return "nothing was answered yet"
        where = "were written to stdout" if self._options.output == "-" else f"are in {self._options.output}"
        return f"the records of {count:,} prompts {where}"

    def _say_next(self, recorder: Recorder, clean: bool, failed: int) -> None:
        """How to go on, where there is a journal to go on from."""
        if isinstance(recorder, OneWay) or clean and not failed:
            return
        over = self.client.status().failed_by_kind.get("budget", 0)
        if clean and over:
            self.next_step = f"{over:,} prompts were not sent: the same command with a higher --max-cost goes on with them"
        elif clean:
            self.next_step = f"deluge run … -o {self._options.output} --retry-failed"
        elif recorder.written or recorder.resumed:
            again = " (without --overwrite)" if self._options.overwrite else ""
            self.next_step = f"the same command goes on where this one stopped{again}"

    def _outcome(self, recorder: Recorder, failed: int) -> int:
        failure = recorder.failure
        if isinstance(failure, BrokenPipeError):
            quiet_stdout()
            return BROKEN_PIPE
        if failure is not None:
            lost = f", {recorder.unwritten:,} could not be written" if recorder.unwritten else ""
            why = f"{self._options.output} cannot be written any more: {failure.strerror}"
            self.notice = f"{why}; {self._done(recorder)}{lost}"
            return 1
        return 1 if failed else 0


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other) and os.path.isfile(one)
    except OSError:
        return False


def _check_apart(options: argparse.Namespace) -> None:
    """``ConfigError`` where what is written at the end would replace the answers, or what was read."""
    taken: dict[str, str] = {}
    for word in ("file", "output", "config", "schema", "cache", "summary_json", "report"):
        path = getattr(options, word)
        if path is None or path == "-" or os.path.exists(path) and not os.path.isfile(path):
            continue  # a pipe or a device may be there twice
        flag = "the work list" if word == "file" else f"--{word.replace('_', '-')}"
        other = taken.setdefault(os.path.realpath(path), flag)
        if other != flag and word in ("cache", "summary_json", "report"):
            raise ConfigError(f"{path} is given twice: as {other} and as {flag}")


def schema_of(path: str) -> Any:
    """The JSON schema in a file. ``ConfigError`` when there is none."""
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
