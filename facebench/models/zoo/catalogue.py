"""All reference models by name: what they are, where they are loaded, what each positive control holds."""

from __future__ import annotations

from facebench.models.zoo.recipes import RECIPES

CLASSICAL = {
    "phantom-eigenfaces": "principal components of grey faces",
    "phantom-lbp": "histograms of uniform local binary patterns; nothing to train",
}

LOADERS: dict[str, str] = {
    "phantom-eigenfaces": "facebench.models.zoo.eigenfaces:load",
    "phantom-lbp": "facebench.models.zoo.lbp:load",
    **dict.fromkeys(RECIPES, "facebench.models.zoo.convolutional:load"),
}


def describe() -> list[dict[str, str]]:
    """Return one row per model: name, summary, planted."""
    rows = [{"name": name, "summary": summary, "planted": ""} for name, summary in CLASSICAL.items()]
    rows += [{"name": name, "summary": own.summary, "planted": own.planted} for name, own in RECIPES.items()]
    return rows
