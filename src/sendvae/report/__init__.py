"""Pages of runs, results and experiments."""

from sendvae.report.anything import PAGE, write_common_report, write_report

__all__ = ["PAGE", "write_common_report", "write_report"]
