"""Section ``ood``: out-of-distribution probes searched among clean images."""

from facebench.sections.section import Section

SECTION = Section("ood")
