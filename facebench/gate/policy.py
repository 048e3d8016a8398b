"""Policy files."""

from __future__ import annotations

from pathlib import Path

from facebench.errors import InputError, UnknownNameError
from facebench.files import asset_dir, canonical_json, read_yaml, sha256_bytes
from facebench.metrics import catalogue
from facebench.schema import Policy

FOLDER = "policies"


def load_policy(reference: str | Path) -> Policy:
    """Load a policy by the name of a shipped one or by the path of a YAML file.

    Raises:
        UnknownNameError: no shipped policy has that name.
        InputError: the file is missing, or a key or value in it is wrong.
    """
    path = Path(reference)
    if path.suffix not in (".yaml", ".yml"):
        if str(reference) not in policy_names():
            raise UnknownNameError("policy", str(reference), policy_names())
        path = asset_dir("protocols") / FOLDER / f"{reference}.yaml"
    policy = Policy.parse(read_yaml(path, "policy"), where=f"policy {path}")
    check_metrics(policy, where=f"policy {path}")
    return policy


def check_metrics(policy: Policy, *, where: str) -> None:
    """Refuse rules on metrics that do not exist, and margins on those of which neither direction is better.

    Raises:
        InputError: names the rule.
    """
    for number, rule in enumerate(policy.rules, 1):
        definition = catalogue.metric(rule.metric, where=f"rule {number} of {where}")
        if rule.paired and definition.higher_is_better is None:
            raise InputError(
                f"rule {number} of {where}: neither a higher nor a lower {rule.metric} is better, so it has no margin; "
                "give min or max"
            )


def policy_names() -> list[str]:
    """Return the names of the shipped policies."""
    return sorted(path.stem for path in (asset_dir("protocols") / FOLDER).glob("*.yaml"))


def policy_sha256(policy: Policy) -> str:
    """Return the sha256 of what a policy asks for; layout and comments of the file do not count."""
    return sha256_bytes(canonical_json(policy.model_dump(mode="json", exclude_none=True)).encode())
