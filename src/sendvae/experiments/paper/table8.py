"""Table 8: attribute probing."""

from __future__ import annotations

from sendvae.experiments.declaration import Better, Column, Correlates, Experiment, Row, View, columns_of
from sendvae.experiments.paper.columns import GFID

PROBES = {name: View(probe=name) for name in ("celeba", "deepfashion", "awa")}
OWN = Column("f1")  # of the scale's own images, where they have attributes
ROWS = ("invae", "vavae", "e2e-vae", "send-vae")


def _f1(name: str) -> Column:
    return Column("f1", PROBES[name], f"send-vae-f1-{name}")


EXPERIMENT = Experiment(
    name="table8",
    title="Are attributes linearly separable in the latent space, and does that go with generation?",
    rows=[Row(name) for name in ROWS],
    columns=[OWN, *columns_of("table8", {f"send-vae-f1-{name}": view for name, view in PROBES.items()})],
    claims=[
        *(
            Better(f"Send-VAE's attributes are better separable than {other}'s ({name})", "send-vae", other, column, lower_is_better=False)
            for name, column in {"its own images": OWN, **{name: _f1(name) for name in PROBES}}.items()
            for other in ROWS[:-1]
        ),
        *(
            Correlates(f"Separability goes with a lower distance of samples ({name})", column, GFID, -1)
            for name, column in {"its own images": OWN, **{name: _f1(name) for name in PROBES}}.items()
        ),
    ],
    table="table8",
    remark="The paper states neither how F1 is averaged nor how images were split.",
)  # fmt: skip
