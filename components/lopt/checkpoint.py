"""Checkpoints: the whole state of a meta-training, to go on from bit for bit; private.

Unlike a release, a checkpoint is read only by the code that wrote it: it holds numbers, and
the structure they belong to comes from that code.
"""

import functools
import importlib
import json
import logging
import shutil
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from lopt.disk_space import free_on, megabytes, why_full
from lopt.packed_state import CheckpointError, PackedState, pack, unpack

__all__ = ["CheckpointError", "Checkpoints", "Damage"]

T = TypeVar("T")


class Damage(NamedTuple):
    """A checkpoint that could not be read, and where it was moved."""

    meta_step: int
    reason: str
    moved_to: Path


class Checkpoints:
    """The checkpoints in one directory, the newest `keep` of them.

    `save` is synchronous and atomic: when it returns the checkpoint is written, and a process
    killed before leaves the one before as the latest. Every checkpoint carries a SHA-256 of
    its facts and of every byte of its arrays, and is verified when it is read. Arrays come
    back with the same bits, dtypes and PRNG implementations. What is not an array (functions,
    static fields) or has no elements comes from `like`; weak types become strong ones. One
    process at a time may use a directory. Written by orbax, https://orbax.readthedocs.io.

    Raises `CheckpointError` if `keep` is not at least one.

    **Example**

    ```python
    with Checkpoints(Path("checkpoints"), keep=3) as checkpoints:
        checkpoints.save(100, meta_state, {"conf": conf_digest})
        meta_state, facts = checkpoints.restore(like=meta_state)
    ```
    """

    def __init__(self, directory: Path, keep: int = 3) -> None:
        if keep < 1:
            raise CheckpointError(f"keep is {keep}, but at least one checkpoint has to be kept.")
        ocp = _orbax()
        self._directory = Path(directory).absolute()
        # What orbax makes itself, or saves, it does only when all processes of a run do.
        self._directory.mkdir(parents=True, exist_ok=True)
        # Orbax does that in a thread of its own, of which an error is raised by the next save.
        _remove_parts(self._directory, "*")
        here = jax.process_index()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            create=False,
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                primary_host=here, active_processes={here}
            ),
            enable_async_checkpointing=False,
        )
        self._args = ocp.args
        self._manager = ocp.CheckpointManager(self._directory, options=options)

    @property
    def directory(self) -> Path:
        """Where the checkpoints are."""
        return self._directory

    def save(self, meta_step: int, meta_state: Any, facts: dict[str, Any]) -> None:
        """Write `meta_state` and `facts` (JSON) as the checkpoint of `meta_step`.

        Saving the very same thing again changes nothing. Raises `CheckpointError` if there is
        another checkpoint of this step or a later one, if `facts` is not JSON, if a leaf is a
        Python number, or if it cannot be written: then the ones before are as they were, and
        what was written of it is removed.
        """
        packed = pack(meta_state)
        record = {"facts": _checked(facts), "leaves": packed.listing}
        record["digest"] = packed.digest(facts)
        if meta_step in self._manager.all_steps() and self.digest(meta_step) == record["digest"]:
            return
        self._check_is_newest(meta_step)
        state = self._args.StandardSave(_numbered(packed))
        composite = self._args.Composite(state=state, record=self._args.JsonSave(record))
        try:
            self._manager.save(meta_step, args=composite, force=True)
        except Exception as error:
            # Gives back the space, which others need to say that there is none.
            _remove_parts(self._directory, str(meta_step))
            self._manager.reload()
            raise self._unwritten(meta_step, packed, error) from error

    def latest(self) -> int | None:
        """Return the newest meta-step there is a checkpoint of, `None` without any."""
        latest: int | None = self._manager.latest_step()
        return latest

    def digest(self, meta_step: int) -> str:
        """Return the SHA-256 (hexadecimal) of the checkpoint of `meta_step`, as it was saved.

        Raises `CheckpointError` if there is none or its record cannot be read.
        """
        try:
            return str(self._read_record(meta_step)["digest"])
        except Exception as error:
            raise self._damaged(meta_step, error) from error

    def facts(self, meta_step: int) -> dict[str, Any]:
        """Return the facts of the checkpoint of `meta_step`, without reading its arrays.

        Raises `CheckpointError` if there is none or its record cannot be read.
        """
        try:
            return dict(self._read_record(meta_step)["facts"])
        except Exception as error:
            raise self._damaged(meta_step, error) from error

    def restore(self, like: T) -> tuple[T, dict[str, Any]]:
        """Return the newest state and its facts; `like` has the structure, shapes and dtypes.

        Leaves of `like` may be `jax.ShapeDtypeStruct`s. Raises `CheckpointError` if there is
        no checkpoint, if the newest is damaged (`set_aside_damaged` is the way out), or if it
        does not fit `like`, naming the first difference.
        """
        latest = self.latest()
        if latest is None:
            raise CheckpointError(f"There is no checkpoint in {self._directory}; save one first.")
        packed, facts = self._read(latest)
        try:
            return unpack(packed, like), facts
        except CheckpointError as error:
            raise CheckpointError(f"{self._directory / str(latest)}: {error}") from error

    def set_aside_damaged(self) -> tuple[Damage, ...]:
        """Move the damaged checkpoints that are newer than the newest sound one out of the way.

        Afterwards `restore` goes on from the sound one. Nothing is deleted. The caller should
        report what is returned. Raises `CheckpointError` if there are checkpoints but none is
        sound, and then moves nothing.
        """
        damaged = []
        for meta_step in sorted(self._manager.all_steps(), reverse=True):
            try:
                self._read(meta_step)
            except CheckpointError as error:
                damaged.append((meta_step, str(error)))
            else:
                return tuple(Damage(step, why, self._move_aside(step)) for step, why in damaged)
        if damaged:
            raise CheckpointError(
                f"No checkpoint in {self._directory} can be gone on from. {damaged[0][1]} "
                f"Damaged: {', '.join(str(step) for step, _ in damaged)}. "
                f"Move {self._directory} away to begin anew."
            )
        return ()

    def set_aside_newer(self, meta_step: int) -> tuple[Path, ...]:
        """Move checkpoints of later meta-steps out of the way; return where they are now.

        Nothing is deleted. For a run that takes those meta-steps again.
        """
        newer = [step for step in self._manager.all_steps() if step > meta_step]
        return tuple(self._move_aside(step, "newer") for step in newer)

    def close(self) -> None:
        """Free what orbax holds; the object cannot be used any more."""
        self._manager.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check_is_newest(self, meta_step: int) -> None:
        latest = self.latest()
        if latest is not None and meta_step <= latest:
            raise CheckpointError(
                f"{self._directory} has a checkpoint of meta-step {latest}, so another one of "
                f"meta-step {meta_step} is not written: go on from the latest one, or begin in "
                "another directory."
            )

    def _read(self, meta_step: int) -> tuple[PackedState, dict[str, Any]]:
        try:
            return self._read_sound(meta_step)
        except Exception as error:
            raise self._damaged(meta_step, error) from error

    def _read_sound(self, meta_step: int) -> tuple[PackedState, dict[str, Any]]:
        record = self._read_record(meta_step)
        stored = self._manager.restore(
            meta_step, args=self._args.Composite(state=self._args.StandardRestore())
        )
        packed = _packed(record["leaves"], stored["state"])
        if (found := packed.digest(record["facts"])) != record["digest"]:
            raise CheckpointError(f"its SHA-256 is {found}, but was {record['digest']}")
        return packed, record["facts"]

    def _read_record(self, meta_step: int) -> dict[str, Any]:
        if meta_step not in self._manager.all_steps():
            raise CheckpointError(f"there are only those of {self._manager.all_steps()}")
        composite = self._args.Composite(record=self._args.JsonRestore())
        record: dict[str, Any] = self._manager.restore(meta_step, args=composite)["record"]
        return record

    def _damaged(self, meta_step: int, error: Exception) -> CheckpointError:
        return CheckpointError(
            f"The checkpoint {self._directory / str(meta_step)} cannot be used: "
            f"{type(error).__name__}: {error}. If one before it is sound, `set_aside_damaged()` "
            "moves it away, so that that one is gone on from."
        )

    def _unwritten(self, meta_step: int, packed: PackedState, error: Exception) -> CheckpointError:
        full, latest = why_full(error), self.latest()
        reason = full or f"{type(error).__name__}: {error}"
        if latest == meta_step:
            return CheckpointError(
                f"The checkpoint {self._directory / str(meta_step)} is written, but those that it "
                f"makes superfluous cannot be removed: {reason}."
            )
        wanted = megabytes(sum(array.nbytes for array in packed.arrays))
        before = "There is none before it" if latest is None else f"That of {latest} is whole"
        return CheckpointError(
            f"The checkpoint of meta-step {meta_step} in {self._directory} cannot be written: "
            f"{reason}. It takes more than {wanted}, and {free_on(self._directory)} are free. "
            f"{before}: {'make room' if full else 'mend that'}, and go on from there."
        )

    def _move_aside(self, meta_step: int, why: str = "damaged") -> Path:
        target = self._directory / f"{why}-{meta_step}-{uuid.uuid4().hex[:8]}"
        moved = (self._directory / str(meta_step)).rename(target)
        self._manager.reload()
        return moved


def _remove_parts(directory: Path, meta_steps: str) -> None:
    """Remove what was written of checkpoints that never were; threads of orbax may do the same."""
    for part in directory.glob(f"{meta_steps}.orbax-checkpoint-tmp*"):
        shutil.rmtree(part, ignore_errors=True)


# Orbax takes seconds to import, and declares its types only in part.
@functools.cache
def _orbax() -> Any:
    # It also logs, from threads of its own, the tracebacks of what it raises.
    logging.getLogger("absl").addFilter(
        lambda record: not (record.exc_info and "orbax" in record.pathname)
    )
    return importlib.import_module("orbax.checkpoint")


def _checked(facts: dict[str, Any]) -> dict[str, Any]:
    try:
        unchanged = json.loads(json.dumps(facts, allow_nan=False)) == facts
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"The facts {facts!r} are not JSON: {error}.") from error
    if not unchanged:
        raise CheckpointError(f"The facts {facts!r} would not come back from JSON as they are.")
    return facts


# By number, because leaf names may hold what a storage key may not.
def _numbered(packed: PackedState) -> dict[str, np.ndarray]:
    return {f"{index:05d}": array for index, array in enumerate(packed.arrays)}


def _packed(listing: list[dict[str, Any]], stored: dict[str, np.ndarray]) -> PackedState:
    return PackedState(listing, [stored[f"{index:05d}"] for index in range(len(listing))])
