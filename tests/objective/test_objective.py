"""An objective answers one fixed question and leaves the caller's model as it was."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import landscape as ls
from tests.support.networks import KINDS, make


def regression_data(n=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, generator=generator), torch.randint(4, (n,), generator=generator)


def state_of(model):
    """Everything of the caller's that an evaluation could disturb."""
    return (
        {k: v.clone() for k, v in model.state_dict().items()},
        [(p.requires_grad, None if p.grad is None else p.grad.clone(), p.dtype, id(p)) for p in model.parameters()],
        [m.training for m in model.modules()],
        torch.random.get_rng_state(),
        torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cuda.flash_sdp_enabled(),
        torch.is_grad_enabled(),
        torch.is_autocast_enabled("cpu"),
    )


def assert_same_state(before, after):
    assert before[0].keys() == after[0].keys()
    assert all(torch.equal(before[0][k], after[0][k]) for k in before[0])
    for (r0, g0, d0, i0), (r1, g1, d1, i1) in zip(before[1], after[1], strict=True):
        assert (r0, d0, i0) == (r1, d1, i1)
        assert (g0 is None and g1 is None) or torch.equal(g0, g1)
    assert before[2] == after[2]
    assert torch.equal(before[3], after[3])
    assert before[4:] == after[4:]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_callers_model_changes(kind):
    model, loss_fn, batches = make(kind, dtype=torch.float32)
    model.train()
    first = next(iter(model.children()))
    first.eval()  # a mixture of modes comes back as a mixture
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    before = state_of(model)
    for dtype in (torch.float32, torch.float64):
        objective = ls.Objective(model, loss_fn, batches, dtype=dtype)
        objective.loss(), objective.gradient(), objective.hvp(objective.theta)
        for route in ("fresh", "retained", "linearized"):
            ls.HessianOperator(objective, route=route) @ objective.theta
    assert_same_state(before, state_of(model))


@pytest.mark.parametrize("after_calls", [0, 1, 7])
def test_nothing_changes_when_the_model_raises_midway(after_calls):
    class Failing(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.calls = torch.nn.Linear(3, 4), 0
            self.drop = torch.nn.Dropout(0.5)

        def forward(self, x):
            self.calls += 1
            if self.calls > after_calls:
                raise KeyError("the caller's own bug")
            return self.fc(self.drop(x))

    with torch.random.fork_rng():
        model = Failing().train()
    before = state_of(model)
    with pytest.raises(ls.ObjectiveError, match=r"raised KeyError: .*the caller's own bug.*test_objective.py") as seen:
        ls.Objective(model, F.cross_entropy, regression_data()).gradient()
    assert isinstance(seen.value.__cause__, KeyError)
    assert_same_state(before, state_of(model))


def test_a_model_in_train_mode_is_measured_in_eval_mode_and_handed_back_in_train_mode():
    model, loss_fn, batches = make("cnn")
    x, y = (torch.cat(column) for column in zip(*batches, strict=True))
    with torch.no_grad():
        expected = float(loss_fn(copy.deepcopy(model).eval()(x), y))
        in_train_mode = float(loss_fn(copy.deepcopy(model).train()(x), y))
    model.train()
    loss = ls.Objective(model, loss_fn, batches).loss()
    assert loss == pytest.approx(expected, rel=1e-12)
    assert abs(loss - in_train_mode) > 1e-3
    assert all(module.training for module in model.modules())


def test_train_mode_asks_for_the_statistics_of_the_whole_data():
    model, loss_fn, batches = make("cnn")
    x, y = (torch.cat(column) for column in zip(*batches, strict=True))
    with torch.no_grad():
        expected = float(loss_fn(copy.deepcopy(model).train()(x), y))
    running = model.bn.running_mean.clone()
    objective = ls.Objective(model, loss_fn, batches, mode="train")
    assert objective.loss() == pytest.approx(expected, rel=1e-12)
    assert torch.equal(model.bn.running_mean, running)


def test_all_forms_of_the_same_data_ask_the_same_question():
    x, y = regression_data()
    with torch.random.fork_rng():
        model = torch.nn.Linear(3, 4)
        loader = DataLoader(TensorDataset(x, y), batch_size=4)
    forms = [(x, y), (x.numpy(), y.numpy()), [(x[:7], y[:7]), (x[7:], y[7:])], loader, iter([(x, y)])]
    objectives = [ls.Objective(model, F.cross_entropy, form) for form in forms]
    assert len({o.digest() for o in objectives}) == 1
    assert len({round(o.loss(), 6) for o in objectives}) == 1
    changed = ls.Objective(model, F.cross_entropy, (x, y.flip(0)))
    assert changed.digest() != objectives[0].digest()


def make_head():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Linear(3, 4)


class Tempered:
    def __init__(self, temperature):
        self.temperature = temperature

    def __call__(self, output, target):
        return F.cross_entropy(output / self.temperature, target)


def smoothed(amount):
    return lambda output, target: F.cross_entropy(output, target, label_smoothing=amount)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss(label_smoothing=0.1)),
        (torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2, 3, 4])), torch.nn.CrossEntropyLoss(torch.ones(4))),
        (Tempered(1.0), Tempered(2.0)),
        (smoothed(0.1), smoothed(0.2)),
        (partial(F.cross_entropy, label_smoothing=0.1), partial(F.cross_entropy, label_smoothing=0.2)),
    ],
    ids=["attribute", "class weights", "callable", "closure", "partial"],
)
def test_two_losses_of_one_name_with_other_settings_are_two_questions(one, other):
    x, y = regression_data()
    asked = [ls.Objective(make_head(), loss, (x, y), check=False).digest() for loss in (one, copy.deepcopy(one), other)]
    assert asked[0] == asked[1] != asked[2]


def test_what_is_trained_is_no_setting_of_a_loss():
    x, y = regression_data()
    model = make_head()
    forward = lambda m, batch: F.cross_entropy(model(batch[0]), batch[1])  # noqa: E731 - it closes over the model
    loss = ls.Objective.from_loss(model, forward, (x, y), check=False)
    before = loss.digest()
    with torch.no_grad():
        model.weight.add_(1)
    assert loss.digest() == before


def test_a_shuffling_loader_is_read_once():
    x, y = regression_data(40)
    with torch.random.fork_rng():
        model = torch.nn.Linear(3, 4)
        loader = DataLoader(TensorDataset(x, y), batch_size=7, shuffle=True)
        objective = ls.Objective(model, F.cross_entropy, loader)
    assert len({objective.loss() for _ in range(5)}) == 1


def test_weight_counts_the_tokens_that_the_mean_runs_over():
    """cross_entropy(ignore_index) averages over the tokens that count, not over the rows."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 5, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(4, (9, 5), generator=generator)
    y[torch.rand(9, 5, generator=generator) < 0.5] = -100
    with torch.random.fork_rng():
        model = torch.nn.Linear(3, 4).double()

    def loss(output, target):
        return F.cross_entropy(output.flatten(0, 1), target.flatten(), ignore_index=-100)

    counted = ls.Objective(model, loss, (x, y), weight=lambda batch: int((batch[1] != -100).sum()), chunk=2)
    assert counted.loss() == pytest.approx(float(loss(model(x), y).detach()), rel=1e-12)
    with pytest.raises(ls.ObjectiveError, match="not a mean over examples.*weight="):
        ls.Objective(model, loss, (x, y), chunk=2)


def test_from_loss_equals_the_supervised_form():
    model, loss_fn, batches = make("mlp")
    supervised = ls.Objective(model, loss_fn, batches)
    own = ls.Objective.from_loss(
        model, lambda m, batch: loss_fn(m(batch["x"]), batch["y"]), [{"x": x, "y": y} for x, y in batches]
    )
    v = supervised.theta
    assert own.loss() == pytest.approx(supervised.loss(), rel=1e-14)
    assert (own.hvp(v) - supervised.hvp(v)).norm() <= 1e-12 * own.hvp(v).norm()


def test_a_misspelt_option_is_refused_by_both_constructors():
    model, loss_fn, batches = make("mlp")
    with pytest.raises(TypeError, match="chunks"):
        ls.Objective(model, loss_fn, batches, chunks=3)
    with pytest.raises(TypeError, match="chunks"):
        ls.Objective.from_loss(model, lambda m, b: loss_fn(m(b[0]), b[1]), batches, chunks=3)


def test_inputs_may_be_several_tensors():
    with torch.random.fork_rng():
        bilinear = torch.nn.Bilinear(3, 3, 4)
    x, y = regression_data()
    objective = ls.Objective(bilinear, F.cross_entropy, ((x, x.flip(0)), y), chunk=3)
    assert objective.loss() == pytest.approx(float(F.cross_entropy(bilinear(x, x.flip(0)), y).detach()), rel=1e-6)


def test_float64_of_a_float32_model_has_the_weights_of_the_loss_in_float64_too():
    x, y = regression_data()
    with torch.random.fork_rng():
        model = torch.nn.Linear(3, 4)
    loss = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2.0, 3.0, 4.0]))
    objective = ls.Objective(model, loss, (x, F.one_hot(y, 4).float()), dtype=torch.float64)
    assert objective.gradient().dtype == torch.float64
    twin = copy.deepcopy(model).double()
    expected = copy.deepcopy(loss).double()(twin(x.double()), F.one_hot(y, 4).double())
    assert objective.loss() == pytest.approx(float(expected.detach()), rel=1e-14)


def test_theta_is_a_copy_and_follows_the_model():
    model, loss_fn, batches = make("mlp")
    objective = ls.Objective(model, loss_fn, batches)
    theta = objective.theta
    theta.zero_()
    assert float(objective.theta.norm()) > 0
    before = objective.loss()
    with torch.no_grad():
        model[0].weight.mul_(2)
    assert objective.loss() != before
    assert torch.equal(objective.layout.unflatten(objective.theta)["0.weight"], model[0].weight.detach())


def test_flatten_and_unflatten_are_inverse():
    model, loss_fn, batches = make("tied")
    objective = ls.Objective(model, loss_fn, batches)
    theta = objective.theta
    assert torch.equal(objective.layout.flatten(objective.layout.unflatten(theta)), theta)
    assert objective.layout.aliases == {"lm_head.weight": "wte.weight"}
    assert sum(p.numel() for p in model.parameters()) == objective.layout.size


def test_vectors_may_be_numpy_and_a_wrong_length_is_named():
    model, loss_fn, batches = make("mlp")
    objective = ls.Objective(model, loss_fn, batches)
    assert objective.loss(np.asarray(objective.theta)) == objective.loss()
    with pytest.raises(ls.UsageError, match=r"shape \(3,\) does not fit: θ has shape \(68,\)"):
        objective.loss(torch.zeros(3))


def test_gradient_equals_torchs_own_on_the_whole_data():
    for kind in KINDS:
        model, loss_fn, batches = make(kind)
        x, y = (torch.cat(column) for column in zip(*batches, strict=True))
        twin = copy.deepcopy(model).eval()
        loss_fn(twin(x), y).backward()
        objective = ls.Objective(model, loss_fn, batches)
        expected = objective.layout.flatten({n: p.grad for n, p in twin.named_parameters() if p.grad is not None})
        assert (objective.gradient() - expected).norm() <= 1e-12 * expected.norm()


def test_repr_says_what_the_question_is():
    model, loss_fn, batches = make("mlp")
    said = repr(ls.Objective(model, loss_fn, batches))
    assert said == "Objective(P=68, N=13, loss=cross_entropy, mode=eval, float64 on cpu, 1 chunks)"


def test_a_loss_on_the_derivative_of_the_model_has_its_own_curvature():
    """Physics-informed: ∫(u′ − cos)² for u = w·sin(x) is ½(w − 1)² on average over a period, so H = 1."""

    class Wave(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

        def forward(self, x):
            return self.w * torch.sin(x)

    def residual(model, batch):
        x = batch.clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return (slope - torch.cos(x)).square().mean()

    points = torch.arange(12, dtype=torch.float64) * (2 * torch.pi / 12)
    objective = ls.Objective.from_loss(Wave(), residual, points, chunk=5)
    assert objective.loss() == pytest.approx(0.5 * 0.7**2, rel=1e-12)
    assert float(objective.hvp(torch.ones(1))) == pytest.approx(1.0, rel=1e-12)


def test_a_model_that_counts_its_calls_gives_the_same_value_each_time_and_keeps_its_count():
    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(3, 4)
            self.register_buffer("calls", torch.ones(()))

        def forward(self, x):
            self.calls += 1
            return self.fc(x) / self.calls

    with torch.random.fork_rng():
        model = Counting()
    objective = ls.Objective(model, F.cross_entropy, regression_data(), chunk=3)
    H = ls.HessianOperator(objective, route="fresh")
    v = objective.theta
    assert torch.equal(H @ v, H @ v)
    assert float(model.calls) == 1
