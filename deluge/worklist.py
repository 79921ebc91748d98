"""Work lists: a file of prompts read row by row, and the file of records that a run leaves behind.

``read_rows`` never holds more than one row, whatever the length of the file; a row that cannot be used carries its
error, so that the others run. ``RecordWriter`` writes whole lines only.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from deluge import _json
from deluge._rowform import Row, RowError, Template, WorkItem, item_of_data, item_of_json
from deluge.errors import ConfigError
from deluge.record import RECORD_KEYS, RECORD_VERSION, record, record_line

__all__ = ["RECORD_KEYS", "RECORD_VERSION", "RecordWriter", "Row", "Rows", "count_rows", "read_rows", "record"]

_CSV_DELIMITERS = {".csv": "", ".tsv": "\t", ".tab": "\t"}  # "" = whichever of , ; and tab the header has most of
_PLAIN_TEXT = (".txt", ".text")
_LONGEST_CELL = 2**31 - 1  # prompts are longer than the 128 KB that csv allows
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"


class Rows(Iterator[Row]):
    """An iterator over rows that closes its file at the end, or when it is left or dropped before."""

    def __init__(self, rows: Iterator[Row], source: IO[bytes]) -> None:
        self._rows = rows
        self._source = source

    def __next__(self) -> Row:
        try:
            return next(self._rows)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file; there are no further rows."""
        self._rows = iter(())
        self._source.close()

    __del__ = close

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_rows(
    path: str | os.PathLike[str], *, column: str | None = None, template: str | None = None,
    system: str | None = None, limit: int | None = None,
) -> Rows:
    """The rows of a file (``"-"`` is stdin), one at a time.

    ``.csv`` and ``.tsv`` have a header; ``.txt`` has a prompt on each line; anything else is JSONL: a prompt as a
    string, a list of messages, an object with ``prompt`` or ``messages``, or a line of an OpenAI batch file. ``column``
    names the field that is the prompt, ``template`` makes the prompt from ``{fields}``: either makes all other fields
    ``metadata``. ``system`` is put before every prompt that has no system message. Raises ``ConfigError`` at once when
    the file cannot be read or the template is wrong.
    """
    if column is not None and template is not None:
        raise ConfigError("a prompt comes from a column or from a template, not from both")
    form = None if template is None else Template(template)
    source = _opened(path)
    try:
        rows = _rows_of(source, Path(path), column, form, system)
    except BaseException:
        source.close()
        raise
    return Rows(rows if limit is None else islice(rows, limit), source)


def _rows_of(
    source: IO[bytes], path: Path, column: str | None, form: Template | None, system: str | None
) -> Iterator[Row]:
    first = source.readline()
    if first.startswith(_WIDE_MARKS):
        raise ConfigError(f"{path} is UTF-16; save it as UTF-8")
    first = first.removeprefix(_BOM)
    lines = chain((first,), source)
    suffix = path.suffix.lower()
    if suffix in _CSV_DELIMITERS or (suffix == "" and column is not None and not _is_json(first)):
        return _csv_rows(lines, column, form, system, _CSV_DELIMITERS.get(suffix, ""), str(path))
    if suffix in _PLAIN_TEXT:
        return _text_rows(lines, form, system)
    if first.strip() == b"[":
        raise ConfigError(f"{path} is one JSON array over many lines; write one prompt per line (jq -c '.[]' does)")
    return _json_rows(lines, column, form, system)


def count_rows(path: str | os.PathLike[str]) -> int | None:
    """How many rows a file has, for a progress bar; None for stdin and whatever else can be read only once."""
    if str(path) == "-" or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        if Path(path).suffix.lower() not in _CSV_DELIMITERS:
            return sum(1 for line in file if not line.isspace())
        csv.field_size_limit(_LONGEST_CELL)
        reader = csv.reader(line.decode("latin-1") for line in file)
        try:
            return max(0, sum(1 for cells in reader if cells) - 1)
        except csv.Error:
            return None


def _opened(path: str | os.PathLike[str]) -> IO[bytes]:
    if str(path) == "-":
        return open(sys.stdin.fileno(), "rb", closefd=False)
    try:
        return open(path, "rb")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _is_json(line: bytes) -> bool:
    try:
        _json.loads(line)
    except ValueError:
        return False
    return True


def _json_rows(lines: Iterable[bytes], column: str | None, form: Template | None, system: str | None) -> Iterator[Row]:
    index = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = _loaded(line)
            data = column is not None or form is not None
            item = item_of_data(_fields(value), column, form) if data else item_of_json(value)
            yield _row(index, number, item, system)
        except RowError as error:
            yield Row(index, number, id=error.id, error=f"line {number}: {error}")
        index += 1


def _loaded(line: bytes) -> Any:
    try:
        return _json.loads(line)
    except json.JSONDecodeError as error:
        raise RowError(f"not JSON: {error.msg} at column {error.colno}") from None
    except UnicodeDecodeError:
        raise RowError("not JSON: not UTF-8") from None
    except ValueError as error:
        raise RowError(f"not JSON: {error}") from None


def _fields(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        return {"prompt": value, "text": value}
    if isinstance(value, dict):
        return value
    raise RowError("a row with fields is a JSON object")


def _text_rows(lines: Iterable[bytes], form: Template | None, system: str | None) -> Iterator[Row]:
    index = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            text = _decoded(line.rstrip(b"\r\n"))
            item = WorkItem(text) if form is None else item_of_data({"text": text}, None, form, rest=False)
            yield _row(index, number, item, system)
        except RowError as error:
            yield Row(index, number, error=f"line {number}: {error}")
        index += 1


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise RowError("not UTF-8") from None


def _csv_rows(
    lines: Iterator[bytes], column: str | None, form: Template | None, system: str | None, delimiter: str, path: str,
) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)
    text = (line.decode("utf-8", "surrogateescape") for line in lines)
    first = next(text, "")
    delimiter = delimiter or max(",;\t", key=first.count)
    reader = csv.reader(chain((first,), text), delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    if len(set(filter(None, header))) < len([name for name in header if name]):
        raise ConfigError(f"{path} has two columns of one name: {', '.join(header)}")
    prompt = None if form is not None else _prompt_column(header, column, path)
    return _csv_body(reader, header, prompt, form, system)


def _prompt_column(header: list[str], column: str | None, path: str) -> str:
    named = [name for name in header if name]
    chosen = column or ("prompt" if "prompt" in named else named[0] if len(named) == 1 else None)
    there = ", ".join(repr(name) for name in named) or "none"
    if chosen is None:
        raise ConfigError(f"{path}: which column is the prompt? --column NAME or --template; there are {there}")
    if chosen not in named:
        raise ConfigError(f"{path} has no column {chosen!r}; there are {there}")
    return chosen


def _csv_body(
    reader: Any, header: list[str], prompt: str | None, form: Template | None, system: str | None
) -> Iterator[Row]:
    index = 0
    while True:
        try:
            cells = next(reader)
            if not cells:
                continue
            yield _row(index, reader.line_num, _csv_item(cells, header, prompt, form), system)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(index, reader.line_num, error=f"line {reader.line_num}: not CSV: {error}")
        except RowError as error:
            yield Row(index, reader.line_num, id=error.id, error=f"line {reader.line_num}: {error}")
        index += 1


def _csv_item(cells: list[str], header: list[str], prompt: str | None, form: Template | None) -> WorkItem:
    if len(cells) > len(header):
        raise RowError(f"{len(cells)} cells under a header of {len(header)}")
    try:
        "".join(cells).encode("utf-8")
    except UnicodeEncodeError:
        raise RowError("not UTF-8") from None
    return item_of_data({name: cell for name, cell in zip(header, cells) if name}, prompt, form)


def _row(index: int, line: int, item: WorkItem, system: str | None) -> Row:
    prompt = item.conversation(system)
    return Row(index, line, prompt, item.id, item.metadata, item.model, item.params)


class RecordWriter:
    """Appends records to a new file (``"-"`` is stdout), each call with one write of whole lines.

    The file is created when the writer is made, so that a path that cannot be written is known before anything is
    sent: ``ConfigError``. An existing file is refused unless ``overwrite``; its old content goes with the first record.
    A write that fails leaves no half line in a regular file, and raises ``OSError`` (``BrokenPipeError`` when nobody
    reads stdout any more). Left by an exception before the first record, a file that was not there is gone again.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self.path = str(path)
        self.records = 0
        self._new = self._stale = False
        self._file = sys.stdout.fileno() if self.path == "-" else self._opened(overwrite)

    def _opened(self, overwrite: bool) -> int:
        there = os.path.exists(self.path)
        regular = not there or os.path.isfile(self.path)  # /dev/null and named pipes are there already
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        try:
            file = os.open(self.path, flags | (os.O_EXCL if regular and not overwrite else 0), 0o666)
        except FileExistsError:
            raise ConfigError(f"{self.path} exists already; --overwrite replaces it") from None
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}") from None
        self._new, self._stale = not there, there and regular
        return file

    def write(self, *records: Mapping[str, Any]) -> None:
        """Appends these records, one line each, in one write."""
        self.append(b"".join(record_line(item) for item in records), len(records))

    def append(self, data: bytes, records: int) -> None:
        """Appends whole lines, in one write; ``records``: how many."""
        self._forget_old()
        written = 0
        try:
            while written < len(data):  # a pipe may take less at once
                written += os.write(self._file, data[written:] if written else data)
        except OSError:
            self._take_back(written)
            raise
        self.records += records

    def _forget_old(self) -> None:
        if self._stale:
            os.ftruncate(self._file, 0)
            self._stale = False

    def _take_back(self, written: int) -> None:
        if self.path != "-" and written:
            with suppress(OSError):
                os.ftruncate(self._file, os.fstat(self._file).st_size - written)

    def discard(self) -> None:
        """Takes a file away that this writer made and that has no record."""
        if self._new and not self.records:
            with suppress(OSError):
                os.unlink(self.path)
        self._stale = False

    def close(self) -> None:
        """Closes the file; stdout stays open."""
        file, self._file = self._file, -1
        if self.path != "-" and file >= 0:
            os.close(file)

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._forget_old()
        else:
            self.discard()
        self.close()
