"""The flags of every command."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from deluge._version import __version__

_EXIT_CODES = "Exit codes: 0 all answered, 1 some failed, 2 wrong usage, 130 Ctrl-C, 143 TERM."


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The command and its options; ends the process with code 2 and one line when they are wrong."""
    parser = _Parser(prog="deluge", description="Sends prompts to LLMs, as fast as the quota allows.")
    parser.add_argument("--version", action="version", version=f"deluge {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for add in (_run, _ask, _estimate, _models, _rehearse, _report, _cache, _batch):
        add(commands)
    options = parser.parse_args(argv)
    if options.command in ("run", "ask", "estimate", "batch"):
        options.verbosity = -1 if options.quiet else options.verbose
    return options


def _run(commands: Any) -> None:
    parser = commands.add_parser(
        "run", help="answer a file of prompts", epilog=_EXIT_CODES,
        description="Answers every prompt of FILE and writes one JSON line per prompt, as it finishes. "
                    "The same command again goes on where it stopped.",
    )
    parser.add_argument("file", metavar="FILE", help="JSONL, CSV or text; - is stdin")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the answers, as JSONL; - is stdout")
    _client_flags(parser)
    add = _work_list_flags(parser)
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--overwrite", action="store_true", help="start over if OUT exists (without it the run goes on)")
    again.add_argument("--retry-failed", action="store_true", help="go on, and ask again what failed")
    _money_flags(add)
    add("--no-prompts", action="store_true", help="leave the prompts out of the records")
    add("--summary-json", metavar="FILE", help="write the summary as JSON too")
    add("--report", metavar="FILE", help="write a page about the run at its end")


def _money_flags(add: Callable[..., Any]) -> None:
    add("--max-cost", metavar="DOLLARS", type=_number(0, 1e9), help="start no prompt that could cost more in all")
    add("--unknown-cost", metavar="DOLLARS", type=_number(0, 1e9),
        help="what a request counts as under --max-cost where its price is not known")


def _estimate(commands: Any) -> None:
    parser = commands.add_parser(
        "estimate", help="say what a file of prompts will take",
        description="Tells the tokens, dollars and time that 'deluge run' of FILE will take. Nothing is sent.",
    )
    parser.add_argument("file", metavar="FILE", help="JSONL, CSV or text; - is stdin")
    _client_flags(parser)
    add = _work_list_flags(parser)
    add("--sample", metavar="N", type=_count, help="look at N of the prompts only")
    add("--json", action="store_true", help="as one JSON object")


def _work_list_flags(parser: argparse.ArgumentParser) -> Callable[..., Any]:
    add = parser.add_argument_group("the work list").add_argument
    add("--column", metavar="NAME", help="the column or field that is the prompt; the others become metadata")
    add("--template", metavar="TEXT", help="the prompt with {fields} of the row in it: \"Summarise: {text}\"")
    add("--limit", metavar="N", type=_count, help="only the first N prompts")
    add("--schema", metavar="FILE", help="a JSON schema that every answer has to follow")
    return add


def _ask(commands: Any) -> None:
    parser = commands.add_parser("ask", help="ask one question", description="Prints the answer to one prompt.")
    parser.add_argument("prompt", metavar="PROMPT", help="the question; - reads it from stdin")
    _client_flags(parser)
    parser.add_argument("--stream", action="store_true", help="print the answer while it comes")


def _client_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("model").add_argument
    add("-m", "--model", metavar="MODEL", action="append", help="repeat it to spread the prompts over several models")
    add("--system", metavar="TEXT", help="a system message for prompts that have none")
    add("--temperature", metavar="X", type=_number(0, 2), help="0 to 2")
    add("--max-tokens", metavar="N", type=_count, help="the longest answer, reasoning included (512)")
    add("--base-url", metavar="URL", help="an OpenAI-compatible server: http://localhost:8000/v1")
    add("--config", metavar="FILE", help="client settings as YAML; flags win over it")
    add = parser.add_argument_group("limits").add_argument
    add("--rpm", metavar="N", type=_limit, help="requests per minute (1,000); auto: what the provider allows")
    add("--tpm", metavar="N", type=_limit, help="tokens per minute (100,000), or auto")
    add("--concurrency", metavar="N", type=_limit, help="requests at the same time (225), or auto")
    add("--timeout", metavar="S", type=_seconds, help="seconds per attempt (30)")
    add("--cache", metavar="FILE", help="answers that were bought before are taken from this file, new ones go into it")
    _loudness(parser)


def _loudness(parser: argparse.ArgumentParser) -> None:
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    loudness.add_argument("-v", "--verbose", action="count", default=0, help="say what happens; -vv: every attempt")


def _batch(commands: Any) -> None:
    parser = commands.add_parser(
        "batch", help="answer a file of prompts by a batch job of the provider, at about half the price",
        description="Jobs of the provider's batch API: they may take a day, and go on without this process.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_Parser)
    for add in (_batch_submit, _batch_status, _batch_fetch, _batch_cancel):
        add(actions)


def _batch_submit(commands: Any) -> None:
    parser = commands.add_parser("submit", help="send a file of prompts", description="Sends the prompts of FILE as a job, "
                                 "and prints the name of its state file. The same command again sends nothing twice.")
    parser.add_argument("file", metavar="FILE", help="JSONL, CSV or text; - is stdin")
    parser.add_argument("-o", "--output", metavar="STATE", help="the file that stands for the job (one of a new name)")
    _client_flags(parser)
    add = _work_list_flags(parser)
    add("--batch-size", metavar="N", type=_count, help="at most N prompts in one of the provider's batches")
    _money_flags(add)


def _batch_status(commands: Any) -> None:
    parser = commands.add_parser("status", help="tell how far a job is", epilog="Exit codes: 0 it has ended, 1 not yet.",
                                 description="Asks the provider how far a job is, batch by batch.")
    _job_flags(parser)


def _batch_fetch(commands: Any) -> None:
    parser = commands.add_parser("fetch", help="wait for a job, and write its answers", epilog=_EXIT_CODES,
                                 description="Waits until a job has ended, and writes one JSON line per prompt.")
    _job_flags(parser)
    add = parser.add_argument
    add("-o", "--output", metavar="OUT", required=True, help="the answers, as JSONL; - is stdout")
    add("--wait", metavar="S", type=_seconds, help="wait so many seconds at most (without it: until it has ended)")
    add("--poll", metavar="S", type=_seconds, help="ask every so many seconds (without it: growing from 1 to 60)")
    add("--resubmit", action="store_true", help="send again, once, what has expired or failed for a passing reason")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--overwrite", action="store_true", help="start over if OUT exists (without it OUT is completed)")
    again.add_argument("--retry-failed", action="store_true", help="take the failures in OUT for unanswered")
    add("--no-prompts", action="store_true", help="leave the prompts out of the records")


def _batch_cancel(commands: Any) -> None:
    parser = commands.add_parser("cancel", help="end a job", description="Ends a job; what was answered can be fetched.")
    _job_flags(parser)


def _job_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("state", metavar="STATE", help="the job's state file")
    add("--base-url", metavar="URL", help="the address that it was submitted to, where that was given")
    add("--config", metavar="FILE", help="client settings as YAML: keys, addresses, models of your own")
    _loudness(parser)


def _models(commands: Any) -> None:
    parser = commands.add_parser("models", help="list the models", description="Lists models with prices and limits.")
    add = parser.add_argument
    add("filter", metavar="FILTER", nargs="*", help="words that the id, provider or flags contain")
    add("--provider", metavar="NAME", help="only this provider's")
    add("--flag", metavar="FLAG", action="append", default=[], help="only those with this flag; repeat it")
    add("--without", metavar="FLAG", action="append", default=[], help="only those without this flag; repeat it")
    add("--max-input", metavar="DOLLARS", type=_number(0, 1e6), help="at most this price of a million input tokens")
    add("--max-output", metavar="DOLLARS", type=_number(0, 1e6), help="at most this price of a million output tokens")
    add("--min-context", metavar="TOKENS", type=_count, help="at least this context window")
    add("--with-key", action="store_true", help="only those whose key is in the environment, or that need none")
    add("--sort", metavar="BY", help="id, provider, input_price, output_price, context_window; - in front: largest first")
    add("--limit", metavar="N", type=_count, help="no more than so many")
    add("--config", metavar="FILE", help="YAML with models of your own, listed too")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def _rehearse(commands: Any) -> None:
    parser = commands.add_parser(
        "rehearse", help="serve the rehearsal provider",
        description="Serves the rehearsal provider: a free stand-in that speaks the providers' protocols.",
    )
    parser.add_argument("--port", type=_port, default=8800, help="8800; 0 takes a free one")


def _report(commands: Any) -> None:
    parser = commands.add_parser(
        "report", help="make a page about a run",
        description="Writes one HTML page about a run from its records; it needs no network and runs no script.",
    )
    parser.add_argument("file", metavar="FILE", help="the records that a run has written")
    parser.add_argument("-o", "--output", metavar="OUT", help="the page (FILE with the ending .html)")


def _cache(commands: Any) -> None:
    parser = commands.add_parser("cache", help="look at a cache of answers, or clear it",
                                 description="Tells what a cache file holds and has saved, or clears it.")
    parser.add_argument("action", metavar="stats|clear", choices=("stats", "clear"), help="what to do")
    parser.add_argument("file", metavar="FILE", help="the file that --cache named")
    parser.add_argument("--older-than", metavar="DAYS", type=_number(0, 36_500), help="clear only what is older")
    parser.add_argument("--json", action="store_true", help="stats as one JSON object")


def _count(text: str) -> int:
    try:
        value = int(text.replace(",", "").replace("_", ""))
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return value


def _limit(text: str) -> int | str:
    if text.lower() == "auto":
        return "auto"
    try:
        return _count(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up, or auto") from None


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _seconds(text: str) -> float:
    value = _number(0, 1e9)(text)
    if not value:
        raise argparse.ArgumentTypeError("has to be more than 0 seconds")
    return value


def _number(low: float, high: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return number
