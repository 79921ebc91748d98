"""An input that is never in memory as a whole: rows of a table in, answers into the same table."""

import sqlite3
from collections.abc import Iterator

from deluge import LLMClient

table = sqlite3.connect(":memory:")
table.execute("create table reviews (id integer primary key, text text, mood text)")
table.executemany("insert into reviews (text) values (?)", [(f"Review {n}: lovely tent.",) for n in range(1_000)])


def prompts() -> Iterator[str]:
    for (text,) in table.execute("select text from reviews order by id"):
        yield f"The mood of this review in one word: {text}"


client = LLMClient("rehearsal-echo", max_requests_per_minute=60_000, max_tokens_per_minute=10_000_000)
for response in client.map(prompts(), ordered=False):
    if not response.is_error:
        table.execute("update reviews set mood = ? where id = ?", (response.completion, response.index + 1))
print(table.execute("select count(*) from reviews where mood is not null").fetchone()[0], "reviews have a mood")
