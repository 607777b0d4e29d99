# SPDX-License-Identifier: MIT
"""Gates on the text of sources: licence line, length, links, layers."""

from __future__ import annotations

import re
from pathlib import Path

from gates.tree import sources

SPDX = "SPDX-License-Identifier: MIT"
# Data, prose and formats without comments.
NO_LICENCE = {".md", ".json", ".typed", ".txt", ".pem", ".key", ".crt", ".in", ".ini", ".lock", ".csv", ".bin", ".hex"}
NO_LICENCE_NAMES = {"LICENSE", ".gitignore", ".gitattributes"}

MAX_LINES = 700
COUNTED = {".c", ".h", ".py"}


def licence(top: Path, names: list[Path] | None = None) -> list[str]:
    """The first line names the licence; only a `#!` line may stand above it."""
    found = []
    for name in sources(top) if names is None else names:
        if name.suffix in NO_LICENCE or name.name in NO_LICENCE_NAMES or "data" in name.parts:
            continue
        lines = (top / name).read_text(errors="replace").splitlines()[:2] or [""]
        if lines[0].startswith("#!"):
            lines = lines[1:]
        if (lines or name.name != "__init__.py") and SPDX not in (lines[0] if lines else ""):
            found.append(f"{name}: its first line does not say {SPDX}")
    return found


def length(top: Path, names: list[Path] | None = None) -> list[str]:
    """One noun per file."""
    found = []
    for name in sources(top, *COUNTED) if names is None else names:
        count = (top / name).read_text(errors="replace").count("\n")
        if count > MAX_LINES:
            found.append(f"{name}: {count} lines, more than {MAX_LINES}: it holds more than one noun")
    return found


LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def links(top: Path, names: list[Path] | None = None) -> list[str]:
    """Relative links of Markdown files."""
    found = []
    for name in sources(top, ".md") if names is None else names:
        for target in LINK.findall((top / name).read_text()):
            if "://" not in target and not (top / name).parent.joinpath(target).exists():
                found.append(f"{name}: links to {target}, which is not there")
    return found


# -- layers -----------------------------------------------------------------------------------------------------------

# Which folders a file may include headers of ("a.h" and <sandd/a.h>, found by their names), beside its own.
MAY_USE: dict[str, set[str]] = {
    "gen": set(),
    "libsandd-proto": {"gen"},
    "libsandd-net": {"libsandd-proto"},
    "server": {"libsandd-net", "libsandd-proto"},
    "daemon": {"libsandd-net", "libsandd-proto"},
    "python": {"server"},
    "examples": {"server"},
    "conformance": {"libsandd-net", "libsandd-proto"},
}

# Third-party and generated headers and the only folders that may include them.
ONLY_IN: list[tuple[re.Pattern[str], tuple[str, ...], str]] = [
    (re.compile(r"libwebsockets(\.h|/)"), ("libsandd-net",), "only libsandd-net talks to libwebsockets"),
    (re.compile(r"openssl/"), ("libsandd-net",), "only libsandd-net talks to OpenSSL"),
    (
        re.compile(r"protobuf-c/|.*\.pb-c\.h"),
        ("libsandd-proto", "server/src", "daemon/src"),
        "generated types stay in libsandd-proto and where server and daemon translate them",
    ),
]

# libsandd-proto has no sockets, clock, randomness, environment or logging.
PURE = re.compile(
    r"(?<![\w.>])(socket|connect|recv|send|clock_gettime|gettimeofday|time|getrandom|rand|random|getenv|printf|fprintf|perror|syslog|abort|exit)\s*\("
)
PURE_HEADER = re.compile(r"(sys/socket|sys/time|time|sys/random|uv|netinet/.*|pthread|syslog)(\.h)?")

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^">]+)[">]', re.MULTILINE)
SYSTEM_TEST = re.compile(
    r"^\s*#\s*(?:if|ifdef|ifndef|elif|elifdef)\b.*\b(__linux__|__linux|__APPLE__|_WIN32|_WIN64|__unix__|__FreeBSD__|__MACH__|__ANDROID__)\b",
    re.MULTILINE,
)


def layers(top: Path, names: list[Path] | None = None) -> list[str]:
    """Folders use only what DESIGN lets them; what differs by system stays in daemon/platform."""
    names = sources(top, ".c", ".h") if names is None else names
    headers = [name.as_posix() for name in names if name.suffix == ".h"]
    found = []
    for name in names:
        text = (top / name).read_text(errors="replace")
        found += _includes(name, text, headers)
        if not name.is_relative_to("daemon/platform"):
            found += [
                f"{name}: tests for {match[1]}; what differs by system belongs to daemon/platform"
                for match in SYSTEM_TEST.finditer(text)
            ]
        if name.parts[0] == "libsandd-proto" and not _is_test(name):
            found += _pure(name, text)
    return found


def _is_test(name: Path) -> bool:
    return any(part in ("tests", "test", "sim", "bench") for part in name.parts[:-1]) or name.name.startswith(
        ("test_", "sim")
    )


def _includes(name: Path, text: str, headers: list[str]) -> list[str]:
    folder = name.parts[0]
    found = []
    for mark, header in INCLUDE.findall(text):
        for pattern, homes, why in ONLY_IN:
            if pattern.match(header) and not name.as_posix().startswith(homes) and not _is_test(name):
                found.append(f"{name}: includes {header}, but {why}")
        if mark == "<" and "/" not in header:
            continue  # the system's
        owners = {path.partition("/")[0] for path in headers if f"/{path}".endswith(f"/{header}")}
        if folder in MAY_USE and owners and folder not in owners and not owners & MAY_USE[folder]:
            found.append(f"{name}: includes {header} of {'/, '.join(sorted(owners))}/, which {folder}/ may not use")
    return found


def _pure(name: Path, text: str) -> list[str]:
    code = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', " ", text, flags=re.DOTALL)
    found = [
        f"{name}: calls {match[1]}(): libsandd-proto takes bytes, time and randomness, and does no I/O"
        for match in PURE.finditer(code)
    ]
    found += [
        f"{name}: includes {header}: libsandd-proto does no I/O"
        for _, header in INCLUDE.findall(text)
        if PURE_HEADER.fullmatch(header)
    ]
    return found
