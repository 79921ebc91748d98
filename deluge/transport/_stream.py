"""The body of a streamed reply, piece by piece as it arrives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING

from deluge.transport._failure import describe
from deluge.transport._reply import ReplyError

if TYPE_CHECKING:
    from deluge.transport._codings import Decoder
    from deluge.transport._connection import Connection
    from deluge.transport._reply import ReplyReader
    from deluge.wire import Cutoff, FailureKind

_READ = 16_384


class StreamCut(ReplyError):
    """A streamed body that did not come to its end; ``kind`` is the kind of failure."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Chunks(Iterator[bytes]):
    """Decoded pieces of a body; owns the connection until the body ends, is cut (``StreamCut``), or ``close()``.

    Every wait is bounded by the attempt's deadline, which may move meanwhile, and by its ``gap``.
    """

    def __init__(
        self, connection: Connection, reader: ReplyReader, undo: Decoder | None, attempt: Cutoff, piece: bytes,
        release: Callable[[bool], None],
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._undo = undo
        self._attempt = attempt
        self._piece = piece
        self._release: Callable[[bool], None] | None = release

    def __next__(self) -> bytes:
        try:
            while self._release is not None:
                piece, self._piece = self._piece, b""
                if piece and self._undo is not None:
                    piece = self._undo.feed(piece)
                if piece:
                    return piece
                if self._reader.done:
                    if self._undo is not None:
                        self._undo.end()
                    self._end(self._reader.reusable)
                else:
                    self._piece = self._next_piece()
        except Exception as error:
            cut = StreamCut(*describe(error, self._attempt))
            self._end(False)
            raise cut from None
        except BaseException:
            self._end(False)
            raise
        raise StopIteration

    def close(self) -> None:
        """Stops reading; a connection with a body half read is closed."""
        self._end(False)

    def _next_piece(self) -> bytes:
        gap = getattr(self._attempt, "gap", None)
        until = float("inf") if gap is None else monotonic() + gap
        return self._reader.feed_or_end(self._connection.receive(self._attempt, _READ, until))

    def _end(self, keep: bool) -> None:
        release, self._release = self._release, None
        if release is not None:
            release(keep)

    def __del__(self) -> None:
        self._end(False)
