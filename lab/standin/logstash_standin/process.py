"""The figures of the process and of the JVM that is not there."""

import os
import resource
import time
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_TICKS = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
"""When the process was started, in clock ticks since boot (proc(5): field 22 of `stat`)."""

_MEBI = 2**20
_HEAP = 1024 * _MEBI
_THREADS = 30
_NON_HEAP = 100 * _MEBI


def uptime() -> float:
    """Seconds since the process was started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - _TICKS / os.sysconf("SC_CLK_TCK")


def process() -> Json:
    """True figures of this process, in the shape of `/_node/stats`."""
    descriptors = len(os.listdir("/proc/self/fd"))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    times = os.times()
    spent = int((times.user + times.system) * 1000)
    minutes = dict(zip(("1m", "5m", "15m"), os.getloadavg(), strict=True))
    return {
        "open_file_descriptors": descriptors,
        "peak_open_file_descriptors": descriptors,
        "max_file_descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "mem": {"total_virtual_in_bytes": pages * os.sysconf("SC_PAGE_SIZE")},
        "cpu": {
            "total_in_millis": spent,
            "percent": spent // max(10, int(uptime() * 10)),
            "load_average": minutes,
        },
    }


def jvm_stats() -> Json:
    """Invented, plausible figures, in the shape of `/_node/stats`: a heap that fills and is collected."""
    collections = int(uptime() // 60)
    used = 100 * _MEBI + int(uptime() % 60 * _MEBI)

    def pool(share: int, limit: int) -> Json:
        return {
            "max_in_bytes": limit,
            "peak_max_in_bytes": limit,
            "peak_used_in_bytes": used // share,
            "used_in_bytes": used // share,
            "committed_in_bytes": _HEAP // share,
        }

    def collector(count: int) -> Json:
        return {"collection_count": count, "collection_time_in_millis": 20 * count}

    return {
        "threads": {"count": _THREADS, "peak_count": _THREADS},
        "mem": {
            "heap_used_percent": 100 * used // _HEAP,
            "heap_committed_in_bytes": _HEAP,
            "heap_max_in_bytes": _HEAP,
            "heap_used_in_bytes": used,
            "non_heap_used_in_bytes": _NON_HEAP,
            "non_heap_committed_in_bytes": _NON_HEAP,
            "pools": {"young": pool(4, -1), "old": pool(2, _HEAP), "survivor": pool(16, -1)},
        },
        "gc": {"collectors": {"young": collector(collections), "old": collector(0)}},
        "uptime_in_millis": int(uptime() * 1000),
    }


def jvm_info() -> Json:
    """The JVM, in the shape of `/_node`; its name says that there is none."""
    return {
        "pid": os.getpid(),
        "version": "0",
        "vm_version": "0",
        "vm_vendor": "none",
        "vm_name": "none: the lab's stand-in for Logstash",
        "start_time_in_millis": int((time.time() - uptime()) * 1000),
        "mem": {
            "heap_init_in_bytes": _HEAP,
            "heap_max_in_bytes": _HEAP,
            "non_heap_init_in_bytes": 0,
            "non_heap_max_in_bytes": 0,
        },
        "gc_collectors": ["G1 Young Generation", "G1 Old Generation"],
    }


def os_info() -> Json:
    """The system, in the shape of `/_node`."""
    system = os.uname()
    return {
        "name": system.sysname,
        "arch": "amd64" if system.machine == "x86_64" else system.machine,
        "version": system.release,
        "available_processors": os.cpu_count(),
    }


def os_stats() -> Json:
    """Control groups, in the shape of `/_node/stats`, without limits."""
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
