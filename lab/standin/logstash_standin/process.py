"""Statistics of the process, and invented ones of the JVM that the stand-in does not have."""

import os
import re
import resource
import time
from pathlib import Path
from typing import Any

from .errors import JavaError

Json = dict[str, Any]

_START_TICKS = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
"""The process's start in clock ticks since boot (proc(5): field 22 of `stat`)."""

_MEBI = 2**20
_THREADS = 30
_NON_HEAP = 100 * _MEBI


def uptime() -> float:
    """Seconds since the process was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - _START_TICKS / os.sysconf("SC_CLK_TCK")


def heap() -> tuple[int, int]:
    """The heap's initial and maximum size in bytes, by LS_JAVA_OPTS. Raises `JavaError` as Java words it."""
    sizes = {"ms": 1024 * _MEBI, "mx": 1024 * _MEBI}
    for option in os.environ.get("LS_JAVA_OPTS", "").split():
        if kind := re.match(r"-X(ms|mx)", option):
            size = re.fullmatch(r"(\d+)([kmgt]?)", option[4:].lower())
            if size is None:
                which = "initial" if kind[1] == "ms" else "maximum"
                raise JavaError(f"Invalid {which} heap size: {option}")
            sizes[kind[1]] = int(size[1]) << 10 * " kmgt".index(size[2] or " ")
    if sizes["ms"] > sizes["mx"]:
        raise JavaError("Initial heap size set to a larger value than the maximum heap size")
    return sizes["ms"], sizes["mx"]


def process_stats() -> Json:
    """True statistics of this process, in the shape of `/_node/stats`."""
    descriptors = len(os.listdir("/proc/self/fd"))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    times = os.times()
    cpu_millis = int((times.user + times.system) * 1000)
    load_average = dict(zip(("1m", "5m", "15m"), os.getloadavg(), strict=True))
    return {
        "open_file_descriptors": descriptors,
        "peak_open_file_descriptors": descriptors,
        "max_file_descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "mem": {"total_virtual_in_bytes": pages * os.sysconf("SC_PAGE_SIZE")},
        "cpu": {
            "total_in_millis": cpu_millis,
            "percent": cpu_millis // max(10, int(uptime() * 10)),
            "load_average": load_average,
        },
    }


def jvm_stats() -> Json:
    """Invented statistics in the shape of `/_node/stats`: a heap that is collected once a minute."""
    committed, maximum = heap()
    collections = int(uptime() // 60)
    used = min(100 * _MEBI + int(uptime() % 60 * _MEBI), maximum)

    def pool(share: int, limit: int) -> Json:
        return {
            "max_in_bytes": limit,
            "peak_max_in_bytes": limit,
            "peak_used_in_bytes": used // share,
            "used_in_bytes": used // share,
            "committed_in_bytes": committed // share,
        }

    def collector(count: int) -> Json:
        return {"collection_count": count, "collection_time_in_millis": 20 * count}

    return {
        "threads": {"count": _THREADS, "peak_count": _THREADS},
        "mem": {
            "heap_used_percent": 100 * used // maximum,
            "heap_committed_in_bytes": committed,
            "heap_max_in_bytes": maximum,
            "heap_used_in_bytes": used,
            "non_heap_used_in_bytes": _NON_HEAP,
            "non_heap_committed_in_bytes": _NON_HEAP,
            "pools": {"young": pool(4, -1), "old": pool(2, maximum), "survivor": pool(16, -1)},
        },
        "gc": {"collectors": {"young": collector(collections), "old": collector(0)}},
        "uptime_in_millis": int(uptime() * 1000),
    }


def jvm_info() -> Json:
    """The JVM, in the shape of `/_node`. Its name says that there is none."""
    initial, maximum = heap()
    return {
        "pid": os.getpid(),
        "version": "0",
        "vm_version": "0",
        "vm_vendor": "none",
        "vm_name": "none: the lab's stand-in for Logstash",
        "start_time_in_millis": int((time.time() - uptime()) * 1000),
        "mem": {
            "heap_init_in_bytes": initial,
            "heap_max_in_bytes": maximum,
            "non_heap_init_in_bytes": 0,
            "non_heap_max_in_bytes": 0,
        },
        "gc_collectors": ["G1 Young Generation", "G1 Old Generation"],
    }


def os_info() -> Json:
    """The operating system, in the shape of `/_node`."""
    system = os.uname()
    return {
        "name": system.sysname,
        "arch": "amd64" if system.machine == "x86_64" else system.machine,
        "version": system.release,
        "available_processors": os.cpu_count(),
    }


def os_stats() -> Json:
    """Control groups without limits, in the shape of `/_node/stats`."""
    return {
        "cgroup": {
            "cpuacct": {"control_group": "/", "usage_nanos": time.process_time_ns()},
            "cpu": {
                "control_group": "/",
                "cfs_period_micros": 100_000,
                "cfs_quota_micros": -1,
                "stat": {
                    "number_of_elapsed_periods": 0,
                    "number_of_times_throttled": 0,
                    "time_throttled_nanos": 0,
                },
            },
        }
    }
