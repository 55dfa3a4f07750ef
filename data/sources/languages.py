"""The language of a program by its file's ending, as Linguist and Pygments name it."""

from __future__ import annotations

from pathlib import PurePosixPath

LANGUAGES = {
    ".ada": "Ada", ".adb": "Ada", ".asm": "Assembly", ".awk": "Awk", ".bash": "Shell", ".c": "C", ".cc": "C++", ".clj": "Clojure",
    ".cpp": "C++", ".cs": "C#", ".css": "CSS", ".cu": "CUDA", ".cxx": "C++", ".d": "D", ".dart": "Dart", ".el": "Emacs Lisp",
    ".erl": "Erlang", ".ex": "Elixir", ".exs": "Elixir", ".f": "Fortran", ".f90": "Fortran", ".for": "Fortran", ".fs": "F#", ".go": "Go",
    ".groovy": "Groovy", ".h": "C", ".hpp": "C++", ".hs": "Haskell", ".java": "Java", ".jl": "Julia", ".js": "JavaScript",
    ".jsx": "JavaScript", ".kt": "Kotlin", ".lisp": "Common Lisp", ".lua": "Lua", ".m": "MATLAB", ".ml": "OCaml", ".mli": "OCaml",
    ".nim": "Nim", ".pas": "Pascal", ".php": "PHP", ".pl": "Perl", ".pm": "Perl", ".ps1": "PowerShell", ".py": "Python", ".r": "R",
    ".rb": "Ruby", ".rs": "Rust", ".scala": "Scala", ".scm": "Scheme", ".sh": "Shell", ".sql": "SQL", ".swift": "Swift", ".tcl": "Tcl",
    ".ts": "TypeScript", ".tsx": "TypeScript", ".v": "Verilog", ".vb": "Visual Basic", ".vhd": "VHDL", ".zig": "Zig",
}  # fmt: skip


def language_of(name: str) -> str:
    """Return the language of a program; "" if unknown."""
    return LANGUAGES.get(PurePosixPath(name.lower()).suffix, "")
