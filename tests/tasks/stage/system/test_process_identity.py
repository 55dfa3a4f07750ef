"""A process is known for what it is: not by its number, which another may have, and not from where it can't be seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from tasks.stage.system.process_identity import ProcessIdentity
from tests.namespaces import in_namespace, needs_namespaces

THIS = ProcessIdentity.this()
ASK = (
    "import sys; from tasks.stage.system.process_identity import ProcessIdentity as P; asked = P.read(sys.argv[1]);"
    "print(asked.is_alive(), asked.has_ended(), asked.can_be_judged()); print(P.this())"
)
JUDGED = {
    "this process": (THIS, True, False),
    "an earlier process with its number": (replace(THIS, began="ticks 1"), False, True),
    "a number that nobody has": (replace(THIS, pid=(1 << 22) + 1), False, True),
    "its number in another boot": (replace(THIS, boot="another"), False, False),
    "its number in another namespace": (replace(THIS, namespace="pid:[1] time:[1]"), False, False),
    "its number on another host": (replace(THIS, host="elsewhere", boot="another"), False, False),
    "a process that could not see itself": (replace(THIS, began="unseen 1"), False, False),
}


@pytest.mark.parametrize("which", JUDGED)
def test_a_process_is_alive_ended_or_not_to_be_judged_from_here(which: str) -> None:
    identity, alive, ended = JUDGED[which]
    assert (identity.is_alive(), identity.has_ended(), identity.can_be_judged()) == (alive, ended, alive or ended)
    assert identity.is_this_process() == alive
    assert (identity.process() == psutil.Process()) == alive


def test_an_identity_reads_back_from_its_text_and_a_renamed_machine_keeps_its_processes() -> None:
    assert ProcessIdentity.read(str(THIS)) == THIS == replace(THIS, host="renamed")
    assert replace(THIS, host="renamed").is_alive()


@pytest.mark.parametrize(
    ("text", "changed"),
    [*((text, {}) for text in ("", "57", "null", "[]", "{}", '{"pid": 57}', "not JSON")),
     *(("this", changed) for changed in ({"pid": "57"}, {"began": ""}, {"more": 1}))],
)  # fmt: skip
def test_what_older_code_wrote_and_what_is_malformed_identifies_no_process(text: str, changed: dict[str, object]) -> None:
    assert ProcessIdentity.read(json.dumps({**json.loads(str(THIS)), **changed}) if changed else text) is None
    assert ProcessIdentity.read(str(os.getpid())) is None


def test_another_process_is_identified_while_it_runs_and_known_to_have_ended_afterwards() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        identity = ProcessIdentity.of(other.pid)
        assert identity is not None and identity != THIS
        assert (identity.is_alive(), identity.has_ended(), identity.is_this_process()) == (True, False, False)
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert (identity.is_alive(), identity.has_ended()) == (False, True), "a zombie has ended"
        assert identity.process() is None
    assert identity.has_ended()
    assert ProcessIdentity.of(other.pid) is None


def test_a_forked_process_is_not_the_one_that_it_was_forked_from() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0 if ProcessIdentity.this() != THIS and THIS.is_alive() and not THIS.is_this_process() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_process_of_which_only_the_time_of_its_start_is_known_is_judged_by_that() -> None:
    began = psutil.Process().create_time()
    assert ProcessIdentity.at(os.getpid(), began).is_alive()
    assert ProcessIdentity.at(os.getpid(), began - 1).has_ended()


@needs_namespaces
def test_a_process_outside_of_a_namespace_is_not_judged_from_within_and_numbers_there_are_others() -> None:
    asked = subprocess.run(in_namespace([sys.executable, "-c", ASK, str(THIS)]), capture_output=True, text=True, check=True)
    judged, identity = asked.stdout.splitlines()
    inner = ProcessIdentity.read(identity)
    assert judged == "False False False"
    assert inner is not None and inner.pid == 1
    assert inner != ProcessIdentity.of(1)
    assert (inner.is_alive(), inner.has_ended()) == (False, False), "nor is the process within from here"


@needs_namespaces
def test_with_the_proc_of_another_namespace_nobody_is_judged() -> None:
    ask = (
        "import os; from tasks.stage.system.process_identity import ProcessIdentity as P; this = P.this();"
        "print(this.is_alive(), P.of(os.getpid()), this.has_ended())"
    )
    said = subprocess.run(["unshare", "--pid", "--fork", sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "None", "False"]
