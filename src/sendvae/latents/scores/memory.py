"""How much a probe that holds all latents may gather."""

from __future__ import annotations

from math import prod

from sendvae.errors import UserError
from sendvae.latents.score import Evidence

FULL_BATCH_BYTES = 2**30  # of latents; a probe holds about four times as much
FLOAT32 = 4


def check_full_batch(evidence: Evidence, choice: str, instead: str, flat: bool) -> None:
    """Refuse a probe that would need too much memory.

    Args:
        choice, instead: settings, in words.
        flat: whether positions are kept rather than averaged.

    Raises:
        UserError: the training latents are too large.
    """
    count, features = len(evidence.rows["train"]), prod(evidence.shape) if flat else evidence.shape[0]
    needed = FLOAT32 * count * features
    if needed > FULL_BATCH_BYTES:
        raise UserError(
            f"{choice} holds all training latents in memory",
            given=f"{count:,} x {features:,} values, {needed / 2**30:.1f} GiB",
            expected=f"at most {FULL_BATCH_BYTES / 2**30:.0f} GiB",
            next_step=f"set {instead}",
        )
