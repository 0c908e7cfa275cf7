import torch
from hypothesis import given
from hypothesis import strategies as st

from stylize.gradients.canvas import Canvas


@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 2, 4, 8, 16]))
def test_sides_are_multiples_and_the_picture_comes_back(
    height: int, width: int, stride: int
) -> None:
    picture = torch.rand(1, 3, height, width)
    canvas = Canvas((height, width), stride)
    extended = canvas.extend(picture)
    for side, before in zip(extended.shape[2:], (height, width), strict=True):
        assert side % stride == 0
        assert side - before < stride
    assert torch.equal(canvas.crop(extended), picture)


def test_the_rest_is_a_reflection() -> None:
    ramp = torch.arange(14.0).expand(1, 1, 14, 14)
    extended = Canvas((14, 14), 16).extend(ramp)
    assert extended[0, 0, 0, 13:].tolist() == [13, 12, 11]
