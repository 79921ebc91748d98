"""What a call says of its journal, checked."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deluge.errors import ConfigError
from deluge.journal import DURABLE, Journal, Recorder
from deluge.journal.answers import response_of
from deluge.journal.lines import PREFIX
from deluge.private import secrets_of

if TYPE_CHECKING:
    from deluge.config import ClientConfig
    from deluge.engine import Engine
    from deluge.response import APIResponse
    from deluge.tasks import Call, Task

_WORDS = ("journal", "durable", "retry_failed")


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """A path, or a journal that the caller has opened and closes himself."""

    journal: str | os.PathLike[str] | Recorder
    durable: str = "second"
    retry_failed: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> JournalOptions | None:
        """None for a call without one."""
        given, durable, again = (options.get(word) for word in _WORDS)
        if durable not in (None, *DURABLE):
            raise ConfigError(f"durable is 'second' or 'each', not {durable!r}")
        if again not in (None, True, False):
            raise ConfigError(f"retry_failed is True or False, not {again!r}")
        if given is None:
            for word in ("durable", "retry_failed"):
                if options.get(word):
                    raise ConfigError(f"{word} is a setting of journal=, which this call does not have")
            return None
        if not isinstance(given, (str, os.PathLike, Recorder)) or given == "":
            raise ConfigError(f"journal is the path of a file, not {given!r}")
        return cls(given, durable or "second", bool(again))

    def begun(self, engine: Engine, call: Call, config: ClientConfig, key: str) -> tuple[Recorder, bool]:
        """The journal, told of its call; and whether the call has to close it. ``key`` is what the call's keys begin with."""
        journal, own = self._opened()
        weakly = weakref.ref(call)  # the journal is the call's

        def stop(message: str) -> None:
            failed = weakly()
            if failed is not None:
                engine.stop_unsent(failed, message)

        secrets = {secret for template in call.templates.values() for secret in secrets_of(template)}
        journal.begin(key[:PREFIX], secrets.union(_keys(config.api_key)), stop)
        return journal, own

    def _opened(self) -> tuple[Recorder, bool]:
        if isinstance(self.journal, Recorder):
            return self.journal, False
        return Journal(self.journal, durable=self.durable, retry_failed=self.retry_failed), True


def _keys(given: Any) -> list[str]:
    """The keys that a client was given, also those of providers that this call does not ask."""
    values = given.values() if isinstance(given, Mapping) else (given,)
    return [value for value in values if isinstance(value, str)]


def recorded(journal: Recorder, task: Task) -> APIResponse | None:
    """The response that the journal has for this prompt; None when there is none, or none that fits the call's schema."""
    journal.place(task)
    known = journal.find(task, task.index, task.metadata)
    if known is None:
        return None
    try:
        response = response_of(known, id=task.id, index=task.index, prompt=task.prompt, metadata=task.metadata)
    except ValueError:  # somebody has changed the file
        return None
    call = task.call
    template = call.templates.get(response.model_internal)
    if template is not None:
        response.sampling_params, response.model_external = template.params, template.model.name
    if call.reader is not None and response.parsed is not None:
        response.parsed, problem = call.reader.reading(response)
        if problem is not None:
            return None  # the schema is the same, but a validator of the type's is not
    return response


def without_journal(options: Mapping[str, Any]) -> None:
    """``ConfigError`` where a call takes no journal."""
    for word in _WORDS:
        if options.get(word) is not None:
            raise ConfigError(f"{word}= is for process_prompts, map and ask; handles, streams and agents have no journal")
