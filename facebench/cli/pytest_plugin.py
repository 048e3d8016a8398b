"""A pytest plug-in: the fixture `facebench_gate` fails a test when a candidate does not pass a policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from facebench.schema import Policy, Verdict

Gate = Callable[..., "Verdict"]


@pytest.fixture
def facebench_gate(record_property: Callable[[str, object], None]) -> Gate:
    """Return ``gate(base, candidate, policy="no-regression") -> Verdict``.

    It fails the test with the table of findings unless the verdict is a pass; what an inconclusive number does is the
    policy's choice. The verdict is recorded as properties of the test, for JUnit XML written by pytest.

    Example:
        def test_int8_keeps_up(facebench_gate):
            facebench_gate("out/float", "out/int8", policy="policy.yaml")
    """

    def gate(base: str | Path, candidate: str | Path, policy: str | Path | Policy = "no-regression") -> Verdict:
        from facebench.comparison.compare import compare_results
        from facebench.gate import check_gate, load_policy
        from facebench.gate.output import gate_rows, verdict_lines

        rules = load_policy(policy) if isinstance(policy, str | Path) else policy
        comparison, results = compare_results([Path(base), Path(candidate)])
        verdict = check_gate(comparison, results[1], rules)
        record_property("facebench_outcome", verdict.outcome.value)
        record_property("facebench_policy_sha256", verdict.policy_sha256)
        record_property("facebench_candidate_result_id", verdict.candidate_result_id)
        if not verdict.passed:
            rows = [" | ".join(row) for row in gate_rows(verdict)]
            pytest.fail("\n".join([*verdict_lines(verdict), "", *rows]), pytrace=False)
        return verdict

    return gate
