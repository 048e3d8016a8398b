"""What the validation of entries found, for a terminal and for a step summary."""

from __future__ import annotations

from collections.abc import Sequence

from facebench.errors import ExitCode
from facebench.report import format as fmt
from facebench.schema.leaderboard import Note, Problem, Validation

MAX_SUMMARY_BYTES = 900_000
MAX_ROWS = 50


def validation_lines(validation: Validation) -> list[str]:
    """Return the outcome of one entry as lines; a refused one names the fields."""
    name = fmt.visible(validation.entry)
    if validation.accepted:
        told = f"{fmt.plural(validation.estimates, 'estimate')} computed again"
        if validation.reported:
            told += f"; as reported: {', '.join(validation.reported)}"
        lines = [f"accepted  {name}  {told}"]
    else:
        lines = [f"{_outcome(validation):<8}  {name}"]
    lines += [f"  {fmt.visible(p.field)}: {_line(p.why)}" for p in validation.problems]
    return [*lines, *(f"  note: {fmt.visible(n.field)}: {_line(n.why)}" for n in validation.notes)]


def _line(words: str) -> str:
    return fmt.visible(words).replace("\n", " ")


def _outcome(validation: Validation) -> str:
    only = {problem.exit_code for problem in validation.problems} == {ExitCode.INCOMPLETE}
    return "cannot tell" if only else "refused"


def validation_markdown(validations: Sequence[Validation]) -> str:
    """Return the outcome of all entries as Markdown for a step summary, refused ones first."""
    refused = sum(not v.accepted for v in validations)
    told = f"{refused:,} of them not accepted." if refused else "All accepted: every number was computed again."
    lines = ["## Leaderboard entries", "", f"{fmt.plural(len(validations), 'entry', 'entries')}. {told}", ""]
    lines += ["| entry | outcome | field | why |", "|---|---|---|---|"]
    for v in sorted(validations, key=lambda v: v.accepted):
        if v.accepted:
            lines.append(f"| {_cell(v.entry)} | accepted | | {fmt.plural(v.estimates, 'estimate')} computed again |")
        for n in v.notes:
            lines.append(f"| {_cell(v.entry)} | note | {_cell(n.field)} | {_cell(n.why)} |")
        for p in v.problems:
            lines.append(f"| {_cell(v.entry)} | {_outcome(v)} | {_cell(p.field)} | {_cell(p.why)} |")
    text = "\n".join(lines) + "\n"
    if len(text.encode()) > MAX_SUMMARY_BYTES:
        text = text.encode()[:MAX_SUMMARY_BYTES].decode(errors="ignore").rpartition("\n")[0] + "\n\nCut here.\n"
    return text


def submission_markdown(problems: Sequence[Problem], notes: Sequence[Note]) -> str:
    """Return what a pull request may not change, and what a person decides by merging it; empty when neither."""
    if not problems and not notes:
        return ""
    told = "Refused." if problems else "A person decides:"
    lines = ["## Leaderboard files and names", "", told, "", "| what | why |", "|---|---|"]
    said = [(p.field, p.why) for p in problems] + [(n.field, n.why) for n in notes]
    lines += [f"| {_cell(field)} | {_cell(why)} |" for field, why in said[:MAX_ROWS]]
    return "\n".join(lines) + "\n\n"


def _cell(text: str) -> str:
    """Make a text from outside harmless in a Markdown table: no markup, no links, no mentions."""
    shown = fmt.visible(text).replace("\n", " ").replace("&", "&amp;").replace("<", "&lt;").replace("@", "@\u200b")
    shown = shown.replace("://", ":\u200b//")
    return "".join(f"\\{c}" if c in "\\`*_[]|#!>" else c for c in shown)
