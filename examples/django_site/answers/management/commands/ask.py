"""``python manage.py ask "What is 6 * 7?" "How are you?"``"""
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    """Asks the questions and prints the answers."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("questions", nargs="+")

    def handle(self, *arguments: Any, **options: Any) -> None:
        for response in apps.get_app_config("answers").client.process_prompts(options["questions"]):
            if response.is_error:
                raise CommandError(f"{response.error_kind}: {response.error_message}")
            self.stdout.write(str(response.completion))
