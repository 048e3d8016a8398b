"""The HTML page: one file, no network, scripts allowed by hash only, every text escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from facebench.files import asset_dir
from facebench.report import format as fmt

_FIGURE = re.compile(r"(?<!\w)(\d[\d.]*e-?\d+(?!\w)|p [<=] [\d.]*\d)")


def render_page(template: str, *, style: str = "", script: str = "", **content: Any) -> str:
    """Fill a template that extends ``page.html``, with the style and the script of all reports, and further ones."""
    script = _asset("report.js") + script
    page = (
        _environment()
        .get_template(template)
        .render(
            csp=content_security_policy(script),
            style=Markup(_asset("report.css") + style),  # noqa: S704 - our own files
            script=Markup(script),  # noqa: S704 - our own files
            **content,
        )
    )
    return page + "\n"


def content_security_policy(script: str) -> str:
    """Return the policy of the page: nothing is loaded, and only this script runs."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_templates(), asset_dir("leaderboard") / "assets"]),
        # always on: the customary switch by file ending has let unescaped names into other projects' pages
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clip": fmt.clip, "figures": _figures}
    return environment


def _finalize(value: Any) -> Any:
    """Make every text from outside visible before it is escaped."""
    return fmt.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _figures(text: str) -> Markup:
    """Keep figures such as 1.2e-3 on one line; browsers break after their hyphen."""
    pieces = _FIGURE.split(fmt.visible(text))
    return Markup("").join(
        Markup('<span class="fig">{}</span>').format(piece) if i % 2 else escape(piece)
        for i, piece in enumerate(pieces)
    )


def _templates() -> Path:
    return asset_dir("reports") / "templates"


@cache
def _asset(name: str) -> str:
    return (_templates() / name).read_text(encoding="utf-8")
