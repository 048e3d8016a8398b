"""What the trusted workflow does around the validation; it runs from the base branch.

leaderboard_review.py find FOLDER                 asks GitHub for the pull request and its files; prints number=N
leaderboard_review.py lay FOLDER LEADERBOARD      lays the collected files over the base branch's leaderboard
leaderboard_review.py comment FOLDER              writes the summary as a comment

GitHub is asked through `gh api`; the repository, the head and the number come from the environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

MARK = "<!-- facebench-leaderboard -->"
MAX_COMMENT = 60_000
PAGE = 100


def main(what: str, folder: str, *more: str) -> int:
    """Do one of the three and return the exit code."""
    if what == "find":
        return find(Path(folder))
    if what == "lay":
        return lay(Path(folder), Path(*more))
    return comment(Path(folder))


def find(folder: Path) -> int:
    """Write changes.json: each changed file with its status and the hash GitHub knows it by."""
    repository, head = os.environ["REPOSITORY"], os.environ["HEAD"]
    whose = quote(f"{os.environ['OWNER']}:{os.environ['BRANCH']}", safe="")
    pulls = [
        pull
        for pull in pages(f"repos/{repository}/pulls?state=open&head={whose}")
        if pull["head"]["sha"] == head and pull["base"]["repo"]["full_name"] == repository
    ]
    if len(pulls) != 1:
        sys.stderr.write(f"{len(pulls)} open pull requests have this commit as their head\n")
        return 2
    number = int(pulls[0]["number"])
    changes = [
        {"status": file["status"], "path": file["filename"], "sha": file["sha"]}
        for file in pages(f"repos/{repository}/pulls/{number}/files?")
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "changes.json").write_text(json.dumps(changes), encoding="utf-8")
    sys.stdout.write(f"number={number}\n")
    return 0


def lay(folder: Path, leaderboard: Path) -> int:
    """Lay the files over the leaderboard; write the entries to validate, and a summary."""
    from facebench.leaderboard.site.words import submission_markdown
    from facebench.leaderboard.submission import lay_over

    changes = json.loads((folder / "changes.json").read_text(encoding="utf-8"))
    found = lay_over(changes, folder / "data", leaderboard)
    (folder / "summary.md").write_text(submission_markdown(found.problems, found.notes), encoding="utf-8")
    (folder / "entries").write_text("".join(f"{path}\n" for path in found.entries), encoding="utf-8")
    return 0 if not found.problems else int(found.problems[0].exit_code)


def comment(folder: Path) -> int:
    """Write the summary as the one comment of this workflow, or over it."""
    repository, number = os.environ["REPOSITORY"], int(os.environ["NUMBER"])
    body = f"{MARK}\n{(folder / 'summary.md').read_text(encoding='utf-8')[:MAX_COMMENT]}"
    own = [
        each
        for each in pages(f"repos/{repository}/issues/{number}/comments?")
        if each["user"]["type"] == "Bot" and each["body"].startswith(MARK)
    ]
    where = f"issues/comments/{own[0]['id']}" if own else f"issues/{number}/comments"
    gh(f"repos/{repository}/{where}", "--method", "PATCH" if own else "POST", "--input", "-", given={"body": body})
    return 0


def pages(path: str) -> list[Any]:
    """Return all items of a list that GitHub gives in pages."""
    found: list[Any] = []
    while True:
        page = gh(f"{path}&per_page={PAGE}&page={len(found) // PAGE + 1}")
        found += page
        if len(page) < PAGE:
            return found


def gh(*words: str, given: Any = None) -> Any:
    """Ask GitHub."""
    text = None if given is None else json.dumps(given)
    return json.loads(
        subprocess.run(["gh", "api", *words], input=text, capture_output=True, text=True, check=True).stdout
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
