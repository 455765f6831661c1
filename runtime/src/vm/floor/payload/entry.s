# Entry: 32-bit protected mode without paging, %ebx = hvm_start_info
# (xen/include/public/arch-x86/hvm/start_info.h; the note is XEN_ELFNOTE_PHYS32_ENTRY of elfnote.h).
#
# The first letter of the command line chooses:
#   nothing   say ready and halt: the price of the hypervisor alone
#   e         say ready and end QEMU through isa-debug-exit
#   p         first do what Linux cannot do without (proof.s), then as e

    .set CHANNEL_PORT, 0xe9
    .set EXIT_PORT, 0x501
    # QEMU ends with (value << 1) | 1 = 43, which is none of its own statuses (hw/misc/debugexit.c).
    .set EXIT_VALUE, 21
    .set COMMAND_LINE, 24       # offset of cmdline_paddr in hvm_start_info

    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, 18
    .asciz "Xen"
    .long entry

    .section .text.entry, "ax", @progbits
    .code32
    .globl entry
entry:
    cld
    movl $stack_top, %esp
    xorl %ebp, %ebp
    movl COMMAND_LINE(%ebx), %eax
    testl %eax, %eax
    jz say_ready
    movzbl (%eax), %ebp
    cmpl $'p', %ebp
    je enter_long_mode

# Both in 32-bit and in 64-bit mode these bytes mean the same.
    .globl say_ready
say_ready:
    movl $ready, %esi
    movl $(ready_end - ready), %ecx
    movw $CHANNEL_PORT, %dx
    rep outsb
    testl %ebp, %ebp
    jz rest
    .globl leave
leave:
    movb $EXIT_VALUE, %al
    movw $EXIT_PORT, %dx
    outb %al, %dx
rest:
    cli
    hlt
    jmp rest

    .section .rodata
ready:
    .byte 0x1e
    .ascii "{\"v\":1,\"event\":\"ready\"}\n"
ready_end:

    .bss
    .balign 16
    .skip 4096
    .globl stack_top
stack_top:
