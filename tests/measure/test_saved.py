"""What is read back from the folder of a run: nothing that cannot be understood passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from facebench.errors import InputError
from facebench.measure.saved import load_result, save_result
from facebench.schema import Estimate
from tests.report import factory


def test_a_saved_result_is_read_back_as_it_was(tmp_path: Path) -> None:
    save_result(factory.full(), tmp_path / "result.json")
    assert load_result(tmp_path) == factory.full()


def test_a_metric_nobody_defined_is_refused_with_its_place(tmp_path: Path) -> None:
    estimates = (Estimate(metric="auc", value=0.9), Estimate(metric="<b>aucs</b>", value=0.5))
    save_result(factory.frame(estimates), tmp_path / "result.json")
    with pytest.raises(InputError, match=r"unknown metric '<b>aucs</b>' in result .*result\.json, estimates\[1\]"):
        load_result(tmp_path)


def test_a_changed_result_is_refused(tmp_path: Path) -> None:
    save_result(factory.full(), tmp_path / "result.json")
    changed = (tmp_path / "result.json").read_text(encoding="utf-8").replace('"value": 0.99956', '"value": 0.99957')
    (tmp_path / "result.json").write_text(changed, encoding="utf-8")
    with pytest.raises(InputError, match="does not match its result_id"):
        load_result(tmp_path)
