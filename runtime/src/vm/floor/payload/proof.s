# What a kernel needs of a processor: paging, long mode, atomic 16-byte exchange, exceptions,
# the way to user mode and back, and speed. Each step says its name before it is tried, so that the
# last line tells where an accelerator gave up; a wrong result ends without `ready`.
# Intel SDM volume 3: 4.5 (paging), 6.14 (64-bit exceptions), 10.8.5 (long mode); volume 2: SYSCALL, SYSRET.

    .set EFER, 0xc0000080
    .set STAR, 0xc0000081
    .set LSTAR, 0xc0000082
    .set FMASK, 0xc0000084
    .set KERNEL_CODE, 0x08
    .set USER_BASE, 0x10        # SYSRET: data at +8, code at +16
    .set ROUNDS, 8000000        # of five instructions

    .section .text, "ax", @progbits
    .code32
    .globl enter_long_mode
enter_long_mode:
    # Identity map of the first gigabyte in pages of 2 MiB, open to user mode.
    movl $(level3 + 7), level4
    movl $(level2 + 7), level3
    movl $level2, %edi
    movl $0x87, %eax
    movl $512, %ecx
1:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 1b
    movl %cr4, %eax
    orl $0x620, %eax            # PAE, OSFXSR, OSXMMEXCPT
    movl %eax, %cr4
    movl $level4, %eax
    movl %eax, %cr3
    movl $EFER, %ecx
    rdmsr
    orl $0x101, %eax            # LME, SCE
    wrmsr
    movl %cr0, %eax
    orl $0x80010001, %eax       # PG, WP, PE
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $KERNEL_CODE, $long_mode

    .code64
long_mode:
    xorl %eax, %eax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movq $stack_top, %rsp

    movl $s_exchange, %esi
    call say
    xorl %eax, %eax
    xorl %edx, %edx
    movl $7, %ebx
    movl $9, %ecx
    lock cmpxchg16b pair
    jnz wrong
    cmpq $7, pair
    jne wrong
    cmpq $9, pair + 8
    jne wrong

    movl $s_exception, %esi
    call say
    movq $breakpoint, %rax      # an address below 4 GiB: the upper fields of the gate stay zero
    movq $idt + 3 * 16, %rdi
    movw %ax, (%rdi)
    movw $KERNEL_CODE, 2(%rdi)
    movb $0, 4(%rdi)
    movb $0x8e, 5(%rdi)
    shrl $16, %eax
    movw %ax, 6(%rdi)
    lidt idt_pointer
    xorl %r12d, %r12d
    int3
    int3
    cmpl $2, %r12d
    jne wrong

    movl $s_user, %esi
    call say
    movl $STAR, %ecx
    xorl %eax, %eax
    movl $((USER_BASE << 16) | KERNEL_CODE), %edx
    wrmsr
    movl $LSTAR, %ecx
    movl $from_user, %eax
    xorl %edx, %edx
    wrmsr
    movl $FMASK, %ecx
    movl $0x200, %eax
    wrmsr
    movl $in_user, %ecx
    movl $2, %r11d
    sysretq

in_user:
    movl $42, %r13d
    syscall
    jmp wrong

from_user:
    cmpl $42, %r13d
    jne wrong

    movl $s_speed, %esi
    call say
    movl $ROUNDS, %ecx
    xorl %eax, %eax
2:  addq %rcx, %rax
    movq %rax, pair
    incq counter
    decl %ecx
    jnz 2b
    cmpq $ROUNDS, counter
    jne wrong

    movq %cr3, %rax             # the translation cache is flushed and filled again
    movq %rax, %cr3
    movl $'p', %ebp
    jmp say_ready

breakpoint:
    incl %r12d
    iretq

wrong:
    movl $s_wrong, %esi
    call say
    xorl %ebp, %ebp
    jmp leave

# %esi = a string that ends with 0
say:
    movw $0xe9, %dx
3:  lodsb
    testb %al, %al
    jz 4f
    outb %al, %dx
    jmp 3b
4:  ret

    .section .rodata
s_exchange:  .asciz "proof: cmpxchg16b\n"
s_exception: .asciz "proof: int3 and iretq\n"
s_user:      .asciz "proof: sysret and syscall\n"
s_speed:     .asciz "proof: 40 million instructions\n"
s_wrong:     .asciz "proof: wrong result\n"

    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff    # 08 kernel code, 64 bits
    .quad 0x00cf93000000ffff    # 10 kernel data (and the base of SYSRET)
    .quad 0x00cff3000000ffff    # 18 user data
    .quad 0x00affb000000ffff    # 20 user code, 64 bits
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .quad gdt
idt_pointer:
    .word 16 * 4 - 1
    .quad idt

    .bss
    .balign 4096
level4: .skip 4096
level3: .skip 4096
level2: .skip 4096
idt:    .skip 4096
pair:   .skip 16
counter: .skip 8
