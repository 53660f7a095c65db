"""Data as Hugging Face libraries hold them, as batches that a model takes by keyword."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from landscape.errors import ObjectiveError
from landscape.objective.adapters.heads import base_of
from landscape.objective.batches.reading import is_dataset, reading
from landscape.objective.vocabulary import IGNORED

#: Dimensions of the main input of one example; a batch has one more.
_OF_ONE = {"input_ids": 1, "inputs_embeds": 2, "pixel_values": 3, "input_values": 1, "input_features": 2}
_LABELS = ("label", "label_ids")  # other names of "labels" in data sets


class Columns:
    """What a model's forward takes, and data made into it.

    Parameters
    ----------
    model : nn.Module

    Attributes
    ----------
    accepted : list of str
        Arguments of ``forward``.
    main : str
        The one that says how many examples there are.
    """

    def __init__(self, model: nn.Module) -> None:
        base: Any = base_of(model)
        parameters = inspect.signature(base.forward).parameters.values()
        self.accepted = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self.main: str = getattr(base, "main_input_name", "input_ids")
        self._pad = getattr(getattr(base, "config", None), "pad_token_id", None) or 0

    def batches(self, data: Any) -> list[dict[str, Tensor]]:
        """The data as batches of tensors; single examples as one batch, padded on the right to the longest.

        Raises
        ------
        ObjectiveError
            If they are none of what is read here, or hold nothing that the model takes.
        """
        rows = self._rows(data)
        batches: list[dict[str, Tensor]] = []
        examples: list[Mapping[str, Any]] = []
        for row in rows:
            if self._is_example(row):
                examples.append(row)
            else:
                batches.append(self._batch(row))
        if examples and batches:
            raise ObjectiveError("the data mix single examples with batches; pass a list of one or the other")
        if examples:
            batches = [self._stacked(examples)]
        if not batches:
            raise ObjectiveError("the data is empty: no example to evaluate the loss on")
        return batches

    def _rows(self, data: Any) -> list[Mapping[str, Any]]:
        if isinstance(data, Mapping):
            return [data]
        with reading():
            if is_dataset(data) and hasattr(type(data), "__len__"):
                found = [data[index] for index in range(len(data))]
            elif isinstance(data, (DataLoader, Sequence)) or (isinstance(data, Iterable) and not _is_array(data)):
                found = list(data)
            else:
                found = [data]
        for row in found:
            if not isinstance(row, Mapping):
                raise ObjectiveError(
                    f"data for from_huggingface are mappings of the model's arguments, not {type(row).__name__}: pass "
                    "a DataLoader of dicts, a list of dicts, what a tokenizer returned, or a datasets.Dataset"
                )
        return found

    def _known(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The columns that the model takes."""
        known = {key: row[key] for key in row if key in self.accepted and row[key] is not None}
        for other in _LABELS:
            if other in row and "labels" not in known and "labels" in self.accepted and row[other] is not None:
                known["labels"] = row[other]
        if self.main not in known and "inputs_embeds" not in known:
            raise ObjectiveError(
                f"the data hold {', '.join(map(str, row)) or 'nothing'}, and the model needs {self.main}; of its "
                f"arguments {', '.join(self.accepted)}. Tokenize text (or process images) first"
            )
        return known

    def _is_example(self, row: Mapping[str, Any]) -> bool:
        known = self._known(row)
        main = self.main if self.main in known else "inputs_embeds"
        return _depth(known[main]) == _OF_ONE.get(main)

    def _batch(self, row: Mapping[str, Any]) -> dict[str, Tensor]:
        known = self._known(row)
        if any(_is_ragged(value) for value in known.values()):
            count = len(next(iter(known.values())))
            return self._stacked([{key: value[i] for key, value in known.items()} for i in range(count)])
        return {key: _tensor(key, value) for key, value in known.items()}

    def _stacked(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        rows = [{key: _tensor(key, value) for key, value in self._known(row).items()} for row in examples]
        keys = list(rows[0])
        for number, row in enumerate(rows):
            if set(row) != set(keys):
                raise ObjectiveError(f"example {number} holds {', '.join(row)}, and the first {', '.join(keys)}")
        lengths = [len(row["input_ids"]) for row in rows] if self.main == "input_ids" and "input_ids" in keys else []
        if len(set(lengths)) > 1 and "attention_mask" not in keys and "attention_mask" in self.accepted:
            for row, length in zip(rows, lengths, strict=True):
                row["attention_mask"] = torch.ones(length, dtype=torch.long)
        return {key: self._column(key, [row[key] for row in rows]) for key in rows[0]}

    def _column(self, key: str, values: list[Tensor]) -> Tensor:
        if len({value.shape for value in values}) == 1:
            return torch.stack(values)
        if any(value.ndim != 1 for value in values):
            shapes = ", ".join(str(tuple(value.shape)) for value in values[:2])
            raise ObjectiveError(f"{key} has examples of different shapes ({shapes}), which are no texts to be padded")
        filled = IGNORED if key == "labels" else self._pad if key.endswith("input_ids") else 0
        return torch.nn.utils.rnn.pad_sequence(values, batch_first=True, padding_value=filled)


def _tensor(key: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (Tensor, np.ndarray)):
        return torch.stack([_tensor(key, part) for part in value])
    try:
        return torch.as_tensor(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ObjectiveError(f"{key} cannot be made a tensor: {error}") from None


def _depth(value: Any) -> int:
    """Dimensions, seen on the first element of each."""
    if isinstance(value, (Tensor, np.ndarray)):
        return value.ndim
    if isinstance(value, (list, tuple)):
        return 1 + (_depth(value[0]) if value else 0)
    return 0


def _is_ragged(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or not value or _depth(value) < 2:
        return False
    return len({len(part) for part in value}) > 1


def _is_array(data: Any) -> bool:
    return isinstance(data, (Tensor, np.ndarray, str, bytes))
