"""Part of the package build: compiles the kernels of ``tsrnn/native`` where it can, else goes on without them."""

import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Kernels(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        native = runpy.run_path(str(Path(self.root) / "tsrnn" / "native" / "build.py"))
        try:
            library = native["build"]()
        except native["BuildError"] as error:
            self.app.display_warning(f"tsrnn is built without its C++ kernels, and computes without them: {error}")
            return
        tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data |= {"pure_python": False, "tag": f"py3-none-{tag}"}  # of a platform, not of a version of Python
        build_data["artifacts"].append(library.relative_to(self.root).as_posix())
