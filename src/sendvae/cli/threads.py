"""`sendvae --threads N`: how many threads every library of a command may use."""

from __future__ import annotations

import os
import sys

from sendvae.cores import check_threads

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def limit_threads(threads: int) -> None:
    """Limit the threads of this process, and of each that it starts.

    Raises:
        UserError: there are fewer cores than threads.
    """
    check_threads(threads, "--threads")
    os.environ.update(dict.fromkeys(VARIABLES, str(threads)))  # libraries read them when they are loaded
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
