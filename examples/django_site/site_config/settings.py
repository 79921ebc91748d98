"""The settings of the project. ``LLM`` is what the client is made of."""
import os

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "only-for-trying-it-out")
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "site_config.urls"
WSGI_APPLICATION = "site_config.wsgi.application"
INSTALLED_APPS = ["answers.apps.AnswersConfig"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True

LLM = {
    "model_names": [os.environ.get("LLM_MODEL", "rehearsal-echo")],
    "base_url": os.environ.get("LLM_BASE_URL"),
    "quota": os.environ.get("LLM_QUOTA"),  # "file:/run/site/llm.quota": one limit for all processes
    "max_requests_per_minute": 30_000,
    "max_tokens_per_minute": 5_000_000,
    "progress": None,
}
