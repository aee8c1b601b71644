"""The architecture as tests: import contracts, public names, quick help."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from jaxtyping import TypeCheckError
from tests.conftest import CHECKED

from sendvae.metrics import psnr

ROOT = Path(__file__).parents[2]
PUBLIC = {
    "sendvae.tokenizers": ["load_tokenizer", "build_tokenizer"],
    "sendvae.vision": ["load_backbone"],
    "sendvae.alignment": ["Mapper", "noise_latents", "alignment_loss"],
    "sendvae.diffusion": ["build_sit", "load_sit", "sample"],
    "sendvae.metrics": ["frechet_distance", "inception_score", "precision_recall", "psnr", "ssim"],
    "sendvae.evaluation": ["generate", "measure_generation", "measure_reconstruction", "measure_latents"],
    "sendvae.latents": ["attribute_probe", "semantic_gap", "uniformity", "discrimination"],
}


def test_import_contracts() -> None:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    result = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_shapes_are_checked_wherever_they_are_written() -> None:
    """`CHECKED` names the packages whose annotations of tensors are held against the tensors."""
    written = [path for path in (ROOT / "src").rglob("*.py") if "from jaxtyping import" in path.read_text()]
    modules = [
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
        for path in written
    ]
    assert len(modules) > 100
    assert [m for m in modules if not any(f"{m}.".startswith(f"{one}.") for one in CHECKED)] == []
    assert [one for one in CHECKED if not any(f"{m}.".startswith(f"{one}.") for m in modules)] == []


def test_the_suite_refuses_tensors_of_other_shapes() -> None:
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(TypeCheckError):
        psnr(images, images[0])


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names(module: str) -> None:
    loaded = importlib.import_module(module)
    for name in PUBLIC[module]:
        assert name in loaded.__all__
        assert callable(getattr(loaded, name))


def used_names(path: Path) -> Iterator[tuple[str, str]]:
    """Every (module of sendvae, name) that a file imports or reads from a module that it imported."""
    tree, modules = ast.parse(path.read_text()), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sendvae":
            for one in node.names:
                yield str(node.module), one.name
                modules[one.asname or one.name] = f"{node.module}.{one.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            module = modules[node.value.id]
            if is_module(module):
                yield module, node.attr


def is_module(name: str) -> bool:
    package, _, last = name.rpartition(".")
    return isinstance(getattr(importlib.import_module(package), last, None), ModuleType)


def test_benchmarks_and_tools_use_names_that_exist() -> None:
    """They run rarely, and the type checker does not read them."""
    files = [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "tools").rglob("*.py")]
    used = {(file.name, *pair) for file in files for pair in used_names(file)}
    assert ("weak_scaling.py", "sendvae.distributed", "single_process") in used
    for _, module, _name in used:
        importlib.import_module(module)
    missing = [one for one in used if not hasattr(sys.modules[one[1]], one[2])]
    assert not missing


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["train", "tokenizer", "--help"]])
def test_help_is_quick_and_needs_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys; from sendvae.cli.main import main; sys.argv = ['sendvae', *sys.argv[1:]]\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'timm', 'transformers', 'scipy', 'matplotlib'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    began = time.monotonic()
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "Usage" in result.stdout
    assert (
        time.monotonic() - began < 5.0
    )  # generous: other workers are busy; alone it takes well under a second


def test_modules_stay_small() -> None:
    long = {p.name: n for p in (ROOT / "src").rglob("*.py") if (n := len(p.read_text().splitlines())) > 320}
    assert not long


def test_other_rooms_know_tokenizers_by_their_protocol() -> None:
    """None names a network of any kind or reads its fields: any tokenizer will do."""
    room = ROOT / "src" / "sendvae" / "tokenizers"
    classes = {
        node.name
        for path in room.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and {"Tokenizer", "TrainableTokenizer"} & names_in(node.bases)
    } - {"TrainableTokenizer"}
    assert {"Autoencoder", "DiffusersTokenizer", "MAETok", "PatchTokenizer", "SoftVQ"} <= classes
    others = [path for path in (ROOT / "src").rglob("*.py") if room not in path.parents]
    assert len(others) > 100
    forbidden = classes | {f".{name}" for name in (*classes, "architecture", "conv_out")}
    assert [path.name for path in others if names_in([ast.parse(path.read_text())]) & forbidden] == []


def names_in(trees: Iterable[ast.AST]) -> set[str]:
    """Every name that code uses or imports, and every attribute as ".NAME"; words in strings and comments are neither."""
    found: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        match node:
            case ast.Name(id=name) | ast.alias(name=name):
                found.add(name)
            case ast.Attribute(attr=name):
                found.add(f".{name}")
    return found
