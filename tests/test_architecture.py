"""The shape of the package: which room may import which, how large a module may grow, what an import may cost."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import facebench

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "facebench"

# A room imports rooms above it in this list.
ROOMS = (
    "errors",
    "files",
    "registry",
    "schema",
    "metrics",
    "scoring",
    "data",
    "phantoms",
    "models",
    "probes",
    "store",
    "execution",
    "measure",
    "report",
    "sections",
    "run",
    "comparison",
    "gate",
    "leaderboard",
    "runner",  # the former import paths of public names, nothing else
    "cli",
)

# Rooms that must stay narrower than their place in the list allows.
NARROW = {
    "metrics": {"errors"},  # pure functions on arrays
    "gate": {"errors", "files", "schema", "metrics", "report"},  # reads results only
    "report": {"errors", "files", "schema"},  # reads results only, never a model
}
# Single modules that such a room may read besides: the catalogue of metrics is pure data, and what a metric is called,
# which direction is better and how it is written must be said in one place; a plug-in adds to it by the registry.
READS = {"report": ("facebench.metrics.catalogue",), "metrics": ("facebench.registry",)}
NO_TORCH = {"errors", "files", "registry", "schema", "metrics", "scoring", "data", "phantoms", "gate", "report"}

MAX_LINES = 400
LONGER = {
    "facebench/phantoms/shading.py": "one compiled kernel shades a pixel; its parts share local state",
    "facebench/phantoms/sampling.py": "the draws of one subject follow each other in one fixed order of random numbers",
}
READS_PICKLE = {
    "facebench/data/bin_writer.py": "writes insightface .bin files, and reads none",
    "facebench/data/plain_pickle.py": "some files of the field are pickles; nothing they name is called",
}


@dataclass(frozen=True)
class Import:
    """One import statement of one module: the dotted name it needs, and the line."""

    name: str
    line: int


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, Path]:
    return {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(name: str, path: Path) -> Iterator[Import]:
    """Every import of a module, also those inside functions and under TYPE_CHECKING."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, base] if base else up)
            yield from (Import(f"{base}.{alias.name}", node.lineno) for alias in node.names)


def named_modules(path: Path) -> Iterator[Import]:
    """Modules named in strings such as "facebench.models.onnx:OnnxModel", which are imported when first used."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = re.fullmatch(r"(facebench(?:\.\w+)+):\w+", node.value)
            if found:
                yield Import(found[1], node.lineno)


def room(name: str) -> str:
    """The room of a dotted name; a script that starts the package belongs to the command line."""
    second = name.split(".")[1]
    return "cli" if second == "__main__" else second


def test_every_module_lies_in_a_known_room():
    strangers = {name for name in modules() if name != "facebench" and room(name) not in ROOMS}
    assert not strangers, f"add the room to ROOMS, in its place: {sorted(strangers)}"


def test_rooms_import_downwards_only():
    wrong = []
    for name, path in modules().items():
        if name == "facebench":
            continue  # the public names, each imported when first asked for
        own = room(name)
        allowed = NARROW.get(own, set(ROOMS[: ROOMS.index(own)])) | {own}
        for needed in (*imports(name, path), *named_modules(path)):
            if needed.name.startswith(READS.get(own, ("?",))):
                continue
            if needed.name.startswith("facebench.") and room(needed.name) not in allowed | {"__version__"}:
                wrong.append(f"{path.relative_to(ROOT)}:{needed.line} imports {needed.name}")
    assert not wrong, "\n".join(wrong)


def test_the_catalogue_of_metrics_is_pure_data():
    """Rooms that read no arrays read it, so it must not bring any along."""
    allowed = ("facebench.errors", "facebench.registry", "facebench.metrics.catalogue")
    for name, path in modules().items():
        if name.startswith("facebench.metrics.catalogue"):
            own = [i.name for i in imports(name, path)]
            assert all(
                i.startswith(allowed)
                or i.split(".")[0] in ("__future__", "dataclasses", "enum", "functools", "math", "re")
                for i in own
            ), name


def test_the_page_of_a_section_reads_results_only():
    allowed = ("facebench.errors", "facebench.files", "facebench.schema", "facebench.report", "facebench.sections")
    allowed += READS["report"]
    wrong = [
        f"{path.relative_to(ROOT)}:{needed.line} imports {needed.name}"
        for name, path in modules().items()
        if name.startswith("facebench.sections.") and path.stem in ("report", "statements", "words", "charts")
        for needed in imports(name, path)
        if needed.name.startswith("facebench.")
        and (not needed.name.startswith(allowed) or re.search(r"sections\.(contract|.*\.measure\b)", needed.name))
    ]
    assert not wrong, "\n".join(wrong)


def test_rooms_without_models_never_import_torch():
    wrong = [
        f"{path.relative_to(ROOT)}:{needed.line} imports {needed.name}"
        for name, path in modules().items()
        if name != "facebench" and room(name) in NO_TORCH
        for needed in imports(name, path)
        if needed.name.split(".")[0] in ("torch", "foolbox", "onnxruntime")
    ]
    assert not wrong, "\n".join(wrong)


def test_there_is_no_import_cycle():
    known = modules()
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        if name == "facebench":
            continue
        needed = set()
        for imported in imports(name, path):
            target = imported.name if imported.name in known else imported.name.rpartition(".")[0]
            if target in known and target not in ("facebench", name):
                needed.add(target)
        graph[name] = needed
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_modules_stay_short():
    long = {
        str(path.relative_to(ROOT)): count
        for path in modules().values()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert not {name: count for name, count in long.items() if name not in LONGER}


def test_untrusted_bytes_are_never_unpickled():
    wrong = []
    for name, path in modules().items():
        where = str(path.relative_to(ROOT))
        for needed in imports(name, path):
            if (
                needed.name.split(".")[0] in ("pickle", "dill", "cloudpickle", "shelve", "marshal")
                and where not in READS_PICKLE
            ):
                wrong.append(f"{where}:{needed.line} imports {needed.name}")
        for call in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)):
            function = ast.unparse(call.func)
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            if function == "torch.load" and options.get("weights_only") != "True":
                wrong.append(f"{where}:{call.lineno} torch.load without weights_only=True")
            if function in ("np.load", "numpy.load") and options.get("allow_pickle", "False") != "False":
                wrong.append(f"{where}:{call.lineno} numpy.load with allow_pickle")
            if function in ("pickle.load", "pickle.loads", "joblib.load"):
                wrong.append(f"{where}:{call.lineno} {function}")
    assert not wrong, "\n".join(wrong)


def test_every_public_name_resolves():
    missing = [name for name in facebench.__all__ if getattr(facebench, name, None) is None]
    assert not missing
    assert set(facebench.__all__) <= set(dir(facebench))


SHOW_LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
HELP = """
import sys
from facebench.cli import main
sys.argv = ["facebench", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


@pytest.mark.parametrize("script", ["import facebench", HELP], ids=["import facebench", "facebench --help"])
def test_starting_loads_nothing_heavy(script):
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\n{SHOW_LOADED}"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    heavy = {"torch", "pandas", "matplotlib", "scipy", "sklearn", "numba", "onnxruntime", "foolbox", "pyarrow"}
    assert not loaded & heavy
