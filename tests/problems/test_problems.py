"""Problems: determined by name and config, learnable, with the curvature they promise."""

from __future__ import annotations

import gzip
import json
import os
import sys
import urllib.error
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

import landscape.problems.digits as digits_module
import landscape.problems.mnist as mnist_module
from landscape.checkpoints import load_checkpoint, save_checkpoint
from landscape.errors import UsageError
from landscape.problems import PROBLEMS, Problem, get_problem, load_problem, resolve_config
from landscape.problems.base import half_squared_error
from landscape.problems.metrics import evaluate

OFFLINE = [
    "lenet-digits", "mlp-digits", "logistic-digits", "resnet-digits", "quadratic", "two-well", "poly-regression",
    "noisy-linear", "constrained", "matrix-factorization", "deep-linear", "char-transformer-small",
]  # fmt: skip


def forget_cached_data():
    digits_module.digits_split.cache_clear()
    mnist_module.mnist_split.cache_clear()


@pytest.mark.parametrize("name", OFFLINE)
def test_name_and_config_determine_tensors_and_initial_weights(name):
    first = get_problem(name)
    forget_cached_data()
    second = get_problem(name, json.loads(json.dumps(first.config)))
    for a, b in zip((*first.train, *first.test), (*second.train, *second.test), strict=True):
        assert torch.equal(a, b)
    one, again, other = (dict(p.make_model(s).named_parameters()) for p, s in ((first, 0), (second, 0), (second, 1)))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", OFFLINE)
def test_objective_passes_preflight_and_equals_the_mean_loss(name):
    problem = get_problem(name)
    few = {split: tuple(t[:40] for t in problem.data(split)) for split in ("train", "test")}
    problem = replace(problem, **few)
    model = problem.make_model(3)
    for split in ("train", "test"):
        objective = problem.objective(model, split=split, dtype=torch.float64)
        inputs, targets = problem.data(split)
        twin = problem.make_model(3).double()
        targets = targets.double() if targets.is_floating_point() else targets
        inputs = inputs.double() if inputs.is_floating_point() else inputs
        assert objective.loss() == pytest.approx(problem.loss(twin.eval(), inputs, targets).item(), rel=1e-12)


def test_unknown_names_and_settings_are_refused_with_what_there_is():
    with pytest.raises(UsageError, match=r"'lenet'; known are lenet-digits, .*two-well.*--problem pkg\.mod:factory"):
        get_problem("lenet")
    with pytest.raises(UsageError, match=r"no setting 'activations', 'depth'; it has activation, pooling"):
        get_problem("lenet-digits", {"activations": "tanh", "depth": 3})
    with pytest.raises(UsageError, match="must be JSON"):
        get_problem("quadratic", {"eigenvalues": torch.ones(2)})
    for config in ({"activation": "gelu"}, {"pooling": "min"}, {"test_fraction": 0}, {"test_fraction": 1e-4}):
        with pytest.raises(UsageError, match=str(next(iter(config.values())))):
            get_problem("lenet-digits", config)
    with pytest.raises(UsageError, match="num_train=2000 is more than the 1257"):
        get_problem("mlp-digits", {"num_train": 2000})
    with pytest.raises(UsageError, match="l2=-1"):
        get_problem("logistic-digits", {"l2": -1})
    with pytest.raises(UsageError, match="split='valid'"):
        get_problem("quadratic").data("valid")
    with pytest.raises(UsageError, match="seed=None"):
        get_problem("quadratic").make_model(None)


def test_defaults_are_written_out_without_loading_data(monkeypatch):
    monkeypatch.setattr(mnist_module, "mnist_split", lambda *a, **k: pytest.fail("data were loaded"))
    assert resolve_config("mlp-mnist", {"hidden": [5]})["loss"] == "cross_entropy"
    assert "data_dir" not in resolve_config("mlp-mnist")  # a path of one machine does not determine a problem


def test_digits_are_split_by_class_without_overlap_and_standardised():
    problem = get_problem("mlp-digits")
    (x, y), (u, v) = problem.train, problem.test
    assert (len(y), len(v)) == (1257, 540)
    share = torch.bincount(v).double() / torch.bincount(torch.cat([y, v]))
    assert (share - 0.3).abs().max() < 0.006
    assert abs(float(x.double().mean())) < 1e-6
    assert float(x.double().std()) == pytest.approx(1, abs=1e-5)
    assert len(torch.unique(torch.cat([x, u]).flatten(1), dim=0)) == 1797
    other = get_problem("mlp-digits", {"split_seed": 1})
    assert not torch.equal(other.train[1], y)
    assert torch.equal(get_problem("mlp-digits", {"num_train": 50}).train[0], x[:50])


def test_lenet_has_the_layers_and_the_count_of_the_paper_s_dense_variant():
    problem = get_problem("lenet-digits")
    model = problem.make_model(0)
    assert [name for name, _ in model.named_children()] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert sum(p.numel() for p in model.parameters()) == 61_706
    assert problem.train[0].shape == (1257, 1, 32, 32)
    # bilinear resizing of 8 × 8 by four keeps the mean of each image's inner part, and the image itself up to a scale
    small = get_problem("mlp-digits").train[0]
    back = functional.avg_pool2d(problem.train[0], 4)
    assert torch.corrcoef(torch.stack([back.flatten(), small.flatten()]))[0, 1] > 0.97


def test_half_squared_error_is_half_the_sum_over_outputs_mean_over_examples():
    output, target = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([1, 0])
    assert float(half_squared_error(output, target)) == (0.5 * (1 + 1) + 0.5 * 1) / 2


def test_l2_adds_its_multiple_of_the_identity_to_the_weights_hessian():
    plain, ridge = (get_problem("logistic-digits", {"l2": l2}) for l2 in (0.0, 0.25))
    v = torch.randn(650, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    difference = [p.objective(p.make_model(0), dtype=torch.float64, check=False).hvp(v) for p in (plain, ridge)]
    weights = torch.cat([torch.ones(640), torch.zeros(10)]).double()
    assert torch.allclose(difference[1] - difference[0], 0.25 * weights * v, atol=1e-12)


@pytest.mark.parametrize(
    "config", [{}, {"eigenvalues": [5.0, 2.0, 2.0, 0.0]}, {"dim": 3, "condition": 1e4, "noise": 0}]
)
def test_quadratic_has_the_eigenvalues_asked_for_and_says_its_hessian(config):
    problem = get_problem("quadratic", config)
    dim = problem.train[0].shape[1]
    wanted = config.get("eigenvalues") or np.geomspace(1, 1 / config.get("condition", 100.0), dim)
    found = torch.linalg.eigvalsh(problem.hessian).flip(0).numpy()
    assert np.abs(found - wanted).max() <= 1e-6 * max(wanted)
    objective = problem.objective(problem.make_model(0), dtype=torch.float64)
    v = torch.randn(dim, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert (objective.hvp(v) - problem.hessian @ v).norm() <= 1e-13 * v.norm() * max(wanted)


def test_quadratic_s_minimum_is_half_the_squared_noise_and_minibatches_disagree_about_it():
    problem = get_problem("quadratic", {"noise": 0.3, "condition": 10.0})
    objective = problem.objective(problem.make_model(0), dtype=torch.float64)
    theta = objective.theta
    theta = theta - torch.linalg.solve(problem.hessian, objective.gradient(theta))
    assert objective.loss(theta) == pytest.approx(0.045, rel=1e-5)
    (x, y), half = problem.train, 64
    part = objective.on_batches([(x[:half], y[:half])])
    assert part.gradient(theta).norm() > 1e-3 > 1e6 * objective.gradient(theta).norm()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"eigenvalues": [1, -1]}, "none negative"),
        ({"eigenvalues": []}, "at least one number"),
        ({"num_examples": 10}, "must exceed the 10"),
        ({"condition": 0.5}, "at least 1"),
        ({"noise": -1}, "noise=-1 must be a number of at least 0"),
    ],
)
def test_an_impossible_quadratic_is_refused(config, said):
    with pytest.raises(UsageError, match=said):
        get_problem("quadratic", config)


def test_two_well_has_a_narrow_and_a_wide_minimum_with_the_curvatures_asked_for():
    problem = get_problem("two-well", {"narrow": 16.0, "wide": 2.0})
    inputs, targets = (t.double() for t in problem.train)
    model = problem.make_model(0).double()

    def loss(theta):
        return problem.loss_fn(theta - inputs, targets)

    variance = inputs.var(0, correction=0).sum()
    for centre, curvature in ((-2.0, 16.0), (2.0, 2.0)):
        minimum = torch.tensor([centre, 0.0], dtype=torch.float64) + inputs.mean(0)
        with torch.no_grad():
            model.position.copy_(minimum)
        value = problem.loss(model, inputs, targets)
        assert torch.autograd.grad(value, model.position)[0].norm() < 1e-6
        hessian = torch.autograd.functional.hessian(loss, minimum)
        assert torch.allclose(hessian, curvature * torch.eye(2, dtype=torch.float64), atol=1e-4)
        assert float(value.detach()) == pytest.approx(0.5 * curvature * float(variance), rel=1e-5)


def test_two_well_refuses_shapes_that_are_none():
    for config in ({"narrow": 0}, {"temperature": -1}, {"separation": 0}, {"noise": -0.1}, {"num_points": 0}):
        with pytest.raises(UsageError, match=next(iter(config))):
            get_problem("two-well", config)


def test_metrics_are_those_of_the_whole_data_and_the_model_comes_back_as_it_was():
    problem = get_problem("mlp-digits", {"hidden": [7], "num_train": 700})  # two uneven chunks
    model = problem.make_model(0).train()
    start = [p.detach() + 0.5 for p in model.parameters()]
    metrics = evaluate(problem, model, start=start)
    objective = problem.objective(model, dtype=torch.float64)
    assert metrics["train_loss"] == pytest.approx(objective.loss(), rel=1e-6)
    assert metrics["grad_norm"] == pytest.approx(float(objective.gradient().norm()), rel=1e-5)
    assert metrics["param_norm"] == pytest.approx(float(objective.theta.norm()), rel=1e-12)
    assert metrics["distance"] == pytest.approx(0.5 * objective.layout.size**0.5, rel=1e-6)
    predicted = model(problem.test[0]).argmax(1)
    truth = problem.test[1]
    assert metrics["test_accuracy"] == pytest.approx(float((predicted == truth).double().mean()))
    assert metrics["accuracy_per_class"][3] == pytest.approx(float((predicted[truth == 3] == 3).double().mean()))
    assert model.training
    assert all(p.grad is None for p in model.parameters())


# --- MNIST ------------------------------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()


@pytest.fixture
def mnist_files():
    rng = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte": idx(rng.integers(0, 256, (6, 28, 28), dtype=np.uint8)),
        "train-labels-idx1-ubyte": idx(np.array([5, 0, 4, 1, 9, 2], dtype=np.uint8)),
        "t10k-images-idx3-ubyte": idx(rng.integers(0, 256, (3, 28, 28), dtype=np.uint8)),
        "t10k-labels-idx1-ubyte": idx(np.array([7, 2, 1], dtype=np.uint8)),
    }


def put(folder, files, *, gz=False, rename=lambda name: name):
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        (folder / (rename(name) + (".gz" if gz else ""))).write_bytes(gzip.compress(raw) if gz else raw)


def test_mnist_reads_idx_files_plain_gzipped_and_under_other_spellings_alike(tmp_path, mnist_files):
    put(tmp_path / "plain", mnist_files)
    put(tmp_path / "gz", mnist_files, gz=True)
    put(tmp_path / "torchvision" / "MNIST" / "raw", mnist_files)
    put(tmp_path / "dots", mnist_files, rename=lambda name: name.replace("-idx", ".idx"))
    problems = [get_problem("mlp-mnist", data_dir=folder) for folder in sorted(tmp_path.iterdir())]
    assert len(problems) == 4
    for problem in problems:
        assert torch.equal(problem.train[0], problems[0].train[0])
        assert problem.train[1].tolist() == [5, 0, 4, 1, 9, 2]
    raw = np.frombuffer(mnist_files["train-images-idx3-ubyte"], dtype=np.uint8, offset=16).astype(float)
    assert np.allclose(problems[0].train[0].numpy().ravel(), (raw - raw.mean()) / raw.std(ddof=1), atol=1e-5)


def test_lenet_mnist_pads_with_background_and_takes_a_subset(tmp_path, mnist_files):
    put(tmp_path, mnist_files)
    problem = get_problem("lenet-mnist", {"num_train": 4}, data_dir=tmp_path)
    images = problem.train[0]
    assert images.shape == (4, 1, 32, 32)
    assert (images[:, :, :2] == images[0, 0, 0, 0]).all()
    assert images[0, 0, 0, 0] == problem.train[0].min()
    assert problem.make_model(0)(images).shape == (4, 10)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: raw[:-1], "bytes, but its header promises"),
        (lambda raw: raw + b"\0", "bytes, but its header promises"),
        (lambda raw: raw[:9], "9 bytes, but its header promises"),
        (lambda raw: b"", "begins with nothing"),
        (lambda raw: b"PK" + raw[2:], "not an IDX file"),
        (lambda raw: raw[:2] + b"\x0d" + raw[3:], "type 0x0d"),
        (lambda raw: gzip.compress(raw)[:-20], "cannot be read"),
        (lambda raw: idx(np.zeros((6, 27, 28), np.uint8)), "not of 28 × 28 images"),
        (lambda raw: idx(np.zeros((5, 28, 28), np.uint8)), "5 images, but its labels"),
    ],
)
def test_a_damaged_idx_file_is_refused_by_name(tmp_path, mnist_files, damage, said):
    name = "train-images-idx3-ubyte"
    put(tmp_path, {**mnist_files, name: damage(mnist_files[name])})
    with pytest.raises(UsageError, match=said) as caught:
        get_problem("mlp-mnist", data_dir=tmp_path)
    assert name in str(caught.value)


def test_labels_beyond_nine_are_refused(tmp_path, mnist_files):
    put(tmp_path, {**mnist_files, "t10k-labels-idx1-ubyte": idx(np.array([1, 2, 10], np.uint8))})
    with pytest.raises(UsageError, match="label 10; expected 0 … 9"):
        get_problem("mlp-mnist", data_dir=tmp_path)


def test_missing_files_are_named_with_where_to_put_them_and_where_they_come_from(tmp_path, mnist_files):
    put(tmp_path, dict(list(mnist_files.items())[:3]))
    with pytest.raises(UsageError) as caught:
        get_problem("lenet-mnist", data_dir=tmp_path)
    message = str(caught.value)
    assert message.startswith("t10k-labels-idx1-ubyte not found")
    assert str(tmp_path) in message
    assert "LeCun" in message


@pytest.fixture
def data_home(tmp_path, monkeypatch):
    """An empty folder of scikit-learn's data, so that what this machine has fetched plays no part."""
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    forget_cached_data()
    yield tmp_path
    forget_cached_data()


def test_without_files_and_network_the_message_says_what_to_do(monkeypatch, data_home):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", no_network)
    with pytest.raises(UsageError, match=r"(?s)OpenML.*Name or service.*train-images-idx3-ubyte.*--data DIR"):
        get_problem("lenet-mnist")


class Bunch:
    """What OpenML would send, in small."""

    data = np.arange(5 * 784).reshape(5, 784) % 256
    target = np.array(["3", "1", "4", "1", "5"], dtype=object)


def test_with_a_network_the_first_rows_of_openml_are_the_training_set(monkeypatch, data_home):
    monkeypatch.setattr(mnist_module, "TRAIN_ROWS", 3)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *args, **kwargs: Bunch)
    problem = get_problem("mlp-mnist")
    assert problem.train[1].tolist() == [3, 1, 4]
    assert problem.test[1].tolist() == [1, 5]


def test_a_name_in_a_checkpoint_starts_no_download_but_finds_what_was_fetched(monkeypatch, data_home, tmp_path_factory):
    """Who types the name allows the download; from then on files may name the problem."""
    path = save_checkpoint(tmp_path_factory.mktemp("run"), torch.nn.ReLU(), step=0, problem="mlp-mnist")
    checkpoint = load_checkpoint(path)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *args, **kwargs: pytest.fail("something was fetched"))
    with pytest.raises(UsageError, match=r"does not start a download.*--problem lenet-mnist"):
        checkpoint.find_problem()
    monkeypatch.setattr(mnist_module, "TRAIN_ROWS", 3)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *args, **kwargs: Bunch)
    typed = checkpoint.find_problem("mlp-mnist")
    forget_cached_data()
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *args, **kwargs: pytest.fail("something was fetched"))
    named = checkpoint.find_problem()
    assert all(torch.equal(a, b) for a, b in zip(typed.train + typed.test, named.train + named.test, strict=True))
    for left in data_home.iterdir():
        left.write_bytes(left.read_bytes()[:-100])
    forget_cached_data()
    with pytest.raises(UsageError, match="does not start a download"):
        checkpoint.find_problem()


@pytest.mark.parametrize("outside", ["../secret.txt", "/etc/passwd", "sub/../../secret.txt", "pipe", "nothing\0here"])
def test_a_config_cannot_name_a_file_outside_the_data_folder_nor_what_is_no_file(tmp_path, outside):
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "secret.txt").write_text("a secret of mine. " * 100)
    os.mkfifo(data / "pipe")
    with pytest.raises(UsageError, match="within the folder|cannot read"):
        get_problem("char-transformer-small", {"file": outside}, data_dir=data)


def test_a_config_has_no_say_about_the_data_folder_or_downloads():
    for key in ("data_dir", "download"):
        with pytest.raises(UsageError, match=f"{key!r} is no setting"):
            get_problem("mlp-mnist", {key: True})


# --- a user's own problem ---------------------------------------------------------------------------------------------

OWN = """
import torch
from landscape.problems import Problem
def factory(*, width=2, data_dir=None):
    x = torch.ones(4, width)
    return Problem(build=lambda: torch.nn.Linear(width, 1), loss_fn=torch.nn.functional.mse_loss, loss_name="mse",
                   train=(x, torch.zeros(4, 1)), test=(x, torch.zeros(4, 1)), config={"seen": str(data_dir)})
def wrong(): return 3
def fails(): raise RuntimeError("no such sensor")
def needs(path): return path
number = 5
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_for_test.py").write_text(OWN)
    (tmp_path / "broken_for_test.py").write_text("def factory(:")
    yield "mine_for_test"
    sys.modules.pop("mine_for_test", None)


def test_a_problem_of_the_user_s_own_is_found_in_the_current_folder(own_module):
    path_before = list(sys.path)
    problem = load_problem(f"{own_module}:factory", {"width": 3}, data_dir="here")
    assert isinstance(problem, Problem)
    assert (problem.name, problem.config) == (f"{own_module}:factory", {"width": 3})
    assert problem.train[0].shape == (4, 3)
    assert sys.path == path_before
    assert load_problem("quadratic").name == "quadratic"


@pytest.mark.parametrize(
    ("spec", "config", "said"),
    [
        ("absent_for_test:factory", {}, "importing 'absent_for_test' failed .*No module named"),
        ("broken_for_test:factory", {}, "importing 'broken_for_test' failed .SyntaxError"),
        ("mine_for_test:absent", {}, "has no function 'absent'"),
        ("mine_for_test:number", {}, "has no function 'number'"),
        ("mine_for_test:wrong", {}, "returned a int, not a landscape.problems.Problem"),
        ("mine_for_test:fails", {}, "RuntimeError: no such sensor"),
        ("mine_for_test:needs", {}, "needs 'path' in its config"),
        ("mine_for_test:factory", {"wide": 1}, "no setting 'wide'; it has width"),
    ],
)
def test_what_is_wrong_with_a_user_s_problem_is_said_in_one_line(own_module, spec, config, said):
    with pytest.raises(UsageError, match=said):
        load_problem(spec, config)


def test_a_problem_with_unequal_or_no_data_is_refused():
    for inputs, targets in ((torch.ones(3, 1), torch.ones(2, 1)), (torch.ones(0, 1), torch.ones(0, 1))):
        with pytest.raises(UsageError, match="the train data have"):
            Problem(
                build=lambda: torch.nn.Linear(1, 1),
                loss_fn=functional.mse_loss,
                loss_name="mse",
                train=(inputs, targets),
                test=(torch.ones(1, 1), torch.ones(1, 1)),
            )


def test_every_registered_problem_is_covered_here():
    # The large transformer is the small one with other settings.
    assert set(PROBLEMS) == {*OFFLINE, "char-transformer", "lenet-mnist", "mlp-mnist", "softmax-mnist"}
