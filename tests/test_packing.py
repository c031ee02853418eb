"""What the summary says of formats."""

from dataclasses import replace

from gpuprune.report.packing import packing_table
from tests.made_runs import made_result, made_results

OPERANDS = (64 + 100) * 10 * 4  # bytes of the activations and the output


def packed(prepare_s, results=None):
    """Give the sparse products of made results a format of 5120 bytes."""
    return [
        one
        if one.contender == "dense"
        else replace(one, prepare_s=prepare_s, bytes=OPERANDS + 5120)
        for one in results or made_results()
    ]


def test_a_format_has_its_time_its_size_and_the_products_until_it_has_paid():
    assert (
        packing_table(packed(5e-3), 0.9, markdown=False)
        == """\
Packing at 0.9: its time, the size of the format, and after how many products it has paid \
(where these are faster than dense, and by more than noise)

contender      group    packing    format    of dense    pays after
-----------  -------  ---------  --------  ----------  ------------
csr                1    5.00 ms  5.00 KiB        20 %   15 products
csr                8    5.00 ms  5.00 KiB        20 %   10 products"""
    )


def test_what_is_not_faster_never_pays():
    last = packing_table(packed(5e-3), 0.8, markdown=False).splitlines()[-2]
    assert last.split() == ["csr", "1", "5.00", "ms", "5.00", "KiB", "20", "%"]


def test_without_a_sparse_product_there_is_no_table():
    (dense,) = (made_result(made_results()[0].case, "dense", 1e-3),)
    assert packing_table([replace(dense, prepare_s=1e-6)], 0.9, markdown=False) == ""
    assert packing_table(made_results(), 0.9, markdown=False) == ""
