"""Runs on the fake device, and what is made of them."""

import json

SWEEP = ["--device", "fake", "--shape", "256x256x9", "--rates", "0.5,0.7,0.8,0.9"]
SWEEP += ["--groups", "1,8", "--contenders", "csr", "--samples", "2"]


def unsealed(path):
    """Take the checksums off a run file, so that its lines can be changed."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["crc"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def runs_of(path, count):
    """Options for so many runs with the times of one, each a run of its own."""
    options = []
    for number in range(count):
        first, _, rest = path.read_text().partition("\n")
        other = path.with_name(f"{path.stem}-{number}.jsonl")
        started = f"2026-01-01T00:00:0{number}+00:00"
        other.write_text(json.dumps(json.loads(first) | {"started": started}) + "\n" + rest)
        options += ["--run", other]
    return options


def slowed(share, contender="csr", rate=None):
    """Make what multiplies the times of a contender, at one rate or at all."""

    def change(line):
        if line.get("contender") == contender and rate in (None, line["case"]["rate"]):
            line["samples_s"] = [one * (1 + share) for one in line["samples_s"]]
        return line

    return change


def edit(path, *keys, to):
    """Write another value into a JSON file."""
    table = json.loads(path.read_text())
    place = table
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    path.write_text(json.dumps(table))


def refused(result, code, *words):
    """Assert that a command said nothing but an error, with these words, and a hint."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.splitlines()[-2].startswith("Error: ")
    assert result.stderr.splitlines()[-1].startswith("Hint: ")
    for word in words:
        assert word in result.stderr
