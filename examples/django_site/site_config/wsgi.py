"""``gunicorn --chdir examples/django_site site_config.wsgi --workers 4 --preload``"""
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_config.settings")
application = get_wsgi_application()
