"""The face of the package: what `import tsrnn` gives, and what it does not cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tsrnn

STUB = Path(tsrnn.__file__).with_suffix(".pyi")


def test_the_lazy_face_and_its_types_agree():
    imports = [node for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ImportFrom)]
    typed = {alias.asname: node.module for node in imports for alias in node.names}
    assert typed == {name: f"tsrnn.{module}" for name, module in tsrnn._HOME.items()}


@pytest.mark.parametrize("name", sorted(tsrnn._HOME))
def test_every_name_is_there_and_documented(name):
    assert getattr(tsrnn, name).__doc__
    assert name in dir(tsrnn)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'tsrnn' has no attribute 'Prophet'"):
        tsrnn.Prophet  # noqa: B018


@pytest.mark.parametrize(
    "statement", ["import tsrnn", "import tsrnn.data", "import tsrnn.cli", "import tsrnn.evaluation"]
)
def test_light_imports_do_not_pay_for_jax_or_matplotlib(statement):
    heavy = {"jax", "flax", "optax", "matplotlib.pyplot"}
    code = f"import sys; {statement}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
