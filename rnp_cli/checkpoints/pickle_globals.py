"""Judges the classes and functions that a pickle names.

The verdict never decides whether something runs, since nothing ever does: it decides
whether the file is refused, mentioned or passed in silence.
"""

from __future__ import annotations

from enum import StrEnum

from rnp_cli.checkpoints.dtypes import DTYPES
from rnp_cli.checkpoints.records import Global


class Severity(StrEnum):
    """What naming a global says about a weights file."""

    HARMLESS = "harmless"
    UNKNOWN = "unknown"
    GADGET = "gadget"  # known to execute code


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Packages of which a weights file needs nothing, and with which attacks are built.
_GADGET_PACKAGES = _words("""
    _aix_support _ctypes _imp _io _operator _osx_support _pickle _posixshmem
    _posixsubprocess _pyio _pyrepl _socket _sqlite3 _ssl _thread _winapi aiohttp
    antigravity asyncio atexit bdb cProfile cgi cloudpickle cmd code codeop commands
    compileall concurrent cPickle ctypes dill dis distutils doctest ensurepip
    fileinput ftplib gc glob gzip http httpx idlelib imaplib imp importlib inspect io
    joblib lib2to3 linecache lzma marshal mmap modulefinder msvcrt multiprocessing
    netrc nntplib nt ntpath nturl2path operator os paramiko pdb pickle pickletools
    pip pipes pkg_resources pkgutil platform poplib popen2 posix posixpath profile
    pstats pty py_compile pydoc readline requests rlcompleter runpy selectors
    setuptools shelve shutil signal site smtplib socket socketserver sqlite3 ssl
    subprocess sys sysconfig tarfile telnetlib tempfile test threading timeit tkinter
    trace unittest urllib urllib2 urllib3 venv webbrowser winreg wsgiref xmlrpc zipapp
    zipfile zipimport
""")
# Parts of useful packages that run, load or fetch things.
_GADGET_MODULES = (
    "logging.config",
    "numpy.distutils",
    "numpy.f2py",
    "numpy.testing",
    "torch._C",
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.elastic",
    "torch.distributed.rpc",
    "torch.distributed.run",
    "torch.fx",
    "torch.hub",
    "torch.multiprocessing",
    "torch.package",
    "torch.serialization",
    "torch.testing",
    "torch.utils._config_module",
    "torch.utils.bottleneck",
    "torch.utils.collect_env",
    "torch.utils.cpp_extension",
    "torch.utils.model_zoo",
)
_GADGETS = _words("""
    _codecs.lookup _functools.reduce codecs.lookup codecs.open functools.reduce
    numpy.fromfile numpy.genfromtxt numpy.load numpy.loadtxt numpy.memmap numpy.save
    numpy.savetxt numpy.core.multiarray.fromfile numpy.lib._npyio_impl.load
    numpy.lib.npyio.load pandas.eval pandas.read_pickle
    pandas.io.pickle.read_pickle torch.compile torch.export.load torch.jit.load
    torch.jit.script torch.load torch.save torch.classes.load_library
    torch.ops.load_library torch.storage._load_from_bytes types.CodeType
    types.FunctionType types.LambdaType types.MethodType types.ModuleType
    types.coroutine uuid._get_command_stdout uuid._popen
""")
# Attribute steps that lead from a harmless object to a dangerous one.
_GADGET_STEPS = _words("""
    builtins ctypes eval exec getattr setattr importlib nt open os popen posix
    subprocess sys system
""")
_HARMLESS_BUILTINS = _words("""
    bool bytearray bytes complex dict float frozenset int list long object range set
    slice str tuple unicode xrange Ellipsis NotImplemented
""")
_HARMLESS = _words("""
    _codecs.encode _io.BytesIO argparse.Namespace collections.Counter
    collections.OrderedDict io.BytesIO
    collections.defaultdict collections.deque copy_reg._reconstructor
    copyreg._reconstructor copyreg.__newobj__ datetime.date datetime.datetime
    datetime.timedelta decimal.Decimal fractions.Fraction numpy.dtype numpy.ndarray
    numpy.core.multiarray._reconstruct numpy.core.multiarray.scalar
    numpy._core.multiarray._reconstruct numpy._core.multiarray.scalar
    numpy.core.numeric._frombuffer numpy._core.numeric._frombuffer
    pathlib.Path pathlib.PosixPath pathlib.PurePath pathlib.PurePosixPath
    pathlib.PureWindowsPath pathlib.WindowsPath torch.Size torch.Tensor torch.device
    torch._tensor.Tensor torch.nn.parameter.Buffer torch.nn.parameter.Parameter
    torch.serialization._get_layout torch.jit._pickle.build_boollist
    torch.jit._pickle.build_doublelist torch.jit._pickle.build_intlist
    torch.jit._pickle.build_tensorlist torch.jit._pickle.restore_type_tag
    types.SimpleNamespace
""")
_HARMLESS_MODULES = (
    "__torch__",
    "numpy.dtypes",
    "torch._C._nn",
    "torch.nn.functional",
    "torch.nn.modules",
    "torch.nn.parallel",
    "torch.optim",
)


def severity(named: Global) -> Severity:
    """Judge one name; needs nothing but the name itself."""
    module, name, full = named.module, named.name, str(named)
    package = module.partition(".")[0]
    if full in _HARMLESS:
        return Severity.HARMLESS
    if package in ("builtins", "__builtin__"):
        return Severity.HARMLESS if name in _HARMLESS_BUILTINS else Severity.GADGET
    if (
        package in _GADGET_PACKAGES
        or full in _GADGETS
        or any(_is_gadget_step(step) for step in name.split("."))
    ):
        return Severity.GADGET
    if "." in name:  # attributes of attributes: judge where they may lead
        inner = severity(Global(*name.rsplit(".", 1)))
        return max(inner, Severity.UNKNOWN, key=_ORDER.index)
    if (
        _is_within(module, _HARMLESS_MODULES)
        or (module == "torch._utils" and name.startswith("_rebuild_"))
        or (package == "torch" and name.endswith("Storage"))
        or (module == "torch" and name in DTYPES)
    ):
        return Severity.HARMLESS
    if _is_within(module, _GADGET_MODULES):
        return Severity.GADGET
    return Severity.UNKNOWN


_ORDER = (Severity.HARMLESS, Severity.UNKNOWN, Severity.GADGET)


def _is_within(module: str, parents: tuple[str, ...]) -> bool:
    return any(module == p or module.startswith(p + ".") for p in parents)


def _is_gadget_step(step: str) -> bool:
    return step.lstrip("_") in _GADGET_STEPS or (
        step.startswith("__") and step.endswith("__")
    )
