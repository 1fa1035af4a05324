import jax
import pytest

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
