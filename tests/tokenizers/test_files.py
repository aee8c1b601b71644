"""Which files of a folder or repository make up a tokenizer."""

from __future__ import annotations

from sendvae.tokenizers.files import choose_files


def test_only_the_files_of_a_tokenizer_are_wanted() -> None:
    names = ["README.md", "vae.pt", "vae-latents-stats.pt", "vae-discriminator-ckpt.pt", "figures/a.pt"]
    assert choose_files(names) == ["vae.pt", "vae-latents-stats.pt", "vae-discriminator-ckpt.pt"]
    assert choose_files(["config.json", "latents_stats.pt", "a.pt"]) == ["a.pt", "latents_stats.pt"]
    assert choose_files(["config.json", "model.safetensors"]) == ["model.safetensors", "config.json"]
    assert choose_files(["README.md", "latents_stats.pt"]) == []


def test_a_file_asked_for_by_name_is_taken_or_nothing() -> None:
    names = ["a.pt", "a-latents-stats.pt", "b.pt", "b-latents-stats.pt", "model.safetensors"]
    assert choose_files(names, "b.pt") == ["b.pt", "b-latents-stats.pt"]
    assert choose_files(names, "c.pt") == []


def test_safetensors_come_before_pickles() -> None:
    usual = [f"diffusion_pytorch_model{suffix}" for suffix in (".bin", ".safetensors")]
    assert choose_files([*usual, "z.ckpt"])[0] == "diffusion_pytorch_model.safetensors"


def test_the_vae_of_a_pipeline_comes_before_whole_models() -> None:
    names = ["v1.ckpt", "v2.ckpt", "vae/config.json", "vae/diffusion_pytorch_model.safetensors"]
    assert choose_files(names) == ["vae/diffusion_pytorch_model.safetensors", "vae/config.json"]
