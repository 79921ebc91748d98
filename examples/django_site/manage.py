"""Django's command line: ``python manage.py ask "What is 6 * 7?"``, ``migrate``, ``check`` …"""
import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_config.settings")
    execute_from_command_line(sys.argv)
