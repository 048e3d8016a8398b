"""What a section of the page is made of."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from facebench.report.tables import Table


@dataclass(frozen=True)
class Chart:
    """A drawing with its caption and the table of the same numbers (None: the table beside it)."""

    drawing: Markup
    caption: str
    data: Table | None = None


@dataclass(frozen=True)
class Block:
    """Charts and tables that belong together; a titled block can be folded away."""

    title: str = ""
    open_: bool = True
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Section:
    """One section of the page."""

    anchor: str
    title: str
    lead: str
    blocks: tuple[Block, ...]
    empty: str = ""
