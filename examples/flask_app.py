"""Flask: one client for each process, made when the module is imported; a view asks it and waits, like for a database.

    gunicorn --chdir examples flask_app:app --workers 4 --threads 8 --preload

Any worker class will do. The client is made before gunicorn forks, and works in every worker: nothing of it is running
until the first prompt.
"""
import os

from flask import Flask, Response, jsonify, request

from deluge import LLMClient

client = LLMClient(os.environ.get("LLM_MODEL", "rehearsal-echo"), base_url=os.environ.get("LLM_BASE_URL"),
                   max_requests_per_minute=30_000, max_tokens_per_minute=5_000_000, progress=None)
app = Flask(__name__)


@app.get("/ask")
def ask() -> "Response | tuple[Response, int]":
    response = client.ask(request.args["q"], timeout=20)  # below gunicorn's own --timeout of 30
    if response.is_error:
        return jsonify(error=response.error_kind), 502
    return jsonify(answer=response.completion, pid=os.getpid())


@app.post("/ask-all")
def ask_all() -> Response:
    responses = client.process_prompts(request.get_json(), timeout=20)
    return jsonify([response.completion for response in responses])


if __name__ == "__main__":
    with app.test_client() as browser:
        print(browser.get("/ask", query_string={"q": "What is 6 * 7?"}).get_json()["answer"])
        print(browser.post("/ask-all", json=["How are you?", "What is 3 * 3?"]).get_json())
