"""Stands where a chat program's webhook would: its address is a secret, and it takes texts."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.local_server import serving


class Chat:
    """What a chat was told, and how it answers."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.status = 200
        self.secret = secrets.token_hex(16)
        self.address = ""


@contextmanager
def chatting() -> Iterator[Chat]:
    """Take what is sent; yield the chat."""
    chat = Chat()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            chat.told.append(json.loads(body)["text"])
            self.send_response(chat.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with serving(Handler) as address:
        chat.address = f"{address}/hooks/{chat.secret}"
        yield chat
