"""One generic registry: names to objects, imported when first asked for, open to plug-ins by entry point."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from facebench.errors import FaceBenchError, InputError, UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one kind of thing.

    Built-in entries are given as ``"package.module:attribute"`` and imported on first use, so that listing names costs
    nothing. Installed distributions add theirs through the entry-point group; an error in one names the distribution.

    >>> shapes: Registry[type] = Registry("number type", builtin={"fraction": "fractions:Fraction"})
    >>> shapes.get("fraction").__name__
    'Fraction'
    """

    def __init__(self, kind: str, *, builtin: dict[str, str] | None = None, group: str | None = None) -> None:
        self.kind = kind
        self._group = group
        self._targets: dict[str, str | T] = dict(builtin or {})
        self._plugins: dict[str, EntryPoint] | None = None

    def register(self, name: str, target: T) -> None:
        """Add an object under a new name; a name in use is an error, never an override."""
        if name in self.names():
            raise InputError(f"{self.kind} {name!r} is already registered; choose another name")
        self._targets[name] = target

    def names(self) -> list[str]:
        """Return all names, sorted; imports nothing."""
        return sorted({*self._targets, *self._entry_points()})

    def __contains__(self, name: object) -> bool:
        return name in self._targets or name in self._entry_points()

    def get(self, name: str, *, where: str = "") -> T:
        """Return the object of that name.

        Raises:
            UnknownNameError: no such name; the message suggests the closest one.
        """
        if name in self._targets:
            target = self._targets[name]
            if isinstance(target, str):
                target = self._targets[name] = _import(target)
            return target
        plugin = self._entry_points().get(name)
        if plugin is None:
            raise UnknownNameError(self.kind, name, self.names(), where=where)
        return self._load(plugin)

    def _load(self, plugin: EntryPoint) -> T:
        try:
            loaded: T = plugin.load()
        except FaceBenchError:
            raise
        except (Exception, SystemExit) as error:  # a plug-in may fail in any way; the user must learn whose fault it is
            origin = f" of {plugin.dist.name}" if plugin.dist else ""
            raise InputError(
                f"{self.kind} {plugin.name!r} ({plugin.value}{origin}) cannot be loaded: "
                f"{type(error).__name__}: {error}"
            ) from error
        return loaded

    def _entry_points(self) -> dict[str, EntryPoint]:
        if self._plugins is None:
            self._plugins = {}
            for point in entry_points(group=self._group) if self._group else ():
                if point.name in self._targets or point.name in self._plugins:
                    owner = point.dist.name if point.dist else point.value
                    raise InputError(f"{self.kind} {point.name!r} of {owner} collides with another of that name")
                self._plugins[point.name] = point
        return self._plugins


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
