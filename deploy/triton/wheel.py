"""The server that the wheel ``nvidia-pytriton`` carries: where it lies, and what it needs around it."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from common.errors import OperatorError

PYTHON = "TRITON_PYTHON"
"""Names the interpreter of the environment that holds the wheel."""
_BACKEND = Path(__file__).parent / "onnxruntime" / "model.py"
_LOCATE = """
import importlib.util, json, sys, sysconfig
spec = importlib.util.find_spec("pytriton")
package = spec.submodule_search_locations[0] if spec else None
print(json.dumps({"package": package, "libraries": sysconfig.get_config_var("LIBDIR"), "prefix": sys.prefix,
                  "version": "%d.%d" % sys.version_info[:2]}))
"""


class Wheel(NamedTuple):
    """The server's environment: where the wheel lies in it, and which Python its stubs run."""

    package: Path
    libraries: str
    prefix: str
    version: str

    @classmethod
    def of(cls, python: str) -> "Wheel":
        """Ask that interpreter. Raises OperatorError when it cannot run or has no nvidia-pytriton."""
        try:
            found = json.loads(
                subprocess.run([python, "-c", _LOCATE], check=True, capture_output=True, text=True).stdout
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise OperatorError(f"{PYTHON}: {python!r} does not run: {error}") from error
        if found["package"] is None:
            raise OperatorError(
                f"{PYTHON}: {python!r} has no nvidia-pytriton; "
                "in that environment: pip install 'numpy<2' onnxruntime && pip install --no-deps nvidia-pytriton==0.7.0"
            )
        return cls(Path(found["package"]), found["libraries"], found["prefix"], found["version"])

    @property
    def binary(self) -> Path:
        return self.package / "tritonserver" / "bin" / "tritonserver"

    def backends(self, folder: Path) -> None:
        """Fill a backend directory. Copies: Triton refuses links that lead out of it."""
        home = self.package / "tritonserver"
        for name in ("python", "onnxruntime"):
            (folder / name).mkdir(parents=True)
        for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
            shutil.copy2(home / "backends" / "python" / name, folder / "python")
        stub = home / "python_backend_stubs" / self.version / "triton_python_backend_stub"
        if not stub.exists():
            raise OperatorError(f"{PYTHON}: nvidia-pytriton has no stub for Python {self.version}; use 3.11 or 3.12")
        shutil.copy2(stub, folder / "python")
        shutil.copy2(_BACKEND, folder / "onnxruntime")

    def environment(self) -> dict[str, str]:
        """Without a GPU; the stub finds its environment through the first ``python3`` on the path."""
        libraries = f"{self.libraries}:{self.package.parent / 'nvidia_pytriton.libs'}"
        path = f"{self.prefix}/bin:{os.environ['PATH']}"
        return {
            **os.environ,
            "CUDA_VISIBLE_DEVICES": "",
            "VIRTUAL_ENV": self.prefix,
            "PATH": path,
            "LD_LIBRARY_PATH": libraries,
        }
