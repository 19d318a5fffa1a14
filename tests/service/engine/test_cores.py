"""Threads and cores of lanes; the machine's own are touched by two tests only."""

import logging
import os
import threading
from collections.abc import Callable, Iterable

import pytest
import torch

from rwsstore_service.engine.computing import LaneCores
from rwsstore_service.engine.lanes import lane_count, set_own_threads

PATIENCE = 30.0

Done = list[int | set[int]]
"""What was set, in order: a number of threads, or cores."""


def lanes_of(lanes: int, threads: int, cores: list[int]) -> tuple[tuple[LaneCores, ...], Done]:
    done = Done()
    made = LaneCores.of_lanes(
        lanes,
        threads,
        cores=cores,
        set_threads=done.append,
        set_cores=lambda given: done.append(set(given)),
    )
    return made, done


@pytest.mark.parametrize(
    ("wanted", "threads", "batching", "lanes"),
    [
        (None, 1, True, 1),
        (None, 2, True, 2),
        (None, 16, True, 2),
        (1, 16, True, 1),
        (4, 16, True, 4),
        (4, 3, True, 3),
        (4, 16, False, 1),
    ],
)
def test_how_many_lanes(wanted: int | None, threads: int, batching: bool, lanes: int) -> None:
    assert lane_count(wanted, threads=threads, batching=batching) == lanes


def test_alone_it_has_all_and_else_a_core_of_its_own() -> None:
    (first, second), done = lanes_of(2, 2, [5, 3])
    first.use(wide=True)
    assert done == [2]
    first.use(wide=False)
    assert done == [2, 1, {3}]
    first.use(wide=True)
    assert done == [2, 1, {3}, {3, 5}, 2]  # free before OpenMP's workers begin
    second.use(wide=False)
    assert done[5:] == [1, {5}]


def test_nothing_is_set_twice() -> None:
    (first, _), done = lanes_of(2, 2, [0, 1])
    for wide in (False, False, True, True, False):
        first.use(wide)
    assert done == [1, {0}, {0, 1}, 2, 1, {0}]


@pytest.mark.parametrize("cores", [[0, 1, 2, 3], [0], []])
def test_with_other_than_as_many_threads_as_cores_nothing_is_pinned(cores: list[int]) -> None:
    (first, second), done = lanes_of(2, 2, cores)
    for lane in (first, second):
        lane.use(wide=False)
        lane.use(wide=True)
    assert done == [1, 2, 1, 2]


def test_a_share_of_several_threads_is_not_pinned() -> None:
    (first, _), done = lanes_of(2, 5, [0, 1, 2, 3, 4])
    first.use(wide=False)
    first.use(wide=True)
    assert done == [2, 5]


def test_one_lane_keeps_all_threads() -> None:
    (lane,), done = lanes_of(1, 2, [0, 1])
    for wide in (False, True, False):
        lane.use(wide)
    assert done == [2]


def test_cores_that_are_refused_are_not_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(_cores: Iterable[int]) -> None:
        refused.append(1)
        raise OSError("not these")

    refused, done = list[int](), list[int]()
    first, _ = LaneCores.of_lanes(2, 2, cores=[0, 1], set_threads=done.append, set_cores=refuse)
    with caplog.at_level(logging.DEBUG, logger="rwsstore_service"):
        for wide in (False, True, False, True):
            first.use(wide)
    assert done == [1, 2, 1, 2]
    assert refused == [1]
    assert [(one.levelname, "not these" in one.getMessage()) for one in caplog.records] == [
        ("DEBUG", True)
    ]


def in_a_thread(function: Callable[[], object]) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    assert errors == []


def test_a_thread_that_set_its_own_count_keeps_it() -> None:
    def own() -> None:
        set_own_threads(3)
        in_a_thread(lambda: set_own_threads(2))
        assert torch.get_num_threads() == 3

    before = torch.get_num_threads()
    in_a_thread(own)
    assert torch.get_num_threads() == before
    in_a_thread(lambda: torch.set_num_threads(before))  # what new threads begin with


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="there is but one core, or the system does not tell",
)
def test_the_threads_own_cores() -> None:
    cores = os.sched_getaffinity(0)

    def pin() -> None:
        lane = LaneCores.of_lanes(len(cores), len(cores), set_threads=lambda _count: None)[1]
        lane.use(wide=False)
        assert os.sched_getaffinity(0) == {sorted(cores)[1]}
        lane.use(wide=True)
        assert os.sched_getaffinity(0) == cores

    in_a_thread(pin)
    assert os.sched_getaffinity(0) == cores
