"""The alias is moved by one at a time, and back to what it was on."""

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import alias_history, promotion, tracking
from tasks.confs import DEFAULTS
from tasks.gate import intended, settle
from tasks.promotion import AnotherChampionError, RollBackError, VersionError
from tasks.publication import register_challenger, register_release
from tasks.references import ModelVersionReference, ReleaseReference

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("home")]


@pytest.fixture
def versions(trained: ReleaseReference) -> list[ModelVersionReference]:
    """Three versions of which none is champion."""
    with tracking.tracked("publish-release", {}) as mlflow_run_id:
        return [
            register_release.fn(DEFAULTS.publication, trained, "none", mlflow_run_id)
            for _ in range(3)
        ]


def champion() -> int | None:
    return promotion.holder("learned-optimizer", "champion")


def tags(version: int) -> dict[str, str]:
    return dict(tracking.client().get_model_version("learned-optimizer", str(version)).tags)


def test_the_alias_moves_only_from_where_it_was_seen(
    versions: list[ModelVersionReference],
) -> None:
    first, second, third = versions
    promotion.promote(first, None)
    promotion.promote(second, 1)
    with pytest.raises(AnotherChampionError, match=r"is version 2, and not version 1, which"):
        promotion.promote(third, 1)
    assert champion() == 2
    assert tags(2)["lopt.replaces.champion"] == "1"


def test_a_challenger_that_was_compared_with_a_former_champion_is_to_be_compared_again(
    versions: list[ModelVersionReference],
) -> None:
    first, second, third = versions
    promotion.promote(first, None)
    seen = promotion.rival(third)
    promotion.promote(second, 1)
    decision = settle.fn(third, seen, None)
    assert (decision.promoted, decision.outdated, champion()) == (False, True, 2)
    assert "version 2, and not version 1" in decision.reasons[0]


def test_of_many_processes_with_one_champion_before_their_eyes_one_promotes(
    versions: list[ModelVersionReference], home: Path
) -> None:
    promotion.promote(versions[0], None)
    program = (
        "import sys\n"
        "from tasks import settings; settings.set_environment()\n"
        "from tasks import promotion\n"
        "from tasks.references import ModelVersionReference\n"
        "n = int(sys.argv[1])\n"
        "uri = 'models:/learned-optimizer@champion'\n"
        "one = ModelVersionReference("
        "name='learned-optimizer', version=n, alias='champion', uri=uri)\n"
        "try:\n"
        "    promotion.promote(one, 1)\n"
        "    print('promoted', end='')\n"
        "except promotion.AnotherChampionError:\n"
        "    print('refused', end='')\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(number)], stdout=subprocess.PIPE, text=True
        )
        for number in (2, 3)
    ]
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert sorted(said) == ["promoted", "refused"], home
    assert champion() == 2 + said.index("promoted")


def test_a_move_that_was_made_already_is_made_once(versions: list[ModelVersionReference]) -> None:
    first, second, _ = versions
    promotion.promote(first, None)
    promotion.promote(second, 1)
    assert promotion.rival(second) == 1
    promotion.promote(second, 1)
    assert tags(2)["lopt.replaces.champion"] == "1"
    decision = settle.fn(second, promotion.rival(second), None)
    assert decision == intended(second, 1, None)


def test_each_alias_has_a_history_of_its_own(versions: list[ModelVersionReference]) -> None:
    first, second, third = versions
    for version in (first, third):
        promotion.take(version)
    production = [one.model_copy(update={"alias": "production"}) for one in (second, third)]
    for version in production:
        promotion.take(version)
    for alias, before in (("champion", 1), ("production", 2)):
        now, version = promotion.to_roll_back("learned-optimizer", alias, promotion.PREVIOUS)
        assert (now, version.version) == (3, before)


def test_rolling_back_moves_the_alias_and_notes_it(versions: list[ModelVersionReference]) -> None:
    for version in versions:
        promotion.take(version)
    for now, before in ((3, 2), (2, 1)):
        found, version = promotion.to_roll_back("learned-optimizer", "champion", "previous")
        assert (found, version.version) == (now, before)
        promotion.roll_back(version, found)
        assert champion() == before
        assert "lopt.rolled_back.champion" in tags(now)
    with pytest.raises(RollBackError, match=r"has replaced nothing: .* --to VERSION"):
        promotion.to_roll_back("learned-optimizer", "champion", "previous")
    assert promotion.to_roll_back("learned-optimizer", "champion", "3")[1].version == 3


def roll_back_all() -> list[int]:
    """Roll back as often as that can be done; the versions that were champion on the way."""
    found = []
    while len(found) < 10:
        try:
            now, version = promotion.to_roll_back("learned-optimizer", "champion", "previous")
        except RollBackError:
            return found
        promotion.roll_back(version, now)
        found.append(version.version)
    raise AssertionError(f"in a cycle: {found}")


def forget_histories(versions: list[ModelVersionReference]) -> None:
    """Leave the tags that an older lopt has written."""
    for one in versions:
        if "lopt.history.champion" in tags(one.version):
            tracking.client().delete_model_version_tag(
                one.name, str(one.version), "lopt.history.champion"
            )


def test_every_roll_back_goes_a_promotion_back_though_a_version_was_promoted_twice(
    versions: list[ModelVersionReference],
) -> None:
    first, second, third = versions
    for version in (first, second, third, second, first):
        promotion.take(version)
    assert tags(1)["lopt.history.champion"] == "2 3 2 1"
    assert roll_back_all() == [2, 3, 2, 1]
    assert tags(1)["lopt.replaces.champion"] == "nothing"


def test_what_was_rolled_back_is_gone_back_to_no_more(
    versions: list[ModelVersionReference],
) -> None:
    first, second, third = versions
    for version in (first, second):
        promotion.take(version)
    promotion.roll_back(first, 2)
    promotion.take(third)
    assert roll_back_all() == [1]


def test_who_was_never_champion_takes_the_place_of_the_one_rolled_back(
    versions: list[ModelVersionReference],
) -> None:
    first, second, third = versions
    for version in (first, second):
        promotion.take(version)
    promotion.roll_back(third, 2)
    assert roll_back_all() == [1]


def test_promotions_of_an_older_lopt_are_rolled_back_one_by_one(
    versions: list[ModelVersionReference],
) -> None:
    for version in versions:
        promotion.take(version)
    forget_histories(versions)
    promotion.take(versions[0])
    assert roll_back_all() == [3, 2, 1]


def test_an_older_lopt_that_has_promoted_twice_leads_into_no_cycle(
    versions: list[ModelVersionReference],
) -> None:
    first, second, _ = versions
    for version in (first, second, first):
        promotion.take(version)
    forget_histories(versions)
    assert roll_back_all() == [2]


def test_what_an_older_lopt_has_promoted_since_counts(
    versions: list[ModelVersionReference],
) -> None:
    first, second, third = versions
    for version in (first, second, third):
        promotion.take(version)
    # As an older lopt does it: the one tag, and then the alias.
    client = tracking.client()
    client.set_model_version_tag(second.name, "2", "lopt.replaces.champion", "3")
    client.set_registered_model_alias(second.name, "champion", "2")
    assert roll_back_all() == [3, 2, 1]


@pytest.mark.parametrize(
    ("way", "after"), [("promoted", {2: (3, 1, 2, 1)}), ("rolled back", {1: (2, 1)})]
)
def test_wherever_a_move_is_broken_off_the_champion_has_its_history(
    versions: list[ModelVersionReference],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    after: dict[int, tuple[int, ...]],
) -> None:
    from mlflow import MlflowClient

    first, second, third = versions
    for version in (first, second, first, third):
        promotion.take(version)
    forget_histories([third])
    left = 0

    def dying(write: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*given: object, **more: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise ConnectionError("killed")
            write(*given, **more)

        return wrapped

    for name in ("set_model_version_tag", "set_registered_model_alias"):
        monkeypatch.setattr(MlflowClient, name, dying(getattr(MlflowClient, name)))
    writes = 0
    while champion() == 3:
        left, writes = writes, writes + 1
        with contextlib.suppress(ConnectionError):
            promotion.take(second) if way == "promoted" else promotion.roll_back(first, 3)
        now = champion()
        assert now is not None
        found = alias_history.before("learned-optimizer", "champion", now)
        assert found == {3: (1, 2, 1), **after}[now]
    assert champion() in after


def test_who_would_roll_back_another_champion_than_he_saw_is_refused(
    versions: list[ModelVersionReference],
) -> None:
    for version in versions[:2]:
        promotion.take(version)
    now, version = promotion.to_roll_back("learned-optimizer", "champion", "previous")
    promotion.take(versions[2])
    with pytest.raises(AnotherChampionError, match="is version 3 by now, and not version 2"):
        promotion.roll_back(version, now)
    assert champion() == 3


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("previous", "Nothing in the registry is learned-optimizer@champion"),
        ("7", "Nothing in the registry is learned-optimizer@champion"),
    ],
)
def test_where_there_is_no_champion_there_is_nothing_to_roll_back(to: str, words: str) -> None:
    with pytest.raises(RollBackError, match=words):
        promotion.to_roll_back("learned-optimizer", "champion", to)


def test_a_version_that_is_not_there_or_cannot_be_loaded_never_gets_the_alias(
    versions: list[ModelVersionReference],
) -> None:
    promotion.take(versions[0])
    with pytest.raises(VersionError, match="models:/learned-optimizer/9 cannot be loaded"):
        promotion.to_roll_back("learned-optimizer", "champion", "9")
    with pytest.raises(VersionError, match="cannot be loaded, so the alias stays where it is"):
        promotion.take(versions[0].model_copy(update={"version": 9}))
    with pytest.raises(VersionError, match="has no version 9"):
        promotion.named("learned-optimizer", "champion", "9")
    with pytest.raises(VersionError, match="has the alias 'staging'"):
        promotion.named("learned-optimizer", "champion", "staging")
    assert champion() == 1


def test_a_version_is_meant_by_its_number_or_by_an_alias(
    versions: list[ModelVersionReference], trained: ReleaseReference
) -> None:
    with tracking.tracked("publish-release", {}) as mlflow_run_id:
        challenger = register_challenger.fn(DEFAULTS.publication, trained, "none", mlflow_run_id)
    # The same release is a version already.
    assert challenger == versions[-1]
    for said in ("3", "challenger"):
        assert promotion.named("learned-optimizer", "champion", said) == versions[-1]
