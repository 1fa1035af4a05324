"""`make audit`: what pip-audit knows of vulnerabilities of the packages in requirements.lock.

Where the index keeps no list of them, pip-audit calls that a success; here it is a failure that
says so, followed by what would have been looked up.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements.lock"
OPTIONS = ("--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json")


def main() -> None:
    """End with 0 if every package was looked up and nothing is known of any."""
    command = [sys.executable, "-m", "pip_audit", *OPTIONS, f"--requirement={LOCK}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip() or "no word").splitlines()[-1]
        sys.exit(f"Nothing was looked up, for the list of vulnerabilities cannot be asked: {last}")
    lines, failed = report(dependencies)
    sys.stdout.writelines(line + "\n" for line in lines)
    sys.exit(failed)


def report(dependencies: list[dict[str, Any]]) -> tuple[list[str], bool]:
    """Return what to say of pip-audit's findings, and whether that is a failure."""
    asked = [one for one in dependencies if "skip_reason" not in one]
    left = [one["name"] for one in dependencies if "skip_reason" in one]
    known = [(one, found) for one in asked for found in one["vulns"]]
    lines = [f"{one['name']} {one['version']}: {_words(found)}" for one, found in known]
    if not asked:
        lines.append("Nothing was looked up: the package index keeps no list of vulnerabilities.")
    else:
        lines.append(f"{len(asked)} packages looked up, {len(known)} known vulnerabilities.")
    if left:
        lines.append(f"Not looked up ({len(left)}): {', '.join(left)}")
    return lines, bool(known or left)


def _words(found: dict[str, Any]) -> str:
    mended = ", ".join(found["fix_versions"]) or "no version"
    return f"{found['id']}, mended in {mended}"


if __name__ == "__main__":
    main()
