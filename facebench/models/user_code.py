"""Python code that lies beside a model file: imported apart from the code of other models, and named by its bytes."""

from __future__ import annotations

import importlib
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from facebench.files import sha256_bytes

_INSTALLED = tuple(Path(sysconfig.get_path(key)) for key in ("stdlib", "platstdlib", "purelib", "platlib"))
_OWN = Path(__file__).resolve().parents[1]


class UserCode:
    """The modules of one folder.

    Python knows a module by its name alone, so that `net` of a second folder would be `net` of the first. Here every
    folder has modules of its own: they are known to Python only while the code is `active`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._modules: dict[str, ModuleType] = {}
        self._others: dict[str, ModuleType] = {}  # what the factory's package holds elsewhere

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let imports find this folder's modules first, and no other folder's; also those made later, in a call."""
        hidden = {name: sys.modules.pop(name) for name in self._shadowed()}
        before = set(sys.modules)
        sys.modules.update(self._modules)
        sys.path.insert(0, str(self.folder))
        importlib.invalidate_caches()
        written, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # code changed within a second stays seen
        try:
            yield
        finally:
            sys.dont_write_bytecode = written
            if str(self.folder) in sys.path:
                sys.path.remove(str(self.folder))
            for name in set(sys.modules) - before:
                if self._holds(sys.modules[name]):
                    self._modules[name] = sys.modules.pop(name)
            sys.modules.update(hidden)

    def import_module(self, name: str) -> ModuleType:
        """Import a module while the code is active, and remember the package it belongs to."""
        module = importlib.import_module(name)
        top = name.partition(".")[0]
        self._others = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == top and not self._holds(m)}
        return module

    def digest(self, factory: str) -> str:
        """Return the sha256 of every file that was imported from the folder, or with the factory's package.

        One file gives its own sha256; several give that of their sorted names and sha256s, and are named.
        """
        files = {file for module in {**self._others, **self._modules}.values() if (file := _file(module))}
        hashes = {_label(file, self.folder): sha256_bytes(file.read_bytes()) for file in sorted(files)}
        if len(hashes) <= 1:
            return f"{factory} sha256:{next(iter(hashes.values()), 'unknown')}"
        whole = sha256_bytes("\n".join(f"{name} {sha256}" for name, sha256 in sorted(hashes.items())).encode())
        named = ", ".join(sorted(hashes)) if len(hashes) <= 12 else f"{len(hashes)} files"
        return f"{factory} sha256:{whole} of {named}"

    def _holds(self, module: ModuleType) -> bool:
        file = _file(module)
        if file is not None:
            return file.is_relative_to(self.folder) and not _installed(file)
        try:  # a folder without __init__.py
            paths = [Path(path) for path in getattr(module, "__path__", ())]
        except Exception:  # some packages make up their path
            return False
        return bool(paths) and all(path.is_relative_to(self.folder) for path in paths)

    def _shadowed(self) -> list[str]:
        """Return loaded modules that bear a name of this folder's and are neither installed nor FaceBench's."""
        own = {path.stem for path in self.folder.glob("*.py")}
        own |= {path.parent.name for path in self.folder.glob("*/__init__.py")}
        found = []
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in own:
                file = _file(module)
                if file is not None and not _installed(file) and not file.is_relative_to(_OWN):
                    found.append(name)
        return found


def _file(module: ModuleType) -> Path | None:
    """Return the file a module was read from; None for built-in ones and folders without __init__.py."""
    file = getattr(module, "__file__", None)
    path = Path(file) if isinstance(file, str) else None
    return path.absolute() if path is not None and path.is_file() else None


def _installed(file: Path) -> bool:
    return any(file.is_relative_to(place) for place in _INSTALLED)


def _label(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else "/".join(file.parts[-2:])
