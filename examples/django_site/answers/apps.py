"""The app, and the client that its views share."""
from django.apps import AppConfig
from django.conf import settings

from deluge import LLMClient


class AnswersConfig(AppConfig):
    """Makes the one client of the process. That needs no key and starts no thread: ``migrate`` and CI run without."""

    name = "answers"
    client: LLMClient

    def ready(self) -> None:
        self.client = LLMClient.from_dict(settings.LLM)
