"""A suite: several protocols for one model, and what came of each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from facebench.schema._base import Strict


class SuiteSpec(Strict):
    """Which protocols a model is judged by, one after the other."""

    name: str
    title: str = Field("", description="one line for people")
    protocols: tuple[str, ...] = Field(
        min_length=1, description="names of shipped protocols, or paths of protocol files relative to the suite"
    )


class SuiteFile(Strict):
    """The file of a suite."""

    suite: SuiteSpec


class Member(Strict):
    """One protocol of a suite, and what came of it; without result and error it was not run."""

    protocol: str
    title: str
    folder: str = Field(description="of its result, relative to suite.json")
    result_id: str | None = None
    measured: str = Field("", description="what was measured, of the verdict")
    verdict: str = Field("", description="the first sentence of the verdict that is no such description")
    error: str | None = None
    exit_code: int | None = Field(None, description="with which the protocol alone would have ended")


class SuiteRecord(Strict):
    """``suite.json``: what came of every protocol. It holds no figure over them: they ask different questions."""

    schema_version: Literal[1] = 1
    suite: SuiteSpec
    model: str
    members: tuple[Member, ...]
