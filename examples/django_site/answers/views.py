"""A plain view, and an async one."""
import os

from django.apps import apps
from django.http import HttpRequest, JsonResponse

client = apps.get_app_config("answers").client


def ask(request: HttpRequest) -> JsonResponse:
    """One prompt. ``timeout`` is below the server's own, so that the browser gets an answer of ours."""
    response = client.ask(request.GET["q"], timeout=20)
    if response.is_error:
        return JsonResponse({"error": response.error_kind}, status=502)
    return JsonResponse({"answer": response.completion, "pid": os.getpid()})


async def ask_all(request: HttpRequest) -> JsonResponse:
    """Many prompts, awaited: the event loop goes on meanwhile."""
    responses = await client.process_prompts_async(request.GET.getlist("q"), timeout=20)
    return JsonResponse({"answers": [response.completion for response in responses]})
