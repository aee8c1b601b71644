"""Messages, exit codes and what is kept where something fails."""

from __future__ import annotations

from tools.mutants.mutant import Mutant

ROOF = ("cli/test_roof.py",)
MUTANTS = [
    Mutant(
        "roof-exit-code",
        "A fault of the machine ends with the user's exit code.",
        "errors.py",
        "    exit_code = 1\n",
        "    exit_code = 2\n",
        ("test_faults.py", *ROOF),
    ),
    Mutant(
        "roof-unsaved",
        "The text of an unknown error is neither saved nor shown.",
        "cli/roof.py",
        "            kept = _save(full)\n",
        '            kept = "in a file"\n',
        ROOF,
    ),
    Mutant(
        "roof-dark",
        "Where nothing can be written, the text of an unknown error is lost.",
        "cli/roof.py",
        "                sys.stderr.write(full)\n            kept",
        "                pass\n            kept",
        ROOF,
    ),
    Mutant(
        "roof-sigterm",
        "SIGTERM ends a command as Ctrl-C does.",
        "cli/stopping.py",
        "        sys.exit(TERMINATED if ended else INTERRUPTED)",
        "        sys.exit(INTERRUPTED)",
        ROOF,
    ),
    Mutant(
        "roof-file-unnamed",
        "A refused write does not say into which file.",
        "files.py",
        "            error.filename, error.filename2 = str(path), None\n",
        "            pass\n",
        ("test_faults.py",),
    ),
    Mutant(
        "checkpoint-damaged",
        "Files of tensors are not looked at before a run goes on from their checkpoint.",
        "runs/checkpoint.py",
        "            _check_files(path)\n",
        "",
        ("runs/test_checkpoint.py",),
    ),
    Mutant(
        "checkpoint-all-damaged",
        "A run whose checkpoints are all damaged begins anew in silence.",
        "runs/checkpoint.py",
        "    if damaged is not None:\n",
        "    if False:\n",
        ("runs/test_checkpoint.py",),
    ),
    Mutant(
        "config-range",
        "Whole numbers beyond 64 bits are let through.",
        "config/load.py",
        "if isinstance(values, int) and not -LARGEST <= values <= LARGEST:",
        "if False:",
        ("config/test_config.py",),
    ),
    Mutant(
        "table-delimiter",
        "Tables with semicolons are read as ones with commas.",
        "data/sources/table.py",
        'DELIMITERS = ",;\\t"',
        'DELIMITERS = ","',
        ("data/test_sources.py",),
    ),
]
