"""BatchNorm over the images of all processes, on any device (PyTorch's own needs GPUs)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sendvae.distributed import all_gather, world_size


class SyncBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose batch is that of all processes together: in statistics, gradient and running averages.

    Every process must hold as many images, as the shares of a global batch are. Keys and weights are those of
    BatchNorm2d, and one process computes what that computes. Statistics are float32 or better, under autocast
    too; the output has the input's type.
    """

    def forward(self, input: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Normalise by the statistics of all processes' images in training, by the running ones else."""
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        own = torch.stack([x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)])
        means, variances = all_gather(own).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)  # within processes, and between them
        with torch.no_grad():
            count = world_size() * x.numel() // x.shape[1]
            momentum = 0.1 if self.momentum is None else self.momentum
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
            unbiased = variance * count / (count - 1)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)
        scale = (variance + self.eps).rsqrt() * self.weight
        normalised = (x - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]
        return normalised.to(input.dtype)


def synchronise_batch_norm(network: nn.Module) -> None:
    """Replace every BatchNorm2d of a network, in place, by one over all processes with the same tensors."""
    for name, child in network.named_children():
        if type(child) is nn.BatchNorm2d:
            synced = SyncBatchNorm2d(child.num_features, child.eps, child.momentum)
            synced.load_state_dict(child.state_dict())
            setattr(network, name, synced.to(child.weight.device, child.weight.dtype).train(child.training))
        else:
            synchronise_batch_norm(child)
