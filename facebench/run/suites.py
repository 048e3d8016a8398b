"""Suites: several protocols for one model, each in a folder of its own, and one page that leads to their reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facebench.errors import ExitCode, FaceBenchError, InputError, UnknownNameError
from facebench.execution.lock import only_run_in
from facebench.execution.options import RunOptions, check_options
from facebench.files import file_name, read_yaml, write_atomic
from facebench.report.reading import Reading
from facebench.report.suite import render_suite
from facebench.run.evaluate import evaluate
from facebench.run.protocols import Protocol, load_protocol
from facebench.run.report import verdict_of, write_report
from facebench.schema import Result
from facebench.schema.suite import Member, SuiteFile, SuiteRecord, SuiteSpec

RECORD, INDEX = "suite.json", "index.html"


@dataclass(frozen=True)
class Suite:
    """A suite with its protocols, by the names of their folders."""

    spec: SuiteSpec
    protocols: dict[str, Protocol]


def load_suite(path: str | Path) -> Suite | None:
    """Load a suite from its YAML file; None where that is the name or the file of a protocol.

    Raises:
        InputError: a key is wrong, a protocol is unknown or wrong, or two have the same name. Nothing was run.
    """
    path = Path(path)
    if path.suffix not in (".yaml", ".yml"):
        return None
    content = read_yaml(path, "protocol")
    if not isinstance(content, dict) or "suite" not in content:
        return None
    where = f"suite {path}"
    spec = SuiteFile.parse(content, where=where).suite
    protocols: dict[str, Protocol] = {}
    for word in spec.protocols:
        is_path = Path(word).suffix in (".yaml", ".yml")
        try:
            protocol = load_protocol(path.parent / word if is_path else word)
        except InputError as error:
            raise InputError(f"{where}, protocol {word!r}: {error}") from None
        name = file_name(protocol.spec.name, f"{where}, name of protocol {word!r}")
        if name in protocols:
            raise InputError(f"{where}: two protocols are called {name!r}; a suite runs each name once")
        protocols[name] = protocol
    return Suite(spec, protocols)


def evaluate_suite(model: Any, suite: Suite, data: Mapping[str, Path], options: RunOptions) -> SuiteRecord:
    """Run every protocol of a suite; one that fails is recorded, and the next is run.

    Images that protocols share are embedded once, by the store of finished batches. Record and page are written after
    every protocol, so that an interrupted suite says what it has.

    Args:
        model: as for `evaluate`.
        suite: from `load_suite`.
        data: dataset name to path; each protocol takes its own.
        options: ``out`` is the folder of the suite; each protocol writes to a folder of its name below it.

    Raises:
        UnknownNameError: a dataset is bound that no protocol asks for.
        IncompleteError: another run is in progress in that folder.
    """
    check_options(options)
    _check_data(suite, data)
    members = {
        name: Member(protocol=name, title=protocol.spec.title, folder=name)
        for name, protocol in suite.protocols.items()
    }
    with only_run_in(options.out):
        record = _written(suite, model, members, options.out)
        for name, protocol in suite.protocols.items():
            own = {key: path for key, path in data.items() if key == protocol.spec.dataset.name}
            members[name] = _member(members[name], model, protocol, own, replace(options, out=options.out / name))
            record = _written(suite, model, members, options.out)
    return record


def exit_code(record: SuiteRecord) -> ExitCode:
    """Return the exit code of the first protocol that failed; 0 where none did."""
    return next((ExitCode(m.exit_code) for m in record.members if m.exit_code is not None), ExitCode.PASS)


def _check_data(suite: Suite, data: Mapping[str, Path]) -> None:
    known = {protocol.spec.dataset.name for protocol in suite.protocols.values()}
    for name in data:
        if name not in known:
            raise UnknownNameError("dataset name", name, known, where=f"suite {suite.spec.name}")


def _member(
    member: Member, model: Any, protocol: Protocol, data: Mapping[str, Path], options: RunOptions
) -> Member:  # fmt: skip
    try:
        result = evaluate(model, protocol, data, options)
        write_report(result, options.out / "report.html")
    except FaceBenchError as error:
        return member.model_copy(update={"error": str(error), "exit_code": int(error.exit_code)})
    return member.model_copy(update={"result_id": result.result_id, **_sentences(result)})


def _sentences(result: Result) -> dict[str, str]:
    """Return what was measured, and the first sentence of the verdict beyond that; doubts come first of all."""
    statements = verdict_of(Reading(result))
    measured = next((s.headline for s in statements if s.topic == "Measured"), "")
    first = next((s.headline for s in statements if s.topic != "Measured"), "")
    return {"measured": measured, "verdict": first}


def _written(suite: Suite, model: Any, members: Mapping[str, Member], out: Path) -> SuiteRecord:
    record = SuiteRecord(suite=suite.spec, model=model.card.name, members=tuple(members.values()))
    write_atomic(out / RECORD, record.model_dump_json(indent=1) + "\n")
    write_atomic(out / INDEX, render_suite(record))
    return record
