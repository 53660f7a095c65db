"""The problems of course projects: what is known of each in closed form, and what each promises."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from landscape.checkpoints import CheckpointDir
from landscape.errors import UsageError
from landscape.operators import HessianOperator
from landscape.problems import get_problem
from landscape.problems.builtin.child_speech import ALPHABET, GRAMMAR, corpus
from landscape.problems.builtin.digits import softmax_hessian
from landscape.problems.builtin.text import Alphabet, load_text
from landscape.problems.builtin.transformer import CharTransformer, continued
from landscape.training import train


def at(problem, *values):
    """The problem's model with these parameters, in their order."""
    model = problem.make_model(0)
    with torch.no_grad():
        for p, value in zip(model.parameters(), values, strict=True):
            p.copy_(torch.as_tensor(value).view_as(p))
    return model


# --- regressions ------------------------------------------------------------------------------------------------------


def test_the_polynomial_is_fitted_by_the_weights_0_and_2_and_the_bias_1():
    problem = get_problem("poly-regression")
    objective = problem.objective(at(problem, [0.0, 2.0], [1.0]), dtype=torch.float64)
    assert objective.loss() < 1e-13
    assert objective.gradient().norm() < 1e-6
    assert objective.theta.tolist() == [0.0, 2.0, 1.0]


@pytest.mark.parametrize(("name", "config"), [("poly-regression", {"noise": 0.3}), ("noisy-linear", {"dim": 4})])
def test_the_hessian_that_a_regression_states_is_that_of_its_loss(name, config):
    problem = get_problem(name, config)
    H = HessianOperator(problem.objective(problem.make_model(3), dtype=torch.float64))
    assert torch.allclose(H.dense(), problem.hessian, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("sigma", [0, 1, 5])
def test_the_noise_of_the_line_is_what_no_parameters_can_fit(sigma):
    """The mean of squared residuals of least squares is σ²(N − 2)/N on average; its sd √(2/N) of that."""
    problem = get_problem("noisy-linear", {"sigma": sigma, "num_examples": 5000})
    x, y = problem.train
    rows = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
    solution = torch.linalg.lstsq(rows, y.double()).solution
    left = float((rows @ solution - y).square().mean())
    assert left == pytest.approx(sigma**2, rel=0.08, abs=1e-12)
    assert torch.allclose(solution.flatten(), torch.tensor([3.0, 1.0]).double(), atol=0.3 * sigma + 1e-6)


# --- the constraint ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("c", "method", "solution"),
    [
        (2.0, "none", 2.0), (2.0, "square", 2.0), (2.0, "penalty", 2.0),
        (-2.0, "none", -2.0), (-2.0, "square", 0.0), (-2.0, "penalty", -2.0 / 11),
    ],
)  # fmt: skip
def test_descent_finds_the_solution_of_each_way_to_treat_the_constraint(tmp_path, c, method, solution):
    problem = get_problem("constrained", {"c": c, "method": method})
    last = train(problem, tmp_path, optimizer="gd", lr=0.03, epochs=400, save_every=10**6)
    assert float(last.model(problem).x) == pytest.approx(solution, abs=1e-3)


def test_every_start_of_the_constrained_problem_is_admissible():
    for method in ("none", "square", "penalty"):
        problem = get_problem("constrained", {"method": method})
        starts = [float(problem.make_model(seed).x) for seed in range(20)]
        assert min(starts) > 0
        assert len(set(starts)) == 20


# --- products of matrices ---------------------------------------------------------------------------------------------


def test_a_factorisation_is_the_same_matrix_after_rescaling_and_not_as_sharp():
    problem = get_problem("matrix-factorization", {"rows": 6, "columns": 5, "rank": 2})
    model = problem.make_model(0)
    scaled = at(problem, 4.0 * model.U.detach(), model.V.detach() / 4.0)
    losses, sharpest = [], []
    for one in (model, scaled):
        objective = problem.objective(one, dtype=torch.float64)
        losses.append(objective.loss())
        sharpest.append(float(torch.linalg.eigvalsh(HessianOperator(objective).dense())[-1]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert sharpest[1] > 3 * sharpest[0]


def test_the_flattest_minimum_of_a_product_is_where_the_factors_are_balanced_as_stated():
    """Against dense Hessians at minima (UG, VG⁻ᵀ): none has less of λ_max or trace, and the balanced one has these."""
    problem = get_problem("matrix-factorization", {"rows": 5, "columns": 4, "rank": 2, "observed": 1.0})
    truth = torch.zeros(5, 4, dtype=torch.float64)
    places, values = problem.train
    truth[places[:, 0], places[:, 1]] = values[:, 0].double()
    left, sizes, right = torch.linalg.svd(truth)
    U, V = left[:, :2] * sizes[:2].sqrt(), right[:2].T * sizes[:2].sqrt()

    def bends(G):
        model = at(problem, U @ G, V @ torch.linalg.inv(G).T)
        values = torch.linalg.eigvalsh(HessianOperator(problem.objective(model, dtype=torch.float64)).dense())
        return float(values[-1]), float(values.sum())

    even = (4 / 5) ** 0.25  # n‖U‖² = m‖V‖² is where the trace is least
    assert bends(torch.eye(2).double())[0] == pytest.approx(problem.known["lambda_max"], rel=1e-5)
    assert bends((even**-1) * torch.eye(2).double())[1] == pytest.approx(problem.known["trace"], rel=1e-5)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        lambda_max, trace = bends(torch.randn(2, 2, generator=generator, dtype=torch.float64) + torch.eye(2))
        assert lambda_max > problem.known["lambda_max"] * (1 - 1e-6)
        assert trace > problem.known["trace"] * (1 - 1e-6)
    assert get_problem("matrix-factorization").known == {}
    assert problem.test is None


def test_small_steps_keep_the_imbalance_of_the_factors(tmp_path):
    config = {"rows": 5, "columns": 5, "rank": 2, "observed": 1.0}
    for imbalance in (1.0, 5.0):
        problem = get_problem("matrix-factorization", {**config, "imbalance": imbalance})
        start = problem.make_model(0)
        last = train(problem, tmp_path / f"{imbalance}", optimizer="gd", lr=0.1, epochs=400, save_every=400)
        model = last.model(problem)
        before, after = (m.U.T @ m.U - m.V.T @ m.V for m in (start, model))
        assert float((after - before).norm()) < 0.02 * float(after.norm() + before.norm())
        assert last.metrics["train_loss"] < 0.3 * float(problem.mean_loss(start, problem.train))


def test_observed_and_held_out_entries_are_all_entries_once():
    problem = get_problem("matrix-factorization", {"rows": 7, "columns": 9, "observed": 0.6})
    places = torch.cat([problem.train[0], problem.test[0]])
    assert len(places) == len({tuple(p) for p in places.tolist()}) == 63


def test_a_deep_linear_net_is_a_linear_map_and_one_layer_of_it_has_the_identity_as_hessian():
    problem = get_problem("deep-linear", {"depth": 4})
    model, x = problem.make_model(0), problem.train[0]
    assert torch.allclose(model(x[:1] + 2 * x[1:2]), model(x[:1]) + 2 * model(x[1:2]), atol=1e-5)
    flat = get_problem("deep-linear", {"depth": 1, "dim": 3, "num_examples": 12})
    H = HessianOperator(flat.objective(flat.make_model(0), dtype=torch.float64)).dense()
    assert torch.allclose(H, torch.eye(9, dtype=torch.float64), atol=1e-6)  # the inputs are whitened


# --- images -----------------------------------------------------------------------------------------------------------


def test_the_hessian_of_softmax_regression_in_closed_form_is_that_of_the_loss():
    problem = get_problem("logistic-digits")
    model = problem.make_model(0).double()
    x, y = problem.train[0][:40, :, :3, :2].double(), problem.train[1][:40]
    with torch.random.fork_rng():
        small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 10)).double()

    def loss(theta):
        w, b = theta[:60].view(10, 6), theta[60:]
        return F.cross_entropy(x.flatten(1) @ w.T + b, y)

    theta = torch.cat([p.detach().flatten() for p in small.parameters()])
    dense = torch.autograd.functional.hessian(loss, theta)
    ours = softmax_hessian((x, y), small(x).detach().softmax(1))
    assert torch.allclose(ours, dense, rtol=1e-9, atol=1e-13)
    assert model(problem.train[0][:2].double()).shape == (2, 10)


@pytest.mark.parametrize("name", ["lenet-digits", "mlp-digits", "logistic-digits", "resnet-digits"])
def test_a_classification_problem_takes_cross_entropy_or_squared_error(name):
    entropy, squares = get_problem(name), get_problem(name, {"loss": "mse"})
    model = entropy.make_model(0).eval()
    x, y = entropy.train[0][:20], entropy.train[1][:20]
    output = model(x)
    assert float(entropy.mean_loss(model, (x, y))) == pytest.approx(float(F.cross_entropy(output, y)), rel=1e-6)
    by_hand = 0.5 * ((output - F.one_hot(y, 10)) ** 2).sum(1).mean()
    assert float(squares.mean_loss(model, (x, y))) == pytest.approx(float(by_hand), rel=1e-6)
    with pytest.raises(UsageError, match="'hinge' is not one of 'cross_entropy', 'mse'"):
        get_problem(name, {"loss": "hinge"})


def test_a_residual_block_without_its_branch_is_its_skip_and_the_plain_one_has_none():
    """Zero gains of the last normalisation leave relu(x) where there is a skip, relu(0) where there is not."""
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for skip in (True, False):
        model = get_problem("resnet-digits", {"skip": skip}).make_model(0).eval()
        for block in model.blocks:
            torch.nn.init.zeros_(block.norm2.weight)
        assert bool((model(x) - model(-3 * x)).abs().max() > 1e-3) is skip
    count = {skip: sum(p.numel() for p in get_problem("resnet-digits", {"skip": skip}).make_model(0).parameters())
             for skip in (True, False)}  # fmt: skip
    assert count[True] == count[False]


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_every_normalisation_of_the_residual_network_trains(norm):
    problem = get_problem("resnet-digits", {"norm": norm})
    model = problem.make_model(0)
    problem.mean_loss(model, tuple(part[:8] for part in problem.train)).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


# --- text -------------------------------------------------------------------------------------------------------------


def small_transformer(**options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"vocabulary": 11, "context": 8, "width": 12, "layers": 2, "heads": 3}
        return CharTransformer(**sizes | options).eval()


def test_a_transformer_sees_no_character_before_its_time():
    model = small_transformer()
    tokens = torch.randint(11, (1, 8), generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 11
    a, b = model(tokens), model(changed)
    assert a.shape == (1, 11, 8)
    assert torch.allclose(a[..., :5], b[..., :5], atol=1e-6)
    assert (a[..., 5] - b[..., 5]).abs().max() > 1e-4


def test_the_full_transformer_has_ten_million_parameters_and_its_head_is_its_embedding():
    problem = get_problem("char-transformer", {"characters": 2000})
    with torch.device("meta"):
        model = problem.build()
    assert model.head.weight is model.tokens.weight
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(10.75e6, rel=0.01)


def test_writing_takes_the_likeliest_at_temperature_0_and_repeats_with_its_seed():
    model = small_transformer()
    start = torch.tensor([1, 2, 3])
    written = continued(model, start, 12, temperature=0)
    assert torch.equal(written[:3], start)
    for i in range(3, 15):
        seen = written[max(0, i - 8) : i]
        assert int(written[i]) == int(model(seen[None])[0, :, -1].argmax())
    assert torch.equal(continued(model, start, 9, seed=1), continued(model, start, 9, seed=1))
    assert not torch.equal(continued(model, start, 9, seed=1), continued(model, start, 9, seed=2))


def test_characters_are_drawn_in_proportion_to_what_the_model_expects():
    model = small_transformer()
    expected = (model(torch.tensor([[4]]))[0, :, -1] / 0.5).softmax(0).detach()
    drawn = torch.stack([continued(model, torch.tensor([4]), 1, temperature=0.5, seed=s)[1] for s in range(1500)])
    counts = torch.bincount(drawn, minlength=11) / len(drawn)
    error = (expected * (1 - expected) / len(drawn)).sqrt()
    assert ((counts - expected).abs() <= 4.5 * error).all()


def test_the_made_up_talk_stays_in_its_alphabet_and_differs_by_seed():
    text = corpus(20_000, seed=3)
    assert len(text) == 20_000
    assert set(text) <= set(ALPHABET)
    assert "{" not in text
    assert corpus(500, seed=3) == text[:500] != corpus(500, seed=4)
    words = {word for food in GRAMMAR["food"] for word in food.split()}
    assert all(word in text for word in words)


def test_inputs_and_targets_are_the_text_and_its_next_characters(tmp_path):
    (tmp_path / "own.txt").write_text("hello world, " * 30, encoding="utf-8")
    problem = get_problem("char-transformer-small", {"file": "own.txt", "context": 16}, data_dir=tmp_path)
    text, alphabet = load_text("own.txt", 50_000, 0, tmp_path)
    assert alphabet.letters == "".join(sorted(set("hello world, ")))
    inputs, targets = (torch.cat([problem.train[i], problem.test[i]]).flatten() for i in (0, 1))
    assert alphabet.decode(inputs) == text[: len(inputs)]
    assert alphabet.decode(targets) == text[1 : len(inputs) + 1]
    assert len(problem.test[0]) == 2
    assert problem.num_classes == len(alphabet.letters)


@pytest.mark.parametrize(
    ("config", "folder", "said"),
    [
        ({"file": "own.txt"}, False, "needs the folder it lies in"),
        ({"file": "missing.txt"}, True, "cannot read .*missing.txt"),
        ({"file": "binary.txt"}, True, "cannot read .*binary.txt as text in UTF-8"),
        ({"characters": 100}, False, "too few for a context of 64"),
        ({"width": 10, "heads": 4}, False, "width=10 must be a multiple of heads=4"),
        ({"dropout": 1.0}, False, "dropout=1.0"),
    ],
)
def test_a_text_that_cannot_be_used_is_refused(tmp_path, config, folder, said):
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UsageError, match=said):
        get_problem("char-transformer-small", config, data_dir=tmp_path if folder else None)


def test_a_character_the_model_does_not_know_is_named():
    with pytest.raises(UsageError, match="'é' is not among the characters"):
        Alphabet("abc").encode("abé")


def test_the_sample_script_writes_what_was_learned(tmp_path, capsys):
    path = Path(__file__).parents[2] / "scripts" / "sample.py"
    spec = importlib.util.spec_from_file_location("sample_script", path)
    script = importlib.util.module_from_spec(spec)
    sys.modules["sample_script"] = script
    spec.loader.exec_module(script)
    config = {"characters": 6000, "context": 16, "width": 24, "layers": 1}
    train(get_problem("char-transformer-small", config), tmp_path / "run", epochs=2)
    assert script.main([str(tmp_path / "run"), "--prompt", "i want", "--length", "50"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("i want")
    assert len(out) == 6 + 50 + 1
    assert script.main([str(tmp_path / "run"), "--prompt", "%"]) == 2
    assert "'%' is not among" in capsys.readouterr().err
    train(get_problem("quadratic"), tmp_path / "other", epochs=1)
    assert script.main([str(tmp_path / "other")]) == 2
    assert "no character model" in capsys.readouterr().err
    assert len(CheckpointDir(tmp_path / "run")) == 3
