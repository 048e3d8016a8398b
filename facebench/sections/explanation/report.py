"""The section on saliency maps: which methods may be believed, what they show, and what knows nothing would show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from facebench.metrics.catalogue import Kind, metric
from facebench.report import format as fmt
from facebench.report.parts import Block, Chart, Section
from facebench.report.reading import Reading
from facebench.report.statement import Statement, Tone
from facebench.report.svg import el, join, picture
from facebench.report.tables import Cell, Table, table, text, value
from facebench.report.wording import better_when, flag_words, measure
from facebench.schema import Estimate, Flag, Result
from facebench.schema.explanation import ControlFinding, ExplanationDetails, GalleryRow, MethodVerdict, read_condition

PARTS = ("eyes", "brows", "nose", "mouth", "other_face", "outside")
_REGION = {
    "expression": "region of the expression",
    "other_face": "rest of the face",
    "outside": "outside the face",
    "changed_pixels": "changed pixels",
}


def sections(reading: Reading) -> list[Section]:
    """Return the section, or none when no explanation was asked for."""
    result = reading.result
    if result.explanation is None:
        return []
    details = result.explanation
    found = [e for e in result.estimates if read_condition(e.condition)]
    said = believed(result)
    asked = (
        "of a probe made it match" if result.task is None else "of a picture spoke for its true class, label or value"
    )
    lead = (
        f"A saliency map says which pixels {asked}. Before a method may score this model it has to "
        "find attention that was planted: the same model behind a mask that leaves the eyes, the nose or the mouth. It "
        f"must also find nothing in a network with random weights. {said.headline} {said.detail}".rstrip()
    )
    blocks = [
        Block(charts=tuple(_gallery(details.gallery)), tables=(_verdicts(details.methods),)),
        Block(title="What the maps point to", tables=_filled(_expressions(found), _masses(found), _overlap(found))),
        Block(
            title="Against known changes", open_=False,
            tables=_filled(_scalars("Maps against the changed pixels", _of(found, regions=("changed_pixels",))),
                           _scalars("Inpainting game", _game(found))),
        ),
        Block(
            title="Faithfulness and stability", open_=False,
            tables=_filled(_scalars("Faithfulness and stability", _global(found))),
        ),
        Block(
            title="Relevance mass by group, and other rules of binarising", open_=False,
            tables=_filled(_group_masses(found), _rules(found)), charts=tuple(_tree(details)),
        ),
    ]  # fmt: skip
    kept = tuple(block for block in blocks if block.tables or block.charts)
    return [Section("explanations", "Explanations", lead, kept, "No map could be made.")]


def _filled(*found: Table) -> tuple[Table, ...]:
    return tuple(t for t in found if t.rows)


@dataclass(frozen=True)
class Believed:
    """What may be believed of where a model looks; `known` is False when nothing may."""

    known: bool
    headline: str
    detail: str = ""


def believed(result: Result) -> Believed:
    """Say in plain words what may be believed."""
    details = result.explanation
    assert details is not None
    good = [v.method for v in details.methods if v.qualified]
    if not good:
        return Believed(False, "No method passed on this model, so nothing is said of where it looks.")
    words = f"{len(good)} of {len(details.methods)} methods passed: {', '.join(good)}."
    if details.rank_stability is not None:
        words += (
            f" The order of methods under other rules of binarising agrees with Kendall's tau of at least "
            f"{fmt.number(details.rank_stability, 2)}."
        )
    masses = [e for e in result.estimates if e.metric == "relevance_mass" and e.group == "all" and _method(e) in good]
    inside = {name: [e for e in masses if _part(e) == name] for name in PARTS}
    above = [
        _region(name)
        for name, each in inside.items()
        if each and all(e.ci_low is not None and e.nulls and e.ci_low > e.nulls["chance"] for e in each)
    ]
    if above:
        return Believed(True, f"All methods that passed put more relevance than chance on: {', '.join(above)}.", words)
    headline = "Where the model looks cannot be told: no region holds more relevance than chance by every method."
    return Believed(False, headline, words)


def statements(reading: Reading) -> list[Statement]:
    """Return what the verdict says of where the model looks."""
    if reading.result.explanation is None:
        return []
    found = believed(reading.result)
    tone = Tone.PLAIN if found.known else Tone.UNKNOWN
    return [Statement("Where it looks", tone, found.headline, found.detail)]


def _notes(e: Estimate) -> str:
    return flag_words(tuple(f for f in e.flags if f is not Flag.UNQUALIFIED))


def _method(e: Estimate) -> str:
    return (read_condition(e.condition) or ("", None))[0]


def _part(e: Estimate) -> str | None:
    return (read_condition(e.condition) or ("", None))[1]


def _region(name: str | None) -> str:
    return _REGION.get(name or "", name or "")


def _outcome(control: ControlFinding) -> str:
    if control.passed:
        unseen = control.value is None and control.control != "random weights"
        return "the model does not look there" if unseen else "passed"
    said = "failed" if control.decided else "cannot tell"
    return f"{said}: limit {fmt.number(control.limit)}"


def _limits(control: ControlFinding) -> tuple[str, ...]:
    words = fmt.interval(control.ci_low, control.ci_high, fmt.number)
    return () if words == fmt.MISSING else (words,)


def _verdict(method: MethodVerdict) -> str:
    if method.qualified or not method.controls:
        return "qualified" if method.qualified else "unsupported"
    undecided = any(not c.decided for c in method.controls)
    return "failed" if any(c.decided and not c.passed for c in method.controls) or not undecided else "cannot tell"


def _verdicts(methods: Sequence[MethodVerdict]) -> Table:
    rows = []
    for v in methods:
        controls = {c.control: c for c in v.controls}
        cells = [
            Cell(fmt.number(c.value), (*_limits(c), _outcome(c)), c.value)
            if (c := controls.get(name)) is not None
            else Cell(fmt.MISSING)
            for name in ("eyes", "nose", "mouth", "random weights")
        ]
        verdict = _verdict(v)
        passes = v.forwards + v.backwards
        rows.append([text(v.method), text(verdict), *cells, Cell(fmt.count(passes), (), passes), text(v.why)])
    note = (
        "Planted attention: gradient methods must put 0.95 of their relevance inside the mask, others reach a pixel "
        "AUROC of 0.9. Random weights: overlap with a part of the face above that of the best map that knows "
        "nothing, at most 0.05."
    )
    columns = ["Method", "Verdict", "#Eyes planted", "#Nose planted", "#Mouth planted", "#Random weights", "#Passes",
               "~Why"]  # fmt: skip
    return table("Which methods may be believed on this model", columns, rows, note)


def _of(found: Iterable[Estimate], *, metric: str | None = None, regions: Sequence[str] = ()) -> list[Estimate]:
    return [
        e
        for e in found
        if (metric is None or e.metric == metric)
        and (not regions or _part(e) in regions)
        and e.rule == "strict"
        and e.group == "all"
    ]


def _name(e: Estimate) -> str:
    return f"{_method(e)}" if "unqualified" not in e.flags else f"{_method(e)} (not qualified)"


def _masses(found: Sequence[Estimate]) -> Table:
    each = _of(found, metric="relevance_mass", regions=PARTS)
    methods = dict.fromkeys(_method(e) for e in each)
    rows = []
    for name in methods:
        own = {_part(e): e for e in each if _method(e) == name}
        rows.append([text(_name(next(iter(own.values())))), *(value(own.get(p), fmt.number) for p in PARTS)])
    first = {_part(e): e for e in each}
    rows.append([text("chance", "the region's share of the picture"),
                 *(Cell(fmt.number((first[p].nulls or {}).get("chance"))) if p in first else Cell(fmt.MISSING)
                   for p in PARTS)])  # fmt: skip
    columns = ["Method", *(f"#{_region(p).capitalize()}" for p in PARTS)]
    return table("Share of positive relevance per region", columns, rows if each else [])


def _overlap(found: Sequence[Estimate]) -> Table:
    rows = []
    for e in _of(found, metric="saliency_iou", regions=PARTS):
        nulls = e.nulls or {}
        best = max(nulls, key=lambda k: nulls[k]) if nulls else ""
        verdict = (
            "above all nulls" if e.ci_low is not None and nulls and e.ci_low > nulls[best] else "not above its nulls"
        )
        rows.append([
            text(_name(e)), text(_region(_part(e))), value(e, fmt.number),
            *(Cell(fmt.number(nulls.get(k)), (), nulls.get(k)) for k in
              ("chance", "mismatched_region", "upside_down", "centred_gaussian", "mean_map")),
            text(verdict, _notes(e)),
        ])  # fmt: skip
    note = "Each map is cut at as many pixels as the region has, so that no method gains by larger maps."
    columns = ["Method", "Region", "#IoU", "#Chance", "#Other regions", "#Upside down", "#Centred Gaussian",
               "#Mean map", "~Reading"]  # fmt: skip
    return table("Overlap with regions, beside maps that know nothing", columns, rows, note)


def _expressions(found: Sequence[Estimate]) -> Table:
    """Tabulate maps against the region of their expression, and how much better they fit it than other expressions'."""
    each = _of(found, regions=("expression",))
    gaps = {(e.condition, e.of): e for e in each if e.metric == "iou_mismatch_gap"}
    rows = []
    for e in (e for e in each if e.metric == "saliency_iou"):
        nulls, gap = e.nulls or {}, gaps.get((e.condition, e.of))
        above = e.ci_low is not None and bool(nulls) and e.ci_low > max(nulls.values())
        rows.append([
            text(_name(e)), text(e.of or "all"), value(e, fmt.number), value(gap, fmt.number),
            *(Cell(fmt.number(nulls.get(k)), (), nulls.get(k)) for k in
              ("chance", "mismatched_region", "upside_down", "centred_gaussian", "mean_map")),
            text("above all nulls" if above else "not above its nulls", _notes(e)),
        ])  # fmt: skip
    note = (
        "The region of an expression is where its action units move the face (Friesen and Ekman). The gap is the "
        "overlap with it less the mean overlap with the regions of the other expressions, each corrected for chance: "
        "at 0 a map fits the wrong expressions as well."
    )
    columns = ["Method", "Expression", "#IoU", "#Wrong-expression gap", "#Chance", "#Other expressions", "#Upside down",
               "#Centred Gaussian", "#Mean map", "~Reading"]  # fmt: skip
    return table("Maps of expressions beside the regions of their action units", columns, rows, note)


def _named(name: str) -> str:
    better = better_when(name)
    return f"{measure(name).label} ({better})" if better else measure(name).label


def _game(found: Sequence[Estimate]) -> list[Estimate]:
    return [e for e in found if metric(e.metric).kind is Kind.RATE]


def _global(found: Sequence[Estimate]) -> list[Estimate]:
    return [e for e in found if _part(e) is None and metric(e.metric).kind is not Kind.RATE]


def _scalars(caption: str, found: Sequence[Estimate]) -> Table:
    rows = []
    for e in found:
        nulls = ", ".join(f"{k.replace('_', ' ')} {fmt.number(v)}" for k, v in (e.nulls or {}).items())
        rows.append([
            text(_name(e)), text(_named(e.metric), _region(_part(e))), value(e, fmt.number),
            text(nulls),
            Cell(fmt.count(e.n_genuine), (), e.n_genuine), text(_notes(e)),
        ])  # fmt: skip
    return table(caption, ["Method", "Measure", "#Value", "~Knowing nothing", "#n", "~Notes"], rows)


def _group_masses(found: Sequence[Estimate]) -> Table:
    rows = [
        [text(_name(e)), text(e.group), text(_region(_part(e))), value(e, fmt.number),
         Cell(fmt.count(e.n_identities), (), e.n_identities)]
        for e in found if e.metric == "relevance_mass" and e.group != "all"
    ]  # fmt: skip
    return table("Share of positive relevance by group", ["Method", "Group", "Region", "#Share", "#Identities"], rows)


def _rules(found: Sequence[Estimate]) -> Table:
    rows = [
        [text(_name(e)), text(_region(_part(e))), text(e.rule), value(e, fmt.number),
         Cell(fmt.number((e.nulls or {}).get("chance")))]
        for e in found if e.metric == "saliency_iou" and e.rule != "strict"
    ]  # fmt: skip
    return table("Overlap under other rules of binarising", ["Method", "Region", "Rule", "#IoU", "#Chance"], rows)


def _gallery(rows: Sequence[GalleryRow]) -> Iterable[Chart]:
    if not rows:
        return
    cells = []
    for row in rows:
        for shown in row.pictures:
            image = Markup('<img src="{}" width="112" height="112" alt="{}">').format(
                shown.data_uri, f"{shown.caption} of {row.probe}"
            )
            cells.append(Markup("<figure>{}<figcaption>{}</figcaption></figure>").format(image, shown.caption))
        cells.append(Markup('<hr aria-hidden="true">'))
    drawing = Markup('<div class="gallery">{}</div>').format(Markup("").join(cells))
    yield Chart(drawing, "Maps of the first pairs: pale orange supports it most, dark blue least.")


def _tree(details: ExplanationDetails) -> Iterable[Chart]:
    if len(details.tree_labels) > 1:
        caption = "How alike the methods' mean maps are: distance 1 − correlation, average linkage."
        yield tree_chart(details.tree, details.tree_labels, caption)


def tree_chart(linkage: Sequence[Sequence[float]], labels: Sequence[str], caption: str) -> Chart:
    """Draw a tree of mean maps from scipy linkage rows; height is 1 - NCC."""
    n = len(labels)
    shown = [fmt.clip(label, 24) for label in labels]
    left, step, width = 150.0, 18.0, 520.0
    top = max(row[2] for row in linkage) or 1.0
    order = _leaf_order(linkage, n)
    at: dict[int, tuple[float, float]] = {leaf: (left, 14 + step * k) for k, leaf in enumerate(order)}
    parts = [
        el("text", shown[leaf], x=left - 6, y=y + 4, class_="tick", text_anchor="end") for leaf, (_, y) in at.items()
    ]
    for k, (a, b, height, _) in enumerate(linkage):
        x = left + (width - left - 40) * height / top
        (xa, ya), (xb, yb) = at[int(a)], at[int(b)]
        parts.append(el("path", d=f"M{xa:.1f},{ya:.1f}H{x:.1f}V{yb:.1f}H{xb:.1f}", class_="line s0"))
        parts.append(el("text", fmt.number(height, 2), x=x + 4, y=(ya + yb) / 2 + 4, class_="tick"))
        at[n + k] = (x, (ya + yb) / 2)
    rows = [[text(_node(labels, int(a))), text(_node(labels, int(b))), Cell(fmt.number(h), (), h)]
            for a, b, h, _ in linkage]  # fmt: skip
    data = table("Distances in the tree", ["Branch", "Branch", "#1 − NCC"], rows)
    return Chart(picture(width, 20 + step * n, caption, join(parts)), caption, data)


def _node(labels: Sequence[str], node: int) -> str:
    return labels[node] if node < len(labels) else f"joint {node - len(labels) + 1}"


def _leaf_order(linkage: Sequence[Sequence[float]], n: int) -> list[int]:
    members: dict[int, list[int]] = {leaf: [leaf] for leaf in range(n)}
    for k, (a, b, _, _) in enumerate(linkage):
        members[n + k] = members[int(a)] + members[int(b)]
    return members[n + len(linkage) - 1]
