"""No code from a file is ever run: what could unpickle, parse or extract without care is not in the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = [ROOT / "src", ROOT / "tools", ROOT / "benchmarks"]
# Calls that must be given an argument by name, with this value.
NEEDED = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
NEEDED |= {f"{module}.lib.format.read_array": ("allow_pickle", False) for module in ("np", "numpy")}
# Calls for which there is no use.
FORBIDDEN = {
    "pickle.load", "pickle.loads", "pickle.Unpickler", "dill.load", "joblib.load", "pd.read_pickle", "shelve.open", "marshal.loads",
    "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "os.system", "os.popen", "eval", "exec",
}  # fmt: skip
EXTRACTING = {"extractall", "extract", "unpack_archive"}  # of whatever object
LOADERS = {"_Loader", "yaml.SafeLoader"}


def faults(source: str) -> Iterator[str]:
    """Every call that could run what a file says."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name, given = ast.unparse(node.func), {one.arg: one.value for one in node.keywords}
        if name in NEEDED:
            argument, wanted = NEEDED[name]
            value = given.get(argument)
            if not isinstance(value, ast.Constant) or value.value is not wanted:
                yield f"line {node.lineno}: {name} without {argument}={wanted}"
        if name in FORBIDDEN or name.rpartition(".")[2] in EXTRACTING:
            yield f"line {node.lineno}: {name}"
        if name == "yaml.load" and ast.unparse(given.get("Loader", ast.Constant(None))) not in LOADERS:
            yield f"line {node.lineno}: yaml.load without a safe loader"
        if isinstance(given.get("shell"), ast.Constant) and given["shell"].value:  # type: ignore[attr-defined]
            yield f"line {node.lineno}: {name} through a shell"
        if "trust_remote_code" in given:
            yield f"line {node.lineno}: {name} with code of strangers"


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_nothing_in_the_source_runs_what_a_file_says(place: Path) -> None:
    files = sorted(place.rglob("*.py"))
    assert files
    found = [f"{file.relative_to(ROOT)}, {one}" for file in files for one in faults(file.read_text())]
    assert not found


@pytest.mark.parametrize(
    "call",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "np.load(path, allow_pickle=True)",
        "np.load(path)",
        "pickle.load(file)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.load(text, yaml.Loader)",
        "tar.extractall(folder)",
        "shutil.unpack_archive(path)",
        "subprocess.run(line, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "eval(text)",
    ],
)
def test_the_search_finds(call: str) -> None:
    assert list(faults(call))


@pytest.mark.parametrize(
    "call", ["torch.load(path, weights_only=True)", "np.load(path, allow_pickle=False)", "model.eval()"]
)
def test_the_search_lets_pass(call: str) -> None:
    assert not list(faults(call))
