"""A worker that is sound, but for the fault that its settings name, on the target that they name."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

request = json.loads(Path(sys.argv[1]).read_text())
settings, cache = request["settings"], Path(request["cache"])
target = request.get("target", {"name": ""})
fault = settings.get("fault", "") if settings.get("on", target["name"]) == target["name"] else ""
if (Path(__file__).parent / "mended").exists():
    fault = ""
print(f"{request['verb']} {target['name']} in batches of {request['batch_size']} on {request['device']}")


def answer(**changes):
    result = {
        "status": "ok",
        "error": None,
        "reason": None,
        "samples": request["samples"],
        "random_weights": request["random_weights"],
        "versions": {"numpy": np.__version__},
        "seconds": 0.0,
        "parameters": 1234,
        "peak_memory_mib": 12.5,
    }
    text = json.dumps(result | changes)
    Path("part").write_text(text[:20] if fault == "half a result" else text)
    Path("part").rename("result.json")


def daemon():
    """A process of another session that nobody waits for; its number stands in ``pids``."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with (cache / "pids").open("a") as file:
                file.write(f"{os.getpid()} ")
            os.closerange(0, 3)
            time.sleep(600)
        os._exit(0)
    os.wait()
    while not (cache / "pids").exists():
        time.sleep(0.01)


if fault == "pipe":
    os.mkfifo("result.json")
    sys.exit(0)
if fault == "endless answer":
    Path("result.json").symlink_to("/dev/zero")
    sys.exit(0)
if fault == "deletes its folder":
    shutil.rmtree(Path.cwd())
    sys.exit(0)
if fault == "starts a daemon":
    daemon()
if fault == "bomb":
    for _ in range(5):
        os.fork()
    time.sleep(600)
if fault == "silent":
    sys.exit(0)
if fault == "garbage":
    os.write(1, bytes(range(256)) * 4)
    Path("result.json").write_bytes(bytes(range(256)))
    sys.exit(0)
if fault == "hang":
    daemon()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with (cache / "pids").open("a") as file:
        file.write(f"{os.getpid()} {child.pid}\n")
    print("hanging", flush=True)
    time.sleep(600)
if fault == "leaves a child":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (cache / "pids").write_text(str(child.pid))
if fault == "flood":
    for _ in range(64):
        os.write(1, b"x" * (1 << 18) + b"\n")
    print("the last word")
    sys.exit(3)
if fault == "memory":
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    np.ones(1 << 30)
if fault == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if fault == "says failed":
    answer(status="failed", error="the sequence has an X", reason="unsupported")
    sys.exit(0)
if fault == "small memory" and request["batch_size"] > 2:
    answer(status="failed", error="CUDA out of memory", reason="out_of_memory")
    sys.exit(1)
if fault == "no memory":
    answer(status="failed", error="CUDA out of memory", reason="out_of_memory")
    sys.exit(1)
if fault == "ok without samples" or request["verb"] == "probe":
    answer()
    sys.exit(0)

lines = [line for line in Path(target["native"]).read_text().splitlines() if line.startswith("ATOM")]
names = [line[12:16].strip() for line in lines]
residues = [line[17:20] for line in lines]
numbers = [int(line[22:26]) for line in lines]
native = np.array([[float(line[k : k + 8]) for k in (30, 38, 46)] for line in lines])
samples = request["samples"] - (fault == "too few")
random = np.random.default_rng(request["seed"])
positions = (native + 0.05 * random.standard_normal((samples, *native.shape))).astype(np.float32)
kept = np.arange(len(names))
if fault == "NaN":
    positions[-1, 0, 0] = np.nan
if fault == "another sequence":
    residues = ["TRP"] * len(residues)
if fault == "lacks atoms":
    kept = kept[np.array(names) != "CB"]
if fault == "only the backbone":
    kept = kept[np.isin(names, ("N", "CA", "C", "O"))]
if fault == "an atom twice":
    kept = np.append(kept, kept[-1])
if fault == "reversed within residues":
    kept = np.lexsort((-kept, numbers))
    numbers = [number - 1 for number in numbers]
if fault == "another shape":
    positions = positions[0]
arrays = {
    "positions": positions[:, kept] if positions.ndim == 3 else positions,
    "atom_names": np.array(names)[kept],
    "residue_names": np.array(residues)[kept],
    "residue_numbers": np.array(numbers)[kept],
    "chains": np.array(["A"] * len(names))[kept],
}
if fault == "pickled":
    arrays["atom_names"] = arrays["atom_names"].astype(object)
if fault == "lacks a column":
    del arrays["chains"]
np.savez("samples.npz", **arrays)
if fault == "piped samples":
    Path("samples.npz").unlink()
    os.mkfifo("samples.npz")
if fault == "packed zeros":
    np.savez_compressed("samples.npz", positions=np.zeros((500, 40_000, 3)))
if fault == "half a file":
    data = Path("samples.npz").read_bytes()
    Path("samples.npz").write_bytes(data[: len(data) // 2])
answer(random_weights=True if fault == "random weights" else request["random_weights"])
if fault == "exits with 1":
    sys.exit(1)
