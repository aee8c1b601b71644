"""Slurm's commands as far as submitit and this package use them: a job is a session of processes on this machine."""

from __future__ import annotations

from pathlib import Path

COMMANDS = {
    "sbatch": """
        script=$1; id=$(( $(ls "$FAKE_SLURM/jobs" | wc -l) + 100 ))
        grep '^#SBATCH' "$script" > "$FAKE_SLURM/jobs/$id.options"
        SLURM_JOB_ID=$id setsid bash "$script" < /dev/null > /dev/null 2>&1 &
        echo $! > "$FAKE_SLURM/jobs/$id"
        echo "Submitted batch job $id"
    """,
    "srun": """
        while true; do case $1 in
            --unbuffered) shift;;
            --output) out=${2//%j/$SLURM_JOB_ID}; shift 2;;
            --error) err=${2//%j/$SLURM_JOB_ID}; shift 2;;
            *) break;;
        esac; done
        "$@" >> "${out//%t/0}" 2>> "${err//%t/0}"
    """,
    # A signal goes to all processes of the job but for the batch script; without one, the job is killed.
    "scancel": """
        echo "$@" >> "$FAKE_SLURM/cancelled"
        id=${@: -1}; session=$(cat "$FAKE_SLURM/jobs/$id")
        case $1 in
            --state=PENDING) ;;
            --signal=TERM) for pid in $(ps -o pid= -s "$session"); do
                grep -qE '^(bash|srun)$' "/proc/$pid/comm" || kill -TERM "$pid"; done;;
            *) kill -KILL $(ps -o pid= -s "$session");;
        esac
    """,
    "sacct": """
        echo "JobID|State|NodeList"
        for file in "$FAKE_SLURM"/jobs/*; do case $file in *.options) ;; *)
            state=COMPLETED; kill -0 "$(cat "$file")" 2> /dev/null && state=RUNNING
            echo "$(basename "$file")|$state|here";;
        esac; done
    """,
}


def install(folder: Path) -> dict[str, str]:
    """Write the commands into a folder; return what the environment needs, with `PATH` to come before the other one."""
    (folder / "jobs").mkdir(parents=True)
    for name, text in COMMANDS.items():
        path = folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}")
        path.chmod(0o755)
    return {"FAKE_SLURM": str(folder), "PATH": str(folder / "bin")}
