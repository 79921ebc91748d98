"""``deluge batch``: a file of prompts as a job of the provider's batch API, which the process need not wait for."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from deluge import LLMClient
from deluge.batches.job import BatchStatus
from deluge.batches.state import JobState, load_state, new_state
from deluge.cli.clients import client_from
from deluge.cli.run import recorder_of, schema_of
from deluge.cli.signals import Signals
from deluge.cli.terminal import on_terminal, say, tell
from deluge.config import read_yaml
from deluge.errors import BatchError, BatchTimeoutError, ConfigError, JournalError
from deluge.response import APIResponse
from deluge.summary import summary
from deluge.worklist import read_rows


def batch(options: argparse.Namespace, signals: Signals) -> int:
    """Submits, looks, fetches or cancels; 0 when all is well, 1 when something failed or is not there yet."""
    try:
        return _ACTIONS[options.action](options, signals)
    except BatchError as error:
        again = f"; the same command goes on ({error.state})" if error.retry and error.state else ""
        return say(f"{error}{again}", code=1)


def _submit(options: argparse.Namespace, signals: Signals) -> int:
    schema = schema_of(options.schema) if options.schema else None
    state = options.output or new_state(None).path  # named here, so that whatever stops the command can say it
    with read_rows(
        options.file, column=options.column, template=options.template, system=options.system, limit=options.limit
    ) as rows, client_from(options) as client:
        try:
            job = client.submit_batch_job(rows, state=state, batch_size=options.batch_size, output_schema=schema)
        except KeyboardInterrupt:
            say(f"{signals.word}{f'; the same command with -o {state} goes on' if os.path.exists(state) else ''}")
            return signals.exit_code
        except BatchError as error:
            again = f"; the same command with -o {state} goes on" if error.retry and os.path.exists(state) else ""
            return say(f"{error}{again}", code=1)
    if not options.quiet:
        say(f"{job.total - job.over_budget:,} prompts in {len(job.batches)} batches; deluge batch fetch {job.state} -o OUT")
    if job.over_budget:
        say(f"{job.over_budget:,} prompts were not sent: the same command with -o {job.state} and a higher --max-cost "
            "goes on with them")
    sys.stdout.write(f"{job.state}\n")
    return 0


def _status(options: argparse.Namespace, signals: Signals) -> int:
    with _client_of(options) as client:
        now = client.batch_status(options.state)
    sys.stdout.write(_told(now))
    return 0 if now.ended else 1


def _cancel(options: argparse.Namespace, signals: Signals) -> int:
    with _client_of(options) as client:
        now = client.cancel_batch_job(options.state)
    sys.stdout.write(_told(now))
    return 0


def _fetch(options: argparse.Namespace, signals: Signals) -> int:
    recorder = recorder_of(options)
    clean = failed = False
    try:
        with _client_of(options) as client:
            responses = client.wait_for_batch_job(
                options.state, timeout=options.wait, poll_in=options.poll, resubmit=options.resubmit, journal=recorder,
                show_progress=on_terminal() and not options.quiet,
            )
            failed = any(response.is_error for response in responses)
            clean = True
            if not options.quiet:
                tell(summary(client.status(), _next_step(options, responses) if failed else ""))
    except KeyboardInterrupt:
        say(f"{signals.word}; the job goes on: the same command fetches it")
        return signals.exit_code
    except BatchTimeoutError as error:
        return say(f"{error.state} has not ended yet; the same command fetches it later", code=1)
    except JournalError as error:
        return say(f"{error}; the same command fetches them again", code=1)
    finally:
        recorder.close(clean)
    return 1 if failed else 0


def _next_step(options: argparse.Namespace, responses: list[APIResponse]) -> str:
    over = sum(response.error_kind == "budget" for response in responses)
    if over:
        return (f"{over:,} prompts were not sent: deluge batch submit … -o {options.state} with a higher --max-cost, "
                "then this command again")
    return f"deluge batch fetch … -o {options.output} --retry-failed --resubmit"


def _client_of(options: argparse.Namespace) -> LLMClient:
    """A client that can ask for this job: of ``--config`` and the flags, with the models that the state names."""
    state = load_state(options.state)
    settings: dict[str, Any] = read_yaml(options.config) if options.config else {}
    settings.pop("model_weights", None)
    settings.pop("sampling_params", None)
    if options.base_url is not None:
        settings["base_url"] = options.base_url
    settings["model_names"] = _models(state)
    settings["progress"] = settings.get("progress", "rich") if on_terminal() and not options.quiet else None
    return LLMClient.from_dict(settings)


def _models(state: JobState) -> list[str]:
    models = list(dict.fromkeys(lane.model for lane in state.lanes))
    if not models:
        raise ConfigError(f"{state.path}: none of its prompts could be sent")
    return models


def _told(now: BatchStatus) -> str:
    rows = [repr(now)[len("<BatchStatus "):-1]]
    for part in now.parts:
        counts = ", ".join(f"{count:,} {word}" for word, count in (
            ("answered", part.succeeded), ("failed", part.failed), ("expired", part.expired), ("cancelled", part.cancelled),
            ("running", part.running)) if count)
        rows.append(f"  {part.batch or '(not created)'}  {part.model}  {part.status}  {counts}")
    return "\n".join(rows) + "\n"


_ACTIONS = {"submit": _submit, "status": _status, "fetch": _fetch, "cancel": _cancel}
