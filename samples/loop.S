# A loop that you can count by hand, so you can see that rvperf does.
#
# Before the loop 4 instructions (li takes one, la two), in it 7 x 1000, after it 3: 7007 in all.
# The ecall that leaves counts too. Branches 1000, of which the last is not taken. Each round
# loads twice and stores once.
#
# expect: exit 0
# expect: instructions:u 7007
# expect: branches:u 1000
# expect: L1-dcache-loads:u 2000
# expect: L1-dcache-stores:u 1000
        .option norelax                 # la stays two instructions
        .text
        .global _start
        .type   _start, @function
_start: li      t0, 1000                # 1
        la      t1, cell                # 2
        li      t2, 0                   # 1
round:  ld      t3, 0(t1)               # 7 a round
        add     t2, t2, t3
        lw      t4, 8(t1)
        add     t2, t2, t4
        sd      t2, 16(t1)
        addi    t0, t0, -1
        bnez    t0, round
        li      a0, 0                   # 3
        li      a7, 94                  # exit_group
        ecall
        .size   _start, . - _start

        .data
        .balign 8
cell:   .dword  1, 2, 0
