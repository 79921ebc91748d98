"""A web view, blocking and plain: one client for the whole process, shared by all of its threads.

The same lines work in Django, Flask, Celery: there is no event loop to start or to avoid. ``timeout=`` keeps the view
inside the web server's own limit: what is not answered by then comes back as an error, and nothing goes on behind it.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

from deluge import LLMClient

client = LLMClient("rehearsal-echo", max_requests_per_minute=5_000, progress=None)


def view(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    questions = parse_qs(environ["QUERY_STRING"]).get("q", [])
    responses = client.process_prompts(questions, timeout=20)
    failed = any(response.is_error for response in responses)
    start_response("502 Bad Gateway" if failed else "200 OK", [("Content-Type", "application/json")])
    return [json.dumps([response.completion for response in responses]).encode()]


class Silent(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


if __name__ == "__main__":
    with make_server("127.0.0.1", 0, view, handler_class=Silent) as server, ThreadPoolExecutor() as pool:
        pool.submit(server.handle_request)
        with urlopen(f"http://127.0.0.1:{server.server_port}/?q=How+are+you%3F&q=What+is+6+*+7%3F") as page:
            print(page.read().decode())
