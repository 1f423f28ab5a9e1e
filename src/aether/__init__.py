"""Aether, the open orbital compute fabric: design it, prove it, run it.

>>> import aether
>>> r = aether.run("ai1-ring", set={"duration": "2 h", "outputs.ablation": False})
>>> r.summary["waterfall"]["deliverable"]["share"]  # doctest: +SKIP
0.78
>>> r.tables["energy"].to_pandas()  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aether.base import cache
from aether.base.version import VERSION

cache.prepare()
if TYPE_CHECKING:
    from aether.results.results import Results as Results
    from aether.results.results import load as load
    from aether.study.optimise import optimise as optimise
    from aether.study.runs import compare as compare
    from aether.study.runs import run as run
    from aether.study.studies import study as study

__version__ = VERSION
__all__ = ["Results", "compare", "load", "optimise", "run", "study"]

_HOME = {
    "run": "aether.study.runs",
    "compare": "aether.study.runs",
    "load": "aether.results.results",
    "Results": "aether.results.results",
    "optimise": "aether.study.optimise",
    "study": "aether.study.studies",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: numpy and numba cost a second that `aether --help` need not pay."""
    if name not in _HOME:
        raise AttributeError(f"module 'aether' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)
