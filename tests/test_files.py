"""What strangers may write into YAML and JSON: plain data, or an error that says where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from facebench.errors import InputError
from facebench.files import parse_yaml, read_json


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('name: !!python/object/apply:os.system ["true"]', "line 1: not valid YAML"),
        ("name: a\nname: b", "line 2: key 'name' is given twice"),
        ("{a: {b: 1}, ? [1, 2] : 3}", "keys must be plain words"),
        ("[" * 20000, "nested too deeply"),
        ("a: [1", "not valid YAML"),
    ],
)
def test_hostile_yaml(text: str, words: str) -> None:
    with pytest.raises(InputError, match=f"policy p.yaml.*{words}"):
        parse_yaml(text, "policy p.yaml")


def test_aliases_share_what_they_name() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 64))]
    found = parse_yaml("\n".join(lines), "a bomb of 2^64 words")  # expanded, it would fill any memory
    assert found["a63"][0] is found["a63"][1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 1, "a": 2}', "a key is given twice"),
        ("[" * 200000, "nested too deeply"),
        ("{", "line 1: not valid JSON"),
    ],
)
def test_hostile_json(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_json(path, "result")
