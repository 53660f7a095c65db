"""Examples and batches of weight 0 are no part of the loss, wherever they stand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import landscape as ls
from landscape.problems.metrics import evaluate

PAD = -100
WORDS, LENGTH = 5, 4


def texts(padded, count=15, seed=0):
    """Tokens and targets; the texts of these numbers are padding from end to end."""
    draw = torch.Generator().manual_seed(seed)
    tokens, targets = (torch.randint(WORDS, (count, LENGTH), generator=draw) for _ in range(2))
    targets[list(padded)] = PAD
    return {"tokens": tokens, "targets": targets}


def make_model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Embedding(WORDS, 3), torch.nn.Tanh(), torch.nn.Linear(3, WORDS))


def loss(model, batch):
    """0/0 where no target counts, as torch has it."""
    return F.cross_entropy(model(batch["tokens"]).flatten(0, 1), batch["targets"].flatten(), ignore_index=PAD)


def counted(batch):
    return int((batch["targets"] != PAD).sum())


def dense(model, data):
    """Of all tokens as one batch, in float64, row by row."""
    twin = make_model().double()
    twin.load_state_dict(model.state_dict())
    tensors = list(twin.parameters())
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss(twin, data), tensors, create_graph=True)])
    rows = [torch.autograd.grad(g, tensors, retain_graph=True) for g in gradient]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


@pytest.mark.parametrize("padded", [[0], range(13), [0, 2, 14]], ids=["first", "all but two", "here and there"])
@pytest.mark.parametrize("options", [{}, {"chunk": 2}, {"check": False}], ids=["auto", "chunks", "unchecked"])
def test_texts_of_padding_alone_change_nothing(padded, options):
    data, model = texts(padded), make_model()
    objective = ls.Objective.from_loss(model, loss, data, weight=counted, **options)
    truth = dense(model, data)
    assert float((ls.HessianOperator(objective).dense().double() - truth).norm() / truth.norm()) < 1e-5
    assert objective.loss() == pytest.approx(float(loss(model, data).detach()), rel=1e-6)
    few = objective.on_first(4).batches.batches[0]
    kept = [row for row in range(15) if row not in padded][:4]
    assert torch.equal(few["tokens"], data["tokens"][kept])


def test_a_first_batch_without_weight_is_passed_over():
    """Batches of other lengths stay as they come; of the first of these no token counts."""
    short = {name: part[:, :3] for name, part in texts(range(6), count=6).items()}
    data, model = [short, texts([0], count=7, seed=1)], make_model()
    alone = ls.Objective.from_loss(model, loss, data[1:], weight=counted)
    for interacting in (False, True):
        objective = ls.Objective.from_loss(model, loss, data, weight=counted, interacting=interacting)
        assert objective.loss() == pytest.approx(alone.loss(), rel=1e-6)
        assert objective.resolution == alone.resolution


def test_a_problem_is_measured_without_what_has_no_weight():
    """Pieces of three, the first of padding alone, then a batch of which none counts."""
    data = [texts([0, 1, 2, 3]), {name: part[:, :3] for name, part in texts(range(6), count=6).items()}]
    problem = ls.Problem(build=make_model, loss=loss, weight=counted, train=data, test=data, at_once=3)
    model = problem.make_model(0)
    measured = evaluate(problem, model)
    assert measured["train_loss"] == pytest.approx(float(loss(model, data[0]).detach()), rel=1e-6)
    assert measured["test_loss"] == measured["train_loss"]
    assert measured["grad_norm"] == pytest.approx(float(problem.objective(model).gradient().norm()), rel=1e-5)


def test_no_weight_anywhere_is_refused():
    with pytest.raises(ls.ObjectiveError, match=r"weight\(batch\) gave .*0.*must count"):
        ls.Objective.from_loss(make_model(), loss, texts(range(15)), weight=counted)
