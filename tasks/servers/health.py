"""`python -m tasks.servers.health`: the health check of the image, 0 if all is well.

A server or a worker is well if the page that `LOPT_HEALTH_URL` names is there; a container with no
page, which runs a flow, if what the flow finds out can be written down.
"""

import os
import sys

from tasks import settings
from tasks.servers.answers import answers

URL_VARIABLE = "LOPT_HEALTH_URL"


def main() -> None:
    """End with one line if something is wrong."""
    url = os.environ.get(URL_VARIABLE)
    if url is None:
        settings.make_writable(settings.home())
    elif not answers(url):
        sys.exit(f"{url} does not answer.")


if __name__ == "__main__":
    main()
