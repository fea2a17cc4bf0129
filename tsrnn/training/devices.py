"""Where a run computes: on one device, or spread over several, of one process or of many.

While a run lasts its mesh is JAX's (`jax.set_mesh`), and the mesh's only axis says what is spread. Over ``batch``, every
device holds all data and weights and takes its rows of each batch; XLA adds their gradients up. Over ``members``, every
device trains members of its own, and nothing travels. A run on one device has no mesh and is compiled as ever.

In several processes the same program runs on the same data in each of them, and the first one writes the files.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec, get_abstract_mesh

from tsrnn.training.checkpoint import fingerprint

__all__ = ["apart", "batch_mesh", "batches", "check_alike", "everywhere", "is_first", "member_mesh", "shared", "split", "using", "whole"]

_BATCH, _MEMBERS = "batch", "members"


def batch_mesh(wanted: int | None, batch: Callable[[], Any]) -> Mesh | None:
    """Devices that take equal shares of every batch.

    Parameters
    ----------
    wanted : int or None
        How many, those of all processes together; None for the most that have equal shares.
    batch : callable
        Gives the shapes of a batch; called only where there are several devices.

    Returns
    -------
    Mesh or None
        None for one device.

    Raises
    ------
    ValueError
        If JAX does not see so many devices, or if they cannot have equal shares.
    """
    counts = _counts(wanted)
    if counts == [1]:
        return None
    shapes = [leaf.shape or (1,) for leaf in jax.tree.leaves(batch())]
    rows = math.gcd(*(shape[0] for shape in shapes))
    fit = [n for n in counts if rows % n == 0]
    if not fit:
        raise ValueError(
            f"a batch of {rows} rows cannot be shared evenly by {counts[0]} devices: give a batch_size that is a "
            f"multiple of {counts[0]}, or another number of devices."
        )
    return _mesh(_BATCH, fit[-1])


def member_mesh(wanted: int | None, n_members: int) -> Mesh | None:
    """Devices that share the members, no more of them than needed; see `batch_mesh`."""
    hosts = jax.process_count()
    return _mesh(_MEMBERS, min(_counts(wanted)[-1], hosts * -(-n_members // hosts)))


def using(mesh: Mesh | None) -> AbstractContextManager[Any]:
    """The context of a run; what follows is meant inside it, and does nothing where there is no mesh."""
    return nullcontext() if mesh is None else jax.set_mesh(mesh)


def everywhere(tree: Any) -> Any:
    """Arrays that every device holds as a whole."""
    return tree if get_abstract_mesh().empty else _laid_out(tree, PartitionSpec())


def batches(tree: Any) -> Any:
    """Batches stacked along the first axis, the rows of each shared by the devices if that goes evenly."""
    mesh = get_abstract_mesh()
    if mesh.empty or any(leaf.ndim < 2 or leaf.shape[1] % mesh.size for leaf in jax.tree.leaves(tree)):
        return everywhere(tree)
    return _laid_out(tree, PartitionSpec(None, mesh.axis_names))


def shared(members: Sequence[Any]) -> Any:
    """Members stacked along the first axis, as many on each device; where that is uneven, the last one several times."""
    mesh = get_abstract_mesh()
    again = 0 if mesh.empty else -len(members) % mesh.size
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members, *members[-1:] * again)
    return stack if mesh.empty else _laid_out(stack, PartitionSpec(_MEMBERS))


def split(batch: Any) -> Any:
    """In a step: every device computes its rows of the batch."""
    return jax.lax.with_sharding_constraint(batch, PartitionSpec(_BATCH)) if _spread(_BATCH) else batch


def whole(tree: Any) -> Any:
    """In a step: what all rows give together, on every device."""
    return jax.lax.with_sharding_constraint(tree, PartitionSpec()) if _spread(_BATCH) else tree


def apart(run: Callable[..., Any]) -> Callable[..., Any]:
    """A function of ``(members, data)`` that every device calls for its own members and all data."""
    if not _spread(_MEMBERS):
        return run
    own = PartitionSpec(_MEMBERS)
    return jax.shard_map(run, in_specs=(own, PartitionSpec()), out_specs=own, check_vma=False)


def check_alike(tree: Any) -> None:
    """Raise if the processes were given different arrays."""
    if jax.process_count() > 1:
        from jax.experimental.multihost_utils import assert_equal

        digest = np.frombuffer(bytes.fromhex(fingerprint(tree)), np.uint8)
        assert_equal(digest, "the processes have different data; fit must be given the same frame in each of them.")


def is_first() -> bool:
    """Whether this process writes files and shows progress."""
    return jax.process_index() == 0


def _counts(wanted: int | None) -> list[int]:
    """Numbers of devices to choose from, ascending: every process gives as many."""
    hosts = jax.process_count()
    counts = list(range(hosts, hosts * jax.local_device_count() + 1, hosts))
    if wanted is None:
        return counts
    if wanted not in counts:
        raise ValueError(f"devices={wanted} is not to be had here; choose one of {', '.join(map(str, counts))}, or None.")
    return [wanted]


def _mesh(axis: str, n: int) -> Mesh | None:
    hosts = jax.process_count()
    chosen = [device for host in range(hosts) for device in jax.local_devices(process_index=host)[: n // hosts]]
    return None if n == 1 else Mesh(chosen, (axis,))


@partial(jax.jit, static_argnames="spec")
def _laid_out(tree: Any, spec: PartitionSpec) -> Any:
    return jax.lax.with_sharding_constraint(tree, spec)


def _spread(axis: str) -> bool:
    return axis in get_abstract_mesh().axis_names
