"""The process in which XGBoost first reads a model: if the file makes it crash or hang, only this one dies.

Run by path, isolated from the project (``python -I``): it knows XGBoost and nothing else. On standard input
one line of JSON, ``{"x": rows, "cpu_secs": n, "memory_bytes": n}``, and then the bytes of the model; on
standard output one JSON object: what the model says of itself, and its answers for the rows.
"""

import contextlib
import json
import sys

FLOAT_NAN = float("nan")


def limit(cpu_secs: int, memory_bytes: int) -> None:
    """Bound what a hostile file can make this process use; not every system knows every limit."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # absent on Windows

        resource.setrlimit(resource.RLIMIT_CPU, (cpu_secs, cpu_secs))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def main() -> int:
    """Read, load, answer; any exception ends the process with a message, which the parent shows."""
    task = json.loads(sys.stdin.buffer.readline())
    content = sys.stdin.buffer.read()
    limit(task["cpu_secs"], task["memory_bytes"])
    # XGBoost imports it when it is there, which takes four times as long as XGBoost itself.
    sys.modules["sklearn"] = None  # type: ignore[assignment]
    import numpy as np  # inside of the limits
    import xgboost as xgb

    booster = xgb.Booster({"nthread": 1}, model_file=bytearray(content))
    x = np.array([[FLOAT_NAN if one is None else one for one in row] for row in task["x"]])
    answer = {
        "num_features": booster.num_features(),
        "names": booster.feature_names,
        "attributes": booster.attributes(),
        "margin": booster.inplace_predict(x, predict_type="margin", validate_features=False).tolist(),
        "p": booster.inplace_predict(x, validate_features=False).tolist(),
    }
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
