"""``deluge ask``: one prompt, its answer on stdout."""

from __future__ import annotations

import argparse
import sys

from deluge.cli.clients import client_from
from deluge.cli.signals import Signals
from deluge.cli.terminal import say
from deluge.errors import ConfigError
from deluge.prompt import Conversation


def ask(options: argparse.Namespace, signals: Signals) -> int:
    """Prints the answer; 1 and the reason on stderr when there is none."""
    text = _from_stdin() if options.prompt == "-" else options.prompt
    prompt = Conversation().user(text) if options.system is None else Conversation().system(options.system).user(text)
    with client_from(options, any_model=True, progress=None) as client:
        response = client.stream(prompt) if options.stream else client.ask(prompt)
    if response.is_error:
        return say(f"{response.error_kind}: {response.error_message}", code=1)
    if not options.stream:
        sys.stdout.write((response.completion or response.refusal or "") + "\n")
        sys.stdout.flush()
    if response.finish_reason == "length":
        say("the answer was cut at --max-tokens")
    return 0


def _from_stdin() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise ConfigError(f"the prompt from stdin is not {error.encoding.upper()}") from None
