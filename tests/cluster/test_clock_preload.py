"""The clock preload, on this machine's own programs; needs a compiler, and no root."""

from __future__ import annotations

import json
import mmap
import select
import subprocess
import sys
import threading
import time

import pytest

from splitbrain.cluster import preload
from splitbrain.cluster.layers import BasedSkew, bent_ns
from splitbrain.cluster.on_node import places, skew
from splitbrain.core.cluster import Skew
from splitbrain.core.errors import SetupError

pytestmark = pytest.mark.skipif(preload.compiler() is None, reason="there is no C compiler")
SECOND = 1_000_000_000

# Every way in which a program asks for the time, beside the true clock by a raw system call.
_READER = """
import ctypes, json, sys, time
libc = ctypes.CDLL(None)
class Spec(ctypes.Structure):
    _fields_ = [("s", ctypes.c_long), ("n", ctypes.c_long)]
def ns(spec): return spec.s * 10**9 + spec.n
def read():
    raw, spec, val = Spec(), Spec(), Spec()
    libc.syscall(228, 0, ctypes.byref(raw))
    out = {"real": ns(raw), "clock_gettime": time.time_ns()}
    libc.clock_gettime(5, ctypes.byref(spec)); out["coarse"] = ns(spec)
    libc.clock_gettime(11, ctypes.byref(spec)); out["tai"] = ns(spec)
    libc.gettimeofday(ctypes.byref(val), None); out["gettimeofday"] = val.s * 10**9 + val.n * 1000
    libc.time.restype = ctypes.c_long; out["time"] = libc.time(None) * 10**9
    libc.timespec_get(ctypes.byref(spec), 1); out["timespec_get"] = ns(spec)
    out["monotonic"] = time.monotonic_ns()
    libc.syscall(228, 1, ctypes.byref(raw)); out["real_monotonic"] = ns(raw)
    return out
for line in sys.stdin:
    print(json.dumps(read()), flush=True)
"""


@pytest.fixture
def skew_file(tmp_path, monkeypatch):
    """A skew file of our own, and the library."""
    for name in ("SKEW", "INTENT", "PIDS", "VOLATILE", "LASTING", "LOGS"):
        monkeypatch.setattr(places, name, tmp_path / name.lower())
    places.make_folders()
    skew.create()
    library = tmp_path / "clock_preload.so"
    library.write_bytes(preload.clock_preload())
    return {"LD_PRELOAD": str(library), "SPLITBRAIN_SKEW_FILE": str(places.SKEW)}


class Reader:
    def __init__(self, environment):
        self.process = subprocess.Popen(
            [sys.executable, "-ISc", _READER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def read(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def reader(skew_file):
    made = Reader(skew_file)
    yield made
    made.close()


def bend(*layers):
    rows = [
        {"base_ns": None, "offset_ns": 0, "rate_ppb": 0, "strobe_ns": 0, **layer}
        for layer in layers
    ]
    return skew.write({"layers": rows, "preload": "clock_preload.so"})["bases_ns"]


@pytest.mark.skipif(sys.platform != "linux" or sys.maxsize < 2**32, reason="64-bit Linux")
def test_every_wall_clock_jumps_and_the_monotonic_clock_does_not(reader):
    before = reader.read()
    bend({"offset_ns": 1000 * SECOND})
    after = reader.read()
    tolerance = {"time": 2 * SECOND, "coarse": SECOND, "tai": 61 * SECOND}
    for name in ("clock_gettime", "coarse", "tai", "gettimeofday", "time", "timespec_get"):
        off_before, off_after = (item[name] - item["real"] for item in (before, after))
        assert abs(off_before) < tolerance.get(name, SECOND), name
        assert abs(off_after - off_before - 1000 * SECOND) < 2 * SECOND, name
    for item in (before, after):
        assert 0 <= item["real_monotonic"] - item["monotonic"] < SECOND
    bend()
    assert abs((healed := reader.read())["clock_gettime"] - healed["real"]) < SECOND


def test_a_jump_back_before_1970_is_a_time_too(reader):
    bend({"offset_ns": -100 * 365 * 86400 * SECOND})
    seen = reader.read()
    assert seen["timespec_get"] - seen["real"] == pytest.approx(
        -100 * 365 * 86400 * SECOND, abs=SECOND
    )
    assert seen["gettimeofday"] < 0


def test_layers_add_up_as_the_pure_function_says(reader):
    layers = (
        Skew(offset_ns=50 * SECOND),
        Skew(rate_ppb=200_000_000),
        Skew(offset_ns=3000 * SECOND, strobe_ns=40_000_000),
        Skew(offset_ns=-7 * SECOND, rate_ppb=-100_000_000),
    )
    bases = bend(
        *(
            {"offset_ns": s.offset_ns, "rate_ppb": s.rate_ppb, "strobe_ns": s.strobe_ns}
            for s in layers
        )
    )
    based = [BasedSkew(item, base) for item, base in zip(layers, bases, strict=True)]
    agreed = strobed = 0
    deadline = time.monotonic() + 20
    while (agreed < 50 or strobed < 2) and time.monotonic() < deadline:
        seen = reader.read()
        wanted = [bent_ns(seen["real"] + late, based) for late in (0, 5_000_000)]
        if abs(wanted[0] - wanted[1]) > SECOND:
            continue  # the strobe may change between the two reads
        assert abs(seen["clock_gettime"] - seen["real"] - wanted[0]) < 20_000_000 + SECOND // 100
        agreed += 1
        strobed += (wanted[0] > 2000 * SECOND) == (strobed % 2 == 0)
    assert agreed >= 50
    assert strobed >= 2


def test_a_writer_that_dies_half_way_stops_nobody(reader):
    bend({"offset_ns": 5 * SECOND})
    with places.SKEW.open("r+b") as file:
        sequence = int.from_bytes(file.read(8), "little")
        file.seek(0)
        file.write((sequence + 1).to_bytes(8, "little"))
    seen = reader.read()
    assert seen["clock_gettime"] - seen["real"] == pytest.approx(5 * SECOND, abs=SECOND)
    bend({"offset_ns": 9 * SECOND})
    seen = reader.read()
    assert seen["clock_gettime"] - seen["real"] == pytest.approx(9 * SECOND, abs=SECOND)


_WAITER = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
static int64_t mono(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}
static struct timespec soon(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_nsec += 100000000;
    if (t.tv_nsec >= 1000000000) { t.tv_nsec -= 1000000000; t.tv_sec++; }
    return t;
}
#define TIMED(name, clock, wait) do {                                                             \
    struct timespec at = soon(clock); int64_t from = mono(); wait;                                 \
    printf("%s %lld\n", name, (long long)(mono() - from)); } while (0)
int main(void)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, taken = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t wall = PTHREAD_COND_INITIALIZER, steady;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&steady, &attr);
    sem_t sem;
    sem_init(&sem, 0, 0);
    pthread_mutex_lock(&mutex);
    pthread_mutex_lock(&taken);
    TIMED("cond", CLOCK_REALTIME, pthread_cond_timedwait(&wall, &mutex, &at));
    TIMED("cond-monotonic", CLOCK_MONOTONIC, pthread_cond_timedwait(&steady, &mutex, &at));
    TIMED("cond-clockwait", CLOCK_REALTIME,
          pthread_cond_clockwait(&wall, &mutex, CLOCK_REALTIME, &at));
    TIMED("cond-clockwait-monotonic", CLOCK_MONOTONIC,
          pthread_cond_clockwait(&wall, &mutex, CLOCK_MONOTONIC, &at));
    TIMED("sem", CLOCK_REALTIME, sem_timedwait(&sem, &at));
    TIMED("sem-clockwait", CLOCK_REALTIME, sem_clockwait(&sem, CLOCK_REALTIME, &at));
    TIMED("mutex", CLOCK_REALTIME, pthread_mutex_timedlock(&taken, &at));
    TIMED("nanosleep", CLOCK_REALTIME, clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, 0));
    TIMED("nanosleep-monotonic", CLOCK_MONOTONIC,
          clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, 0));
    return 0;
}
"""


@pytest.mark.parametrize("offset_s", [-3600, 3600])
def test_waits_until_a_wall_clock_moment_keep_their_length(skew_file, tmp_path, offset_s):
    (tmp_path / "waiter.c").write_text(_WAITER)
    program = tmp_path / "waiter"
    command = [preload.compiler(), "-o", program, tmp_path / "waiter.c", "-lpthread"]
    subprocess.run(command, check=True)
    bend({"offset_ns": offset_s * SECOND})
    done = subprocess.run(
        [program], env=skew_file, capture_output=True, text=True, check=True, timeout=30
    )
    waits = dict(line.split() for line in done.stdout.splitlines())
    assert len(waits) == 9
    for name, waited in waits.items():
        # Without the mapping they end at once, or after an hour.
        assert 90_000_000 < int(waited) < 20 * SECOND, name


def test_changes_show_to_readers_whole(skew_file):
    """A reader never sees the offset of one write with the count of another."""
    ended = threading.Event()
    failures = []

    def write() -> None:
        while not ended.is_set():
            bend({"offset_ns": 1000 * SECOND}, {"offset_ns": -1000 * SECOND})
            bend({"offset_ns": 5000 * SECOND}, {"offset_ns": -5000 * SECOND})

    writer = threading.Thread(target=write)
    bend({"offset_ns": 1000 * SECOND}, {"offset_ns": -1000 * SECOND})
    made = Reader(skew_file)
    writer.start()
    try:
        for _ in range(300):
            seen = made.read()
            if abs(seen["clock_gettime"] - seen["real"]) > SECOND:
                failures.append(seen)
    finally:
        ended.set()
        writer.join()
        made.close()
    assert failures == []


def test_a_reader_waits_for_a_writer_that_is_slow_half_way(skew_file):
    """A writer may lose its processor, or wait for a disk, between the halves of a change."""
    bend({"offset_ns": 1000 * SECOND}, {"offset_ns": -1000 * SECOND})
    whole = places.SKEW.read_bytes()
    sequence = int.from_bytes(whole[:8], "little")
    made = Reader(skew_file)
    made.read()
    with places.SKEW.open("r+b") as file, mmap.mmap(file.fileno(), len(whole)) as memory:
        memory[0:8] = (sequence + 1).to_bytes(8, "little")
        memory[8:16] = (1).to_bytes(8, "little")  # half-way: one layer, which nobody asked for
        made.process.stdin.write("\n")
        made.process.stdin.flush()
        answered, _, _ = select.select([made.process.stdout], [], [], 0.05)
        memory[8:16] = (2).to_bytes(8, "little")
        memory[0:8] = (sequence + 2).to_bytes(8, "little")
    seen = json.loads(made.process.stdout.readline())
    made.close()
    assert answered == []
    assert seen["clock_gettime"] == pytest.approx(seen["real"], abs=2 * SECOND)


def test_without_a_compiler_the_advice_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(preload, "compiler", lambda: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SetupError, match=r"no C compiler.*apt-get install gcc"):
        preload.clock_preload()


def test_the_library_is_compiled_once(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = preload.clock_preload()
    monkeypatch.setattr(preload, "compiler", lambda: None)
    assert preload.clock_preload() == first
