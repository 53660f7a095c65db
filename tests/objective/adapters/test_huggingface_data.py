"""Whatever the data come in, the question is one; what is missing or does not fit is said."""

from __future__ import annotations

import logging

import pytest
import torch

import landscape as ls
from tests.support.heads import build, data

transformers = pytest.importorskip("transformers")


def texts(case="causal"):
    """The batch as examples, without their padding: lists of numbers."""
    batch = data(case)
    lengths = batch["attention_mask"].sum(1).tolist()
    found = []
    for row, length in enumerate(lengths):
        example = {"input_ids": batch["input_ids"][row, :length].tolist()}
        if case == "classes":
            example["label"] = int(batch["labels"][row])
        found.append(example)
    return found


def collate(examples):
    """As a loader of a tokenizer would, batch by batch to the longest of each."""
    ids = [torch.tensor(example["input_ids"]) for example in examples]
    padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(i) for i in ids], batch_first=True)
    batch = {"input_ids": padded, "attention_mask": mask, "text": ["…"] * len(ids)}
    if "label" in examples[0]:
        batch["labels"] = torch.tensor([example["label"] for example in examples])
    return transformers.BatchEncoding(batch)


def forms(case):
    rows = texts(case)
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    yield "examples", rows
    yield "examples of tensors", [{key: torch.tensor(value) for key, value in row.items()} for row in rows]
    yield "columns of a tokenizer", transformers.BatchEncoding(columns)
    yield "loader", torch.utils.data.DataLoader(rows, batch_size=3, collate_fn=collate)
    yield "batches", [collate(rows[i : i + 3]) for i in range(0, len(rows), 3)]
    yield "single", [collate([row]) for row in rows]
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({**columns, "text": ["…"] * len(rows)})
    yield "dataset", table
    yield "dataset of tensors", table.with_format("torch")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["causal", "classes"])
def test_every_form_of_data_is_the_same_question(case):
    """Texts alone, in batches padded to the longest of each, or all padded to one length."""
    model = build(case)
    reference = ls.Objective.from_huggingface(model, data(case))
    for name, form in forms(case):
        objective = ls.Objective.from_huggingface(model, form)
        assert objective.loss() == pytest.approx(reference.loss(), rel=1e-12), name
        apart = (objective.gradient() - reference.gradient()).norm()
        assert apart <= 1e-12 * reference.gradient().norm(), name


def test_a_causal_model_without_labels_predicts_the_texts_and_says_so():
    batch = data("causal")
    labels = batch.pop("labels")
    objective = ls.Objective.from_huggingface(build("causal"), batch)
    assert "labels are the texts" in repr(objective)
    again = ls.Objective.from_huggingface(build("causal"), {**batch, "labels": labels})
    assert objective.loss() == again.loss()


def test_labels_of_a_masked_model_are_not_made_up():
    batch = data("masked")
    del batch["labels"]
    with pytest.raises(ls.ObjectiveError, match="no labels.*DataCollatorForLanguageModeling"):
        ls.Objective.from_huggingface(build("masked"), batch)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((torch.zeros(2, 3), torch.zeros(2)), "mappings of the model's arguments, not Tensor"),
        ([{"text": "a line"}], "hold text, and the model needs input_ids.*Tokenize"),
        ([], "empty"),
        ([{"input_ids": [3, 4]}, {"input_ids": [[3, 4]]}], "mix single examples with batches"),
        ([{"input_ids": [3, 4]}, {"input_ids": [3, 4], "labels": [3, 4]}], "example 1 holds"),
    ],
)
def test_data_that_do_not_fit_are_refused(given, words):
    with pytest.raises(ls.ObjectiveError, match=words):
        ls.Objective.from_huggingface(build("causal"), given)


def test_weight_follows_from_the_labels():
    with pytest.raises(ls.errors.UsageError, match="follows from labels"):
        ls.Objective.from_huggingface(build("causal"), data("causal"), weight=len)


def smoothed(logits, labels, vocab_size, **kwargs):
    flat, targets = logits[:, :-1].reshape(-1, vocab_size), labels[:, 1:].reshape(-1)
    return torch.nn.functional.cross_entropy(flat, targets, label_smoothing=0.1)


def test_a_loss_of_the_models_own_is_taken_as_it_is_and_that_is_said():
    model, batch = build("causal"), data("causal")
    model.loss_function = smoothed
    with pytest.warns(UserWarning, match="taken from the model as it is.*Gauss-Newton"):
        objective = ls.Objective.from_huggingface(model, batch, chunk=3)
    assert objective.num_chunks > 1
    with torch.no_grad():
        assert objective.loss() == pytest.approx(float(model.eval()(**batch).loss), rel=1e-12)
    assert objective.hvp(objective.theta).norm() > 0
    with pytest.raises(ls.ObjectiveError, match="the model's own loss"):
        ls.GaussNewtonOperator(objective)


@pytest.mark.slow
def test_an_auxiliary_loss_over_the_batch_is_seen_and_kept_whole_on_request():
    """The balance of experts is of all tokens of a batch: no mean over texts."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    config = transformers.MixtralConfig(
        vocab_size=13, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, num_local_experts=3, num_experts_per_tok=2, output_router_logits=True,
        router_aux_loss_coef=1.0, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.MixtralForCausalLM(config).eval()
    batch = data("causal")
    with pytest.warns(UserWarning, match="taken from the model"), pytest.raises(ls.ObjectiveError, match="interacting"):
        ls.Objective.from_huggingface(model, batch)
    with pytest.warns(UserWarning, match="taken from the model"):
        objective = ls.Objective.from_huggingface(model, batch, interacting=True)
    with torch.no_grad():
        assert objective.loss() == pytest.approx(float(model(**batch).loss), rel=1e-5)
