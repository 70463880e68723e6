# Runs cases of tests/engine/cases.py, as many as stdin brings, and writes what became of them.
# stdin: the number of cases, their code (32 bytes each), their states (STATE bytes each).
# stdout: the states afterwards. x31 belongs to this program, and holds the case's own address.

        .equ STATE, 704
        .equ F, 256
        .equ FCSR, 512
        .equ CODE_AT, 0x20000000
        .equ STATES_AT, 0x30000000
        .option norvc
        .globl _start
_start:
        la      s0, current
        la      a1, count
        li      a2, 8
        call    read_all
        li      a0, CODE_AT
        li      a1, 32
        call    map
        call    read_all
        li      a0, STATES_AT
        li      a1, STATE
        call    map
        call    read_all
        fence.i
next:
        la      x29, current
        ld      x30, 0(x29)             # its state
        ld      x31, 8(x29)             # its code
        ld      x28, 16(x29)            # cases left
        beqz    x28, finish
        addi    x28, x28, -1
        sd      x28, 16(x29)
        ld      x28, FCSR(x30)
        fscsr   x28
        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        fld     f\n, F + 8 * \n(x30)
        .endr
        .irp    n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
        ld      x\n, 8 * \n(x30)
        .endr
        jr      x31

        .org    0x800                   # 0x10800, where each case jumps when it is done
        lui     x31, %hi(current)
        ld      x31, %lo(current)(x31)
        .irp    n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
        sd      x\n, 8 * \n(x31)
        .endr
        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        fsd     f\n, F + 8 * \n(x31)
        .endr
        frcsr   x30
        sd      x30, FCSR(x31)
        la      x30, current
        addi    x31, x31, STATE
        sd      x31, 0(x30)
        ld      x31, 8(x30)
        addi    x31, x31, 32
        sd      x31, 8(x30)
        j       next

finish:
        la      s0, current
        ld      s1, 0(s0)
        li      a1, STATES_AT
1:      sub     a2, s1, a1
        beqz    a2, 2f
        li      a0, 1
        li      a7, 64                  # write
        ecall
        add     a1, a1, a0
        j       1b
2:      li      a0, 0
        li      a7, 93                  # exit
        ecall

# Map count * a1 bytes at a0, to read, write and execute; gives them as a1 (where), a2 (how many).
map:
        mv      s3, a0
        ld      s2, 16(s0)
        mul     s2, s2, a1
        mv      a1, s2
        li      a2, 7
        li      a3, 0x32                # private, fixed, anonymous
        li      a4, -1
        li      a5, 0
        li      a7, 222                 # mmap
        ecall
        mv      a1, s3
        mv      a2, s2
        ret

# Read a2 bytes of stdin to a1.
read_all:
        beqz    a2, 1f
        li      a0, 0
        li      a7, 63                  # read
        ecall
        add     a1, a1, a0
        sub     a2, a2, a0
        j       read_all
1:      ret

        .data
        .balign 8
current: .dword STATES_AT
        .dword  CODE_AT
count:  .dword  0
