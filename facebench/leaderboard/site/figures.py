"""The figures of one entry as the leaderboard shows them: each with its interval, and marked where it does not rank."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from facebench.report import format as fmt
from facebench.report.differential_case import RATES
from facebench.report.reading import Reading, grouping_label
from facebench.report.statement import Statement, Tone
from facebench.report.tables import Cell, limits, value
from facebench.report.wording import measure
from facebench.run.report import verdict_of
from facebench.schema import Estimate, Flag
from facebench.schema.explanation import read_condition
from facebench.schema.leaderboard import Board, Listed, ListedBoard
from facebench.schema.robustness import FAMILIES
from facebench.schema.timed import timed_estimates

SAID = {Tone.FINDING: "beyond chance", Tone.UNKNOWN: "cannot tell", Tone.PLAIN: "within chance", Tone.CAUTION: ""}
EMPTY = Cell(fmt.MISSING)


@dataclass(frozen=True)
class Figures:
    """One entry with everything a table asks of it."""

    listed: Listed

    @cached_property
    def reading(self) -> Reading:
        """The result with its index."""
        return Reading(self.listed.result)

    @cached_property
    def statements(self) -> dict[str, Statement]:
        """The verdict of the result by topic; of several cautions the last."""
        return {statement.topic: statement for statement in verdict_of(self.reading)}

    @property
    def name(self) -> str:
        """The model."""
        return self.listed.result.model.name

    @property
    def planted(self) -> str:
        """What was planted in a positive control; empty for other models."""
        words = str(self.listed.result.model.options.get("planted", ""))
        return "" if words == "nothing" else words

    def model(self, root: str) -> Cell:
        """Return the model with a link to its page, what was planted in it, and the marks of its validation."""
        planted = (f"positive control: {fmt.clip(self.planted, 90)}",) if self.planted else ()
        marks = tuple(f"! {fmt.clip(note.why, 90)}" for note in self.listed.notes)
        return Cell(fmt.clip(self.name, 60), (*planted, *marks), href=f"{root}models/{self.name}.html")

    def rank(self) -> Cell:
        """Return every rank the data does not rule out."""
        rank = self.listed.rank
        if rank is None or rank.best is None or rank.worst is None:
            return Cell("not ranked")
        words = str(rank.best) if rank.best == rank.worst else f"{rank.best} to {rank.worst}"
        notes: tuple[str, ...] = (f"ties: {rank.ties}",) if rank.ties else ()
        if not self.listed.paired:
            notes += ("by its interval alone",)
        return Cell(words, notes, rank.best + rank.worst / 1e6)

    def tar(self) -> Cell:
        """Return the TAR at the leading operating point."""
        return value(self.reading.find("tar", target=self.reading.primary), fmt.share)

    def eer(self) -> Cell:
        """Return the equal error rate."""
        return value(self.reading.find("eer"), measure("eer").write)

    def gap(self, rate: str) -> Estimate | None:
        """Return the differential the verdict speaks of."""
        said = self.statements.get(RATES[rate][0].capitalize())
        if said is None or said.grouping is None:
            return None
        return self.reading.find(f"{rate}_gap", target=self.reading.primary, group=said.grouping)

    def tone(self, rate: str) -> Tone | None:
        """Return what the verdict says of the differences between groups; None where none were compared."""
        said = self.statements.get(RATES[rate][0].capitalize())
        return None if said is None else said.tone

    def differential(self, rate: str) -> Cell:
        """Return the excess of the largest gap between groups over what chance alone would show."""
        gap, tone = self.gap(rate), self.tone(rate)
        if gap is None or tone is None:
            return EMPTY
        write = fmt.fmr if rate == "fmr" else fmt.number
        between = fmt.interval(gap.excess_low, gap.excess_high, write)
        if between == fmt.MISSING:
            between = f"gap {fmt.interval(gap.ci_low, gap.ci_high, write)}" if gap.ci_low is not None else ""
        said = f"{SAID[tone]}, by {fmt.clip(grouping_label(gap.group), 40)}"
        notes = tuple(words for words in (between, said) if words)
        return Cell(write(gap.excess), notes, gap.excess)

    def altered(self, family: str) -> Cell:
        """Return the mean TAR over the conditions of a family, at the clean threshold."""
        found = self._altered(family)
        return EMPTY if found is None else value(found, fmt.share)

    def _altered(self, family: str) -> Estimate | None:
        return next(
            (
                e
                for e in self.listed.result.estimates
                if e.metric == "mean_tar" and e.condition == family and e.group == "all"
                and e.point == self.reading.primary
            ),
            None,
        )  # fmt: skip

    def families(self) -> list[str]:
        """Return the families of conditions that were measured."""
        return [family for family in FAMILIES if self._altered(family) is not None]

    def missed_altered(self) -> Estimate | None:
        """Return the mean FNMR over the first family of conditions, for the trade-off."""
        found = next((e for family in self.families() if (e := self._altered(family))), None)
        if found is None or found.value is None:
            return None
        low, high = found.ci_low, found.ci_high
        return Estimate(
            metric="fnmr", value=1 - found.value, ci_low=None if high is None else 1 - high,
            ci_high=None if low is None else 1 - low,
        )  # fmt: skip

    def attacked(self) -> Cell:
        """Return the TAR left under the attack that leaves least; unreliable figures are marked and do not sort."""
        found = [
            e
            for e in self.listed.result.estimates
            if e.metric == "robust_tar" and e.group == "all" and e.value is not None
        ]
        if not found:
            return EMPTY
        # an attack that may have been misled says nothing of what a real one would leave
        unreliable = [e for e in found if Flag.UNRELIABLE in e.flags]
        sound = [e for e in found if Flag.UNRELIABLE not in e.flags]
        worst = min(sound or unreliable, key=lambda e: e.value if e.value is not None else 1.0)
        notes = (*limits(worst, fmt.share), fmt.clip(worst.condition.removeprefix("attack:"), 60))
        if unreliable:
            return Cell(fmt.share(worst.value), (*notes, "unreliable: gradients may be hidden"))
        return Cell(fmt.share(worst.value), notes, worst.value)

    def explained(self) -> Cell:
        """Return how many saliency methods qualified on this model."""
        details = self.listed.result.explanation
        if details is None:
            return EMPTY
        good = [method.method for method in details.methods if method.qualified]
        note = (fmt.clip(", ".join(good), 60),) if good else ("nothing is said of where it looks",)
        return Cell(f"{len(good)} of {len(details.methods)}", note, float(len(good)))

    def outside(self) -> Cell:
        """Return the relevance outside the face, by the first method that qualified."""
        details = self.listed.result.explanation
        good = [] if details is None else [method.method for method in details.methods if method.qualified]
        for e in self.listed.result.estimates if good else ():
            if (e.metric, e.group) == ("relevance_mass", "all") and read_condition(e.condition) == (good[0], "outside"):
                return Cell(fmt.share(e.value), (*limits(e, fmt.share), f"by {good[0]}"), e.value)
        return EMPTY

    def parameters(self) -> Cell:
        """Return the number of parameters."""
        details = self.listed.result.efficiency
        if details is None or details.parameters is None:
            return EMPTY
        return Cell(fmt.compact(details.parameters), sort=details.parameters)

    def multiply_adds(self) -> Cell:
        """Return the multiply-adds of one face."""
        details = self.listed.result.efficiency
        if details is None or details.multiply_adds is None:
            return EMPTY
        return Cell(f"{details.multiply_adds / 1e6:,.1f} M", sort=details.multiply_adds)

    @cached_property
    def latency_estimate(self) -> Estimate | None:
        """The latency of one face."""
        found = timed_estimates(self.listed.result)
        return next((e for e in found if (e.metric, e.condition) == ("latency_ms", "batch:1")), None)

    @property
    def machine(self) -> tuple[str, int] | None:
        """The machine and the threads that times were taken on; times of other machines cannot be held against it."""
        details = self.listed.result.efficiency
        return None if details is None else (details.machine_fingerprint, details.threads)

    def latency(self, *, one_machine: bool) -> Cell:
        """Return the latency of one face with its machine; it sorts only among times of one machine."""
        found, details = self.latency_estimate, self.listed.result.efficiency
        if found is None or details is None:
            return EMPTY
        threads = fmt.plural(details.threads, "thread")
        notes = (*limits(found, fmt.number), f"machine {details.machine_fingerprint[:8]}, {threads}")
        if details.noisy:
            notes += ("the machine was not quiet",)
        return Cell(f"{fmt.number(found.value)} ms", notes, found.value if one_machine else None)


@dataclass(frozen=True, eq=False)
class Shown:
    """A board with the figures of its entries, which several pages read."""

    listed: ListedBoard

    @property
    def board(self) -> Board:
        """The definition of the protocol."""
        return self.listed.board

    @property
    def entries(self) -> tuple[Listed, ...]:
        """Every entry that validates, the best first, earlier revisions of a model after its last."""
        return self.listed.entries

    @cached_property
    def figures(self) -> dict[str, Figures]:
        """The figures of every entry by its path."""
        return {entry.path: Figures(entry) for entry in self.entries}

    @cached_property
    def ranked(self) -> list[Figures]:
        """The ranked entry of every model, the best first."""
        return [self.figures[entry.path] for entry in self.entries if entry.rank is not None]
