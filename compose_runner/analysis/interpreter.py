"""Import NiMARE for a job, not for everything NiMARE can do: for processes that compute a job and nothing else.

``import nimare`` loads annotation models, decoders, machine learning, a computer algebra system and plotting: 3,300
modules, of which a coordinate-based meta-analysis uses two thirds. In a process that was declared with
:func:`own_process`, :func:`importing` lets the others wait until their first use; nothing else about them changes. It
also keeps the garbage collector out of the imports, and exempts what they made from collection: nilearn collects at
every load of a file, and with a million live objects each of these collections took a quarter of a second.

In every other process, such as a notebook's kernel, :func:`importing` changes nothing.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.machinery
import importlib.util
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Loaded when an attribute of theirs is first used. None of them is imported from by name on the way to a fit.
WAITING = frozenset(
    {
        "nimare.annotate",
        "nimare.decode",
        "nimare.generate",
        "nimare.ml",
        "nimare.reports",
        # clustering of surfaces, filters of time series, data frames of other libraries
        "sklearn.cluster",
        "sklearn.neighbors",
        "scipy.signal",
        "narwhals",
        "narwhals.stable",
        "narwhals.stable.v2",
        # coroutines, downloads, numba's file of settings, a tool that "from numpy import *" asks for, sparse volumes
        "asyncio",
        "requests",
        "yaml",
        "numpy.f2py",
        "sparse",
    }
)

# Modules of which a few names are imported on the way to a fit, and where each name really lives; None for what is only
# used much later, and is represented by a :class:`_Later` until the imports are done.
BORROWED: dict[str, dict[str, str | None]] = {
    # Half of scikit-learn, for a function of another module.
    "sklearn.utils.estimator_checks": {"check_is_fitted": "sklearn.utils.validation"},
    # A computer algebra system, for effect sizes that image-based analyses may compute.
    "pymare.effectsize.expressions": {"Expression": None, "select_expressions": None},
    "sympy": {"Symbol": None, "lambdify": None, "solve": None},
    # Every distribution there is; NiMARE's own are in scipy.special, but for Student's t.
    "scipy.stats": {"chi2": None, "kurtosis": None, "norm": None, "scoreatpercentile": None, "skew": None},
    "sklearn.preprocessing": {"scale": None},
    # Downloads of other data.
    "nilearn.datasets": {
        "load_mni152_gm_template": None,
        "load_mni152_template": None,
        "load_mni152_wm_template": None,
    },
}


class _Finder:
    """Finds the modules that are to wait, and leaves all others to the ordinary finders."""

    def __init__(self) -> None:
        self.importing = True

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec whose loader waits, for the modules named above and only during the imports."""
        if not self.importing or (name not in WAITING and name not in BORROWED):
            package = name
            while package := package.rpartition(".")[0]:
                module = sys.modules.get(package)
                if isinstance(module, _LazyModule):
                    _load(module)  # a part of a package needs the whole
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        loader: Any = _WaitingLoader(spec.loader)
        spec.loader = loader
        return spec


class _LazyModule(ModuleType):
    """Gives the borrowed names without loading the module, and becomes the module when any other is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        homes = BORROWED.get(self.__name__, {})
        if name in homes and _finder.importing:
            home = homes[name]
            return _Later(self, name) if home is None else getattr(importlib.import_module(home), name)
        _load(self)
        # not getattr, which would come here again for a name that the module, or what is loaded of it, does not have
        return ModuleType.__getattribute__(self, name)


class _WaitingLoader:
    """Makes a :class:`_LazyModule` and remembers how to load the real one."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.lock = threading.RLock()
        self.loading = False

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Return an empty module that loads itself."""
        return _LazyModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Load nothing yet."""
        vars(module)[_WAITING_LOADER] = self


_WAITING_LOADER = "_compose_runner_waiting"


def _load(module: ModuleType) -> None:
    """Run the real module's code in a module that has waited; another thread that needs it waits until it is whole."""
    waiting: _WaitingLoader | None = vars(module).get(_WAITING_LOADER)
    if waiting is None:
        return
    with waiting.lock:
        if waiting.loading or _WAITING_LOADER not in vars(module):
            return
        spec: Any = module.__spec__
        waiting.loading = True
        spec.loader = module.__loader__ = waiting.loader
        try:
            waiting.loader.exec_module(module)
        except BaseException:
            spec.loader = module.__loader__ = waiting  # type: ignore[assignment]
            raise
        finally:
            waiting.loading = False
        del vars(module)[_WAITING_LOADER]
        module.__class__ = ModuleType


class _Later:
    """A function or class of a module that has waited; using it in any way loads the module."""

    def __init__(self, module: ModuleType, name: str) -> None:
        self._module, self._name = module, name

    def _real(self) -> Any:
        _load(self._module)
        return getattr(self._module, self._name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._real())

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, self._real())

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (self._real(),)


class _PlainDocumentation:
    """Stands for SciPy's parsed docstring of a function while SciPy is imported: the docstring as it is written.

    SciPy takes hundreds of docstrings apart to add notes about array libraries, and puts them together again.
    """

    def __init__(self, function: Any, role: str = "func", doc: str | None = None, config: Any = None) -> None:
        self._text = (function.__doc__ or "") if doc is None else doc
        self._sections: dict[str, Any] = {}

    def __getitem__(self, section: str) -> Any:
        return self._sections.setdefault(section, [])

    def __setitem__(self, section: str, content: Any) -> None:
        self._sections[section] = content

    def __str__(self) -> str:
        # the first line is the signature, which SciPy removes
        return f"\n{self._text}"


_finder = _Finder()
_owned = False


@contextlib.contextmanager
def own_process() -> Iterator[None]:
    """Declare that this process computes a job and nothing else, which allows :func:`importing` to change it."""
    global _owned
    before, _owned = _owned, True
    try:
        yield
    finally:
        _owned = before


def is_own_process() -> bool:
    """Whether :func:`own_process` is in force."""
    return _owned


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Make the imports in the ``with`` block cheap if this process is our own; otherwise change nothing.

    Doing so again, or after NiMARE was imported, does no harm and gains nothing.
    """
    if not _owned:
        yield
        return
    gc.disable()
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _finder.importing = True
    try:
        with _plain_documentation():
            yield
    finally:
        _finder.importing = False
        # not collected before: in a million objects there are a thousand to free
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def _plain_documentation() -> Iterator[None]:
    """Keep SciPy from taking docstrings apart."""
    try:
        documentation: Any = importlib.import_module("scipy._lib._docscrape")
        parsed = documentation.FunctionDoc
    except (ImportError, AttributeError):  # another SciPy may keep it elsewhere
        yield
        return
    documentation.FunctionDoc = _PlainDocumentation
    try:
        yield
    finally:
        documentation.FunctionDoc = parsed
