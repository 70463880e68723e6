"""What the firmware's work costs: modelled, not measured.

Every figure is an assumption of ours, of the order of OpenSBI's code on a small in-order core,
beside the CSR instructions that are really executed. `symbol` is OpenSBI's function.
"""

from rvperf.stack.costs import Cost

TRAP = Cost("_trap_handler", 110, 170)  # registers saved and restored
CALL = Cost("sbi_ecall_handler", 60, 95)
REDIRECT = Cost("sbi_trap_redirect", 70, 110)
SET_TIMER = Cost("sbi_timer_event_start", 30, 45)
SEND_IPI = Cost("sbi_ipi_send_many", 120, 190)
FENCE = Cost("sbi_tlb_request", 150, 240)
SUSPEND = Cost("sbi_hsm_hart_suspend", 200, 320)
NUM_COUNTERS = Cost("sbi_pmu_num_ctr", 10, 15)
GET_INFO = Cost("sbi_pmu_ctr_get_info", 30, 45)
CFG_MATCH = Cost("sbi_pmu_ctr_cfg_match", 180, 270)
START = Cost("sbi_pmu_ctr_start", 50, 75)
STOP = Cost("sbi_pmu_ctr_stop", 50, 75)
EACH_COUNTER = Cost("pmu_ctr_validate", 35, 50)  # of those that are started or stopped
FW_READ = Cost("sbi_pmu_ctr_fw_read", 40, 60)
SET_SHMEM = Cost("sbi_pmu_snapshot_set_shmem", 40, 60)
EVENT_INFO = Cost("sbi_pmu_event_get_info", 60, 90)
