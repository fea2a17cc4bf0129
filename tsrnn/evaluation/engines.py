"""Where the work units of a backtest run: here, in processes of this machine, on a Dask or a Ray cluster, by joblib."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import BrokenProcessPool

__all__ = ["Engine", "find_engine", "spread"]

Key = TypeVar("Key")
Result = TypeVar("Result")

_ATTEMPTS = 3  # in a row that lose a worker and finish nothing

_WATCH_S = 2.0  # between two looks at whether the parent is alive


@dataclass(frozen=True)
class Engine:
    """A backend of joblib.

    Attributes
    ----------
    backend : str
        Its name.
    n_jobs : int
        Units at once; -1 for as many as there are workers.
    options : dict
        What `joblib.parallel_config` is given besides.
    streams : bool
        Whether results come one by one; otherwise in rounds of two for each worker.
    close : callable
        Lets go of what was opened for it.
    """

    backend: str
    n_jobs: int = -1
    options: dict[str, Any] = field(default_factory=dict)
    streams: bool = True
    close: Callable[[], object] = lambda: None

    @property
    def returns(self) -> str:
        """How joblib gives results."""
        return "generator_unordered" if self.streams else "list"

    def config(self) -> AbstractContextManager[Any]:
        """The context in which joblib uses it."""
        context: AbstractContextManager[Any] = parallel_config(self.backend, n_jobs=self.n_jobs, **self.options)
        return context


def find_engine(engine: Any) -> Engine:
    """The engine of a name.

    Parameters
    ----------
    engine : str or dask.distributed.Client
        ``"processes"`` (as many as cores) or ``"processes:2"``; ``"dask://host:port"``, the scheduler of a Dask
        cluster, or a client of one; ``"ray"``, the cluster in the environment variable ``RAY_ADDRESS`` or else one on
        this machine, or ``"ray://host:port"``.

    Raises
    ------
    ImportError
        If the library is not there; the message names the extra.
    ValueError
        If there is no such engine.
    """
    kind, _, where = engine.partition(":") if isinstance(engine, str) else ("dask", "", engine)
    if kind == "processes" and (not where or (where.isdigit() and int(where) > 0)):
        return Engine("loky", int(where) if where else _cores(), {"inner_max_num_threads": 1})
    if kind == "dask" and where:
        return _dask(where)
    if kind == "ray" and (not where or where.startswith("//")):
        return _ray(f"ray:{where}" if where else None)
    raise ValueError(
        f"engine={engine!r} is not known; give 'processes:2' for two processes of this machine, 'dask://host:port' for "
        "the scheduler of a Dask cluster, 'ray' or 'ray://host:port', or a client of Dask."
    )


def _dask(where: Any) -> Engine:
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("engine='dask://...' needs Dask: pip install 'tsrnn[dask]'.") from None
    if not isinstance(where, str | Client):
        raise ValueError(f"engine={where!r} is neither a name nor a client of Dask.")
    if isinstance(where, Client):
        return Engine("dask", options={"client": where})
    client = Client(f"tcp:{where}")
    return Engine("dask", options={"client": client}, close=client.close)


def _ray(address: str | None) -> Engine:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise ImportError("engine='ray' needs Ray: pip install 'tsrnn[ray]'.") from None
    found = ray.is_initialized()
    if not found:
        ray.init(address, log_to_driver=False)
    register_ray()
    n_jobs, again = int(ray.cluster_resources()["CPU"]), {"max_restarts": -1, "max_task_retries": -1}
    close = (lambda: None) if found else ray.shutdown
    return Engine("ray", n_jobs, {"ray_remote_args": again}, streams=False, close=close)


def spread(
    tasks: Mapping[Key, tuple[Any, ...]], do: Callable[..., Result], engine: Engine
) -> Iterator[tuple[Key, Result]]:
    """Results of ``do(*task)`` as they come.

    What was lost with a worker is done again, and nothing comes twice.

    Parameters
    ----------
    tasks : mapping
        Arguments by key.
    do : callable
        A function that the workers can import.
    engine : Engine
        Where.

    Raises
    ------
    RuntimeError
        If workers die again and again and nothing is finished meanwhile.
    """
    left, lost = dict(tasks), 0
    while left:
        several = list(islice(left.items(), None if engine.streams else 2 * engine.n_jobs))
        home = Home(os.getpid(), _threads(), engine.backend == "loky")
        calls = [delayed(_keyed)(key, home, do, *task) for key, task in several]
        with engine.config():
            parallel = Parallel(return_as=engine.returns, batch_size=1, mmap_mode="c")
        try:
            for key, result in parallel(calls):
                del left[key]
                lost = 0
                yield key, result
        except BrokenProcessPool as error:
            lost += 1
            if lost == _ATTEMPTS:
                raise RuntimeError(
                    f"worker processes died {lost} times in a row, and none of the {len(left)} units left was "
                    "finished: each is perhaps too large for the memory. Let fewer run at once, or none beside another "
                    "(engine=None)."
                ) from error


class Home(NamedTuple):
    """The process that asks for a task, its threads, and whether its workers end with it."""

    process: int
    threads: str
    is_parent: bool


def _keyed(key: Key, home: Home, do: Callable[..., Result], *task: Any) -> tuple[Key, Result]:
    """Do a task in a worker that was set up like the process that asks for it."""
    if os.getpid() != home.process:
        os.environ.setdefault("NPROC", home.threads)
        os.environ["TSRNN_PROGRESS"] = "0"
        if home.is_parent:
            _end_with(home.process)
    return key, do(*task)


@cache
def _end_with(parent: int) -> None:
    """End this process when its parent has been killed; joblib's would wait for work for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _threads() -> str:
    """Threads of XLA in this process. Workers get as many: how a sum is split, and so its last bits, depends on it."""
    return os.environ.get("NPROC") or str(_cores())


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
