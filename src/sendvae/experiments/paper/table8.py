"""Table 8: attribute probing."""

from __future__ import annotations

from sendvae.experiments.declaration import Better, Column, Correlates, Experiment, Row, View, columns_of
from sendvae.experiments.paper.columns import GFID

PROBES = {name: View(probe=name) for name in ("celeba", "deepfashion", "awa")}
IMAGES = {"celeba": "CelebA", "deepfashion": "DeepFashion", "awa": "AwA"}
OWN = Column("f1")  # on the scale's own images, where they have attributes
BASELINES = {"invae": "IN-VAE", "vavae": "VA-VAE", "e2e-vae": "E2E-VAE"}


def _f1(name: str) -> Column:
    return Column("f1", PROBES[name], f"send-vae-f1-{name}")


COLUMNS = {"its own images": OWN, **{label: _f1(name) for name, label in IMAGES.items()}}


EXPERIMENT = Experiment(
    name="table8",
    title="Are attributes linearly separable in the latent space, and does that go with generation?",
    rows=[Row(name) for name in (*BASELINES, "send-vae")],
    columns=[OWN, *columns_of("table8", {f"send-vae-f1-{name}": view for name, view in PROBES.items()})],
    claims=[
        *(
            Better(f"Send-VAE's attributes are better separable than {label}'s ({images})", "send-vae", other, column, lower_is_better=False)
            for images, column in COLUMNS.items()
            for other, label in BASELINES.items()
        ),
        *(
            Correlates(f"Separability goes with a lower distance of samples ({images})", column, GFID, -1)
            for images, column in COLUMNS.items()
        ),
    ],
    table="table8",
    remark="The paper states neither how F1 is averaged nor how images were split.",
)  # fmt: skip
