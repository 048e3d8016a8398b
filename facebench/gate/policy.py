"""Policy files."""

from __future__ import annotations

from pathlib import Path

from facebench.files import asset_dir, canonical_json, read_yaml, sha256_bytes
from facebench.schema import Policy

SHIPPED = "policies"


def load_policy(reference: str | Path) -> Policy:
    """Load a policy by the name of a shipped one or by the path of a YAML file.

    Raises:
        InputError: the file is missing, or a key or value in it is wrong.
    """
    path = Path(reference)
    shipped = asset_dir("protocols") / SHIPPED / f"{reference}.yaml"
    if path.suffix not in (".yaml", ".yml") and shipped.is_file():
        path = shipped
    return Policy.parse(read_yaml(path, "policy"), where=f"policy {path}")


def policy_sha256(policy: Policy) -> str:
    """Return the sha256 of what a policy asks for; layout and comments of the file do not count."""
    return sha256_bytes(canonical_json(policy.model_dump(mode="json", exclude_none=True)).encode())
