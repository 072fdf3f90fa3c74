"""From a finished run to a published version: export, parity, golden tensors, publish."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np
import torch

from common.errors import OperatorError
from common.export.onnx import export
from common.export.parity import Bounds, Exempt, Sample, parity, run
from common.registry.cards import read_record
from common.registry.golden import write_golden
from common.registry.layout import GOLDEN, GRAPH, Version
from common.registry.store import NO_FILES, Repository
from contracts.models import Lineage, ModelCard
from contracts.runs import RunManifest
from contracts.tensors import BATCH

MANIFEST = "run.json"
GOLDEN_ROWS = 4
NO_SIZES: Mapping[str, int] = MappingProxyType({})


def finished(folder: Path) -> RunManifest:
    """The manifest of a run. Raises OperatorError when it is missing, does not decode, or the run has not ended."""
    path = folder / MANIFEST
    manifest = read_record(path, RunManifest, "name the folder of a finished run with --run")
    if manifest.status != "finished" or manifest.checkpoint is None:
        reason = f"status is {manifest.status!r}" if manifest.status != "finished" else "checkpoint is not set"
        raise OperatorError(f"{path}: {reason}; let the run finish (`kithara train {manifest.system}` resumes it)")
    return manifest


def lineage(manifest: RunManifest) -> Lineage:
    """Where the version comes from, as its run says."""
    return Lineage(
        command=manifest.command,
        run=manifest.id,
        config=manifest.config,
        data=manifest.data,
        created=manifest.created,
        software=manifest.software,
    )


def publish(
    module: torch.nn.Module,
    draft: ModelCard,
    run_folder: Path,
    repository: Repository,
    sample: Sample,
    *,
    bounds: Mapping[str, Bounds] | None = None,
    exempt: Exempt | None = None,
    golden: Mapping[str, int] = NO_SIZES,
    files: Mapping[str, bytes] = NO_FILES,
) -> Version:
    """Export the run's module, prove it equal to torch, and publish it with golden tensors.

    ``sample`` makes inputs for given sizes; the golden rows are its first ones without exempt rows, of the sizes
    ``golden`` along the dynamic dimensions (where it names none: of the longest). The worst difference of each output
    is added to the card's properties as ``parity_<output>``, all within ``draft``'s ``golden_tolerance``. ``files``
    (contents by name) are published beside the graph.

    Raises OperatorError, and publishes nothing, when the run is not finished, is of another system, or anything fails.
    """
    manifest = finished(run_folder)
    if manifest.system != draft.system:
        raise OperatorError(f"{run_folder / MANIFEST}: system is {manifest.system!r}, the card's is {draft.system!r}")
    signature, limits = draft.signature, draft.limits
    longest = {name: max(2, ends.longest) for name, ends in (bounds or {}).items()}
    sizes = {BATCH: GOLDEN_ROWS, **longest, **{name: golden[name] for name in longest if name in golden}}
    inputs = sample(sizes)
    with tempfile.TemporaryDirectory(prefix="kithara-export-") as folder:
        graph, kept = Path(folder, GRAPH), Path(folder, GOLDEN)
        export(module, signature, {name: torch.from_numpy(array.copy()) for name, array in inputs.items()}, graph)
        seen = parity(
            module, graph, signature, sample, limits, bounds=bounds, tolerance=draft.golden_tolerance, exempt=exempt
        )
        outputs = run(module, signature, inputs)
        keep = ~exempt(outputs) if exempt else np.ones(GOLDEN_ROWS, bool)
        if not keep.any():
            raise OperatorError("every golden row is at a tie; let the sample draw other inputs")
        write_golden(kept, {n: a[keep] for n, a in inputs.items()}, {n: a[keep] for n, a in outputs.items()})
        properties = {**draft.properties, **{f"parity_{name}": worst for name, worst in seen.worst.items()}}
        return repository.publish(msgspec.structs.replace(draft, properties=properties), graph, kept, files)
