"""Section ``ood``: out-of-distribution probes searched among clean images."""

from facebench.sections.section import Section

SECTION = Section(
    "ood",
    line="Search of every altered image among all other clean ones, with re-ranking.",
)
