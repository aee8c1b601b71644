"""Weight files: found, fetched, checked, read."""

from __future__ import annotations

from tools.mutants.mutant import Mutant

WEIGHTS = tuple(f"weights/test_{part}.py" for part in ("published", "table", "reach"))
MUTANTS = [
    Mutant(
        "weights-digest",
        "A weight file's digest is not compared with the published one.",
        "weights/published.py",
        "if not given.startswith(self.digest):",
        "if False:",
        WEIGHTS,
    ),
    Mutant(
        "weights-size",
        "A weight file's size is not compared with the published one.",
        "weights/published.py",
        "if self.size is not None and size != self.size:",
        "if False:",
        WEIGHTS,
    ),
    Mutant(
        "weights-found-unchecked",
        "Files that are found are taken for the published ones.",
        "weights/table.py",
        "            self.source.check(found, stated)\n",
        "",
        WEIGHTS,
    ),
    Mutant(
        "weights-folder",
        "Files put by hand are looked for in the folder of another variable.",
        "weights/table.py",
        '"SENDVAE_WEIGHTS", "~/.cache/sendvae"',
        '"SENDVAE_CACHE", "~/.cache/sendvae"',
        WEIGHTS,
    ),
    Mutant(
        "weights-package-fallback",
        "A package that is not installed gives no weights and no error.",
        "weights/packages.py",
        'raise Unavailable(f"the package {self.package} is not installed")',
        "return []",
        WEIGHTS,
    ),
    Mutant(
        "weights-patience",
        "A silent server is waited for without end.",
        "weights/reach.py",
        "answers.get(timeout=REACH_SECONDS)",
        "answers.get()",
        WEIGHTS,
    ),
    Mutant(
        "weights-offline",
        "The network is asked though it is switched off.",
        "weights/reach.py",
        "if variable := next((name for name in OFFLINE_VARIABLES if _is_true(name)), None):",
        "if variable := None:",
        WEIGHTS,
    ),
    Mutant(
        "weights-code",
        "Code in a stranger's pickle runs.",
        "weights/read.py",
        "weights_only=True",
        "weights_only=False",
        ("weights/test_read.py",),
    ),
]
