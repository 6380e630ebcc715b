"""A machine with a fake GPU and a fake TensorRT, put where `import` finds them."""

import sys
from pathlib import Path

import pytest

import engines.gpu
import engines.runtimes.cuda
from engines.errors import RuntimeUnavailable
from engines.gpu import find_gpus
from engines.plan_cache import PlanCache, user_plan_cache
from tests.conftest import missing
from tests.engines.fake_cuda import (
    FakeGpu,
    FakeLibcuda,
    FakeNvml,
    fake_bindings,
    fake_pycuda,
)
from tests.engines.fake_tensorrt import Generation


def need_gpu(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Skip, or fail where `TELLS_REQUIRE_GPU=1`, without a real GPU; plans go into `folder`."""
    try:
        find_gpus()
    except RuntimeUnavailable as error:
        missing("GPU", str(error))
    monkeypatch.setenv("TELLS_CACHE", str(folder / "cache"))
    monkeypatch.setenv("TELLS_CONFIG", str(folder / "config"))


class FakeMachine:
    """Everything that a GPU machine has, and nothing of this one's."""

    def __init__(self, version: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.gpu = FakeGpu()
        self.tensorrt = Generation(version, self.gpu)
        self._patch = monkeypatch
        monkeypatch.setenv("TELLS_CACHE", str(folder / "cache"))
        monkeypatch.setenv("TELLS_CONFIG", str(folder / "config"))
        monkeypatch.setattr(engines.runtimes.cuda, "_contexts", {})
        monkeypatch.setattr(  # which may be there for real
            "onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"]
        )
        monkeypatch.setitem(sys.modules, "tensorrt", self.tensorrt.module)
        monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)  # which may be there for real
        monkeypatch.setitem(sys.modules, "pycuda.driver", fake_pycuda(self.gpu))
        monkeypatch.setitem(sys.modules, "cuda.bindings.driver", fake_bindings(self.gpu))
        self.install_driver(FakeLibcuda())

    def install_driver(self, library: FakeLibcuda) -> None:
        """Another driver."""
        self._patch.setattr(engines.gpu, "open_driver", lambda: library)
        self._patch.setattr(engines.gpu, "open_nvml", lambda: None)

    def install_nvml(self, release: str) -> None:
        """NVIDIA's management library, of a driver of that version."""
        self._patch.setattr(engines.gpu, "open_nvml", lambda: FakeNvml(release))

    def install_real_rtx(self) -> None:
        """NVIDIA's TensorRT for RTX, which is installed, in the fake's place: it needs no GPU."""
        self.remove("tensorrt")
        self._patch.delitem(sys.modules, "tensorrt_rtx")
        self.install_driver(FakeLibcuda(capability=(12, 0)))

    def remove(self, library: str) -> None:
        """As if a library were not installed."""
        self._patch.setitem(sys.modules, library, None)

    @property
    def cache(self) -> PlanCache:
        """The user's."""
        return user_plan_cache()
