"""Import NiMARE for a job, not for everything NiMARE can do.

``import nimare`` loads annotation models, decoders, machine learning, a computer algebra system and plotting: 3,300
modules, of which a coordinate-based meta-analysis uses two thirds. :func:`prepare_interpreter` lets the others be
loaded by whoever uses them first; nothing else about them changes. It also keeps the garbage collector out of the
imports, and :func:`after_imports` exempts what they made from collection: nilearn collects at every load of a file,
and with a million live objects each of these collections took a quarter of a second.
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
    from collections.abc import Sequence

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
        # coroutines, numba's file of settings, a tool that "from numpy import *" asks for, sparse volumes
        "asyncio",
        "requests",
        "yaml",
        "numpy.f2py",
        "sparse",
    }
)

# Modules of which one package imports a few names while it is imported itself: the package, and where each name really
# lives; None for what is only used much later. Everybody else gets the real module.
BORROWED: dict[str, tuple[str, dict[str, str | None]]] = {
    # Half of scikit-learn, for a function of another module.
    "sklearn.utils.estimator_checks": ("nilearn", {"check_is_fitted": "sklearn.utils.validation"}),
    # A computer algebra system, for effect sizes that image-based analyses may compute.
    "pymare.effectsize.expressions": ("pymare", {"Expression": None, "select_expressions": None}),
    "sympy": ("pymare", {"Symbol": None, "lambdify": None, "solve": None}),
    # Every distribution there is; NiMARE's own are in scipy.special, but for Student's t.
    "scipy.stats": (
        "nilearn nimare",
        {"chi2": None, "kurtosis": None, "norm": None, "scoreatpercentile": None, "skew": None},
    ),
    "sklearn.preprocessing": ("nilearn", {"scale": None}),
    # Downloads of other data.
    "nilearn.datasets": (
        "nilearn",
        {"load_mni152_gm_template": None, "load_mni152_template": None, "load_mni152_wm_template": None},
    ),
    # Pages about general linear models, and a template engine.
    "nilearn.reporting.glm_reporter": ("nilearn", {"make_glm_report": None}),
    "jinja2": ("nilearn", {"Environment": None, "FileSystemLoader": None, "select_autoescape": None}),
}


class _Finder:
    """Finds the modules that are to wait, and leaves all others to the ordinary finders."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec whose loader waits, for the modules named above."""
        if name not in WAITING and name not in BORROWED:
            package = name
            while package := package.rpartition(".")[0]:
                module = sys.modules.get(package)
                if isinstance(module, _WaitingModule):
                    _load(module)  # a part of a package needs the whole
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        loader: Any = _WaitingLoader(spec.loader)
        spec.loader = loader
        return spec


class _WaitingModule(ModuleType):
    """Gives the borrowed names without loading the module, and becomes the module when any other is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__all__", "__version__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        borrowers, homes = BORROWED.get(self.__name__, ("", {}))
        if name in homes and _asking_package() in borrowers.split():
            home = homes[name]
            return _Later(self, name) if home is None else getattr(importlib.import_module(home), name)
        _load(self)
        # not getattr, which would come here again for a name that the module, or what is loaded of it, does not have
        return ModuleType.__getattribute__(self, name)


def _asking_package() -> str:
    """Return the package whose code asks a module for an attribute, through the import machinery or directly."""
    frame = sys._getframe(2)
    while frame is not None:
        package: str = frame.f_globals.get("__name__", "").partition(".")[0]
        if package != "importlib":
            return package
        frame = frame.f_back  # type: ignore[assignment]
    return ""


class _WaitingLoader:
    """Makes a :class:`_WaitingModule` and remembers how to load the real one."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader
        self.lock = threading.RLock()
        self.loading = False

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Return an empty module that loads itself."""
        return _WaitingModule(spec.name)

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


def prepare_interpreter() -> None:
    """Make the imports that follow cheap, until :func:`after_imports`; to be called before NiMARE is imported.

    Calling it again, or after NiMARE was imported, does no harm and gains nothing.
    """
    gc.disable()
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    with contextlib.suppress(ImportError):  # another SciPy may keep it elsewhere
        documentation: Any = importlib.import_module("scipy._lib._docscrape")
        documentation.FunctionDoc = _PlainDocumentation


def after_imports() -> None:
    """Exempt everything that exists from garbage collection, and collect again from now on."""
    # not collected before: in a million objects there are a thousand to free
    gc.freeze()
    gc.enable()
