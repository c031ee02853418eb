"""Names files of gpuprune's own, which hold no capture of a profiler."""

from pathlib import Path

from gpuprune.errors import GpupruneError

_MOST_BYTES = 1 << 16
_FIGURE = "gld_efficiency_pct"


def own_file(path: Path) -> GpupruneError | None:
    """Return what to tell of a file that a command of gpuprune wrote; None of any other."""
    with path.open("rb") as file:
        head = file.read(_MOST_BYTES).decode(errors="replace").lstrip()
    line = head.partition("\n")[0]
    if _FIGURE in line.split(","):
        return _named(path, "CSV of gpuprune profile", "give what ncu or nvprof wrote")
    if not head.startswith("{"):
        return None
    if '"record": "baseline"' in head:
        return _named(path, "a baseline of gpuprune", "gpuprune baseline show FILE reads it")
    if '"record":"run"' in head.replace(" ", "")[:20]:
        shown = "gpuprune report FILE -o page.html shows what it measured"
        return _named(path, "a run of gpuprune", shown)
    if f'"{_FIGURE}"' in line:
        shown = "gpuprune plot FILE -o efficiency.png draws it"
        return _named(path, "what gpuprune profile printed", shown)
    if '"contender"' in line:
        hint = "keep a run with gpuprune bench --output RUN.jsonl; it measures times, and no loads"
        return _named(path, "what gpuprune bench printed", hint)
    return None


def _named(path: Path, what: str, hint: str) -> GpupruneError:
    return GpupruneError(f"{path} is {what}, and nothing that ncu or nvprof wrote", hint=hint)
