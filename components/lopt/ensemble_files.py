"""A table in a Parquet file of which no byte can change unnoticed."""

import hashlib
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lopt.ensemble_entries import EnsembleError

FORMAT = "2"
COLUMNS = {
    "index": "int64",
    "category": "string",
    "problem_set": "string",
    "family": "string",
    "spec": "string",
    "program": "string",
    "data_sets": "string",
    "weight": "double",
    "seed": "int64",
}
_FORMAT_KEY, _ROWS_KEY, _SEAL_KEY = "lopt.format", "lopt.ensemble_digest", "lopt.seal"
# The digest of the file stands where these zeros were when it was computed.
_OPEN_SEAL = b"lopt-file-sha256:" + b"0" * 64
_SEAL = re.compile(rb"lopt-file-sha256:([0-9a-f]{64})")


def write_table(path: Path, columns: Mapping[str, list[Any]], digest: str) -> None:
    """Write `columns` to a Parquet file, aside first, with the digest of the rows.

    The file's metadata also hold the SHA-256 of the file itself, computed with zeros in its
    place: Parquet's own checksums leave out the statistics and the footer.

    **Example**

    ```python
    write_table(Path("ensemble.parquet"), columns, digest)
    ```
    """
    sealed = _sealed(_serialised(columns, digest))
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        aside.write_bytes(sealed)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def read_table(path: Path) -> tuple[dict[str, list[Any]], str]:
    """Return the columns and the digest of the rows that the file states.

    Raises `EnsembleError`, naming the file, if there is none, if it is of another format, or
    if a byte of it is not what was written.

    **Example**

    ```python
    columns, digest = read_table(Path("ensemble.parquet"))
    ```
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_seal(content := _content(path), path)
    table = pq.read_table(pa.BufferReader(content))
    facts = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    types = {field.name: str(field.type) for field in table.schema}
    if facts[_FORMAT_KEY] != FORMAT or types != COLUMNS:
        raise EnsembleError(
            f"{path} is an ensemble of format {facts[_FORMAT_KEY]} with the columns {types}, but "
            f"this version reads format {FORMAT} with {COLUMNS}: draw it again."
        )
    return table.to_pydict(), facts[_ROWS_KEY]


def _serialised(columns: Mapping[str, list[Any]], digest: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    facts = {_FORMAT_KEY: FORMAT, _ROWS_KEY: digest, _SEAL_KEY: _OPEN_SEAL.decode()}
    schema = pa.schema([(name, pa.type_for_alias(alias)) for name, alias in COLUMNS.items()])
    table = pa.table(dict(columns), schema)
    buffer = pa.BufferOutputStream()
    # Arrow's own schema would hold the metadata again; these types come back without it.
    with pq.ParquetWriter(buffer, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(facts)
    return bytes(buffer.getvalue().to_pybytes())


def _sealed(content: bytes) -> bytes:
    digest = hashlib.sha256(content).hexdigest().encode()
    return _SEAL.sub(b"lopt-file-sha256:" + digest, content)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise EnsembleError(f"There is no ensemble at {path}: draw and write one first.") from error


def _check_seal(content: bytes, path: Path) -> None:
    """Look for damage before anything parses the file."""
    stated = _SEAL.findall(content)
    if len(stated) != 1:
        raise EnsembleError(
            f"{path} states no digest of itself ({len(content)} bytes): it is no ensemble that "
            f"lopt wrote, or it is damaged. Draw it again."
        )
    found = hashlib.sha256(_SEAL.sub(_OPEN_SEAL, content)).hexdigest()
    if found != stated[0].decode():
        raise EnsembleError(
            f"{path} is damaged: its bytes have the SHA-256 {found}, but it was written with "
            f"{stated[0].decode()}. Draw it again from its conf and seed."
        )
