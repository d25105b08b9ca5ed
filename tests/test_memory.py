"""What is freed is kept: no page is asked of the system twice."""

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, sys
import numpy as np
from rnncli.memory import keep_freed
if sys.argv[1] == "kept":
    keep_freed()
def step():
    parts = [np.ones(5_000_000, np.float32) for _ in range(3)]
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how):
    done = subprocess.run([sys.executable, "-c", STEPS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_step_gets_the_memory_of_the_step_before():
    assert faults("kept") < faults("as it is") / 10
