"""The two-layer perceptron of transformer blocks, and REPA's projector."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class MLP(nn.Module):
    """A perceptron fc2(GELU(fc1(x))); `approximate` is torch's GELU option ("tanh" in SiT, "none" in ViT)."""

    def __init__(self, width: int, hidden: int, approximate: str = "none") -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU(approximate)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Return the tokens, each transformed by itself."""
        return self.fc2(self.act(self.fc1(x)))


def projector(width: int, hidden: int, out: int) -> nn.Sequential:
    """Return REPA's three-layer SiLU projector. Send-VAE's mapper ends in the same."""
    return nn.Sequential(
        nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, out)
    )
