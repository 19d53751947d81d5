"""L2-penalised logistic regression on a device: the classifier of the paper's `fc-only` (paper 4).

The optimum is that of scikit-learn's `LogisticRegression`, which tests compare it with; but the
sums over all clips run where the network runs, in blocks, so that a GPU can take them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MAX_ITERATIONS = 2000
_ROWS = 1 << 16
"""Rows that are widened to the precision of the sums at once."""


@dataclass(frozen=True)
class Classifier:
    """Weights on standardised features."""

    weight_CD: Tensor
    bias_C: Tensor
    mean_D: Tensor
    std_D: Tensor
    several: bool

    def probabilities(self, features_ND: Floats) -> Floats:
        """Softmax over labels, or a sigmoid for each, [N, C]; 0 for labels it never saw."""
        firsts = range(0, len(features_ND), _ROWS)
        rows = [torch.from_numpy(features_ND[first : first + _ROWS]) for first in firsts]
        return np.concatenate([self._block(block) for block in rows])

    def _block(self, features_ND: Tensor) -> Floats:
        standard = (features_ND.to(self.mean_D) - self.mean_D) / self.std_D
        logits = functional.linear(standard, self.weight_CD, self.bias_C)
        shares = logits.sigmoid() if self.several else logits.softmax(1)
        return np.asarray(shares.float().cpu().numpy())


class LogisticRegression:
    """One problem, solved for one strength of the penalty after the other.

    Minimises `C * sum of losses + |weights|^2 / 2` (biases are free) over features scaled to zero
    mean and unit deviation. The loss is softmax cross-entropy; with `several` the sum of one
    sigmoid cross-entropy per label.
    """

    def __init__(
        self, features_ND: Floats, truth_NC: Bools, device: torch.device, *, several: bool
    ):
        # Twice the digits where they cost little: a line search stops early on noisy sums.
        self._dtype = torch.float64 if device.type == "cpu" else torch.float32
        self._several = several
        self._features = torch.from_numpy(features_ND)
        self._truth = torch.from_numpy(truth_NC)
        self._mean_D = torch.from_numpy(features_ND.mean(0, dtype=float)).to(device, self._dtype)
        std_D = torch.from_numpy(features_ND.std(0, dtype=float)).to(device, self._dtype)
        # A feature that never changes tells nothing, and is left as it is.
        self._std_D = torch.where(std_D > 10 * torch.finfo(torch.float32).eps, std_D, 1.0)
        carried_C = truth_NC.any(0)
        # All or none: the best bias would be infinite.
        learned_C = carried_C & ~truth_NC.all(0) if several else carried_C
        self._learned_C = torch.from_numpy(learned_C)
        self._always_C = torch.from_numpy(truth_NC.all(0) if several else np.zeros_like(carried_C))
        self._start = np.zeros(int(self._learned_C.sum()) * (features_ND.shape[1] + 1))

    def fit(self, c: float) -> Classifier:
        """The classifier for the inverse penalty `c`; starts from the one before."""
        found = minimize(
            self._objective,
            self._start,
            args=(c,),
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": MAX_ITERATIONS,
                "maxfun": 2 * MAX_ITERATIONS,
                "gtol": 1e-6,
                "ftol": 1e-11,
            },
        )
        self._start = found.x
        weight_CD, bias_C = self._parameters(found.x)
        learned = self._learned_C.to(bias_C.device)
        # Labels that were not learned have the probability that training videos gave them.
        every = bias_C.new_full((len(learned),), -torch.inf)
        every[self._always_C.to(bias_C.device)] = torch.inf
        weights = weight_CD.new_zeros((len(learned), weight_CD.shape[1]))
        every[learned], weights[learned] = bias_C, weight_CD
        return Classifier(weights, every, self._mean_D, self._std_D, self._several)

    def _parameters(self, flat: Doubles) -> tuple[Tensor, Tensor]:
        both = torch.from_numpy(flat).to(self._mean_D).reshape(int(self._learned_C.sum()), -1)
        return both[:, :-1], both[:, -1]

    def _objective(self, flat: Doubles, c: float) -> tuple[float, Doubles]:
        """Mean loss plus penalty, and its gradient: divided by C and the rows, as scikit-learn."""
        weight_CD, bias_C = self._parameters(flat)
        scale = 1 / (c * len(self._features))
        loss = 0.5 * scale * float((weight_CD**2).sum())
        weight_gradient, bias_gradient = scale * weight_CD, torch.zeros_like(bias_C)
        for first in range(0, len(self._features), _ROWS):
            rows = slice(first, first + _ROWS)
            features_ND = (self._features[rows].to(self._mean_D) - self._mean_D) / self._std_D
            truth_NC = self._truth[rows][:, self._learned_C].to(self._mean_D)
            logits = functional.linear(features_ND, weight_CD, bias_C)
            part, error_NC = self._loss(logits, truth_NC)
            loss += part / len(self._features)
            error_NC = error_NC / len(self._features)
            weight_gradient = weight_gradient + error_NC.T @ features_ND
            bias_gradient = bias_gradient + error_NC.sum(0)
        gradient = torch.cat([weight_gradient, bias_gradient[:, None]], 1).flatten()
        return loss, gradient.double().cpu().numpy()

    def _loss(self, logits_NC: Tensor, truth_NC: Tensor) -> tuple[float, Tensor]:
        """The summed loss, and its derivative by each logit."""
        if self._several:
            loss = functional.binary_cross_entropy_with_logits(logits_NC, truth_NC, reduction="sum")
            return float(loss), logits_NC.sigmoid() - truth_NC
        likelihood_NC = logits_NC.log_softmax(1)
        return -float((likelihood_NC * truth_NC).sum()), likelihood_NC.exp() - truth_NC
