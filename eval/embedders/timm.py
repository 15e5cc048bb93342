"""Any timm model with local weights as an embedder: what it makes of the whole image before its classifier."""

from __future__ import annotations

import numpy as np
import torch

from motion_core.errors import InputError, first_sentence
from motion_core.framing import place_in, to_network
from motion_core.media import to_float

from ..backends import digest, weights_file


class TimmModel:
    """``timm:MODEL:FILE``: the pooled features of a model, with the image sizes and the normalisation of its own.

    The image is fitted to the model's size with its aspect kept, and its borders repeated around it.

    Args:
        argument: ``MODEL:FILE``, a name that timm knows, and a file of its weights (safetensors, or torch's with tensors only).
        device: where it runs.

    Raises:
        InputError: no such model or file, or the file does not belong to the model.
    """

    def __init__(self, argument: str | None, device: str = "cpu") -> None:
        import timm

        model, _, file = (argument or "").partition(":")
        if not timm.is_model(model):
            raise InputError(f"timm:MODEL:FILE must name a model of timm {timm.__version__}, got {model!r}")
        path = weights_file(file, f"timm:{model}:FILE", "timm's weights are at https://huggingface.co/timm")
        network = timm.create_model(model, pretrained=False, num_classes=0)
        try:
            # timm would only warn of weights that are missing, and leave them random.
            given = timm.models.load_state_dict(str(path), use_ema=False)
            missing = network.load_state_dict(given, strict=False).missing_keys
        except Exception as error:  # torch, safetensors and timm raise what they like for a wrong file
            raise InputError(f"{path}: must be weights of {model} ({first_sentence(error)})") from error
        if missing:
            raise InputError(f"{path}: must be weights of {model}, but has no {missing[0]}")
        self._network = network.eval().to(device)
        config = timm.data.resolve_data_config({}, model=network)
        self._size: tuple[int, int] = tuple(config["input_size"][1:])
        self._mean, self._std = (torch.tensor(config[key], device=device).view(1, 3, 1, 1) for key in ("mean", "std"))
        self.name, self.version = f"timm:{model}", f"timm {timm.__version__}, weights {digest(path)}"

    @torch.inference_mode()
    def embed(self, image: np.ndarray) -> np.ndarray | None:
        """See `eval.embedders.IdentityEmbedder`."""
        pixels = to_network(
            to_float(image[None]), place_in((image.shape[0], image.shape[1]), self._size)
        )  # (1, 3, h, w)
        embedded = self._network((pixels.to(self._mean.device) - self._mean) / self._std)  # (1, D)
        return embedded[0].double().cpu().numpy()
