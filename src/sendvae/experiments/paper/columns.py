"""Columns by which several experiments judge their claims."""

from __future__ import annotations

from sendvae.experiments.declaration import Column

GFID = Column("fid", protocol="send-vae-sit-b1-80")  # gFID of SiT-B without guidance
SYSTEM = "send-vae-systems"
