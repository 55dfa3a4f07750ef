"""Downloads a source archive through pip without running any code of the package.

`pip download` of an sdist prepares metadata, which executes the package's build code. This program, always run in its own process, uses the
session and index that pip is configured with (index, mirrors, find-links, proxies, certificates, credentials), takes the sdist's link
and saves the bytes; nothing is unpacked, built or imported.

It relies on two private methods of pip's commands (`_build_session`, `_build_package_finder`), unchanged since pip 20. Where they are
missing it exits with status 3, and the caller says how to put the archive in place by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path


def download_sdist(name: str, version: str, destination: Path) -> None:
    """Save the sdist of `name==version` at `destination`. Exit with a message if the index has none."""
    from pip._internal.cli.main_parser import parse_command
    from pip._internal.commands import create_command

    command_name, arguments = parse_command(["download", "--no-deps", "--no-binary", ":all:", name])
    command = create_command(command_name)
    try:
        build_session = command._build_session  # type: ignore[attr-defined]
        build_finder = command._build_package_finder  # type: ignore[attr-defined]
    except AttributeError:
        raise SystemExit(3) from None
    with command.main_context():
        options, _ = command.parse_args(arguments)
        session = command.enter_context(build_session(options))
        finder = build_finder(options, session)
        found = [c for c in finder.find_all_candidates(name) if str(c.version) == version and not c.link.is_wheel]
        if not found:
            raise SystemExit(f"pip's index has no source archive of {name}=={version}")
        with session.get(found[-1].link.url_without_fragment, stream=True) as response:
            response.raise_for_status()
            with destination.open("wb") as target:
                for block in response.iter_content(1 << 20):
                    target.write(block)


if __name__ == "__main__":
    download_sdist(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
