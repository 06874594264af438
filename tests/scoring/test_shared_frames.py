"""Observables of single frames are computed once for each distinct frame."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ebabench.scoring.shared_frames import SharedFrames

FRAMES = np.random.default_rng(0).normal(size=(6, 4, 3)).astype(np.float32)


def total(frames: np.ndarray) -> np.ndarray:
    return frames.sum((1, 2))


def test_a_frame_is_computed_once() -> None:
    shared, seen = SharedFrames(), []

    def compute(frames: np.ndarray) -> np.ndarray:
        seen.append(len(frames))
        return total(frames)

    twice = np.concatenate([FRAMES[:3], FRAMES[:3]])
    np.testing.assert_array_equal(shared.rows("total", twice, compute), total(twice))
    np.testing.assert_array_equal(shared.rows("total", FRAMES, compute), total(FRAMES))
    assert seen == [3, 3]
    shared.rows("another", FRAMES, compute)
    assert seen == [3, 3, 6]


def test_threads_that_want_one_frame_get_the_same_values() -> None:
    shared, both = SharedFrames(), threading.Barrier(2)

    def compute(frames: np.ndarray) -> np.ndarray:
        both.wait(timeout=20)  # each of the two computes what the other waits for
        return total(frames)

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(shared.rows, "total", FRAMES[:4], compute)
        other = pool.submit(shared.rows, "total", FRAMES[::-1], compute)
        np.testing.assert_array_equal(one.result(), total(FRAMES[:4]))
        np.testing.assert_array_equal(other.result(), total(FRAMES[::-1]))


def test_a_failure_is_the_failure_of_all_who_wait() -> None:
    def fail(frames: np.ndarray) -> np.ndarray:
        raise ValueError("no")

    shared = SharedFrames()
    for compute in (fail, total):
        with pytest.raises(ValueError, match="no"):
            shared.rows("total", FRAMES, compute)
