"""How long does the attribute probe take against scikit-learn on real latents, and do both find the same optimum?

python benchmarks/logistic_probe.py [weight_decay] [scikit-learn's tolerance] [attributes given to scikit-learn] [images]

Encodes the embedded emoji with the tokenizer that ships: 6,601 images of 1,024 features, 47 attributes. Times are
of the CPU, of one thread, so that other work on the machine counts little. scikit-learn takes minutes for all
attributes: it is given a few, evenly spaced, and its time is scaled to all, which the output says. Give 47 for all.
`python benchmarks/logistic_probe.py 1e-3 1e-6 2 100` tries the script in seconds.
"""

from __future__ import annotations

import sys
from time import process_time

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from sendvae.data import open_embedded, to_float
from sendvae.latents.logistic import Design, fit_logistic, scores_of, standardise
from sendvae.tokenizers import load_tokenizer


@torch.no_grad()
def main(
    weight_decay: float = 1e-3, tolerance: float = 1e-6, attributes: int = 8, count: int | None = None
) -> None:
    torch.set_num_threads(1)
    images, tokenizer = open_embedded("emoji", "train", count), load_tokenizer("demo-f8d16")
    parts = [tokenizer.encode(to_float(pixels)).mean.flatten(1) for pixels in images.pixels.split(64)]
    (x,) = standardise(torch.cat(parts))
    y = torch.from_numpy(images.attributes.values).float()

    start = process_time()
    torch.linalg.eigh(x.double().T @ x.double() / len(x))
    unit = process_time() - start

    start = process_time()
    fit = fit_logistic(Design(x), y, weight_decay)
    ours = process_time() - start

    array, theirs, worst_loss, worst_probability, iterations = x.double().numpy(), 0.0, 0.0, 0.0, []
    own = scores_of(fit, x).double()
    for column in np.linspace(0, y.shape[1] - 1, attributes).round().astype(int):
        target = y[:, column].double()
        model = LogisticRegression(C=1 / (weight_decay * len(x)), tol=tolerance, max_iter=100_000)
        start = process_time()
        model.fit(array, target.numpy())
        theirs += (process_time() - start) * y.shape[1] / attributes
        scores = torch.from_numpy(model.decision_function(array))
        penalty = weight_decay / 2 * float(np.square(model.coef_).sum())
        loss = float(torch.nn.functional.binary_cross_entropy_with_logits(scores, target)) + penalty
        worst_loss = max(worst_loss, float(fit.loss[column]) / loss - 1, key=abs)
        difference = (own[:, column].sigmoid() - scores.sigmoid()).abs().max()
        worst_probability = max(worst_probability, float(difference))
        iterations.append(int(model.n_iter_[0]))

    print(f"{len(x):,} x {x.shape[1]:,}, {y.shape[1]} attributes, weight_decay {weight_decay:g}, CPU seconds")
    print(f"one Gram matrix and its eigenvectors, float64  {unit:8.2f}")
    print(f"sendvae       {ours:8.2f}  {ours / unit:.1f} of those; {fit.iterations} iterations of Newton")
    print(
        f"scikit-learn  {theirs:8.2f}  tol {tolerance:g}; {min(iterations)} to {max(iterations)} iterations; "
        f"measured on {attributes} attributes, scaled to {y.shape[1]}"
    )
    print(f"ratio         {theirs / ours:8.1f}")
    print(
        f"sendvae: gradient at most {float(fit.gradient_norm.max()):.1e}, certified excess {float(fit.excess.max()):.1e}"
    )
    print(
        f"loss against scikit-learn's {worst_loss:+.1e} relative, probabilities within {worst_probability:.1e}"
    )


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((float, float, int, int), sys.argv[1:], strict=False)))
