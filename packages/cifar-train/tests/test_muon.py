import pytest
import torch
from torch.nn import BatchNorm2d, Parameter

from cifar_train.training.muon import Muon, orthogonalize

pytestmark = pytest.mark.numeric


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("steps", [1, 3, 5])
@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (32, 96)])
def test_orthogonalize_is_the_published_iteration(shape, steps):
    matrix = random(*shape, dtype=torch.float64)
    x = matrix / matrix.norm()
    for _ in range(steps):
        x = 3.4445 * x - 4.7750 * x @ x.T @ x + 2.0315 * x @ x.T @ x @ x.T @ x
    found = orthogonalize(matrix, steps=steps)
    torch.testing.assert_close(found, x, rtol=1e-10, atol=1e-12)
    if steps == 5:
        values = torch.linalg.svdvals(found)
        assert 0.6 < values.min() < values.max() < 1.3


@pytest.mark.parametrize("shape", [(32, 288), (128, 1152), (96, 24)])
def test_bfloat16_factors_err_by_less_than_the_iteration(shape):
    matrix = random(*shape)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    exact = orthogonalize(matrix, steps=3)
    rounded = orthogonalize(matrix, steps=3, factors=torch.bfloat16)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).norm() < 0.1 * (exact - left @ right).norm()


def test_zero_stays_zero_and_other_shapes_and_steps_are_rejected():
    assert orthogonalize(torch.zeros(3, 4)).eq(0).all()
    for matrix, steps, named in ((torch.zeros(3), 5, "shape"), (torch.eye(3), 0, "steps")):
        with pytest.raises(ValueError, match=named):
            orthogonalize(matrix, steps=steps)


def test_vectors_and_matrices_follow_torchs_nesterov_sgd():
    ours = [Parameter(random(4, 6)), Parameter(random(5))]
    theirs = [Parameter(p.detach().clone()) for p in ours]
    groups = [{"params": [p], "lr": lr} for p, lr in zip(theirs, (0.05, 0.3), strict=True)]
    muon = Muon(ours, lr=0.1, bias_scale=3.0, head_scale=0.5, sgd_momentum=0.8, weight_decay=0.0)
    sgd = torch.optim.SGD(groups, momentum=0.8, nesterov=True)
    for step in range(5):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad, other.grad = (random(*mine.shape, seed=step) for _ in range(2))
        muon.step()
        sgd.step()
    torch.testing.assert_close(ours, theirs)


def test_scales_of_norms_are_told_from_biases_by_their_name():
    norm = BatchNorm2d(4)
    optimizer = Muon(norm.named_parameters(), lr=0.1, bias_scale=3.0, gain_scale=0.5, weight_decay=0.2)
    for parameter in norm.parameters():
        parameter.grad = torch.ones(4)
    optimizer.step()
    # The first Nesterov step is 1.9 gradients; scales do not decay, biases started at zero.
    torch.testing.assert_close(norm.weight.detach(), torch.full((4,), 1 - 0.1 * 0.5 * 1.9))
    torch.testing.assert_close(norm.bias.detach(), torch.full((4,), -0.1 * 3.0 * 1.9))


def test_weight_decay_is_decoupled_as_in_adamw():
    ours, theirs = (Parameter(random(4, 6)) for _ in range(2))
    muon = Muon([ours], lr=0.1, head_scale=1.0, weight_decay=0.3)
    adamw = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.3)
    for optimizer, parameter in ((muon, ours), (adamw, theirs)):
        parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    torch.testing.assert_close(ours, theirs)


def test_kernels_keep_their_norm_and_move_by_an_orthogonal_update():
    start = random(8, 3, 3, 3)
    kernel = Parameter(start.clone())
    kernel.grad = random(8, 3, 3, 3, seed=1)
    Muon([kernel], lr=0.01, momentum=0.0, steps=5, bfloat16=False).step()
    update = (start * 8**0.5 / start.norm() - kernel.detach()).flatten(1) / 0.01
    torch.testing.assert_close(update, orthogonalize(kernel.grad.flatten(1), steps=5), atol=1e-3, rtol=1e-3)


OUT_OF_RANGE = (
    "lr=0 lr=nan momentum=1 sgd_momentum=-0.1 steps=0 bias_scale=0 gain_scale=0 head_scale=-1 weight_decay=-1"
)


@pytest.mark.parametrize("setting", OUT_OF_RANGE.split())
def test_values_out_of_range_are_named(setting):
    name, value = setting.split("=")
    with pytest.raises(ValueError, match=name):
        Muon([Parameter(torch.zeros(2, 2))], **{name: float(value)})
