"""How alike models are: their maps of the same pairs, games on common triplets, and the order of their scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebench.comparison.compare import compare, compare_results
from facebench.comparison.page import render_comparison
from facebench.execution.options import RunOptions
from facebench.measure.saved import load_result, load_section
from facebench.run.evaluate import evaluate
from facebench.run.protocols import Protocol, load_protocol
from facebench.schema import InputSpec, ModelCard, ProtocolSpec

torch = pytest.importorskip("torch")
pytest.importorskip("captum")


class Window:
    """A network that sees only some rows of a face."""

    def __init__(self, name: str, rows: slice, seed: int = 0) -> None:
        self.card = ModelCard(
            name=name, adapter="test", weights_sha256=f"{seed}" * 64, embedding_dim=32,
            input=InputSpec(height=112, width=112),
        )  # fmt: skip
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = torch.nn.Sequential(
                torch.nn.AvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(3 * 28 * 28, 32)
            ).eval()  # fmt: skip
        seen = torch.zeros(1, 3, 28, 28)
        seen[:, :, rows] = 1
        network[2].weight.data *= seen.reshape(1, -1)
        network[2].bias.data = -network(torch.full((1, 3, 112, 112), 0.5))[0].detach() + network[2].bias.data
        self._network = network

    def embed(self, faces: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            pixels = torch.from_numpy(faces.astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255))
            return self._network(pixels).numpy()

    def module(self) -> torch.nn.Module:
        return self._network


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    smoke = load_protocol("explanation-smoke").spec.model_dump(mode="json", exclude_none=True)
    asked: dict[str, Any] = {
        "methods": [{"name": "gradient"}, {"name": "occlusion", "options": {"patch": 28, "stride": 28}}],
        "pairs": 10, "triplets": 12, "control_pairs": 2, "levels": 3,
    }  # fmt: skip
    few = {"confidence": 0.95, "replicates": 100}
    protocol = Protocol(
        ProtocolSpec.model_validate({**smoke, "explanation": asked, "groups": None, "uncertainty": few}), None
    )
    models = [Window("top", slice(0, 14)), Window("top-again", slice(0, 14), 1), Window("bottom", slice(14, 28), 2)]
    found = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FACEBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        for model in models:
            out = tmp_path_factory.mktemp(model.card.name)
            evaluate(model, protocol, {}, RunOptions(out=out))
            found.append(out)
    return found


@pytest.fixture(scope="module")
def held(folders) -> tuple[Any, Any]:
    return compare_results(folders)


def test_models_that_look_at_the_same_half_are_joined_first(held) -> None:
    found = held[0].explanations
    (tree,) = (each for each in found.trees if each.method == "gradient")
    assert tree.labels == ("top", "top-again", "bottom")
    assert {tree.linkage[0][0], tree.linkage[0][1]} == {0.0, 1.0}
    assert tree.linkage[0][2] < tree.linkage[1][2]
    likeness = {each.model: each for each in found.likeness if each.method == "gradient"}
    assert likeness["top-again"].value > 0.2 > likeness["bottom"].value
    assert likeness["top-again"].ci_low <= likeness["top-again"].value <= likeness["top-again"].ci_high
    assert all(each.null is not None and each.n_pairs == 10 for each in found.likeness)


def test_common_games_are_those_of_triplets_that_every_model_admits(folders, held) -> None:
    found = held[0].explanations
    admitted = [load_section(load_result(out), out, "explanation")["admitted"].astype(bool) for out in folders]
    common = int(np.all(admitted, axis=0).sum())
    assert {game.n_common for game in found.games} == {common}
    own = {game.model: game.n_own for game in found.games if game.method == "gradient"}
    assert list(own.values()) == [int(each.sum()) for each in admitted]
    for game in found.games:
        assert (game.own is None) == (game.n_own == 0)
        assert game.own is None or game.own_low <= game.own <= game.own_high
        assert (game.value is None) == (common == 0)
        assert common == 0 or game.nulls["oracle"] == 1.0


def test_scores_are_aligned_with_an_interval_and_saliency_is_not_tested_as_if_unpaired(folders, held) -> None:
    found = held[0]
    by_model = {(a.model, a.over): a for a in found.alignments}
    assert by_model["top-again", "impostor"].value > by_model["bottom", "impostor"].value
    assert all(a.ci_low < a.value < a.ci_high and a.n_identities == 126 for a in found.alignments)
    assert not any(d.condition.startswith("saliency:") for d in found.differences)
    same = compare(folders[0], folders[0]).alignments
    assert [a.value for a in same] == pytest.approx([1.0, 1.0])


def test_the_page_shows_tree_likeness_and_games(held) -> None:
    page = render_comparison(*held)
    for words in ("What the models look at", "Likeness of maps to those of the base", "Distances in the tree",
                  "Games won within 5 % of the other pixels", "Alignment of scores"):  # fmt: skip
        assert words in page
