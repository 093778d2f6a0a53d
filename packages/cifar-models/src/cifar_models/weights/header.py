"""The header of a weights file: one JSON document that describes the model."""

import json
from dataclasses import dataclass
from typing import Any

from cifar_models.preprocessing import InputSpec
from cifar_models.validation import shortened

#: Version of the JSON document; a reader rejects all others.
FORMAT_VERSION = 1

#: How weights may be stored.
DTYPES = "float16", "float32"

_TYPES = {"architecture": str, "arguments": dict, "spec": dict, "recipe": dict, "metrics": dict, "dtype": str}


@dataclass(frozen=True)
class WeightsHeader:
    """Description of a model, as stored with its weights in `dtype`; a loaded model is always float32.

    The architecture's name in the registry and its keyword arguments, the settings of the training, and measured
    results, such as `{"test_accuracy": 0.94}`, with the data they are of; all of them JSON values (lists, not tuples).
    """

    architecture: str
    arguments: dict[str, Any]
    spec: InputSpec
    recipe: dict[str, Any]
    metrics: dict[str, Any]
    dtype: str
    format_version: int

    def to_json(self) -> str:
        """Returns the document, keys sorted, so that equal headers give equal bytes."""
        entries = {name: getattr(self, name) for name in (*_TYPES, "format_version")}
        entries["spec"] = self.spec.to_dict()
        for name, value in entries.items():
            try:
                json.dumps(value, allow_nan=False, sort_keys=True)
            except (TypeError, ValueError, RecursionError) as error:
                raise ValueError(f"{name} must consist of finite JSON values: {error}") from error
        return json.dumps(entries, allow_nan=False, sort_keys=True)

    @classmethod
    def from_json(cls, document: str) -> "WeightsHeader":
        """Returns the header of a document, which is checked."""
        try:
            entries = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"its header is not valid JSON: {error}") from error
        if not isinstance(entries, dict):
            raise ValueError(f"its header is not a JSON object but a {type(entries).__name__}")  # noqa: TRY004
        version = entries.get("format_version")
        if type(version) is not int or version != FORMAT_VERSION:
            found = f"its format_version is {shortened(version)}"
            raise ValueError(f"{found}, this cifar-models reads {FORMAT_VERSION}; a newer one may read it")
        for name, kind in _TYPES.items():
            if not isinstance(entries.get(name), kind):
                raise ValueError(f"its header needs {name!r} of type {kind.__name__}")  # noqa: TRY004
        if entries["dtype"] not in DTYPES:
            got = shortened(entries["dtype"])
            raise ValueError(f"its dtype must be one of {', '.join(DTYPES)}, got {got}")
        entries["spec"] = InputSpec.from_dict(entries["spec"])
        header = cls(**{name: entries[name] for name in _TYPES}, format_version=version)
        header.to_json()  # rejects NaN and infinity, which Python's parser lets through
        return header
