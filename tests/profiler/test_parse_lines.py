"""Lines of a captured file, split into cells."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from gpuprune.profiler.parse.lines import split_cells

CELLS = st.lists(st.text(alphabet='k<8>", [3]', max_size=6), min_size=1, max_size=5)


@given(cells=CELLS, quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_cells_come_back_as_they_were_written(cells, quoting):
    file = io.StringIO()
    csv.writer(file, quoting=quoting, lineterminator="").writerow(cells)
    assert split_cells(file.getvalue()) == cells
