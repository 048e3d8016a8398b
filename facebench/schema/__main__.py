"""Prints the JSON Schema of the result file: ``python -m facebench.schema > docs/result.schema.json``."""

from __future__ import annotations

import json
import sys

from facebench.schema import Result


def result_schema() -> str:
    """Return the JSON Schema of `Result` as indented text."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Result.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(result_schema())
