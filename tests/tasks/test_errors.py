import pytest

from lopt.datasets import DataSetError
from tasks.errors import is_ours, may_pass
from tasks.releases import NoReleaseError


def caused_by(cause: Exception) -> DataSetError:
    error = DataSetError("the download broke off")
    error.__cause__ = cause
    return error


ERRORS = [
    (DataSetError("there is no network"), False),
    (NoReleaseError("train first"), False),
    (caused_by(ConnectionResetError()), True),
    (ConnectionResetError(), True),
]


@pytest.mark.parametrize(("error", "again"), ERRORS)
def test_only_what_may_pass_is_tried_again(error: Exception, again: bool) -> None:
    from prefect.states import Failed

    assert may_pass(None, None, Failed(data=error)) is again


def test_errors_of_the_library_and_of_the_tasks_are_ours() -> None:
    assert is_ours(DataSetError())
    assert is_ours(NoReleaseError())
    assert not is_ours(ValueError())
