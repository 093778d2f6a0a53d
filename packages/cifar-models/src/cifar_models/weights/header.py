"""What a weights file says about itself, and the JSON document that it says it in."""

import json
from dataclasses import dataclass
from typing import Any

from cifar_models.preprocessing import InputSpec
from cifar_models.validation import shortened
from cifar_models.weights.container import parse_json

#: Version of the JSON document; a reader refuses all others.
FORMAT_VERSION = 1

#: How weights may be stored, by torch's name > safetensors' name.
DTYPES = {"float16": "F16", "float32": "F32"}


@dataclass(frozen=True)
class WeightsHeader:
    """What a weights file says about itself.

    Attributes:
        architecture: Name in the registry.
        arguments: Keyword arguments of the architecture, as JSON values (lists, not tuples).
        spec: What the model takes in.
        recipe: How it was trained.
        metrics: What it reached, such as `{"test_accuracy": 0.94}`, and on which data.
        dtype: "float16" or "float32": how the weights are stored; a loaded model is always float32.
        format_version: Version of the header.
    """

    architecture: str
    arguments: dict[str, Any]
    spec: InputSpec
    recipe: dict[str, Any]
    metrics: dict[str, Any]
    dtype: str
    format_version: int

    def to_json(self) -> str:
        """Return the document, keys sorted, so that equal headers give equal bytes.

        Raises:
            ValueError: If arguments, recipe or metrics hold anything but finite JSON values.
        """
        entries = {**vars(self), "spec": self.spec.to_dict()}
        for name, value in entries.items():
            try:
                json.dumps(value, allow_nan=False, sort_keys=True)
            except (TypeError, ValueError, RecursionError) as error:
                raise ValueError(f"{name} must consist of finite JSON values: {error}") from error
        return json.dumps(entries, allow_nan=False, sort_keys=True)

    @classmethod
    def from_json(cls, document: str) -> "WeightsHeader":
        """Return the header that `to_json` described.

        Raises:
            ValueError: If the document is not valid, or of another format version.
        """
        entries = parse_json(document)
        version = entries.get("format_version")
        if type(version) is not int or version < 1:
            raise ValueError(f"its format_version must be {FORMAT_VERSION}, got {shortened(version)}")
        if version > FORMAT_VERSION:
            raise ValueError(
                f"its format_version is {version}, this cifar-models reads {FORMAT_VERSION}: update it"
            )
        kinds = {
            "architecture": str,
            "arguments": dict,
            "spec": dict,
            "recipe": dict,
            "metrics": dict,
            "dtype": str,
        }
        for name, kind in kinds.items():
            if not isinstance(entries.get(name), kind):
                raise ValueError(f"its header needs {name!r} of type {kind.__name__}")  # noqa: TRY004
        if entries["dtype"] not in DTYPES:
            raise ValueError(
                f"its dtype must be one of {', '.join(DTYPES)}, got {shortened(entries['dtype'])}"
            )
        known = {name: entries[name] for name in kinds}
        known["spec"] = InputSpec.from_dict(entries["spec"])
        return cls(**known, format_version=version)
