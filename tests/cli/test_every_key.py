"""Every key of the protocol schema, from files through the command line to the result and the report."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from facebench.cli import application
from facebench.schema import ProtocolSpec
from tests.cli.protocol_keys import CASES, FILLED, OTHER, SEEN, Case
from tests.cli.schema_walk import schema_keys, used_keys
from tests.cli.small_data import write_data

pytest.importorskip("torch")  # attacks and explanations need gradients

ALL = list(dict.fromkeys(schema_keys(ProtocolSpec)))
WRITTEN = [key for key in ALL if key not in FILLED and key != "extensions"]  # needs a plug-in: test_extensions
NO_FIGURES = ("result_id", "run", "protocol", "artifacts", "efficiency")


class Ground:
    """A folder in which the protocols were run, each once."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}

    def run(self, name: str, keys: dict[str, Any], out: str) -> Any:
        """Run a protocol through the command line."""
        case = CASES[name]
        text = json.dumps({"name": name, "title": name, **keys})
        if "{sha256}" in text:
            text = text.replace("{sha256}", result("all-pairs")["protocol"]["manifest_sha256"])
        folder = Path("protocols") if "dataset" in keys else Path()  # a path of data is relative to its protocol
        path = folder / f"{out}.yaml"
        path.write_text(text, encoding="utf-8")
        data = () if case.data is None else ("--data", f"faces={case.data}")
        words = ["run", case.model, str(path), *data, "--out", f"out/{out}", *case.options]
        return CliRunner().invoke(application(), words)

    def lines(self, name: str) -> str:
        """Return what a run left: a line for each estimate, curve and other field, for the page and for the files."""
        if name not in self._lines:
            found = []
            for field, value in result(name).items():
                for each in value if field in ("estimates", "curves") else [value]:
                    found.append(f"{field} {json.dumps(each, separators=(',', ':'), ensure_ascii=False)}")
            page = Path(f"out/{name}/report.html").read_text(encoding="utf-8")
            found.append(f"page {' '.join(page.split())}")
            found.append(f"files {' '.join(sorted(str(path) for path in Path(f'out/{name}').rglob('*')))}")
            self._lines[name] = "\n".join(found)
        return self._lines[name]


def result(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(f"out/{name}/result.json").read_text(encoding="utf-8"))
    return found


def figures(name: str) -> dict[str, Any]:
    """Return what was found, without times, and the hashes of what sections keep."""
    whole = result(name)
    found = {field: value for field, value in whole.items() if field not in NO_FIGURES}
    found["files"] = [each["sha256"] for each in whole["artifacts"] if each["kind"] == "section"]
    return json.loads(re.sub(r'"seconds": [0-9.e-]+', '"seconds": 0', json.dumps(found)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    root = tmp_path_factory.mktemp("keys")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FACEBENCH_CACHE", str(root / "cache"))
        patched.chdir(root)
        write_data(root)
        (root / "protocols").mkdir()
        found = Ground()
        for name, case in CASES.items():
            done = found.run(name, case.keys, name)
            assert done.exit_code == 0, f"{name}: {done.output} {done.exception!r}"
        yield found


def used(case: Case) -> set[str]:
    return set(used_keys({"name": "", "title": "", **case.keys}, set(ALL)))


def test_every_key() -> None:
    """A key that is new in the schema needs a protocol that uses it, and a sign that it was heard."""
    assert set().union(*map(used, CASES.values())) == set(WRITTEN)
    assert {*SEEN, *OTHER} == set(WRITTEN)
    assert not SEEN.keys() & OTHER.keys()
    for key, (name, *_) in {**SEEN, **OTHER}.items():
        assert key in used(CASES[name]), f"{name} does not use {key}"


@pytest.mark.slow
@pytest.mark.parametrize("key", SEEN)
def test_a_key_shows_in_result_or_report(ground: Ground, key: str) -> None:
    name, pattern = SEEN[key]
    assert re.search(pattern, ground.lines(name), re.MULTILINE), f"{pattern} matches nothing of out/{name}"


@pytest.mark.slow
@pytest.mark.parametrize("key", OTHER)
def test_another_value_of_a_key(ground: Ground, key: str) -> None:
    name, value, outcome = OTHER[key]
    keys = copy.deepcopy(CASES[name].keys)
    place: Any = keys
    *outer, last = re.sub(r"\[\w+\]", "", key).split(".")
    for each in outer:
        place = place[each]
        place = place[-1] if isinstance(place, list) else place
    assert place[last] != value
    place[last] = value
    done = ground.run(name, keys, "other")
    if outcome in ("differs", "same"):
        assert done.exit_code == 0, f"{done.output} {done.exception!r}"
        assert (figures("other") == figures(name)) == (outcome == "same")
    else:
        assert done.exit_code != 0
        assert re.search(outcome, f"{done.output} {done.exception}"), done.exception


@pytest.mark.slow
def test_keys_that_are_filled_in_stand_beside_the_result(ground: Ground) -> None:
    protocol = json.loads(Path("out/development/protocol.json").read_text(encoding="utf-8"))
    threshold = protocol["operating_points"][0]["threshold"]
    assert all(threshold[key.rpartition(".")[2]] is not None for key in FILLED)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_each_is_recomputed_from_its_files(ground: Ground, name: str) -> None:
    done = CliRunner().invoke(application(), ["rescore", f"out/{name}"])
    assert done.exit_code == 0, f"{done.output} {done.exception!r}"
