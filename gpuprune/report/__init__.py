"""Records as tables, Markdown, CSV and JSON: the only place where a number is laid out."""

from gpuprune.report.accuracy import accuracy_remarks, accuracy_table, rates_missed
from gpuprune.report.fitting import fit
from gpuprune.report.kernel_table import kernel_table
from gpuprune.report.kernels import CSV_HEADER, kernel_writer
from gpuprune.report.layout import (
    Format,
    Row,
    csv_text,
    escape,
    json_lines,
    listing,
    printable,
    table,
)
from gpuprune.report.rows import flatten
from gpuprune.report.summary import conclusion, layer_summary, plan, summary

__all__ = [
    "CSV_HEADER",
    "Format",
    "Row",
    "accuracy_remarks",
    "accuracy_table",
    "conclusion",
    "csv_text",
    "escape",
    "fit",
    "flatten",
    "json_lines",
    "kernel_table",
    "kernel_writer",
    "layer_summary",
    "listing",
    "plan",
    "printable",
    "rates_missed",
    "summary",
    "table",
]
