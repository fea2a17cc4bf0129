"""Where a run computes: on one device, or spread over several, of one process or of many.

While a run lasts its mesh is JAX's (`jax.set_mesh`), and the mesh's only axis says what is spread. Along ``batch``,
every device holds all data and weights and takes its rows of each batch; XLA adds their gradients up. Along
``members``, every device trains members of its own, and nothing travels. A run on one device has no mesh.

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
from jax.sharding import AxisType, Mesh, PartitionSpec, get_abstract_mesh

from tsrnn.training.checkpoint import fingerprint

__all__ = [
    "apart",
    "batch_mesh",
    "batches",
    "check_alike",
    "everywhere",
    "is_first",
    "member_mesh",
    "shared",
    "split",
    "using",
]

_BATCH, _MEMBERS = "batch", "members"

_spec: Any = PartitionSpec  # JAX has no types for it


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
    """The context of a run. What follows is meant inside it, and changes nothing where there is no mesh."""
    return nullcontext() if mesh is None else jax.set_mesh(mesh)


def everywhere(tree: Any) -> Any:
    """Arrays that every device holds as a whole."""
    return _laid_out(tree)


def split(batch: Any) -> Any:
    """A batch of which every device holds its rows."""
    return _laid_out(batch, _BATCH)


def batches(tree: Any) -> Any:
    """Batches stacked along the first axis, every device with its rows of each if they divide evenly."""
    mesh = get_abstract_mesh()
    even = all(leaf.ndim > 1 and leaf.shape[1] % (mesh.size or 1) == 0 for leaf in jax.tree.leaves(tree))
    return _laid_out(tree, None, mesh.axis_names) if even else everywhere(tree)


def shared(members: Sequence[Any]) -> Any:
    """Members stacked along the first axis, as many on each device; the last one again where that is uneven."""
    again = -len(members) % (get_abstract_mesh().size or 1)
    return _laid_out(jax.tree.map(lambda *leaves: jnp.stack(leaves), *members, *[members[-1]] * again), _MEMBERS)


def apart(run: Callable[..., Any]) -> Callable[..., Any]:
    """A function of ``(members, data)`` that every device calls for its own members and all data."""
    if get_abstract_mesh().empty:
        return run
    own, all_of_it = _spec(_MEMBERS), _spec()
    return jax.shard_map(run, in_specs=(own, all_of_it), out_specs=own, check_vma=False)


def check_alike(tree: Any) -> None:
    """Raise a ValueError if the processes were given different arrays."""
    if jax.process_count() > 1:
        from jax.experimental.multihost_utils import process_allgather

        digests = process_allgather(np.frombuffer(bytes.fromhex(fingerprint(tree)), np.uint8))
        if (digests != digests[:1]).any():
            raise ValueError("the processes hold different data or weights; give all of them the same frame and seed.")


def is_first() -> bool:
    """Whether this process is the one that writes logs and shows progress."""
    return jax.process_index() == 0


def _counts(wanted: int | None) -> list[int]:
    """Numbers of devices to choose from, ascending: every process gives as many."""
    hosts = jax.process_count()
    counts = list(range(hosts, hosts * jax.local_device_count() + 1, hosts))
    if wanted is None:
        return counts
    if wanted not in counts:
        raise ValueError(f"devices={wanted} is not possible; choose one of {', '.join(map(str, counts))}, or None.")
    return [wanted]


def _mesh(axis: str, n: int) -> Mesh | None:
    hosts = jax.process_count()
    chosen = [device for host in range(hosts) for device in jax.local_devices(process_index=host)[: n // hosts]]
    return None if n == 1 else Mesh(chosen, (axis,))


def _laid_out(tree: Any, *axes: Any) -> Any:
    mesh = get_abstract_mesh()
    if mesh.empty or AxisType.Manual in mesh.axis_types:  # no mesh, or a device on its own with its members
        return tree
    return _constrained(tree, _spec(*axes))


@partial(jax.jit, static_argnames="spec")
def _constrained(tree: Any, spec: Any) -> Any:
    constrain: Any = jax.lax.with_sharding_constraint
    return constrain(tree, spec)
