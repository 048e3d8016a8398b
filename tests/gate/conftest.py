from __future__ import annotations

from tests.comparison.conftest import comparison, folders

__all__ = ["comparison", "folders"]
