# The start file of every sample: from the stack that the kernel prepared to main(argc, argv, envp),
# and from what main returns to exit_group.
        .text
        .global _start
        .type   _start, @function
_start:
        .option push
        .option norelax                 # gp itself cannot be reached through gp
        lla     gp, __global_pointer$
        .option pop
        mv      fp, zero                # the outermost frame
#ifdef __pie__
        # Nobody else relocates a static-PIE. Each relative relocation is three doublewords, offset,
        # type and addend, and says: *(base + offset) = base + addend. pie.ld names their bounds.
        lla     t0, rela_start
        lla     t1, rela_end
        lla     t2, __ehdr_start        # where the kernel loaded us
        j       2f
1:      ld      t3, 0(t0)
        ld      t4, 16(t0)
        add     t3, t3, t2
        add     t4, t4, t2
        sd      t4, 0(t3)
        addi    t0, t0, 24
2:      bltu    t0, t1, 1b
#endif
        ld      a0, 0(sp)               # argc
        addi    a1, sp, 8               # argv
        slli    a2, a0, 3               # envp follows argv and its null
        add     a2, a2, a1
        addi    a2, a2, 8
        andi    sp, sp, -16
        call    main
        li      a7, 94                  # exit_group
        ecall
        .size   _start, . - _start

# The two functions that the compiler calls by itself. The linker drops them where it never does.
        .section .text.memset, "ax"
        .global memset
        .type   memset, @function
memset: add     a3, a0, a2
        mv      a4, a0
        j       2f
1:      sb      a1, 0(a4)
        addi    a4, a4, 1
2:      bne     a4, a3, 1b
        ret
        .size   memset, . - memset

        .section .text.memcpy, "ax"
        .global memcpy
        .type   memcpy, @function
memcpy: add     a3, a1, a2
        mv      a4, a0
        j       2f
1:      lbu     a5, 0(a1)
        sb      a5, 0(a4)
        addi    a1, a1, 1
        addi    a4, a4, 1
2:      bne     a1, a3, 1b
        ret
        .size   memcpy, . - memcpy
