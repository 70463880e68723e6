// A plugin for qemu-user (TCG plugin interface, version 1) that counts what a riscv64 program
// executes.
//
// Built when the tests need it. QEMU's header isn't packaged, so what we use of it is declared
// here. Every instruction gets a callback of its own: a count per translated block would be wrong
// wherever a block is left early. The callback comes before the instruction, so one that faults
// is counted.
//
// Arguments: out=FILE, where the counts go as 64-bit words in the order of the enum below, shared
// with the file at every moment: QEMU tells a plugin nothing when a signal ends the program.
// classes=off counts instructions alone, inline, which is faster.
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { QEMU_PLUGIN_CB_NO_REGS = 0, QEMU_PLUGIN_INLINE_ADD_U64 = 0 };
typedef void (*translation_callback)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*execution_callback)(unsigned int vcpu, void *data);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translation_callback);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, execution_callback, int,
                                            void *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
typedef void (*return_callback)(qemu_plugin_id_t, unsigned int vcpu, int64_t number, int64_t ret);
void qemu_plugin_register_vcpu_syscall_ret_cb(qemu_plugin_id_t, return_callback);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

// ALL counts every instruction; the others up to ECALL are disjoint. UNPROBED and UNROBUST count
// the calls of riscv_hwprobe and set_robust_list that QEMU did not know. qemu.py names them in the
// same order.
enum class { ALL, BRANCH, JUMP, LOAD, STORE, AMO, LR, SC, ECALL, UNPROBED, UNROBUST, CLASSES };
enum { set_robust_list = 99, riscv_hwprobe = 258, linux_ENOSYS = 38 };
static uint64_t *counts;
static bool classes = true;

// Quadrant (bits 1:0) and funct3 (bits 15:13) decide nearly everything about a compressed one.
static enum class class_of_16(uint32_t insn)
{
    uint32_t funct3 = insn >> 13 & 7, rd = insn >> 7 & 31, rs2 = insn >> 2 & 31;
    switch (insn & 3) {
    case 0:     // c.addi4spn c.fld c.lw c.ld (none) c.fsd c.sw c.sd
        return funct3 == 0 || funct3 == 4 ? ALL : funct3 < 4 ? LOAD : STORE;
    case 1:     // c.addi c.addiw c.li c.lui (arithmetic) c.j c.beqz c.bnez
        return funct3 == 5 ? JUMP : funct3 >= 6 ? BRANCH : ALL;
    default:    // c.slli c.fldsp c.lwsp c.ldsp (jumps, moves, c.ebreak) c.fsdsp c.swsp c.sdsp
        if (funct3 == 4)
            return rs2 == 0 && rd != 0 ? JUMP : ALL;
        return funct3 == 0 ? ALL : funct3 < 4 ? LOAD : STORE;
    }
}

static enum class class_of_32(uint32_t insn)
{
    switch (insn & 0x7f) {
    case 0x63: return BRANCH;
    case 0x67: case 0x6f: return JUMP;
    case 0x03: case 0x07: return LOAD;
    case 0x23: case 0x27: return STORE;
    case 0x2f: return insn >> 27 == 2 ? LR : insn >> 27 == 3 ? SC : AMO;
    case 0x73: return insn == 0x73 ? ECALL : ALL;
    default: return ALL;
    }
}

static void executed(unsigned int vcpu, void *count)
{
    (void)vcpu;
    __atomic_fetch_add(&counts[ALL], 1, __ATOMIC_RELAXED);
    if (count)
        __atomic_fetch_add((uint64_t *)count, 1, __ATOMIC_RELAXED);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        if (!classes) {
            qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                       &counts[ALL], 1);
            continue;
        }
        uint32_t word = 0;
        size_t size = qemu_plugin_insn_size(insn);
        memcpy(&word, qemu_plugin_insn_data(insn), size);
        enum class class = size == 2 ? class_of_16(word) : class_of_32(word);
        qemu_plugin_register_vcpu_insn_exec_cb(insn, executed, QEMU_PLUGIN_CB_NO_REGS,
                                               class == ALL ? NULL : &counts[class]);
    }
}

static void returned(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, int64_t ret)
{
    (void)id, (void)vcpu;
    if (ret == -linux_ENOSYS && number == riscv_hwprobe)
        __atomic_fetch_add(&counts[UNPROBED], 1, __ATOMIC_RELAXED);
    if (ret == -linux_ENOSYS && number == set_robust_list)
        __atomic_fetch_add(&counts[UNROBUST], 1, __ATOMIC_RELAXED);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "classes=off") == 0) {
            classes = false;
        } else if (strncmp(argv[i], "out=", 4) == 0) {
            int fd = open(argv[i] + 4, O_RDWR | O_CREAT, 0600);
            if (fd < 0 || ftruncate(fd, CLASSES * sizeof *counts) != 0)
                return 1;
            counts = mmap(NULL, CLASSES * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                          0);
            close(fd);
        }
    }
    if (!counts || counts == MAP_FAILED)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, returned);
    return 0;
}
