import os
from pathlib import Path

import pytest

from lopt.cores import usable_cores


@pytest.fixture
def bound_to_16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)


def limited(folder: Path, own: str, files: dict[str, str]) -> int:
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "own").write_text(own)
    return usable_cores(folder / "cgroup", folder / "own")


@pytest.mark.usefixtures("bound_to_16")
@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/\n", {}, 16),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/a/b\n", {"a/cpu.max": "400000 100000\n", "a/b/cpu.max": "max 100000\n"}, 4),
        ("0::/gone\n", {"cpu.max": "300000 100000\n"}, 3),
        (
            "4:cpu,cpuacct:/box\n0::/\n",
            {"cpu/box/cpu.cfs_quota_us": "600000\n", "cpu/box/cpu.cfs_period_us": "100000\n"},
            6,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16),
        ("4:memory:/box\n", {"cpu/box/cpu.cfs_quota_us": "100000\n"}, 16),
    ],
)
def test_a_control_groups_limit_is_no_more_cores_than_it_allows(
    tmp_path: Path, own: str, files: dict[str, str], cores: int
) -> None:
    assert limited(tmp_path, own, files) == cores


@pytest.mark.usefixtures("bound_to_16")
def test_cores_that_the_process_is_not_bound_to_do_not_count(tmp_path: Path) -> None:
    assert usable_cores(tmp_path, tmp_path / "none") == 16
    assert limited(tmp_path, "0::/\n", {"cpu.max": "6400000 100000\n"}) == 16
