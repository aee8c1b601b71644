"""gFIDs that others report, by protocol. They are facts to hold scores against; protocols are never mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sendvae.errors import UserError
from sendvae.registry import Registry


@dataclass(frozen=True)
class Reported:
    """What somebody reports for a tokenizer.

    Attributes:
        label: as the source calls it.
        gfid: lower is better.
        name: in our table of tokenizers; None where it is not there, or where it is not certain which is meant.
    """

    label: str
    gfid: float
    name: str | None = None


@dataclass(frozen=True)
class PublishedProtocol:
    """gFIDs that compare with each other.

    Attributes:
        description: which generator, how long, how sampled.
        source: who reports them, and where.
    """

    description: str
    source: str
    rows: Sequence[Reported]

    def known(self, names: Sequence[str]) -> list[float | None]:
        """Return the gFID of each tokenizer that is called as in our table; None of the others.

        Raises:
            UserError: it has none of them.
        """
        reported: Mapping[str, float] = {row.name: row.gfid for row in self.rows if row.name is not None}
        if not reported.keys() & set(names):
            raise UserError(
                "no gFID of these tokenizers is published under that protocol",
                given=", ".join(names),
                expected=f"some of {', '.join(reported)}",
                next_step="name tokenizers as `sendvae models` does, or give the gFIDs that you know: --gfid",
            )
        return [reported.get(name) for name in names]


_SEND_VAE = "Send-VAE"
_IFID = "github.com/tongdaxu/Making-rFID-Predictive-of-Diffusion-gFID, README"
# label, gFID of SiT-XL, of SiT-B (None: not reported), our name.
_IFID_ROWS: Sequence[tuple[str, float, float | None, str | None]] = (
    ("SD-VAE", 25.91, 46.74, None),
    ("FLUX-VAE", 34.06, 63.32, None),
    ("Qwen-Image VAE", 23.62, 48.34, None),
    ("SD3-VAE", 26.38, 51.39, None),
    ("EQ-VAE", 20.81, 37.81, None),
    ("IN-VAE", 25.65, 49.17, "invae-f16d32"),
    ("VA-VAE", 8.57, 17.63, "vavae-f16d32"),
    ("VA-VAE c64", 15.4, 32.51, None),
    ("SoftVQ", 15.88, 29.11, None),
    ("MAETok", 6.27, 13.73, None),
    ("DeTok", 11.97, 20.27, None),
    ("DMVAE", 4.65, 8.69, None),
    ("REPA-E VAE", 12.95, 26.06, None),
    ("RAE", 4.25, None, None),
)

PUBLISHED: Registry[PublishedProtocol] = Registry(
    "published protocol",
    {
        "send-vae-sit-b1-80": PublishedProtocol(
            "SiT-B/1 with REPA, 80 epochs, 250 steps, no guidance, ImageNet 256x256",
            f"{_SEND_VAE}, Tables 5, 6 and 8",
            (
                Reported("SD-VAE", 21.41, "sdvae-f8d4"),
                Reported("IN-VAE", 17.43, "invae-f16d32"),
                Reported("VA-VAE", 11.40, "vavae-f16d32"),
                Reported("E2E-VAE", 8.96, "e2e-vavae-f16d32"),
                Reported("Send-VAE", 7.57),
                Reported("SD-VAE, aligned", 11.86),
                Reported("IN-VAE, aligned", 8.25),
                Reported("f16d16", 13.85),
                Reported("f16d16, aligned", 7.02),
                Reported("f16d64", 26.27),
                Reported("f16d64, aligned", 10.99),
            ),
        ),
        "ifid-sit-xl": PublishedProtocol(
            "SiT-XL, 400,000 steps, no REPA, 250 steps of the SDE, no guidance, ImageNet 256x256",
            _IFID,
            tuple(Reported(label, large, name) for label, large, _, name in _IFID_ROWS),
        ),
        "ifid-sit-b": PublishedProtocol(
            "SiT-B, 400,000 steps, no REPA, 250 steps of the SDE, no guidance, ImageNet 256x256",
            _IFID,
            tuple(Reported(label, base, name) for label, _, base, name in _IFID_ROWS if base is not None),
        ),
    },
)
