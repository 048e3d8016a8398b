"""The strict base of every object that is read from, or written to, a file."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from facebench.errors import InputError, did_you_mean


class Strict(BaseModel):
    """A frozen record that refuses unknown keys and NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    @classmethod
    def parse(cls, value: Any, *, where: str) -> Self:
        """Build the record from plain data.

        Raises:
            InputError: names `where`, each wrong key or value, and for an unknown key the closest known one.
        """
        if not isinstance(value, dict):
            raise InputError(f"{where}: expected keys and values, found {type(value).__name__}")
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            lines = [_explain(cls, problem) for problem in error.errors()]
            raise InputError(f"{where}: " + "; ".join(lines)) from None


def _explain(cls: type[BaseModel], problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        owner = _owner(cls, problem["loc"][:-1])
        known = [field.alias or name for name, field in owner.model_fields.items()] if owner else []
        hint = did_you_mean(str(problem["loc"][-1]), known)
        listing = "" if hint or not known else f" Known: {', '.join(known)}."
        return f"unknown key {place!r}.{hint}{listing}"
    if problem["type"] == "missing":
        return f"key {place!r} is missing"
    message = str(problem["msg"]).removeprefix("Value error, ")
    found = problem.get("input")
    shown = f" (found {found!r})" if isinstance(found, str | int | float | bool) else ""
    return f"{place}: {message}{shown}" if place else message


def _owner(cls: type[BaseModel], path: tuple[Any, ...]) -> type[BaseModel] | None:
    """Return the record class that holds the key at the end of a path, where it can be told."""
    owner: type[BaseModel] | None = cls
    for part in path:
        if owner is None:
            return None
        if part in owner.model_fields:
            owner = _record_in(owner.model_fields[str(part)].annotation)
    return owner


def _record_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _record_in(inner)
        if found:
            return found
    return None
