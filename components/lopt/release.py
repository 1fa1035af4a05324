"""A release: a learned optimizer as data only, in a directory that describes itself.

`config.json` says how to build the optimizer, `meta_params.safetensors` holds its numbers.
No pickle and no code: loading runs only what the installed lopt contains, and everything is
checked before anything is built.
"""

import hashlib
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

import lopt.architectures
from lopt.architectures.base import LearnedOptimizer
from lopt.catalogue import concrete_classes
from lopt.meta_params import check_listing, decode, encode
from lopt.named_leaves import describe, named_leaves, replace_named_leaves
from lopt.release_config import (
    GET_AGAIN,
    ReleaseConfig,
    ReleaseError,
    check_names,
    stored_digest,
)

__all__ = ["CONFIG_FILE", "META_PARAMS_FILE", "ReleaseError", "digest", "load", "save"]

CONFIG_FILE = "config.json"
META_PARAMS_FILE = "meta_params.safetensors"
LARGEST_CONFIG = 16 * 2**20
"""In bytes; a larger `config.json` is refused unread."""
LARGEST_META_PARAMS = 2**30
"""In bytes; larger meta-params are refused unread, whatever the config says of them."""


def save(optimizer: LearnedOptimizer, directory: Path) -> Path:
    """Write `optimizer` with its provenance as a release and return the directory.

    All or nothing: the release is written aside, loaded and compared with `optimizer`, and
    only then gets its name. Saving the same thing again changes nothing.

    Raises `ReleaseError` if `directory` holds anything else, or if the optimizer cannot be
    built again from its class, hyper-parameters and arrays.

    **Example**

    ```python
    release.save(optimizer.with_provenance(provenance), Path("release"))
    ```
    """
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    staging = directory.with_name(f".{directory.name}.{uuid.uuid4().hex}")
    try:
        _write(optimizer, staging)
        # Equinox tells a field left at its default from one set to it. On the host, where
        # comparing needs no program for each shape.
        given = jax.device_get(optimizer.with_provenance(optimizer.provenance))
        if not eqx.tree_equal(jax.device_get(load(staging)), given):
            raise ReleaseError(
                f"{type(optimizer).__name__} is not the same when it is built again: make every "
                "leaf a JAX array, and every other attribute a static field that is an argument."
            )
        _publish(staging, directory)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return directory


def load(directory: Path) -> LearnedOptimizer:
    """Return the optimizer saved in `directory`, with its provenance.

    Raises `ReleaseError`, naming file and key, for whatever `save` did not write: files
    missing, added, too large or changed by a bit, an unknown format, architecture or version,
    meta-params of other names, shapes or dtypes, numbers that are not finite.

    **Example**

    ```python
    optimizer = release.load(Path("release"))
    transformation = optimizer.transformation()
    ```
    """
    directory = Path(directory)
    config = _read_config(directory)
    skeleton = _skeleton(config, directory / CONFIG_FILE)
    check_listing(config.meta_params, describe(_meta_params(skeleton)), directory / CONFIG_FILE)
    data = _read_meta_params(directory, config)
    arrays = decode(data, config.meta_params, directory / META_PARAMS_FILE)
    return replace_named_leaves(skeleton, arrays).with_provenance(config.provenance)


def digest(directory: Path) -> str:
    """Return the SHA-256 (hexadecimal) that identifies the release in `directory`.

    It covers architecture, hyper-parameters, meta-params and provenance. Raises
    `ReleaseError` if a file was changed.

    **Example**

    ```python
    assert release.digest(Path("release")) == release.digest(Path("copy_of_release"))
    ```
    """
    directory = Path(directory)
    text = _config_text(directory)
    _read_meta_params(directory, ReleaseConfig.from_text(text, directory / CONFIG_FILE))
    return stored_digest(text)


def _write(optimizer: LearnedOptimizer, directory: Path) -> None:
    arrays = _meta_params(optimizer)
    data = encode(arrays)
    config = ReleaseConfig(
        architecture=type(optimizer).__name__,
        architecture_version=type(optimizer).version,
        hyper_parameters=optimizer.hyper_parameters(),
        meta_params=describe(arrays),
        meta_params_bytes=len(data),
        meta_params_sha256=hashlib.sha256(data).hexdigest(),
        provenance=optimizer.provenance,
    )
    directory.mkdir()
    _write_durably(directory / CONFIG_FILE, config.to_text().encode())
    _write_durably(directory / META_PARAMS_FILE, data)


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _publish(staging: Path, directory: Path) -> None:
    try:
        staging.replace(directory)
    except OSError as error:
        if not directory.exists():
            raise
        if not _holds(directory, digest(staging)):
            raise ReleaseError(
                f"{directory} holds something else already. Releases are never overwritten: "
                "choose another directory, or remove this one yourself."
            ) from error


def _holds(directory: Path, wanted: str) -> bool:
    try:
        return digest(directory) == wanted
    except ReleaseError:
        return False


def _read_config(directory: Path) -> ReleaseConfig:
    return ReleaseConfig.from_text(_config_text(directory), directory / CONFIG_FILE)


def _config_text(directory: Path) -> str:
    if not directory.is_dir():
        raise ReleaseError(f"{directory} is not a directory, so it is not a release.")
    files = [entry.name for entry in directory.iterdir()]
    check_names(files, [CONFIG_FILE, META_PARAMS_FILE], f"{directory}: the release")
    path = directory / CONFIG_FILE
    data = _read(path, LARGEST_CONFIG)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ReleaseError(f"{path} is not UTF-8 text ({error}). {GET_AGAIN}") from error


def _read_meta_params(directory: Path, config: ReleaseConfig) -> bytes:
    path = directory / META_PARAMS_FILE
    data = _read(path, min(config.meta_params_bytes, LARGEST_META_PARAMS))
    found = hashlib.sha256(data).hexdigest()
    if found != config.meta_params_sha256:
        raise ReleaseError(
            f"{path} was changed after it was written: its SHA-256 is {found}, but key "
            f"'meta_params_sha256' of {CONFIG_FILE} is {config.meta_params_sha256}. {GET_AGAIN}"
        )
    return data


def _read(path: Path, largest: int) -> bytes:
    # A link may lead anywhere.
    size = path.stat().st_size if path.is_file() and not path.is_symlink() else -1
    if not 0 <= size <= largest:
        found = f"size: {size}" if size >= 0 else "a link or no file at all"
        raise ReleaseError(
            f"{path} is not a file of at most {largest} bytes ({found}). {GET_AGAIN}"
        )
    return path.read_bytes()


def _skeleton(config: ReleaseConfig, path: Path) -> LearnedOptimizer:
    """The optimizer with shapes and dtypes in place of its arrays; allocates nothing."""
    architecture = _architecture(config, path)
    try:
        skeleton: LearnedOptimizer = eqx.filter_eval_shape(
            lambda key: architecture(**config.hyper_parameters, key=key), jax.random.key(0)
        )
    except Exception as error:
        raise ReleaseError(
            f"{path}: {config.architecture} cannot be built with the 'hyper_parameters' "
            f"{config.hyper_parameters}: {error}"
        ) from error
    where = f"{path}: key 'hyper_parameters'"
    check_names(config.hyper_parameters, skeleton.hyper_parameters(), where)
    return skeleton


def _architecture(config: ReleaseConfig, path: Path) -> type[Any]:
    base: type[Any] = LearnedOptimizer
    known = concrete_classes(lopt.architectures, base)
    if config.architecture not in known:
        raise ReleaseError(
            f"{path}: unknown 'architecture' {config.architecture!r}; this lopt knows "
            f"{', '.join(known)}. Install the version of lopt that wrote the release."
        )
    architecture = known[config.architecture]
    if config.architecture_version != architecture.version:
        raise ReleaseError(
            f"{path}: 'architecture_version' of {config.architecture} is "
            f"{config.architecture_version}, but this lopt knows version {architecture.version}. "
            "Install the version of lopt that wrote the release."
        )
    return architecture


def _meta_params(tree: LearnedOptimizer) -> dict[str, Any]:
    return named_leaves(eqx.filter(tree, _is_array_or_shape))


def _is_array_or_shape(leaf: object) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)
