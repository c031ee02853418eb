"""The how-to for users of PyTorch does what it says."""

import re
import shlex
import warnings
from pathlib import Path

import pytest

HOW_TO = Path(__file__).parents[2] / "docs" / "accuracy.md"
BLOCK = re.compile(r"```(python|console)\n(.*?)```", re.DOTALL)
QUICK = ["--device", "cpu", "--samples", "1", "--contenders", "csr"]


@pytest.mark.slow
def test_the_how_to_for_pytorch_runs_from_top_to_bottom(run, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    _, _, own_network = HOW_TO.read_text().partition("## Your own network, in PyTorch")
    names: dict = {}
    printed = {}
    for language, text in BLOCK.findall(own_network):
        if language == "python":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch.ao announces that it will move
                exec(compile(text, str(HOW_TO), "exec"), names)  # noqa: S102
            continue
        for line in text.splitlines():
            arguments = shlex.split(line.removeprefix("$ gpuprune "))
            result = run(*arguments, *(QUICK if arguments[0] == "bench" else []))
            assert result.exit_code == 0, result.output
            printed[line] = result.stdout
    retrained = printed["$ gpuprune inspect retrained.safetensors"]
    assert [line.split()[0] for line in retrained.splitlines()[2:]] == ["0.weight", "2.weight"]
    assert retrained.count("80.") == 2
    right = (names["model"](names["inputs"]).argmax(dim=1) == names["wanted"]).float().mean()
    assert right > 0.5
    assert torch.count_nonzero(names["model"][0].weight) == pytest.approx(0.2 * 64 * 256, rel=0.01)
