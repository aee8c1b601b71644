"""Runs and results as pages."""

from sendvae.report.anything import write_report

__all__ = ["write_report"]
