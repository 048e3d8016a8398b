from __future__ import annotations

from tests.compare.conftest import comparison, folders

__all__ = ["comparison", "folders"]
