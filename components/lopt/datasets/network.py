"""Whether a download would begin, found out within seconds."""

import http.client
import queue
import threading
import urllib.request

TIMEOUT_SECONDS = 3.0


def why_unreachable(url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> str | None:
    """Return why `url` cannot be downloaded now, or `None` if the download would begin.

    TFDS tries a download again and again for minutes before it gives up. Here the answer's
    head is fetched, through the proxy of the environment if there is one, and that once.
    It happens on another thread because nothing else bounds the time of a name's look-up.

    **Example**

    ```python
    why_unreachable("https://storage.googleapis.com/cvdf-datasets/mnist/")
    ```
    """
    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(
        target=lambda: answers.put(_fetch_head(url, timeout_seconds)), daemon=True
    ).start()
    try:
        return answers.get(timeout=timeout_seconds)
    except queue.Empty:
        return f"no answer within {timeout_seconds:g} seconds"


def _fetch_head(url: str, timeout_seconds: float) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=timeout_seconds):
            return None
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error))
