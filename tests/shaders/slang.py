"""Compiles HLSL files with the Slang compiler, a library in the Python package slangpy: slang.py LIBRARY FILE...

The first line of each file names its entry points in a comment. Prints what does not compile.
"""

import ctypes
import sys

HLSL, SPIRV, COMPUTE = 2, 6, 6  # SlangSourceLanguage, SlangCompileTarget, SlangStage

library = ctypes.CDLL(sys.argv[1])
library.spCreateSession.restype = ctypes.c_void_p
library.spCreateCompileRequest.restype = ctypes.c_void_p
library.spGetDiagnosticOutput.restype = ctypes.c_char_p


def compile(session, path):
    """What the compiler says against a file, or nothing."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    request = ctypes.c_void_p(library.spCreateCompileRequest(session))
    library.spSetCodeGenTarget(request, SPIRV)
    unit = library.spAddTranslationUnit(request, HLSL, None)
    library.spAddTranslationUnitSourceString(request, unit, path.encode(), text.encode())
    for name in text.split("\n", 1)[0].lstrip("/ ").split():
        library.spAddEntryPoint(request, unit, name.encode(), COMPUTE)
    failed = library.spCompile(request) != 0
    said = library.spGetDiagnosticOutput(request) or b""
    library.spDestroyCompileRequest(request)
    return said.decode(errors="replace") or "no reason given\n" if failed else ""


session = ctypes.c_void_p(library.spCreateSession(None))
wrong = {path: said for path in sys.argv[2:] if (said := compile(session, path))}
for path, said in wrong.items():
    print(f"{path}:\n{said}")
sys.exit(bool(wrong))
