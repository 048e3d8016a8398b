"""Where a result comes from: model, protocol, data and run, as lists of facts a reader can check."""

from __future__ import annotations

from dataclasses import dataclass

from facebench.report import format as fmt
from facebench.report.wording import FLAGS, SHORT_FLAGS, policy_words
from facebench.schema import Comparator, Flag, LeftOut, ModelCard, Reembedded, Result


@dataclass(frozen=True)
class Fact:
    """One named fact; `code` ones are set in a fixed-width face."""

    name: str
    text: str
    code: bool = False


@dataclass(frozen=True)
class Facts:
    """Facts under one heading."""

    title: str
    facts: tuple[Fact, ...]


def provenance(result: Result) -> list[Facts]:
    """Return all that is known of how the result came about; empty facts are left out."""
    found = [_model(result), _protocol(result), _data(result), _run(result), _files(result), _notes(result)]
    return [Facts(part.title, tuple(fact for fact in part.facts if fact.text)) for part in found if part.facts]


def _model(result: Result) -> Facts:
    card = result.model
    facts = [
        Fact("Name", card.name),
        Fact("Adapter", card.adapter),
        Fact("Revision", card.revision),
        Fact("Weights sha256", card.weights_sha256 or "", True),
        Fact("Licence", card.licence),
        Fact("Training data", ", ".join(card.training_data) or "not stated"),
        Fact("Embedding", _embedding(card)),
        Fact("Output of the network", card.output or "", True),
        Fact("Input", card.input.model_dump_json() if card.input else "", True),
        Fact("Code from the user", card.code or "", True),
        Fact("Options", ", ".join(f"{key}={value}" for key, value in card.options.items()), True),
    ]
    return Facts("Model", tuple(facts))


def _protocol(result: Result) -> Facts:
    protocol = result.protocol
    facts = [
        Fact("Name", f"{protocol.name}, version {protocol.version}"),
        Fact("Title", protocol.title),
        Fact("What it does", protocol.description),
        *(
            []
            if result.task is not None
            else [
                Fact("Thresholds", policy_words(protocol.threshold_policy)),
                Fact("Leading operating point", f"{fmt.point(protocol.primary)}"),
            ]
        ),
        Fact("Intervals", f"{fmt.percent(protocol.confidence)} nominal coverage{_methods(result)}"),
        Fact("Protocol sha256", protocol.sha256, True),
        Fact("Source", protocol.source),
        Fact("Licence", protocol.licence),
    ]
    return Facts("Protocol", tuple(facts))


def _methods(result: Result) -> str:
    methods = sorted({e.ci_method for e in result.estimates if e.ci_method})
    return f", by {', '.join(methods)}" if methods else ""


def _data(result: Result) -> Facts:
    data, protocol = result.data, result.protocol
    facts = [
        Fact("Name", data.name),
        Fact("What it can show", protocol.data_statement),
        *(Fact("Known defect", defect) for defect in protocol.known_defects),
        Fact("Faces", "rendered (phantoms)" if data.phantom else ""),
        Fact("Images", _images(result)),
        Fact("Identities", fmt.count(data.n_identities) if data.n_identities is not None else "not labelled"),
        *(Fact(f"Images by {fmt.clip(name, 60)}", _counts(values)) for name, values in data.attributes.items()),
        *(Fact(f"Left out or repeated: {fmt.clip(item.what, 90)}", _left_out(item)) for item in data.left_out or ()),
        *(Fact("Noted", note) for note in data.notes or ()),
        Fact("Manifest sha256", protocol.manifest_sha256, True),
    ]
    return Facts("Data", tuple(facts))


def _left_out(item: LeftOut) -> str:
    more = ", …" if item.count > len(item.examples) else ""
    shown = f" ({', '.join(fmt.clip(example, 80) for example in item.examples)}{more})" if item.examples else ""
    return f"{fmt.count(item.count)}{shown}" + (f"; {item.effect}" if item.effect else "")


def _embedding(card: ModelCard) -> str:
    if card.comparator is Comparator.EXTERNAL:
        return "none: the scores were read from a file"
    if card.outputs:
        return f"none: it answers ({', '.join(output.name for output in card.outputs)})"
    return f"{fmt.count(card.embedding_dim)} dimensions, compared by {card.comparator}"


def _images(result: Result) -> str:
    data = result.data
    if result.model.comparator is Comparator.EXTERNAL:
        return f"{fmt.count(data.n_images)} samples named in a file of scores" if data.n_images else "not named"
    return f"{fmt.count(data.n_images)}, of which {fmt.count(data.n_failed)} could not be used"


def _counts(values: dict[str, int]) -> str:
    return ", ".join(f"{value} {fmt.count(n)}" for value, n in values.items())


def _run(result: Result) -> Facts:
    run = result.run
    dirty = {True: " with uncommitted changes", False: "", None: ""}[run.git_dirty]
    facts = [
        Fact("Result id", result.result_id or result.compute_id(), True),
        Fact("Command", run.command, True),
        Fact("Started", f"{run.started}, took {fmt.number(run.wall_s)} s"),
        Fact("FaceBench", run.facebench + (f", git {run.git_sha}{dirty}" if run.git_sha else "")),
        Fact("Seed, batch size", f"{run.seed}, {run.batch_size}"),
        Fact("Device", f"{run.device}, {run.platform}, Python {run.python}"),
        Fact("Packages", ", ".join(f"{name} {version}" for name, version in sorted(run.packages.items()))),
        Fact("Limit", "" if run.limit is None else f"{fmt.count(run.limit)} images"),
        Fact("Compatibility rules", ", ".join(run.compat)),
        Fact("Images embedded in this run", f"{fmt.count(run.embedded_images)}; the rest came from the cache"),
        Fact("Embedded a second time", _again(run.reembedded)),
        Fact("Trusted code", "the user allowed the model's own Python code to run" if run.trust_code else ""),
    ]
    return Facts("Run", tuple(facts))


def _again(found: Reembedded | None) -> str:
    if found is None:
        return ""
    if found.differs:
        return f"{fmt.k_of_n(found.n_differing, found.n_images)} images gave another embedding"
    return f"{fmt.plural(found.n_images, 'image')}, in another batch: the same embeddings"


def _files(result: Result) -> Facts:
    facts = [Fact(f"{a.kind}: {a.path}", f"sha256 {a.sha256}", True) for a in result.artifacts]
    facts.append(Fact("Recompute every number from the saved embeddings", "facebench rescore result.json", True))
    return Facts("Files and how to recompute", tuple(facts))


def _notes(result: Result) -> Facts:
    """Explain the notes that stand in the tables of this report."""
    seen = {flag for estimate in result.estimates for flag in estimate.flags}
    return Facts("Notes in the tables", tuple(Fact(SHORT_FLAGS[f], FLAGS[f]) for f in Flag if f in seen))
