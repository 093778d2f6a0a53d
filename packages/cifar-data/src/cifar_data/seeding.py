"""Random generators derived from a seed and a purpose, so that no two uses of one seed share numbers."""

import numpy as np

_PURPOSES = (
    "split",
    "order",
    "crop",
    "flip",
    "side",
    "hole",
    "pipeline",
    "inputs",
    "preview",
    "brightness",
    "contrast",
)

SEED_LIMIT = 2**32
"""Seeds lie below this, so that one fits every generator in use (numpy's legacy one being the narrowest)."""


def derive_generator(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """A generator that depends on all arguments, and on nothing else.

    Deriving by addition, as in `seed + epoch`, would make epoch 1 of seed 0 equal epoch 0 of seed 1.

    Args:
        seed: From 0 to 2**32 - 1.
        purpose: What is drawn, one of the names in this module.
        *keys: Non-negative integers, such as the epoch and the image's position.

    Returns:
        A new generator in its initial state.

    Raises:
        ValueError: If the seed is out of range or the purpose unknown.

    Source: `numpy.random.SeedSequence`, whose spawn keys give independent streams.

    >>> keys = [(0, "crop", 1), (0, "crop", 1), (1, "crop", 0)]
    >>> draws = [int(derive_generator(*key).integers(1_000_000)) for key in keys]
    >>> draws[0] == draws[1], draws[0] == draws[2]
    (True, False)
    """
    if not 0 <= seed < SEED_LIMIT:
        raise ValueError(f"seed must be from 0 to {SEED_LIMIT - 1}, got {seed}")
    if purpose not in _PURPOSES:
        raise ValueError(f"purpose must be one of {', '.join(_PURPOSES)}, got {purpose!r}")
    sequence = np.random.SeedSequence(seed, spawn_key=(_PURPOSES.index(purpose), *keys))
    return np.random.Generator(np.random.PCG64(sequence))
