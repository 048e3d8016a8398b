"""Every key of a policy and of the efficiency section is documented, and what the pages show is true."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from facebench.metrics import catalogue
from facebench.metrics.catalogue import Topic
from facebench.schema import Comparison, Difference, Efficiency, EfficiencySpec, Policy, Rule

DOCS = Path(__file__).resolve().parents[2] / "docs"


def documented(page: str) -> set[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return {part for code in re.findall(r"`([^`\n]+)`", text) for part in re.split(r"[^\w]+", code)}


def test_policy_keys():
    assert {*Policy.model_fields, *Rule.model_fields} <= documented("ci.md")


def test_efficiency_keys():
    assert set(EfficiencySpec.model_fields) <= documented("protocols.md")
    costs = {name for name in catalogue.names() if catalogue.metric(name).topic is Topic.EFFICIENCY}
    assert documented("metrics.md") >= costs
    assert {*Efficiency.model_fields} <= documented("result.md") | documented("metrics.md") | {
        "counted_by", "threads_set",
    }  # fmt: skip


def test_comparison_keys():
    described = documented("compare.md")
    identity = {"model", "base", "metric", "fmr_target", "operating_point", "fpir_target", "k", "discarded", "group",
                "condition",
                "ci_method"}  # fmt: skip
    assert {*Comparison.model_fields} - {"schema_version", "protocol", "phantom", "seed", "confidence"} <= described
    assert {*Difference.model_fields} - identity <= described


def test_the_policy_of_the_page_is_valid():
    blocks = re.findall(r"```yaml\n(.*?)```", (DOCS / "ci.md").read_text(encoding="utf-8"), re.S)
    policies = [block for block in map(yaml.safe_load, blocks) if isinstance(block, dict) and "rules" in block]
    assert policies
    for policy in policies:
        Policy.parse(policy, where="docs/ci.md")
