"""PSNR, SSIM and LPIPS against computations of their own."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torchvision.models import alexnet

from eval.instruments.similarity import Similarity
from motion_core.errors import InputError

FILE = "alexnet-owt-7be5be79.pth"


@pytest.fixture
def pair():
    random = np.random.default_rng(0)
    real = random.integers(0, 256, (64, 72, 3), dtype=np.uint8)
    return (real * 0.8 + random.uniform(0, 40, real.shape)).astype(np.uint8), real


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The folder of torch.hub's files, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_psnr(pair, hub):
    made, real = (frame.astype(float) for frame in pair)

    assert Similarity().psnr(*pair) == pytest.approx(10 * math.log10(255**2 / np.square(made - real).mean()), rel=1e-5)


def test_ssim_is_that_of_the_paper(pair, hub):
    made, real = (frame / 255 for frame in pair)

    def blur(image):  # a window of 11 pixels, sigma 1.5
        return gaussian_filter(image, 1.5, radius=5, axes=(0, 1), mode="mirror")

    means = blur(made), blur(real)
    variances = [blur(image**2) - mean**2 for image, mean in zip((made, real), means, strict=True)]
    covariance = blur(made * real) - means[0] * means[1]
    light = (2 * means[0] * means[1] + 0.01**2) / (means[0] ** 2 + means[1] ** 2 + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (variances[0] + variances[1] + 0.03**2)

    assert Similarity().ssim(*pair) == pytest.approx((light * structure).mean(), abs=1e-5)
    assert Similarity().ssim(pair[1], pair[1]) == pytest.approx(1)
    with pytest.raises(InputError, match=r"SSIM needs frames of 11 pixels or more along each side, got \(10, 30\)"):
        Similarity().ssim(*np.zeros((2, 10, 30, 3), np.uint8))


def test_lpips_with_weights(pair, hub):
    network = alexnet(weights=None)
    torch.save(network.state_dict(), hub / FILE)

    similarity = Similarity()

    assert similarity.lpips_missing is None
    assert "LPIPS with AlexNet" in similarity.version
    assert similarity.lpips(pair[1], pair[1]) == 0
    assert similarity.lpips(*pair) == pytest.approx(own_lpips(network, similarity, *pair), rel=1e-4)
    assert similarity.lpips(*pair) == similarity.lpips(*pair), "no frame depends on those before it"


def own_lpips(network, similarity, made, real):
    """Squared differences of unit features after each ReLU, weighted by the layers that torchmetrics brings."""
    heads = [value for name, value in similarity._lpips.state_dict().items() if "lin" in name and "lins" not in name]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    features = [(torch.from_numpy(frame / 255).float() - mean) / std for frame in (made, real)]
    features = [image.permute(2, 0, 1)[None] for image in features]
    total = 0.0
    with torch.no_grad():
        for layer in network.features:
            features = [layer(each) for each in features]
            if isinstance(layer, torch.nn.ReLU):
                features = [each.clone() for each in features]
                one, other = (each / each.norm(dim=1, keepdim=True).clamp_min(1e-10) for each in features)
                total += ((one - other).square() * heads.pop(0)[0][None]).sum(dim=1).mean().item()
    assert not heads
    return total


def test_lpips_without_its_weights_names_the_file_and_damaged_ones_are_refused(pair, hub):
    similarity = Similarity()

    assert similarity.lpips(*pair) is None
    assert similarity.lpips_missing == f"put https://download.pytorch.org/models/{FILE} into {hub}"
    (hub / FILE).write_bytes(b"not a file of weights")
    with pytest.raises(InputError, match=f"{FILE}: must be torchvision's weights of AlexNet"):
        Similarity()
