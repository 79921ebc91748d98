"""Carries calls to providers: blocking, over kept-alive connections, with deadlines that hold.

Importing this package is cheap: requests, urllib3 and ssl are loaded when the first call is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deluge.transport._attempt import Attempt
from deluge.transport._failure import CERTIFICATE, TOO_MANY_FILES
from deluge.transport._lean import LeanTransport, Signer
from deluge.transport._stream import StreamCut

if TYPE_CHECKING:
    from deluge.transport._adapter import LeanAdapter
    from deluge.transport._pending import Pending

__all__ = ["CERTIFICATE", "TOO_MANY_FILES", "Attempt", "LeanAdapter", "LeanTransport", "Pending", "Signer", "StreamCut"]


def __getattr__(name: str) -> Any:
    if name == "Pending":
        from deluge.transport._pending import Pending

        return Pending
    if name == "LeanAdapter":
        from deluge.transport._adapter import LeanAdapter

        return LeanAdapter
    raise AttributeError(name)
