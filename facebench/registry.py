"""One generic registry: names to objects, imported when first asked for, open to plug-ins by entry point."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from facebench.errors import FaceBenchError, InputError, PluginError, UnknownNameError

T = TypeVar("T")

OWN = "facebench"


@dataclass(frozen=True)
class Entry:
    """What is told of one registered thing.

    Attributes:
        name: what a file or a command calls it.
        about: one line on what it is.
        options: JSON Schema of the options it takes.
        origin: the distribution it comes from; ``facebench`` for what is built in.
        facts: what else is declared of it.
    """

    name: str
    about: str
    options: dict[str, Any]
    origin: str
    facts: dict[str, Any] = field(default_factory=dict)


class Registry(Generic[T]):
    """Names of one kind of thing.

    Built-in entries are given as ``"package.module:attribute"`` and imported on first use, so that listing names costs
    nothing. Installed distributions add theirs through the entry-point group; an error in one names the distribution.

    >>> shapes: Registry[type] = Registry("number type", builtin={"fraction": "fractions:Fraction"})
    >>> shapes.get("fraction").__name__
    'Fraction'
    >>> shapes.describe("fraction").about
    'This class implements rational numbers.'
    """

    def __init__(
        self,
        kind: str,
        *,
        builtin: Mapping[str, str | T] | None = None,
        group: str | None = None,
        page: str = "",
        contract: str = "",
        about: Callable[[str, T], str] | None = None,
        facts: Callable[[T], dict[str, Any]] | None = None,
        spell: Callable[[str], str] = str,
    ) -> None:
        """Declare a kind.

        Args:
            kind: what one of them is called in messages.
            builtin: name to ``"package.module:attribute"``, or to the object itself.
            group: entry-point group by which plug-ins add theirs.
            page: of the documentation that tells how to write one, below ``docs/``.
            contract: ``"package.module:function"``; the function takes an object and its name, and raises
                AssertionError when the object is not what FaceBench asks for.
            about: line of an object; default: the first sentence of its docstring.
            facts: what else is declared of an object.
            spell: from the name of an entry point, which holds no colon, to the name itself.
        """
        self.kind = kind
        self.group = group
        self.page = page
        self._contract = contract
        self._about = about
        self._facts = facts
        self._spell = spell
        self._targets: dict[str, str | T] = dict(builtin or {})
        self._registered: set[str] = set()
        self._plugins: dict[str, EntryPoint] | None = None

    def register(self, name: str, target: T) -> None:
        """Add an object under a new name; a name in use is an error, never an override."""
        if name in self.names():
            raise InputError(f"{self.kind} {name!r} is already registered; choose another name")
        self._targets[name] = target
        self._registered.add(name)

    def names(self) -> list[str]:
        """Return all names, sorted; imports nothing."""
        return sorted({*self._targets, *self._entry_points()})

    def __contains__(self, name: object) -> bool:
        return name in self._targets or name in self._entry_points()

    def get(self, name: str, *, where: str = "") -> T:
        """Return the object of that name.

        Raises:
            UnknownNameError: no such name; the message suggests the closest one.
            PluginError: the plug-in of that name cannot be loaded.
        """
        if name in self._targets:
            target = self._targets[name]
            if isinstance(target, str):
                target = self._targets[name] = _import(target)
            return target
        plugin = self._entry_points().get(name)
        if plugin is None:
            raise UnknownNameError(self.kind, name, self.names(), where=where)
        with self.blame(name, "cannot be loaded"):
            loaded: T = plugin.load()
        return loaded

    def origin(self, name: str) -> str:
        """Return the distribution that brings a name; empty for one that was registered in this process."""
        plugin = None if name in self._targets else self._entry_points().get(name)
        if plugin is not None:
            return plugin.dist.name if plugin.dist else plugin.value
        return OWN if name not in self._registered else ""

    def plugins(self) -> list[str]:
        """Return the names that are not built in, sorted."""
        return [name for name in self.names() if self.origin(name) != OWN]

    @contextmanager
    def blame(self, name: str, what: str = "failed") -> Iterator[None]:
        """Turn whatever a plug-in raises into an error that names it; errors of built-in ones pass as they are.

        Raises:
            PluginError: what was raised, unless FaceBench raised it on purpose.
        """
        try:
            yield
        except (FaceBenchError, MemoryError):
            raise
        except (Exception, SystemExit) as error:  # a plug-in may fail in any way; the user must learn whose fault it is
            origin = self.origin(name)
            if origin == OWN:
                raise
            plugin = self._entry_points().get(name)
            place = f" ({plugin.value} of {origin})" if plugin else ""
            said = f"{type(error).__name__}: {error}"
            raise PluginError(f"{self.kind} {name!r}{place} {what}: {said:.500}") from error

    def describe(self, name: str) -> Entry:
        """Return what is told of an entry; loads it."""
        found = self.get(name)
        with self.blame(name, "cannot be described"):
            return Entry(
                name=name,
                about=self._about(name, found) if self._about else first_sentence(found),
                options=options_schema(found),
                origin=self.origin(name),
                facts=self._facts(found) if self._facts else {},
            )

    def check(self, name: str) -> None:
        """Run the contract test of the kind on one entry.

        Raises:
            AssertionError: says which rule is broken.
            PluginError: it cannot be loaded, or failed in another way.
        """
        found = self.get(name)
        if self._contract:
            try:
                _import(self._contract)(found, name)
            except AssertionError:
                raise
            except BaseException:
                with self.blame(name, "failed in its contract test"):
                    raise

    def _entry_points(self) -> dict[str, EntryPoint]:
        if self._plugins is None:
            found: dict[str, EntryPoint] = {}
            for point in entry_points(group=self.group) if self.group else ():
                name = self._spell(point.name)
                if name in self._targets or name in found:
                    owner = point.dist.name if point.dist else point.value
                    raise InputError(f"{self.kind} {name!r} of {owner} collides with another of that name")
                found[name] = point
            self._plugins = found  # only when all are: a collision is refused each time
        return self._plugins


def first_sentence(found: object) -> str:
    """Return the first sentence of an object's own docstring, on one line; empty without one."""
    text = inspect.getdoc(found if inspect.isroutine(found) or inspect.isclass(found) else type(found)) or ""
    line = " ".join(text.split("\n\n")[0].split()).replace("``", "")
    return re.split(r"(?<! al)\. ", line)[0].rstrip(".") + "." if line else ""


def options_schema(found: object) -> dict[str, Any]:
    """Return the JSON Schema of the options of an object.

    It is the object's own attribute ``options`` where it has one (a pydantic model, or a mapping of names to JSON
    Schemas), else what its signature says: keyword-only parameters of a function, all of a class.

    >>> def blur(face, *, width: int = 3): ...
    >>> options_schema(blur)["properties"]
    {'width': {'type': 'integer', 'default': 3}}
    """
    declared: Any = getattr(found, "options", None)
    if hasattr(declared, "model_json_schema"):
        schema: dict[str, Any] = declared.model_json_schema()
        return schema
    properties = dict(declared) if isinstance(declared, Mapping) else dict(_parameters(found))
    return {"type": "object", "properties": properties, "additionalProperties": False}


_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}


def _parameters(found: object) -> Iterator[tuple[str, dict[str, Any]]]:
    if not (inspect.isroutine(found) or inspect.isclass(found)):
        return
    try:
        signature = inspect.signature(found)
    except (ValueError, TypeError):  # compiled
        return
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY or (
            inspect.isclass(found) and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ):
            said = parameter.annotation
            words = said if isinstance(said, str) else getattr(said, "__name__", "")  # `int | None` has no name
            schema: dict[str, Any] = {"type": _TYPES[words]} if words in _TYPES else {}
            if parameter.default is not parameter.empty:
                schema["default"] = parameter.default
            yield name, schema


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
