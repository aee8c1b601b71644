"""Results as a page."""

from sendvae.report.page import write_report

__all__ = ["write_report"]
