"""What docs/research.md says is one new file, is one new file."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "research.md").read_text(encoding="utf-8")
FILES = re.findall(r"^`(components/\S+\.py)`:\n\n```python\n(.*?)^```$", PAGE, re.M | re.S)
CONTRACTS = {
    "problems": ("test_problems.py", "DoubleWell"),
    "architectures": ("test_learned_optimizers.py", "LearnedMomentum"),
    "targets": ("test_image_networks.py", "mlp-bottleneck"),
}


def test_the_page_has_a_file_for_each_kind() -> None:
    assert [Path(name).parent.name for name, _ in FILES] == list(CONTRACTS)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the library and its contract tests, and the page's files."""
    copy = tmp_path_factory.mktemp("newcomer")
    for folder in ("components", "tests/contracts"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    (copy / "tests" / "lopt").mkdir()
    # Which compiler options `conftest.py` sets stands in the last of these.
    for file in ("pyproject.toml", "tests/conftest.py", "tests/lopt/loops.py"):
        shutil.copy(ROOT / file, copy / file)
    for name, content in FILES:
        (copy / name).write_text(content, encoding="utf-8")
    return copy


def run(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(tree / "components"), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(CONTRACTS))
def test_the_page_s_file_alone_is_found_and_keeps_the_contract(tree: Path, kind: str) -> None:
    file, name = CONTRACTS[kind]
    result = run(tree, "pytest", "-q", f"tests/contracts/{file}", "-k", name)
    assert result.returncode == 0, result.stdout
    assert re.search(r"[1-9]\d* passed", result.stdout)


def test_the_page_s_files_are_clean(tree: Path) -> None:
    files = [name for name, _ in FILES]
    result = run(tree, "ruff", "check", *files)
    assert result.returncode == 0, result.stdout
    formatted = run(tree, "ruff", "format", "--check", *files)
    assert formatted.returncode == 0, formatted.stdout
