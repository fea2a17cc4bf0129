"""The whole state of a run on disk, so that a run that was killed goes on as if nothing had happened."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

__all__ = ["CheckpointMismatch", "Checkpoints", "fingerprint"]


class CheckpointMismatch(ValueError):
    """The folder holds the state of another run; the message names what differs."""


class Checkpoints:
    """A folder with the last two states of a run (orbax; a state appears in one move, whole or not at all).

    Parameters
    ----------
    folder : str
        Made if it does not exist.
    identity : mapping of str to str
        What the run is, part by part; a state of another identity is not given out.
    """

    def __init__(self, folder: str, identity: Mapping[str, str]) -> None:
        import orbax.checkpoint as orbax

        self._args = orbax.args
        self._identity = dict(identity)
        self._folder = Path(folder).resolve()
        options = orbax.CheckpointManagerOptions(max_to_keep=2)
        self._manager = orbax.CheckpointManager(self._folder, options=options)

    def restore(self, like: Any) -> Any | None:
        """The last state, as a pytree like ``like``; None if there is none.

        Raises
        ------
        CheckpointMismatch
            If it belongs to another run.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        meta = self._manager.restore(step, args=self._args.Composite(identity=self._args.JsonRestore())).identity
        changed = [name for name, value in self._identity.items() if meta.get(name) != value]
        if changed:
            raise CheckpointMismatch(
                f"the checkpoint in {self._folder} belongs to another run: {', '.join(changed)} changed since. Restore "
                "what it was trained with, or give another folder (or delete this one) to train afresh."
            )
        leaves, tree = jax.tree.flatten(like)
        args = self._args.Composite(state=self._args.StandardRestore())
        found = self._manager.restore(step, args=args).state
        return jax.tree.unflatten(tree, [found.get(str(i), leaf) for i, leaf in enumerate(leaves)])

    def save(self, step: int, state: Any) -> None:
        """Write a state; the disk works while training goes on."""
        arrays = enumerate(jax.tree.leaves(jax.device_get(state)))
        leaves = {str(i): array for i, array in arrays if array.size}  # orbax keeps no empty ones
        self._manager.save(
            step,
            args=self._args.Composite(
                state=self._args.StandardSave(leaves), identity=self._args.JsonSave(self._identity)
            ),
        )

    def close(self) -> None:
        """Wait for the disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def fingerprint(tree: Any) -> str:
    """A digest of all arrays of a pytree, their shapes and types."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        array = np.asarray(leaf)
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
