"""Ray itself: found, started or joined, and how its cores and GPUs are shared out."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ANSWER_SECONDS = 5.0
"""How long a cluster may take to answer at all. Ray itself waits for one that is not there without end, deaf to Ctrl-C."""


class ClusterError(RuntimeError):
    """Ray is missing, cannot be reached, or has no place for a worker."""


@dataclass(frozen=True)
class Cluster:
    """Where the workers are.

    Args:
        workers: how many; left out, one for each GPU share, or without GPUs one for each core.
        address: of a Ray cluster that runs, such as `auto` or `ray://head:10001`; left out, $RAY_ADDRESS, or else Ray is started on
            this machine alone.
        gpus_per_worker: 0.5 puts two workers on a GPU; left out, 1 where the cluster has GPUs and the device is not cpu, else 0.
        threads: of each worker; left out, the cores shared out among the workers.
    """

    workers: int | None = None
    address: str | None = None
    gpus_per_worker: float | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("threads", 1), ("gpus_per_worker", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name.replace('_', ' ')} is {value}; it must be at least {least}")

    def shape(self, has: Mapping[str, float], device: str) -> tuple[int, int, float]:
        """How many workers on what the cluster has, and the threads and the share of a GPU of each."""
        cores, gpus = max(1, int(has.get("CPU", 1))), has.get("GPU", 0.0) if device != "cpu" else 0.0
        share = self.gpus_per_worker if self.gpus_per_worker is not None else (1.0 if gpus else 0.0)
        workers = self.workers or (max(1, int(gpus / share)) if share else max(1, cores // (self.threads or 1)))
        return workers, self.threads or max(1, cores // workers), share


@contextlib.contextmanager
def joined(cluster: Cluster) -> Iterator[Any]:
    """The module `ray`, joined to the cluster; one that was joined before stays so.

    Raises ClusterError.
    """
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    _start(ray, cluster)
    try:
        yield ray
    finally:
        ray.shutdown()


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a warning of what a later Ray will do
    try:
        import ray
    except ImportError:
        raise ClusterError("--engine ray needs Ray; in the checkout, run: pip install '.[ray]'") from None
    return ray


def _start(ray: Any, cluster: Cluster) -> None:
    import ray._private.worker as inner

    inner._worker_logs_enabled = False  # Ray tells of a worker's death on standard output, where --json belongs; we name the photo
    address = cluster.address or os.environ.get("RAY_ADDRESS")
    cores = {} if address else {"num_cpus": max(os.cpu_count() or 1, (cluster.workers or 1) * (cluster.threads or 1))}
    if address:
        _probe(address, ray.util.get_node_ip_address)
    try:
        ray.init(address=address or "local", include_dashboard=False, log_to_driver=False, logging_level="ERROR", **cores)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"at {address}" if address else "on this machine"
        raise ClusterError(f"Ray {where} cannot be used: {' '.join(str(error).split())[:300]}") from None


def _probe(address: str, own_ip: Callable[[], str]) -> None:
    """Raise ClusterError where nothing answers at HOST:PORT or ray://HOST:PORT. Other addresses, such as auto, are Ray's to find."""
    scheme, mark, rest = address.rpartition("://")
    if (mark and scheme != "ray") or rest in ("auto", "local"):
        return
    host, _, port = rest.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ClusterError(f"Ray at {address} cannot be used: no port to ask; write it as HOST:PORT, such as head:6379 or ray://head:10001")
    host = host.strip("[]")
    # what this machine calls itself by, Ray takes for its address in the network, and a cluster may listen there alone
    own = [own_ip()] if not mark and host in ("localhost", "127.0.0.1", "::1") else []
    for place in (host, *own):
        try:
            socket.create_connection((place, int(port)), timeout=ANSWER_SECONDS).close()
        except (OSError, UnicodeError) as error:  # the latter: a name that no host can have
            reason = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or "no host can be called so"
        else:
            return
    raise ClusterError(f"Ray at {address} cannot be used: {reason}; see that it runs there, and that --ray-address is right")
