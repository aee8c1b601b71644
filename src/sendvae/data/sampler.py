"""The order of training images, as a function of the images seen, so that resuming needs no state."""

from __future__ import annotations

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # the step of SplitMix64
ROUNDS = 4  # of the Feistel network; four make it a pseudo-random permutation (Luby and Rackoff)


def batch_indices(
    images_seen: int, global_batch: int, length: int, seed: int, rank: int = 0, world: int = 1
) -> np.ndarray:
    """Return the indices of this rank's share of the global batch that starts after `images_seen` images.

    Each epoch has its own permutation, which is computed per index, without an array as long as the data set.

    Raises:
        ValueError: if the ranks cannot share the batch equally.
    """
    if global_batch % world:
        raise ValueError(f"a batch of {global_batch} cannot be shared by {world} processes")
    share = global_batch // world
    positions = np.arange(share, dtype=np.int64) + images_seen + rank * share
    epochs, places = np.divmod(positions, length)
    indices = np.empty(share, np.int64)
    for epoch in np.unique(epochs):
        inside = epochs == epoch
        indices[inside] = permute(places[inside], length, (seed, int(epoch)))
    return indices


def batch_mirrored(
    images_seen: int, global_batch: int, seed: int, rank: int = 0, world: int = 1
) -> np.ndarray:
    """Return which images of this rank's share are mirrored (bool), each with probability 1/2."""
    share = global_batch // world
    positions = np.arange(share, dtype=np.uint64) + np.uint64(images_seen + rank * share)
    (key,) = np.random.SeedSequence((seed, *b"mirrored")).generate_state(1, np.uint64)
    return _mix(key + positions * GOLDEN) & np.uint64(1) == 1


def batch_crops(images_seen: int, global_batch: int, seed: int, rank: int = 0, world: int = 1) -> np.ndarray:
    """Return where the images of this rank's share are cropped, as 32 random bits for each image.

    The upper 16 bits give the row, the lower 16 the column, as fractions of 65,536 of the possible places.
    """
    share = global_batch // world
    positions = np.arange(share, dtype=np.uint64) + np.uint64(images_seen + rank * share)
    (key,) = np.random.SeedSequence((seed, *b"crop")).generate_state(1, np.uint64)
    return (_mix(key + positions * GOLDEN) & np.uint64(0xFFFFFFFF)).astype(np.int64)


def permute(places: np.ndarray, length: int, key: tuple[int, ...]) -> np.ndarray:
    """Return where a keyed permutation of range(length) maps `places`.

    A balanced Feistel network permutes the next even number of bits; values that fall outside are permuted
    again until they are inside (cycle walking), fewer than four times on average.
    """
    half = max(1, (int(length - 1).bit_length() + 1) // 2)
    keys = np.random.SeedSequence(key).generate_state(ROUNDS, np.uint64)
    values = places.astype(np.uint64)
    outside = np.ones(len(values), bool)
    while outside.any():
        values[outside] = _feistel(values[outside], np.uint64(half), keys)
        outside = values >= length
    return values.astype(np.int64)


def _feistel(values: np.ndarray, half: np.uint64, keys: np.ndarray) -> np.ndarray:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = values >> half, values & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return left << half | right


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
