"""Section ``efficiency``: what a model costs."""

from facebench.sections.section import Section

SECTION = Section(
    "efficiency",
    line="Parameters, operations, latency, throughput and memory of the model.",
)
