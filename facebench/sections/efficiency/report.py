"""The section on what a model costs."""

from __future__ import annotations

from facebench.report import format as fmt
from facebench.report.parts import Block, Section
from facebench.report.reading import Reading
from facebench.report.tables import Cell, Table, plain, table, text
from facebench.schema import Efficiency

LEAD = (
    "What the model costs on the machine named below. A call takes aligned faces as images and returns embeddings: "
    "preprocessing is included, detection and alignment are not. Times hold for this machine and no other."
)


def sections(reading: Reading) -> list[Section]:
    """Return the section, or none where the protocol did not ask for it."""
    details = reading.result.efficiency
    if details is None:
        return []
    found = tuple(t for t in (_size(details), _times(details), _machine(details)) if t.rows)
    return [Section("efficiency", "Efficiency", LEAD, (Block(tables=found),))]


def _size(d: Efficiency) -> Table:
    rows = []
    if d.parameters is not None:
        rows.append([Cell("Parameters"), plain(d.parameters), Cell("elements of all weight tensors")])
    if d.size_bytes is not None:
        rows.append([Cell("Size"), Cell(f"{d.size_bytes / 1e6:.2f} MB", sort=d.size_bytes), Cell("of the weights")])
    if d.multiply_adds is not None:
        others = ", ".join(f"{name} ({n})" for name, n in d.not_counted.items())
        notes = f"of one face, in convolutions and matrix products; counted by: {d.counted_by}."
        notes += f" Without multiply-adds: {others}." if others else ""
        rows.append(
            [Cell("Multiply-adds"), Cell(f"{d.multiply_adds / 1e6:,.1f} M", sort=d.multiply_adds), text_of(notes)]
        )
    if d.memory is not None:
        m = d.memory
        note = f"batch of {m.batch_size} in a fresh process; before and after loading {m.before_mib:.0f} and "
        note += f"{m.loaded_mib:.0f} MiB"
        rows.append([Cell("Peak memory"), Cell(f"{m.peak_mib:,.0f} MiB", sort=m.peak_mib), text_of(note)])
    words = "by the embedding alone, at batch 1; FRUITS also times detection and alignment, on a Xeon E5-2630 v4"
    if d.threads != 1 or not d.threads_set:
        words = "defined for one thread only"
    rows.append([Cell("FRUITS class"), Cell(d.fruits or "not known"), Cell(words)])
    return table("Size and class", ["Figure", "#Value", "~What it says"], rows)


def text_of(words: str) -> Cell:
    """Return a cell of a longer text."""
    return Cell(fmt.clip(words, 400))


def _times(d: Efficiency) -> Table:
    rows = []
    for t in d.timings:
        limits = (fmt.interval(t.ci_low_ms, t.ci_high_ms, fmt.number),)
        rows.append(
            [
                plain(t.batch_size), Cell(fmt.number(t.median_ms), limits, t.median_ms), plain(t.p95_ms, fmt.number),
                plain(t.images_per_s, fmt.number), Cell(f"{t.noise:.1%}", sort=t.noise),
                Cell(f"{t.drift:+.1%}", sort=t.drift), plain(t.repeats),
            ]
        )  # fmt: skip
    threads = f"{fmt.plural(d.threads, 'thread')}" if d.threads_set else "threads not held by this adapter"
    note = "Noise is the median deviation from the median; drift is the second half of the calls against the first."
    if d.noisy:
        note = f"The machine was not quiet: times scatter or drift by more than a tenth. {note}"
    columns = ["#Batch", "#Median, ms", "#95th percentile, ms", "#Faces per second", "#Noise", "#Drift", "#Calls"]
    return table(f"Latency and throughput, {threads}", columns, rows, note)


def _machine(d: Efficiency) -> Table:
    m = d.machine
    rows = [
        [Cell("Processor"), text(m.cpu, f"{m.logical_cpus} logical processors, {m.memory_gib:g} GiB")],
        [Cell("System"), text(m.system)],
        [Cell("Device"), text(m.device if m.accelerator is None else f"{m.device}: {m.accelerator}")],
        [Cell("Software"), text(", ".join(f"{name} {version}" for name, version in m.packages.items()))],
        [Cell("Fingerprint"), text(d.machine_fingerprint)],
    ]
    return table("Machine", ["What", "~Value"], rows)
