"""Ill-posed questions are refused with what was seen and the way out; odd but sound ones pass."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from tests.support.networks import KINDS, TanhMLP, dense_hessian, make


def data(n=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, generator=generator), torch.randint(4, (n,), generator=generator)


def small(*layers):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 8), *layers, nn.Linear(8, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_sound_objectives_pass(kind):
    model, loss_fn, batches = make(kind, dtype=torch.float32)
    ls.Objective(model, loss_fn, batches)


def test_a_sum_over_examples_is_refused():
    with pytest.raises(
        ls.ObjectiveError, match=r"not a mean over examples: on the first batch of 12 .* parts of 4 and 8"
    ):
        ls.Objective(small(nn.Tanh()), nn.CrossEntropyLoss(reduction="sum"), data())


def test_a_loss_per_example_is_refused():
    with pytest.raises(ls.ObjectiveError, match=r"one number.*shape \(2,\).*reduction='none'"):
        ls.Objective(small(nn.Tanh()), nn.CrossEntropyLoss(reduction="none"), data())


def test_dropout_in_train_mode_is_refused():
    with pytest.raises(ls.ObjectiveError, match="two evaluations .* differ.*mode='train' keeps Dropout active"):
        ls.Objective(small(nn.Dropout(0.5)), F.cross_entropy, data(), mode="train")


def test_a_model_that_draws_random_numbers_is_refused():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + 1e-3 * torch.randn_like(x)

    with pytest.raises(ls.ObjectiveError, match="two evaluations .* differ.*draws random numbers"):
        ls.Objective(small(Noisy()), F.cross_entropy, data())


def test_batchnorm_in_train_mode_over_chunks_is_refused_and_over_the_whole_data_is_not():
    model = small(nn.BatchNorm1d(8), nn.Tanh())
    with pytest.raises(ls.ObjectiveError, match="BatchNorm in training mode"):
        ls.Objective(model, F.cross_entropy, data(), mode="train", chunk=6)
    assert ls.Objective(model, F.cross_entropy, data(), mode="train").num_chunks == 1


def test_nan_in_the_data_is_refused_with_its_place():
    x, y = data()
    x[7, 1] = float("nan")
    with pytest.raises(ls.ObjectiveError, match="NaN or infinity, first in batch 1 of 2, example 2 of 7"):
        ls.Objective(small(nn.Tanh()), F.cross_entropy, [(x[:5], y[:5]), (x[5:], y[5:])])


def test_nan_in_the_parameters_is_refused_with_the_name():
    model = small(nn.Tanh())
    with torch.no_grad():
        model[2].bias[0] = float("nan")
    with pytest.raises(ls.ObjectiveError, match="parameters hold NaN or infinity, first in '2.bias'"):
        ls.Objective(model, F.cross_entropy, data())


def test_an_infinite_loss_is_refused_with_its_chunk():
    x, y = data()
    x[8] = 1e30
    with pytest.raises(ls.ObjectiveError, match=r"the loss is (inf|nan) on chunk 2 of 3"):
        ls.Objective(small(nn.Softplus()), lambda f, t: (f**2).mean(), (x, y), chunk=4)


@pytest.mark.parametrize("empty", [[], (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))])
def test_empty_data_are_refused(empty):
    with pytest.raises(ls.ObjectiveError, match="data is empty"):
        ls.Objective(small(nn.Tanh()), F.cross_entropy, empty)


def test_a_model_without_trainable_parameters_is_refused():
    model = small(nn.Tanh()).requires_grad_(False)
    with pytest.raises(ls.ObjectiveError, match="no trainable parameter: all 4 have requires_grad=False"):
        ls.Objective(model, F.cross_entropy, data())


def test_patterns_that_match_nothing_are_refused_with_the_names_there_are():
    with pytest.raises(ls.ObjectiveError, match=r"params='conv\*' matches no trainable parameter; there are 0.weight"):
        ls.Objective(small(nn.Tanh()), F.cross_entropy, data(), params="conv*")


def test_a_linear_loss_is_refused():
    with torch.random.fork_rng():
        model = nn.Linear(3, 4)
    with pytest.raises(ls.ObjectiveError, match="linear in all of θ"):
        ls.Objective(model, lambda f, t: f.mean(), data())


def test_a_deep_linear_network_at_zero_is_flat_there_but_not_linear():
    with torch.random.fork_rng():
        model = nn.Sequential(*(nn.Linear(3, 3, bias=False) for _ in range(3)))
    for p in model.parameters():
        p.data.zero_()
    x = data()[0]
    objective = ls.Objective(model, F.mse_loss, (x, x))
    assert float(objective.hvp(torch.ones(27)).norm()) == 0


def test_a_relu_network_at_zero_lies_on_kinks_and_passes():
    model = small(nn.ReLU())
    for p in model.parameters():
        p.data.zero_()
    ls.Objective(model, F.cross_entropy, data())


class SquareWithGradientFromForward(torch.autograd.Function):
    """The gradient is computed in forward and saved: the second backward takes it for a constant."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(2 * x)
        return x**2

    @staticmethod
    def backward(ctx, grad):
        (slope,) = ctx.saved_tensors
        return grad * slope


def test_a_function_whose_double_backward_is_silently_wrong_is_refused():
    class Square(nn.Module):
        def forward(self, x):
            return SquareWithGradientFromForward.apply(x)

    with pytest.raises(ls.ObjectiveError, match=r"second derivative is wrong: .* differs .* by \d+ %"):
        ls.Objective(small(Square()), F.cross_entropy, data())


def test_detach_inside_the_model_is_refused_when_it_hides_curvature():
    class HalfDetached(nn.Module):
        def forward(self, x):
            return x * torch.sigmoid(x).detach()

    with pytest.raises(ls.ObjectiveError, match="the gradient is not that of the loss"):
        ls.Objective(small(HalfDetached()), F.cross_entropy, data())


def test_a_model_that_loses_its_gradient_is_refused():
    class NoGrad(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 4)

        def forward(self, x):
            with torch.no_grad():
                return self.fc(x)

    with torch.random.fork_rng():
        model = NoGrad()
    with pytest.raises(ls.ObjectiveError, match="does not depend on θ through autograd"):
        ls.Objective(model, F.cross_entropy, data())


def test_an_operation_without_second_derivative_is_named_with_a_way_out():
    with torch.random.fork_rng():
        model = nn.EmbeddingBag(5, 4, mode="mean")
    tokens, targets = torch.randint(5, (6, 3), generator=torch.Generator().manual_seed(0)), data(6)[1]
    with pytest.raises(ls.ObjectiveError, match=r"no second derivative in torch .*Replace that operation"):
        ls.Objective(model, F.cross_entropy, (tokens, targets))


@pytest.mark.slow
def test_attention_kernels_without_a_second_derivative_are_made_to_work():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(d_model=4, nhead=2, dim_feedforward=6, dropout=0.1, batch_first=True)
        model = nn.Sequential(layer, nn.Flatten(), nn.Linear(12, 4)).double()
        x, y = torch.randn(9, 3, 4, dtype=torch.float64), torch.randint(4, (9,))
    objective = ls.Objective(model, F.cross_entropy, (x, y), chunk=4)
    exact = dense_hessian(model, F.cross_entropy, [(x, y)])
    assert (ls.HessianOperator(objective).dense() - exact).norm() <= 1e-10 * exact.norm()


def test_recurrent_layers_have_the_curvature_of_finite_differences():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 4)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = Recurrent(), torch.randn(6, 5, 3)
    objective = ls.Objective(model, F.cross_entropy, (x, data(6)[1]), dtype=torch.float64)
    theta, v = objective.theta, torch.ones(objective.layout.size, dtype=torch.float64)
    difference = (objective.gradient(theta + 1e-5 * v) - objective.gradient(theta - 1e-5 * v)) / 2e-5
    assert (objective.hvp(v) - difference).norm() <= 1e-7 * difference.norm()


def test_unused_and_linear_parameters_are_listed():
    class Partly(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.shift = TanhMLP(), nn.Parameter(torch.zeros(1))
            self.spare = nn.Linear(2, 2)

        def forward(self, x):
            return self.body(x), self.shift

    with torch.random.fork_rng():
        model = Partly()
    objective = ls.Objective(model, lambda out, t: F.cross_entropy(out[0], t) + out[1].sum(), data())
    assert objective.unused == ("spare.weight", "spare.bias")
    assert objective.linear == ("shift",)
    assert objective.layout.size == 68 + 1 + 6


def test_a_compiled_model_is_measured_through_what_it_wraps():
    model = small(nn.Tanh())
    compiled = torch.compile(model)
    v = torch.ones(68)
    assert torch.equal(
        ls.Objective(compiled, F.cross_entropy, data()).hvp(v), ls.Objective(model, F.cross_entropy, data()).hvp(v)
    )


def test_check_false_lets_a_dubious_question_through():
    objective = ls.Objective(small(nn.Tanh()), nn.CrossEntropyLoss(reduction="sum"), data(), check=False)
    assert objective.loss() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "test"}, "mode='test' is not one of 'eval', 'train'"),
        ({"chunk": 0}, "chunk=0 must be a whole number of at least 1: or 'auto', or None"),
        ({"dtype": torch.bfloat16}, "dtype=torch.bfloat16 is not one of torch.float32, torch.float64"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ls.UsageError, match=message):
        ls.Objective(small(nn.Tanh()), F.cross_entropy, data(), **options)


def test_a_batch_that_is_no_pair_points_to_from_loss():
    x, _ = data()
    with pytest.raises(ls.ObjectiveError, match=r"must be \(inputs, targets\).*from_loss"):
        ls.Objective(small(nn.Tanh()), F.cross_entropy, [{"x": x, "y": x, "z": x}])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_targets_fitted_to_the_last_digit_leave_rounding_which_no_mean_has_to_agree_in(reduction):
    """Parts of a batch may round otherwise than the whole: 0 and 1e-34 where the loss nearby is 1e-3."""
    with torch.random.fork_rng():
        model = nn.Linear(3, 2).double()
    x = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def loss(output, target):
        return F.mse_loss(output, target, reduction=reduction) + (1e-34 if len(output) < 9 else 0.0)

    data = x, model(x).detach()
    if reduction == "mean":
        assert ls.Objective(model, loss, data).loss() < 1e-30
    else:
        with pytest.raises(ls.ObjectiveError, match="not a mean over examples"):
            ls.Objective(model, loss, data)
