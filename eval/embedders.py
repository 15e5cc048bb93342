"""Identity embedders behind one protocol; `open_embedder` finds them by name, and loads what they need only then."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .backends import open_backend


class IdentityEmbedder(Protocol):
    """Says who is to be seen, as a vector.

    Attributes:
        name: what `open_embedder` knows it by.
        version: of the library and of the weights; it differs where the numbers may.
    """

    name: str
    version: str

    def embed(self, image: np.ndarray) -> np.ndarray | None:
        """The embedding ``(D,)`` float of an image ``(H, W, 3)`` uint8 RGB; None where nobody is found.

        Raises:
            InputError: the embedder itself failed.
        """


EMBEDDERS = {
    "dlib": "eval.landmarks.faces:DlibFaces",
    "benchmark": "eval.rendered_people.instruments:IdentityEmbedder",
}


def open_embedder(spec: str, device: str = "cpu") -> IdentityEmbedder:
    """The embedder of that name: ``dlib``, ``benchmark`` or ``benchmark:FILE``.

    Args:
        spec: a key of `EMBEDDERS`, and what follows it.
        device: for those that run on torch.

    Raises:
        InputError: no such embedder, or something that it needs is missing; the message says which extra or file to install.
    """
    return open_backend("embedder", EMBEDDERS, spec, device)
