#!/usr/bin/env bash
# Everything that needs an NVIDIA GPU, in one command: install, tests, compile, verify, bench.
#
#   tests/gpu/run.sh [OUT]        OUT (default: gpu-report) gets report.json, a log of each step, bench.png
#
# WHEELS=DIR   wheels to install from, without any network (default: tests/gpu/wheels, where it exists);
#              without it pip asks its usual index. To fill it, on a machine like the GPU's:
#                pip download -d tests/gpu/wheels hatchling editables ".[dev]" onnxruntime-gpu cuda-bindings
#                pip download -d tests/gpu/wheels tensorrt          (needs NVIDIA's package index; or, for
#                                                                    RTX GPUs, tensorrt-rtx-cu13, which does not)
#                pip wheel --no-deps -w tests/gpu/wheels pycuda     (needs the CUDA toolkit)
# PYTHON=EXE   use this environment as it is and install nothing. What it needs beside torch: numpy, opencv, pydantic,
#              platformdirs, filelock, tqdm, onnx, onnxscript, ml_dtypes, matplotlib, and for the tests pytest.
# RECIPE=NAME  what is exported, with random weights (default: joint); BUNDLE=DIR uses that bundle instead.
# LIMIT=TIME   ends a step that takes longer (as `timeout` reads it, say 5m): for a machine that is lent for minutes.
#
# A step that fails does not end the run: report.json says of each what ran and how it ended.
# Exit code: 0 all ran and passed, 1 some did not, 3 there is no GPU and nothing ran.
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${1:-gpu-report}
mkdir -p "$out"
out=$(cd "$out" && pwd)
rm -f "$out"/{steps.jsonl,report.json,bench.json,bench.png} "$out"/*.log # nothing of an earlier run
report() { python3 tests/gpu/report.py "$1" "$out" "${@:2}"; }

step() { # NAME COMMAND...
  local name=$1 started=$SECONDS code
  shift
  printf '\n== %s: %s\n' "$name" "$*"
  timeout --foreground --kill-after=30 "${LIMIT:-0}" "$@" 2>&1 | tee "$out/$name.log" # 0: no limit
  code=${PIPESTATUS[0]}
  ((code == 124 || code == 137)) && printf 'ended at the limit of %s\n' "${LIMIT:-0}" | tee -a "$out/$name.log"
  report step "$name" "$code" $((SECONDS - started)) "$*"
  return "$code"
}

skip() { # NAME REASON
  printf '\n== %s: not run: %s\n' "$1" "$2"
  report skip "$1" "$2"
}

finish() { # EXIT-CODE
  report finish || exit 1
  exit "$1"
}

if ! step gpu python3 tests/gpu/report.py gpus "$out"; then
  for name in install tests export compile doctor verify bench; do skip "$name" "there is no GPU"; done
  finish 3
fi
command -v nvidia-smi >/dev/null && step nvidia-smi nvidia-smi

if [ -n "${PYTHON:-}" ]; then
  python=$PYTHON
  skip install "PYTHON names an environment"
else
  wheels=${WHEELS:-tests/gpu/wheels}
  from=()
  [ -d "$wheels" ] && from=(--no-index --find-links "$wheels")
  step venv python3 -m venv "$out/venv" || finish 1
  python=$out/venv/bin/python
  pip=("$python" -m pip install --disable-pip-version-check "${from[@]}")
  # One by one: what cannot be installed takes nothing else with it.
  step install "${pip[@]}" -e ".[dev]" || finish 1
  step install-pycuda "${pip[@]}" pycuda
  step install-cuda-bindings "${pip[@]}" cuda-bindings
  step install-tensorrt "${pip[@]}" tensorrt ||
    { grep -q RTX "$out/gpu.log" && step install-tensorrt-rtx "${pip[@]}" tensorrt-rtx-cu13; }
  # The same module from two packages: the one with CUDA has to be the last.
  step remove-onnxruntime "$python" -m pip uninstall --yes onnxruntime
  step install-onnxruntime-gpu "${pip[@]}" onnxruntime-gpu ||
    step restore-onnxruntime "${pip[@]}" onnxruntime
fi

# Plans and their key stay with the report: nothing of the user's is touched.
export TELLS_CACHE=$out/cache TELLS_CONFIG=$out/config
bundle=${BUNDLE:-}
if [ -z "$bundle" ]; then
  bundle=$out/bundle
  rm -rf "$bundle"
  step export "$python" -m train export --recipe "${RECIPE:-joint}" --init random \
    --precision fp16 --out "$bundle" || bundle=assets/demo
else
  skip export "BUNDLE names one"
fi
device=ort-cuda:0 # unless TensorRT compiles
# What the goals ask comes first, for where time runs out: figures are written as they come.
# The smallest plan first: its timings serve the others.
step compile-one "$python" -m engines compile "$bundle" --precision fp16 --batch 1 && device=cuda:0
step compile-fp16 "$python" -m engines compile "$bundle" --precision fp16 --batch 1,4,16 && device=cuda:0
# 32 are two of the largest: one is copied while the other is computed.
# The processor would take minutes for such batches, and says nothing here.
step bench "$python" -m train bench "$bundle" --device cuda:0 ort-cuda:0 --batches 1 16 32 --seconds 2 --out "$out"
step cameras "$python" -m tests.gpu.cameras "$bundle" --device "$device" --cameras 32 --hop 0.25 --seconds 20
step verify-fp16 "$python" -m engines verify "$bundle" --device cuda:0 ort-cuda:0 --precision fp16
step stages "$python" -m engines bench "$bundle" --device "$device" --batches 1 4 16 32
step doctor "$python" -m engines doctor "$bundle"
step compile-fp32 "$python" -m engines compile "$bundle" --precision fp32 --batch 1,4,16
step verify-fp32 "$python" -m engines verify "$bundle" --device cuda:0 ort-cuda:0 --precision fp32
step verify "$python" -m engines verify "$bundle" --device all
low=$bundle # a bundle that is given has its bf16, or none
if [ "$bundle" = "$out/bundle" ]; then
  low=$out/bundle-bf16
  rm -rf "$low"
  step export-bf16 "$python" -m train export --recipe "${RECIPE:-joint}" --init random --precision bf16 --out "$low"
fi
step compile-bf16 "$python" -m engines compile "$low" --precision bf16 --batch 1,4,16
step verify-bf16 "$python" -m engines verify "$low" --device cuda:0 --precision bf16 # TensorRT's alone
tests=(tests/engines tests/train/test_precision.py)
# An environment that was made for something else: of each contract the GPU's part.
"$python" -c "import openvino" 2>/dev/null || tests=(tests/engines/test_runtimes.py tests/engines/test_engine.py -k cuda)
step tests env TELLS_REQUIRE_GPU=1 "$python" -m pytest "${tests[@]}"
finish "$(report code)"
