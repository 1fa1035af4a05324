from pathlib import Path

import jax
import pytest

import lopt
from tasks import code_version


def test_the_library_is_another_with_other_packages_or_on_another_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digests = [code_version.library_digest()]
    for package in code_version.PACKAGES:
        with monkeypatch.context() as patch:
            patch.setattr(
                code_version, "version", lambda name, newer=package: "1" if name == newer else "0"
            )
            digests.append(code_version.library_digest())
    with monkeypatch.context() as patch:
        patch.setattr(jax, "default_backend", lambda: "gpu")
        digests.append(code_version.library_digest())
    assert len(set(digests)) == len(digests)


def test_the_same_library_has_the_same_digest() -> None:
    assert code_version.library_digest() == code_version.library_digest()


def test_the_code_that_counts_is_that_which_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = code_version.library_digest()
    monkeypatch.setattr(lopt, "__file__", str(tmp_path / "__init__.py"))
    (tmp_path / "__init__.py").write_text("one = 1\n")
    installed = code_version.library_digest()
    (tmp_path / "__init__.py").write_text("one = 2\n")
    assert len({here, installed, code_version.library_digest()}) == 3


def test_a_page_says_by_which_command_and_commit_it_was_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "sys.orig_argv", ["/x/python", "-m", "flows.evaluate_release", "--set", "a b"]
    )
    monkeypatch.setattr("tasks.code_version.git_commit", lambda: "c0ffee")
    told = code_version.circumstances()
    assert told["command"] == "python -m flows.evaluate_release --set 'a b'"
    assert told["commit"] == "c0ffee"
