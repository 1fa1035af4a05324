"""One home whose servers are up for all tests that need them."""

import secrets
from collections.abc import Iterator

import pytest

from tasks.alarms import WEBHOOK_VARIABLE
from tests.chats import Chat, chatting
from tests.e2e.operators import Operator, brought_up


@pytest.fixture(scope="session")
def chat() -> Iterator[Chat]:
    """Whom the operator has told of failed nights."""
    with chatting() as found:
        yield found


@pytest.fixture(scope="session")
def operator(chat: Chat) -> Iterator[Operator]:
    """An operator who has done `make up`, with all secrets in the environment that there may be."""
    given = {
        WEBHOOK_VARIABLE: chat.address,
        "AWS_ACCESS_KEY_ID": secrets.token_hex(16),
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16),
    }
    with brought_up(given) as found:
        yield found
