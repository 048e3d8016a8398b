"""The rules of the JUnit XML that Jenkins, GitLab and GitHub readers share, as a small validator.

Follows the widely used ``jenkins-junit.xsd``: which element may hold which, in which order, which attributes are
required, and what type each has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

WHOLE, TIME, TEXT = r"\d+", r"\d+(\.\d+)?", r"(?s).*"


@dataclass(frozen=True)
class Element:
    required: dict[str, str]
    optional: dict[str, str]
    children: tuple[str, ...] = ()
    in_order: bool = False


RULES = {
    "testsuites": Element({}, {"name": TEXT, "time": TIME, "tests": WHOLE, "failures": WHOLE, "disabled": WHOLE,
                               "errors": WHOLE}, ("testsuite",)),
    "testsuite": Element({"name": TEXT, "tests": WHOLE},
                         {"failures": WHOLE, "errors": WHOLE, "time": TIME, "disabled": WHOLE, "skipped": WHOLE,
                          "timestamp": TEXT, "hostname": TEXT, "id": TEXT, "package": TEXT},
                         ("properties", "testcase", "system-out", "system-err"), True),
    "properties": Element({}, {}, ("property",)),
    "property": Element({"name": TEXT, "value": TEXT}, {}),
    "testcase": Element({"name": TEXT, "classname": TEXT},
                        {"time": TIME, "assertions": TEXT, "status": TEXT},
                        ("skipped", "error", "failure", "system-out", "system-err"), True),
    "skipped": Element({}, {"message": TEXT}),
    "error": Element({}, {"type": TEXT, "message": TEXT}),
    "failure": Element({}, {"type": TEXT, "message": TEXT}),
    "system-out": Element({}, {}),
    "system-err": Element({}, {}),
}  # fmt: skip


def violations(text: str) -> list[str]:
    """Return what breaks the schema, and counts that do not match the cases."""
    root = ET.fromstring(text)
    found = [] if root.tag in ("testsuites", "testsuite") else [f"root is {root.tag}"]
    found += [problem for element in root.iter() for problem in _of(element)]
    if found:
        return found
    for suite in root.iter("testsuite"):
        cases = suite.findall("testcase")
        for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            if len([c for c in cases if c.find(kind) is not None]) != int(suite.get(attribute, "0")):
                found.append(f"{attribute} is not the number of cases")
        if len(cases) != int(suite.get("tests", "-1")):
            found.append("tests is not the number of cases")
    return found


def _of(element: ET.Element) -> list[str]:
    rule = RULES.get(element.tag)
    if rule is None:
        return [f"unknown element {element.tag}"]
    found = [f"{element.tag} lacks {name}" for name in rule.required if name not in element.attrib]
    for name, value in element.attrib.items():
        pattern = {**rule.required, **rule.optional}.get(name)
        if pattern is None or not re.fullmatch(pattern, value):
            found.append(f"{element.tag} has {name}={value!r}")
    names = [child.tag for child in element]
    found += [f"{element.tag} holds {name}" for name in names if name not in rule.children]
    if rule.in_order and not found:
        places = [rule.children.index(name) for name in names]
        if places != sorted(places):
            found.append(f"the children of {element.tag} are out of order")
    return found
