"""Which place a process has, as torchrun and Slurm tell it; and processes that have nothing to do with each other."""

from __future__ import annotations

import pytest

from landscape.distributed import Place, place
from landscape.errors import UsageError

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "node1",
    "MASTER_PORT": "29500",
}  # fmt: skip
SLURM = {
    "SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "7", "SLURM_LOCALID": "1", "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "4,3", "SLURM_STEP_NODELIST": "gpu[07-08]", "SLURM_STEP_ID": "0",
    "SLURM_JOB_ID": "1234567",
}  # fmt: skip


def test_torchrun_gives_a_rank_its_place():
    assert place(TORCHRUN) == Place(5, 8, 1, 4, "node1", 29500)


def test_tasks_of_srun_are_ranks_at_the_first_of_their_hosts():
    found = place(SLURM, bare_slurm=True)
    assert (found.rank, found.world, found.local_rank, found.local_world) == (5, 7, 1, 3)
    assert found.address == "gpu07"
    assert 20000 <= found.port < 40000


def test_two_steps_of_a_job_meet_at_different_ports():
    other = place({**SLURM, "SLURM_STEP_ID": "1"}, bare_slurm=True)
    assert other.port != place(SLURM, bare_slurm=True).port


def test_tasks_of_srun_that_name_no_address_are_on_their_own_in_a_script():
    """One training for each seed is started like this; they must not wait for each other."""
    assert place(SLURM) is None
    assert place({**SLURM, "MASTER_ADDR": "gpu07", "MASTER_PORT": "29400"}) == Place(5, 7, 1, 3, "gpu07", 29400)


def test_a_batch_script_is_no_task_though_it_has_their_number():
    assert place({"SLURM_PROCID": "0", "SLURM_NTASKS": "7", "SLURM_JOB_ID": "1"}, bare_slurm=True) is None


@pytest.mark.parametrize("environment", [{}, {**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"}, {"RANK": "3"}])
def test_a_process_by_itself_has_no_place(environment):
    assert place(environment) is None


def test_a_process_that_is_to_measure_alone_has_no_place():
    assert place({**TORCHRUN, "LANDSCAPE_ALONE": "1"}) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"RANK": "eight"}, "RANK='eight'"),
        ({"RANK": "8"}, "rank 8 is none of 8"),
        ({"MASTER_PORT": ""}, "MASTER_PORT=''"),
    ],
)
def test_variables_that_are_wrong_are_named(changed, said):
    with pytest.raises(UsageError, match=said):
        place({**TORCHRUN, **changed})
