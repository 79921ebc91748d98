"""The rehearsal server, for every test of journals."""

from deluge.testing import rehearsal

__all__ = ["rehearsal"]
