"""Which lopt this is."""

from importlib import metadata

NOT_INSTALLED = "0+not-installed"


def lopt_version() -> str:
    """Return the version of the installed lopt, "0+not-installed" for bare source on the path.

    **Example**

    ```python
    Provenance(lopt_version=lopt_version())
    ```
    """
    try:
        return metadata.version("lopt")
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED
