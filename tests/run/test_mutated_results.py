"""Every kind of place in a real result times odd values: report, compare and gate refuse it, or do their work."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facebench.errors import FaceBenchError, InputError
from facebench.files import parse_json
from facebench.measure.saved import load_result
from facebench.report.summary import summary_rows
from facebench.run.report import render_report, verdict_sentences
from facebench.schema import Result
from tests.fuzz.mutations import VALUES
from tests.fuzz.records import gated, result_files

DELETE = object()
Place = tuple[str | int, ...]


def places(value: Any, path: Place = (), shape: Place = (), about: str = "") -> Iterator[tuple[object, Place]]:
    """Yield every place with its kind: indices do not tell kinds apart, metrics and kinds of curves do."""
    if isinstance(value, dict):
        about = next((str(value[key]) for key in ("metric", "kind") if isinstance(value.get(key), str)), about)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        kind = (*shape, "*" if isinstance(value, list) else key)
        yield (kind, about), (*path, key)
        yield from places(below, (*path, key), kind, about)


def mutations(text: str, share: float) -> Iterator[tuple[Place, Any, str]]:
    """Yield a share of all kinds of places times all values, the same ones every time, with the text they give."""
    kinds: dict[object, Place] = {}
    for kind, place in places(json.loads(text)):
        kinds.setdefault(kind, place)
    dice = random.Random(7)
    for place in kinds.values():
        for value in (*VALUES, DELETE):
            if dice.random() < share:
                data = json.loads(text)
                holder = data
                for key in place[:-1]:
                    holder = holder[key]
                if value is DELETE:
                    del holder[place[-1]]
                else:
                    holder[place[-1]] = value
                yield place, value, json.dumps(data)


def drawn(text: str) -> None:
    result = Result.parse(parse_json(text, "result"), where="result").with_id()
    verdict_sentences(result)
    summary_rows(result)
    render_report(result)


def outcomes(cases: Iterator[tuple[Place, Any, str]], use: Any) -> tuple[int, int]:
    """Return how often a mutation was used and how often refused; anything else fails the test, with the place."""
    used = refused = 0
    for place, value, text in cases:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                use(text)
            used += 1
        except FaceBenchError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{place} = {value!r:.80} raised {type(error).__name__}: {error}") from error
    return used, refused


@pytest.mark.slow
def test_a_report_refuses_or_draws_every_mutation() -> None:
    text = result_files()["other/result.json"].decode()
    used, refused = outcomes(mutations(text, 0.04), drawn)
    assert used > 100
    assert refused > 200


@pytest.mark.slow
def test_compare_and_gate_refuse_or_judge_every_mutation(tmp_path: Path) -> None:
    for name, content in result_files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)

    def judged(text: str) -> None:
        (tmp_path / "other" / "result.json").write_text(text, encoding="utf-8")
        gated(tmp_path)

    used, refused = outcomes(mutations(result_files()["other/result.json"].decode(), 0.02), judged)
    assert used > 20
    assert refused > 100


@pytest.mark.parametrize("ends", [(0.1, -1e300), (-1e300, 1e300), (0.5, 0.4)])
def test_an_interval_no_run_states_is_refused_by_compare(ends: tuple[float, float], tmp_path: Path) -> None:
    files = dict(result_files())
    data = json.loads(files["other/result.json"])
    for estimate in data["estimates"]:
        if estimate["metric"] == "fnmr_at_zero_fmr":
            estimate["ci_low"], estimate["ci_high"] = ends
    files["other/result.json"] = json.dumps(data).encode()
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="none a run would state"):
        gated(tmp_path)


def test_an_unknown_metric_is_refused_with_its_name(tmp_path: Path) -> None:
    data = json.loads(result_files()["other/result.json"])
    data["estimates"][3]["metric"] = "tarr"
    result = Result.parse(data, where="result").with_id()
    (tmp_path / "result.json").write_text(result.model_dump_json(), encoding="utf-8")
    with pytest.raises(InputError, match=r"unknown metric 'tarr' in result .*estimates\[3\]\. Did you mean 'tar'"):
        load_result(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("curves", {"x": [0.1, 0.2]}, "values of x for"), ("protocol", {"primary_fmr_target": -1}, "greater than 0"),
     ("protocol", {"confidence": 1.0}, "less than 1")],
)  # fmt: skip
def test_what_no_run_writes_is_no_result(field: str, value: dict[str, Any], said: str) -> None:
    data = json.loads(result_files()["other/result.json"])
    (data[field][0] if isinstance(data[field], list) else data[field]).update(value)
    with pytest.raises(InputError, match=said):
        Result.parse(data, where="result")
