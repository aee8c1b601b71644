"""Benchmarks: each module asks one question and answers it by ratios, measured side by side in one process."""
