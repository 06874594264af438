"""A name that one process works on is left alone by others, and is free when the process ends."""

import subprocess
import sys
import threading

from ebabench.system.claims import Claims

HOLDER = """
import sys, time
from pathlib import Path
from ebabench.system.claims import Claims
claims = Claims(Path(sys.argv[1]))
assert claims.take("one")
print("held", flush=True)
time.sleep(60)
"""


def test_a_claim_is_of_one_at_a_time(tmp_path):
    mine, theirs = Claims(tmp_path / "claims"), Claims(tmp_path / "claims")
    assert mine.take("one")
    assert mine.take("one"), "it is held already"
    assert not theirs.take("one")
    assert theirs.take("two")
    mine.release("one")
    assert theirs.take("one")


def test_a_claim_is_given_back_by_another_thread(tmp_path):
    mine, theirs = Claims(tmp_path), Claims(tmp_path)
    assert mine.take("one")
    thread = threading.Thread(target=mine.release, args=("one",))
    thread.start()
    thread.join()
    assert theirs.take("one")


def test_the_claim_of_a_killed_process_is_free(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    claims = Claims(tmp_path)
    assert not claims.take("one")
    process.kill()
    process.wait()
    with claims.hold("one") as held:
        assert held


def test_nothing_is_left_but_what_is_held(tmp_path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "left.lock").write_text("")
    mine, theirs = Claims(tmp_path / "claims"), Claims(tmp_path / "claims")
    assert theirs.take("two")
    mine.tidy()
    assert [path.name for path in (tmp_path / "claims").iterdir()] == ["two.lock"]
    assert not mine.take("two"), "still held"
    theirs.release("two")
    mine.tidy()
    assert not (tmp_path / "claims").exists()
