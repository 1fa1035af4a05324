"""How many of the machine's cores this process may use."""

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def usable_cores(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """Return the cores that this process may run on, at least 1.

    Those it is bound to, less what its control groups limit its time to: a container that is
    given one and a half has one. The machine may have more (`os.cpu_count`).

    **Example**

    ```python
    threads = usable_cores()
    ```
    """
    limits = [_bound_to(), *_limits(cgroups, own)]
    return max(1, int(min(limits)))


def _bound_to() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _limits(cgroups: Path, own: Path) -> list[float]:
    """Return the limits of this process's control group and of those that it is in.

    https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max), and version 1's two files.
    """
    limits = []
    for line in _text(own).splitlines():
        _, controllers, path = line.split(":", 2)
        root = cgroups if not controllers else cgroups / "cpu"
        if controllers and "cpu" not in controllers.split(","):
            continue
        folder = root / path.lstrip("/")
        limits += [_limit(one) for one in (folder, *folder.parents) if one.is_relative_to(root)]
    return [limit for limit in limits if limit]


def _limit(folder: Path) -> float:
    """Return the seconds of processor time a second, 0 for no limit."""
    quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
    if not quota:
        quota = _text(folder / "cpu.cfs_quota_us").strip()
        period = _text(folder / "cpu.cfs_period_us").strip()
    if not (quota.isdecimal() and period.isdecimal()):
        return 0.0
    return int(quota) / int(period)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
