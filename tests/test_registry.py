"""The registry: names, messages, and whose fault an error is."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from facebench.errors import InputError, PluginError, UnknownNameError
from facebench.registry import Registry, options_schema


@pytest.fixture
def shapes() -> Registry[object]:
    registry: Registry[object] = Registry("shape", builtin={"fraction": "fractions:Fraction"}, group="toy.shapes")
    registry._plugins = {
        "decimal": EntryPoint("decimal", "decimal:Decimal", "toy.shapes"),
        "broken": EntryPoint("broken", "no_such_module:thing", "toy.shapes"),
    }
    return registry


def test_names_are_listed_without_imports(shapes):
    assert shapes.names() == ["broken", "decimal", "fraction"]
    assert "broken" in shapes
    assert shapes.plugins() == ["broken", "decimal"]


def test_an_unknown_name_gets_the_closest_one(shapes):
    with pytest.raises(UnknownNameError, match=r"unknown shape 'fractoin' in a file\. Did you mean 'fraction'\?"):
        shapes.get("fractoin", where="a file")


def test_a_name_in_use_is_never_overridden(shapes):
    with pytest.raises(InputError, match="already registered"):
        shapes.register("decimal", object())
    shapes.register("mine", 3)
    assert shapes.get("mine") == 3
    assert shapes.origin("mine") == ""
    assert shapes.origin("fraction") == "facebench"


def test_a_collision_is_refused_each_time(monkeypatch):
    points = [EntryPoint("fraction", "decimal:Decimal", "toy.shapes")]
    monkeypatch.setattr("facebench.registry.entry_points", lambda group: points)
    registry: Registry[object] = Registry("shape", builtin={"fraction": "fractions:Fraction"}, group="toy.shapes")
    for _ in range(2):
        with pytest.raises(InputError, match="collides"):
            registry.names()


def test_what_a_plugin_raises_names_it(shapes):
    with pytest.raises(
        PluginError, match=r"shape 'broken' \(no_such_module:thing of .*cannot be loaded: ModuleNotFound"
    ):
        shapes.get("broken")
    for wrong in (ValueError("no"), SystemExit(3), RecursionError("deep")):
        with pytest.raises(PluginError, match="shape 'decimal'") as caught, shapes.blame("decimal"):
            raise wrong
        assert caught.value.__cause__ is wrong


def test_errors_of_what_is_built_in_and_errors_on_purpose_pass(shapes):
    with pytest.raises(ZeroDivisionError), shapes.blame("fraction"):
        raise ZeroDivisionError
    on_purpose = UnknownNameError("colour", "re", ["red"])
    with pytest.raises(UnknownNameError) as caught, shapes.blame("decimal"):
        raise on_purpose
    assert caught.value is on_purpose
    with pytest.raises(KeyboardInterrupt), shapes.blame("decimal"):
        raise KeyboardInterrupt


def test_options_come_from_the_signature_or_from_what_is_declared():
    def blur(face: object, *, width: int = 3, fill: str = "black", free=None) -> None: ...

    found = options_schema(blur)
    assert found["additionalProperties"] is False
    assert found["properties"] == {
        "width": {"type": "integer", "default": 3},
        "fill": {"type": "string", "default": "black"},
        "free": {"default": None},
    }

    def union(*, width: int | None = None) -> None: ...

    union.__annotations__["width"] = int | None  # as without postponed annotations
    assert options_schema(union)["properties"] == {"width": {"default": None}}

    class Declared:
        options = {"depth": {"type": "integer", "minimum": 1}}  # noqa: RUF012 - as a plug-in would write it

    assert options_schema(Declared())["properties"] == Declared.options
